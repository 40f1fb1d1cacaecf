-- Conditions whose answer changes for a subject by what happens to another, to no row, or to a row of no subject.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION segmentation;
CREATE TABLE customers (id int PRIMARY KEY, created_at timestamptz);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, amount numeric, placed_at timestamptz, paid boolean, data jsonb);
CREATE TABLE promos (id int PRIMARY KEY, ends_at timestamptz);
CREATE TABLE items (id int PRIMARY KEY, order_id int, promo_id int);
INSERT INTO customers VALUES (1, '2026-01-01 00:00+00'), (2, '2026-01-20 00:00+00'), (3, '2026-01-25 00:00+00');
INSERT INTO orders VALUES (1, 1, 100, '2026-01-24 03:00+00', true, '{"price": 5}'), (2, 2, 50, '2026-01-30 00:00+00', false, '{"price": 50}'),
	(3, NULL, 1, '2026-01-30 00:00+00', true, '{"price": "n/a"}');
INSERT INTO promos VALUES (1, '2026-02-10 00:00+00');
INSERT INTO items VALUES (1, 1, 1), (2, 2, NULL);
SET segmentation.clock = '2026-01-31 00:00+00';
DO LANGUAGE segment $$
	CREATE LINK ON orders (customer_id) REFERENCES customers;
	CREATE LINK ON items (order_id) REFERENCES orders;
	CREATE SEGMENT a_top ON customers WHERE id IN (SELECT customer_id FROM orders WHERE placed_at > now() - interval '7 days' AND customer_id IS NOT NULL GROUP BY customer_id ORDER BY sum(amount) DESC LIMIT 1);
	CREATE SEGMENT b_first ON customers WHERE id IN (SELECT DISTINCT ON (paid OR true) customer_id FROM orders WHERE placed_at > now() - interval '7 days' AND customer_id IS NOT NULL ORDER BY paid OR true, placed_at);
	CREATE SEGMENT c_last ON customers WHERE (SELECT coalesce(max(o.placed_at), customers.created_at) < now() - interval '30 days' FROM orders o WHERE o.customer_id = customers.id);
	CREATE SEGMENT d_last_paid ON customers WHERE (SELECT coalesce(max(o.placed_at) FILTER (WHERE o.paid), customers.created_at) < now() - interval '30 days' FROM orders o WHERE o.customer_id = customers.id);
	CREATE SEGMENT e_none ON customers WHERE EXISTS (SELECT FROM orders o WHERE o.customer_id = customers.id HAVING count(*) = 0 AND customers.created_at < now() - interval '30 days');
	CREATE SEGMENT g_spent ON customers WHERE sum((orders.data->>'price')::numeric) > 10;
$$;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
-- refused: of the side of an outer join that may be missing nobody can be told of who was left out
DO LANGUAGE segment $$
	CREATE SEGMENT f_unpromoted ON customers WHERE EXISTS (SELECT FROM orders o LEFT JOIN (items i JOIN promos p ON p.id = i.promo_id AND p.ends_at > now()) ON i.order_id = o.id WHERE o.customer_id = customers.id AND i.id IS NULL);
$$;
SELECT s.segment, s.state FROM segment.status s WHERE state <> 'built';
-- read from the bases and their deadlines; all that is true is what plain SQL says at that instant
CREATE FUNCTION answers(clock text) RETURNS TABLE (segment regclass, members segment.bitmap, wrong boolean) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('segmentation.clock', clock, false);
	RETURN QUERY SELECT g.view, segment.members(g.view), v.missing + v.extra > 0 FROM segment.segment g JOIN segment.verify() v ON v.verified = g.view ORDER BY g.view::text COLLATE "C";
END $$;
SELECT * FROM answers('2026-01-31 00:00+00');
SELECT * FROM answers('2026-01-31 03:00+00');
SELECT * FROM answers('2026-02-10 00:00+00');
SELECT * FROM answers('2026-02-24 00:00:01+00');
SELECT * FROM answers('2026-03-05 00:00+00');
RESET segmentation.clock;

-- a negative id on the way from a source to its subjects
CREATE TABLE brands (id int PRIMARY KEY, name text);
CREATE TABLE products (id int PRIMARY KEY, brand_id int);
CREATE TABLE bought (id int PRIMARY KEY, customer_id int, product_id int);
INSERT INTO brands VALUES (7, 'Y');
INSERT INTO products VALUES (-1, 7), (1, 7);
INSERT INTO bought VALUES (1, 3, -1);
DO LANGUAGE segment $$
	CREATE SEGMENT h_brand ON customers WHERE EXISTS (SELECT FROM bought t JOIN products p ON p.id = t.product_id JOIN brands b ON b.id = p.brand_id WHERE t.customer_id = customers.id AND b.name = 'X');
$$;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
UPDATE brands SET name = 'X' WHERE id = 7;
SELECT segment.members('h_brand');
DO LANGUAGE segment $$ REFRESH SEGMENT ALL $$;
SELECT segment.members('h_brand');

-- a partition that is detached: what was written through its parent is not known
CREATE TABLE parted (id int NOT NULL, customer_id int, n int) PARTITION BY RANGE (id);
CREATE TABLE part (id int NOT NULL, customer_id int, n int);
INSERT INTO part VALUES (1, 1, 1);
DO LANGUAGE segment $$
	CREATE SEGMENT i_part ON customers WHERE EXISTS (SELECT FROM part WHERE part.customer_id = customers.id AND n > 1);
$$;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
ALTER TABLE ONLY parted ATTACH PARTITION part FOR VALUES FROM (0) TO (100);
UPDATE parted SET n = 2;
ALTER TABLE parted DETACH PARTITION part;
SELECT segment.members('i_part');

-- what an aggregate of somebody's is made of
CREATE FUNCTION add_n(int, int) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1 + $2 + (SELECT count(*)::int FROM brands)';
CREATE AGGREGATE my_sum(int) (sfunc = add_n, stype = int, initcond = '0');
\set VERBOSITY default
DO LANGUAGE segment $$ CREATE SEGMENT j_mine ON customers WHERE (SELECT my_sum(n) FROM part WHERE part.customer_id = customers.id) > 3 $$;
\set VERBOSITY terse
CREATE OR REPLACE FUNCTION add_n(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
DO LANGUAGE segment $$ CREATE SEGMENT j_mine ON customers WHERE (SELECT my_sum(n) FROM part WHERE part.customer_id = customers.id) > 3 $$;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment.members('j_mine');
CREATE OR REPLACE FUNCTION add_n(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 2 * $2';
SELECT segment.members('j_mine');

-- a row that is read whole holds the names of its columns
DO LANGUAGE segment $$ CREATE SEGMENT k_row ON customers WHERE EXISTS (SELECT FROM part p WHERE p.customer_id = customers.id AND to_jsonb(p) ? 'm') $$;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment.members('k_row');
ALTER TABLE part RENAME COLUMN n TO m;
SELECT segment.members('k_row');
ALTER TABLE part RENAME COLUMN m TO n;

-- a column of the view that has got another name keeps it
ALTER VIEW k_row RENAME COLUMN id TO customer;
DO LANGUAGE segment $$ ALTER SEGMENT k_row WHERE id < 3 $$;
SELECT customer FROM k_row ORDER BY 1;

-- times of day get the offset of today, also within a jsonpath; zones that are not whole quarters of an hour
\set VERBOSITY default
DO LANGUAGE segment $$ CREATE SEGMENT l_path ON customers WHERE jsonb_path_exists_tz(to_jsonb(customers), '$.at ? (@.datetime() < "10:00:00+01".datetime())') $$;
DO LANGUAGE segment $$ CREATE SEGMENT m_odd ON customers WHERE id = extract(day FROM now() AT TIME ZONE '+05:07') $$;
DO LANGUAGE segment $$ CREATE SEGMENT m_odd ON customers WHERE id = extract(day FROM now() AT TIME ZONE '+05:45') $$;
\set VERBOSITY terse

-- rows that plain SQL does not come to may fail: of nobody, of subjects that another condition leaves out, behind WHERE or FILTER
CREATE TABLE sales (id int PRIMARY KEY, customer_id int, qty int, kind text, data jsonb);
INSERT INTO sales VALUES (1, 1, 5, 'a', '{"price": 20}'), (2, 2, 0, 'z', '{"price": 20}'), (3, 999, 0, 'a', '{"price": "n/a"}');
DO LANGUAGE segment $$
	CREATE LINK ON sales (customer_id) REFERENCES customers;
	CREATE SEGMENT n_nobody ON customers WHERE sum((sales.data ->> 'price')::numeric) > 10;
	CREATE SEGMENT n_guarded ON customers WHERE id <> 2 AND sum(100 / sales.qty) > 5;
	CREATE SEGMENT n_where ON customers WHERE count(sales) > 0 AND (SELECT sum(s.qty) FILTER (WHERE 100 / s.qty > 2) FROM sales s WHERE s.customer_id = customers.id AND s.qty <> 0) > 3;
	CREATE SEGMENT n_filter ON customers WHERE sum(sales.qty) FILTER (WHERE sales.kind IN ('a', 'b', 'c', 'd', 'e', 'f') AND 100 / sales.qty > 2) > 3;
$$;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT view, segment.members(view) FROM segment.segment WHERE view::text LIKE 'n\_%' ORDER BY id;
INSERT INTO sales VALUES (4, 998, 0, 'a', '{"price": "?"}'), (5, 3, 4, 'b', '{"price": 30}');
SELECT view, segment.members(view) FROM segment.segment WHERE view::text LIKE 'n\_%' ORDER BY id;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment, state, message FROM segment.status WHERE segment::text LIKE 'n\_%' AND (state <> 'built' OR pending > 0);
SELECT verified, missing, extra FROM segment.verify() WHERE verified::text LIKE 'n\_%' ORDER BY verified::text;
-- also through the view, row by row, and beside a segment that refers to it
SELECT count(*) FROM n_nobody;
INSERT INTO sales VALUES (6, 997, 0, 'a', '{"price": "!"}');
BEGIN;
SELECT count(*) FROM n_nobody JOIN customers USING (id);
DO LANGUAGE segment $$ CREATE SEGMENT n_outer ON customers WHERE in_segment('n_nobody') AND id > 0 $$;
SELECT count(*) FROM n_outer;
SELECT segment.size('n_nobody'), segment.size('n_outer');
COMMIT;
-- what does fail in plain SQL fails here
UPDATE sales SET customer_id = 1 WHERE id = 4;
SELECT segment.size('n_nobody');
DELETE FROM sales WHERE id = 4;
-- a part that the condition does not come to has no value
DO LANGUAGE segment $$ CREATE SEGMENT o_parts ON customers WHERE id <> 2 AND 100 / (id - 2) > 2 $$;
SELECT part, depth, value, result FROM segment.explain('o_parts', 2);

-- totals are rows of their own; what reads a WITH query beside the clock; the last hour of a day
\set VERBOSITY sqlstate
DO LANGUAGE segment $$ CREATE SEGMENT p_total ON customers WHERE EXISTS (SELECT FROM orders o WHERE o.customer_id = customers.id GROUP BY ROLLUP (o.placed_at) HAVING o.placed_at < now() - interval '30 days') $$;
\set VERBOSITY terse
DO LANGUAGE segment $$
	CREATE SEGMENT p_with ON customers WHERE EXISTS (WITH w AS (SELECT * FROM orders) SELECT FROM (SELECT * FROM w WHERE w.placed_at > now() - interval '30 days') r WHERE r.customer_id = customers.id);
$$;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment, state, message FROM segment.status WHERE segment = 'p_with'::regclass;

-- what values mean: attributes of a composite type, how texts are parsed, functions in the body of a function
CREATE TYPE address AS (street text, zip text);
CREATE TEXT SEARCH CONFIGURATION my (COPY = english);
CREATE FUNCTION lim() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 10';
CREATE FUNCTION is_big(n int) RETURNS boolean LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT n > lim(); END;
CREATE TABLE members (id int PRIMARY KEY, addr address, note text, credit int);
INSERT INTO members VALUES (1, ROW('a', 'b'), 'run', 50);
DO LANGUAGE segment $$
	CREATE SEGMENT q_address ON members WHERE addr IS NOT NULL;
	CREATE SEGMENT q_text ON members WHERE to_tsvector('my', note) @@ to_tsquery('my', 'running');
	CREATE SEGMENT q_body ON members WHERE is_big(credit);
$$;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT view, segment.members(view) FROM segment.segment WHERE view::text LIKE 'q\_%' ORDER BY id;
ALTER TYPE address ADD ATTRIBUTE country text;
ALTER TEXT SEARCH CONFIGURATION my ALTER MAPPING FOR asciiword WITH simple;
CREATE OR REPLACE FUNCTION lim() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 100';
SELECT view, segment.members(view) FROM segment.segment WHERE view::text LIKE 'q\_%' ORDER BY id;

-- the row of a table as the type of a column
CREATE TABLE place (street text, zip text);
CREATE TABLE visitors (id int PRIMARY KEY, at place);
INSERT INTO visitors VALUES (1, ROW('a', 'b'));
DO LANGUAGE segment $$ CREATE SEGMENT r_place ON visitors WHERE at IS NOT NULL $$;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment.members('r_place');
ALTER TABLE place ADD COLUMN country text;
SELECT segment.members('r_place');

-- amid a statement that is not known to us, and in a cursor that outlives one
CREATE FUNCTION look() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN segment.size('n_filter'); END $$;
CREATE FUNCTION plain_look() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN count(*) FROM customers WHERE (SELECT sum(qty) FILTER (WHERE kind IN ('a', 'b', 'c', 'd', 'e', 'f') AND 100 / qty > 2) FROM sales WHERE customer_id = customers.id) > 3; END $$;
INSERT INTO customers (id) SELECT i FROM generate_series(11, 13) i;
BEGIN;
ALTER TABLE sales DISABLE TRIGGER USER;
INSERT INTO sales SELECT 100 + i, i, 10, 'a' FROM generate_series(11, 13) i RETURNING look(), plain_look();
ROLLBACK;

CREATE FUNCTION open_c() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	c refcursor := 'c';
	r record;
BEGIN
	IF NEW.id = 201 THEN
		OPEN c FOR SELECT segment.size('n_filter') AS size, (SELECT count(*) FROM customers WHERE g.i > 0 AND (SELECT sum(qty) FILTER (WHERE kind IN ('a', 'b', 'c', 'd', 'e', 'f') AND 100 / qty > 2) FROM sales WHERE customer_id = customers.id) > 3) AS plain
			FROM generate_series(1, 2) AS g (i);
		FETCH c INTO r;
		RAISE NOTICE 'amid the statement % and %', r.size, r.plain;
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER open_c BEFORE INSERT ON sales FOR EACH ROW EXECUTE FUNCTION open_c();
BEGIN;
INSERT INTO sales SELECT 200 + i, 10 + i, 10, 'a' FROM generate_series(1, 3) i;
FETCH 1 FROM c;
ROLLBACK;
DROP TRIGGER open_c ON sales;

-- a link between children of the table whose column is renamed
CREATE TABLE base (customer_id int);
CREATE TABLE left_child (id int PRIMARY KEY) INHERITS (base);
CREATE TABLE right_child (id int PRIMARY KEY) INHERITS (base);
DO LANGUAGE segment 'CREATE LINK ON right_child (customer_id) REFERENCES left_child (customer_id)';
ALTER TABLE base RENAME COLUMN customer_id TO cid;
SELECT column_name, key_name FROM segment.link WHERE source = 'right_child'::regclass;

-- of the row about to be written the condition is asked, not the membership of its id
CREATE TABLE tagged (id int PRIMARY KEY, tag text);
INSERT INTO tagged VALUES (1, 'x');
DO LANGUAGE segment $$ CREATE SEGMENT t_tagged ON tagged WHERE tag = 'y' $$;
SELECT id AS tagged FROM segment.segment WHERE view = 't_tagged'::regclass \gset
INSERT INTO tagged VALUES (1, 'y') ON CONFLICT (id) DO UPDATE SET tag = 'z' WHERE segment.holds(:tagged, excluded.id, excluded.tag = 'y') RETURNING *;

DROP EXTENSION segmentation CASCADE;
DROP FUNCTION look, plain_look;
DROP TABLE visitors, place, tagged, left_child, right_child, base;
DROP TABLE customers, orders, promos, items, brands, products, bought, part, parted, sales, members;
DROP AGGREGATE my_sum(int);
DROP FUNCTION add_n(int, int);
DROP TYPE address;
DROP TEXT SEARCH CONFIGURATION my;
DROP FUNCTION is_big, lim, open_c;

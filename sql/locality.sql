-- Who is touched when a row of a source changes: the subjects that it is tied to, or everybody.
SET client_min_messages = warning;
CREATE EXTENSION segmentation;
RESET client_min_messages;

CREATE TABLE city (id int PRIMARY KEY, name text, population int);
CREATE TABLE account (id int PRIMARY KEY, plan text);
CREATE TABLE customers (id bigint PRIMARY KEY, name text, phone text, account_id int REFERENCES account,
	city_id int REFERENCES city, referred_by bigint, credit int);
CREATE TABLE product (id int PRIMARY KEY, category text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id bigint REFERENCES customers ON DELETE CASCADE ON UPDATE CASCADE,
	product_id int REFERENCES product, gift_for bigint, amount int, status text, note text);
CREATE TABLE order_items (id int PRIMARY KEY, order_id int REFERENCES orders ON DELETE CASCADE ON UPDATE CASCADE, price int, quantity int);
CREATE TABLE visit (id int PRIMARY KEY, customer int, page text);		-- no foreign key
CREATE TABLE sms (id int PRIMARY KEY, phone text, text text);			-- neither
CREATE TABLE ticket (id int PRIMARY KEY, customer_id bigint REFERENCES customers ON DELETE CASCADE ON UPDATE CASCADE,
	account_id int REFERENCES account, open boolean);
CREATE TABLE blocked (word text PRIMARY KEY);

INSERT INTO city SELECT i, 'city' || i, i * 200000 FROM generate_series(1, 5) i;
INSERT INTO account SELECT i, 'basic' FROM generate_series(1, 10) i;
-- four customers to an account, five to a phone, a fifth without a city
INSERT INTO customers SELECT i, 'name' || i, '+' || i % 8, 1 + i % 10, nullif(i % 6, 0) , CASE WHEN i > 20 THEN i - 20 END, i * 37 % 101
	FROM generate_series(1, 40) i;
INSERT INTO product SELECT i, CASE WHEN i % 2 = 0 THEN 'toys' ELSE 'books' END FROM generate_series(1, 6) i;
-- customers 31 to 40 have no orders, every tenth order is a guest's
INSERT INTO orders SELECT i, CASE WHEN i % 10 > 0 THEN 1 + i * 7 % 30 END, 1 + i % 6, 1 + i % 12, i * 13 % 120,
	CASE i % 4 WHEN 0 THEN 'open' WHEN 1 THEN 'returned' ELSE 'paid' END FROM generate_series(1, 80) i;
INSERT INTO order_items SELECT i, 1 + i % 80, i % 30, 1 + i % 5 FROM generate_series(1, 200) i;
INSERT INTO visit SELECT i, 1 + i * i % 40, 'page' || i % 3 FROM generate_series(1, 60) i;
INSERT INTO sms SELECT i, '+' || i % 10, 'text' FROM generate_series(1, 12) i;
INSERT INTO ticket SELECT i, 1 + i % 40, 1 + i % 7, i % 3 = 0 FROM generate_series(1, 20) i;
INSERT INTO blocked VALUES ('name3'), ('name33'), ('nobody');
ANALYZE;

-- A segment and its truth: the condition itself when that is plain SQL, else the same written out.
CREATE TABLE truth (segment regclass PRIMARY KEY, n serial, query text);
CREATE PROCEDURE declare(name text, condition text, plain text DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM segment.execute(format('CREATE SEGMENT %I ON customers WHERE %s', name, condition));
	INSERT INTO truth (segment, query) VALUES (name::regclass, 'SELECT id FROM customers WHERE ' || coalesce(plain, condition));
END $$;
-- Do members, the view, size and contains give the truth?
CREATE FUNCTION is_exact(segment regclass, query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	exact boolean;
BEGIN
	EXECUTE format('WITH truth AS MATERIALIZED (%s)
		SELECT NOT EXISTS (SELECT id FROM truth EXCEPT ALL SELECT id FROM %2$s)
			AND NOT EXISTS (SELECT id FROM %2$s EXCEPT ALL SELECT id FROM truth)
			AND segment.members(%3$L) OPERATOR(segment.=) (SELECT coalesce(segment.bitmap_agg(id), ''{}'') FROM truth)
			AND segment.size(%3$L) = (SELECT count(*) FROM truth)
			AND NOT EXISTS (SELECT FROM customers c WHERE segment.contains(%3$L, c.id) <> (c.id IN (SELECT id FROM truth)))',
		query, segment, segment) INTO exact;
	RETURN exact;
END $$;
-- What is pending for which segments, of those that have something pending or are wrong.
CREATE FUNCTION pending() RETURNS TABLE (pending text, exact boolean, segments text) LANGUAGE sql AS $$
	SELECT pending, exact, string_agg(segment::text, ' ' ORDER BY n) FROM (
		SELECT t.segment, t.n, CASE WHEN s.reads = 'base and pending' THEN s.pending::text
				WHEN s.reads = 'in full: a change touched everybody' THEN 'everybody' ELSE s.reads END AS pending,
			is_exact(t.segment, t.query) AS exact
		FROM truth t JOIN segment.status s USING (segment)) p
	WHERE pending <> '0' OR NOT exact
	GROUP BY pending, exact ORDER BY pending COLLATE "C", exact
$$;
-- After a refresh: nothing is pending, everything is still right.
CREATE PROCEDURE settle() LANGUAGE plpgsql AS $$
DECLARE
	left_over record;
BEGIN
	PERFORM segment.refresh();
	COMMIT;
	FOR left_over IN SELECT * FROM pending() LOOP
		RAISE WARNING 'after the refresh: %', left_over;
	END LOOP;
END $$;

-- ---- what is tied ----

DO LANGUAGE segment $$
	CREATE LINK ON visit (customer) REFERENCES customers;
$$;
CALL declare('aggregate', $$ count(orders) >= 3 AND coalesce(sum(orders.amount) FILTER (WHERE orders.status <> 'open'), 0) > 60 $$,
	$$ (SELECT count(*) FROM orders o WHERE o.customer_id = customers.id) >= 3
		AND coalesce((SELECT sum(amount) FROM orders o WHERE o.customer_id = customers.id AND o.status <> 'open'), 0) > 60 $$);
CALL declare('chain', $$ sum(order_items.quantity) FILTER (WHERE orders.status = 'paid' AND order_items.price > 10) >= 5 $$,
	$$ (SELECT sum(i.quantity) FROM order_items i JOIN orders o ON o.id = i.order_id
		WHERE o.customer_id = customers.id AND o.status = 'paid' AND i.price > 10) >= 5 $$);
CALL declare('by_declared_link', $$ count(visit) FILTER (WHERE visit.page = 'page1') >= 1 $$,
	$$ (SELECT count(*) FROM visit v WHERE v.customer = customers.id AND v.page = 'page1') >= 1 $$);
CALL declare('by_account', $$ EXISTS (SELECT FROM ticket t WHERE t.account_id = customers.account_id AND t.open) $$);
CALL declare('in_account', $$ customers.account_id IN (SELECT t.account_id FROM ticket t GROUP BY t.account_id HAVING count(*) > 2) $$);
CALL declare('correlated', $$ EXISTS (SELECT FROM orders o WHERE o.customer_id = customers.id AND o.amount > 100) $$);
CALL declare('not_exists', $$ NOT EXISTS (SELECT FROM orders o WHERE o.customer_id = customers.id) $$);
CALL declare('viewed_then_bought', $$ EXISTS (SELECT FROM visit v JOIN orders o ON o.customer_id = v.customer
	WHERE v.customer = customers.id AND v.id < o.id AND v.page = 'page2') $$);
CALL declare('per_group', $$ id IN (SELECT customer_id FROM orders GROUP BY customer_id HAVING sum(amount) > 200) $$);
CALL declare('per_window', $$ id IN (SELECT customer_id FROM
	(SELECT customer_id, amount, row_number() OVER (PARTITION BY customer_id ORDER BY id DESC) AS n FROM orders) o WHERE n = 1 AND amount > 50) $$);
CALL declare('per_limit', $$ (SELECT o.status FROM orders o WHERE o.customer_id = customers.id ORDER BY o.id DESC LIMIT 1) = 'open' $$);
CALL declare('lateral_limit', $$ (SELECT sum(last.amount) FROM (SELECT 1) one,
	LATERAL (SELECT o.amount FROM orders o WHERE o.customer_id = customers.id ORDER BY o.id DESC LIMIT 2) last) > 100 $$);
CALL declare('per_distinct_on', $$ id IN (SELECT customer_id FROM
	(SELECT DISTINCT ON (customer_id) customer_id, status FROM orders ORDER BY customer_id, id) o WHERE status = 'open') $$);
CALL declare('city_list', $$ city_id IN (SELECT id FROM city WHERE population > 500000) $$);
CALL declare('toys', $$ count(orders) FILTER (WHERE orders.product_id IN (SELECT id FROM product WHERE category = 'toys')) > 1 $$,
	$$ (SELECT count(*) FROM orders o JOIN product p ON p.id = o.product_id WHERE o.customer_id = customers.id AND p.category = 'toys') > 1 $$);
CALL declare('two_ties', $$ EXISTS (SELECT FROM orders o WHERE o.customer_id = customers.id AND o.status = 'paid')
	AND EXISTS (SELECT FROM orders g WHERE g.gift_for = customers.id AND g.amount > 90) $$);
CALL declare('referrer', $$ EXISTS (SELECT FROM customers r WHERE r.id = customers.referred_by AND r.credit > 50) $$);
CALL declare('outer_join', $$ EXISTS (SELECT FROM orders o LEFT JOIN order_items i ON i.order_id = o.id
	WHERE o.customer_id = customers.id AND i.id IS NULL) $$);
CALL declare('of_segment', $$ NOT in_segment('aggregate') AND in_segment('city_list') $$,
	$$ NOT coalesce((SELECT count(*) FROM orders o WHERE o.customer_id = customers.id) >= 3
		AND coalesce((SELECT sum(amount) FROM orders o WHERE o.customer_id = customers.id AND o.status <> 'open'), 0) > 60, false)
		AND coalesce(city_id IN (SELECT id FROM city WHERE population > 500000), false) $$);

-- ---- what is not: CREATE says so ----

DO LANGUAGE segment $$
	CREATE LINK ON sms (phone) REFERENCES customers (phone);
$$;
CALL declare('by_phone', $$ count(sms) > 1 $$, $$ (SELECT count(*) FROM sms s WHERE s.phone = customers.phone) > 1 $$);
\set VERBOSITY terse
CALL declare('average', $$ credit > (SELECT avg(credit) FROM customers everyone) $$);
CALL declare('average_of_orders', $$ max(orders.amount) > 2 * (SELECT avg(o.amount) FROM orders o) $$,
	$$ (SELECT max(amount) FROM orders o WHERE o.customer_id = customers.id) > 2 * (SELECT avg(o.amount) FROM orders o) $$);
CALL declare('top', $$ id IN (SELECT c.id FROM customers c ORDER BY c.credit DESC, c.id LIMIT 5) $$);
CALL declare('decile', $$ id IN (SELECT t.id FROM (SELECT c.id, ntile(10) OVER (ORDER BY c.credit, c.id) AS tile FROM customers c) t WHERE tile = 10) $$);
CALL declare('any_window', $$ id IN (SELECT customer_id FROM
	(SELECT customer_id, row_number() OVER (ORDER BY amount DESC, id) AS n FROM orders) o WHERE n <= 5) $$);
CALL declare('any_distinct_on', $$ id IN (SELECT customer_id FROM
	(SELECT DISTINCT ON (status) customer_id, status FROM orders ORDER BY status, id) o) $$);
CALL declare('any_group', $$ id IN (SELECT max(customer_id) FROM orders GROUP BY product_id) $$);
CALL declare('set_operation', $$ id IN (SELECT customer_id FROM orders WHERE amount > 100 UNION SELECT customer FROM visit WHERE page = 'page0') $$);
CALL declare('not_in_outer_join', $$ id NOT IN (SELECT o.customer_id FROM city c LEFT JOIN orders o ON o.id = c.id * 16) $$);
CALL declare('list', $$ name IN (SELECT word FROM blocked) $$);
SELECT count(*), bool_and(reads = 'in full: not built') AS unbuilt FROM segment.status;
SELECT pending, exact FROM pending();
CALL settle();
SELECT count(*), bool_and(reads = 'base and pending' AND pending = 0) AS settled FROM segment.status;

-- ---- one row of each source ----

INSERT INTO orders VALUES (101, 5, 2, 9, 110, 'paid');
SELECT * FROM pending();
CALL settle();
-- nobody reads the note; the amount is read by some
UPDATE orders SET note = 'gift' WHERE id = 101;
SELECT * FROM pending();
UPDATE orders SET amount = 1 WHERE id = 101;
SELECT * FROM pending();
CALL settle();
-- from one subject to another: both
UPDATE orders SET customer_id = 38 WHERE id = 101;
SELECT * FROM pending();
CALL settle();
-- to nobody
UPDATE orders SET customer_id = NULL WHERE id = 101;
SELECT * FROM pending();
CALL settle();
DELETE FROM orders WHERE id = 7;
SELECT * FROM pending();
CALL settle();

INSERT INTO order_items VALUES (301, 12, 29, 9);
SELECT customer_id FROM orders WHERE id = 12;
SELECT * FROM pending();
CALL settle();
UPDATE order_items SET order_id = 13 WHERE id = 301;
SELECT * FROM pending();
CALL settle();
INSERT INTO visit VALUES (101, 17, 'page1');
SELECT * FROM pending();
CALL settle();
-- a link without a foreign key may lead nowhere
INSERT INTO visit VALUES (102, 1000, 'page1'), (103, NULL, 'page1');
SELECT * FROM pending();
-- no subject has a negative id, but a bitmap cannot hold one
INSERT INTO visit VALUES (104, -1, 'page1');
SELECT * FROM pending();
CALL settle();

-- the tie, not the link: a ticket of customer 1 concerns the four customers of its account
INSERT INTO ticket VALUES (101, 1, 9, true);
SELECT array_agg(id ORDER BY id) FROM customers WHERE account_id = 9;
SELECT * FROM pending();
CALL settle();
UPDATE ticket SET account_id = 10 WHERE id = 101;
SELECT * FROM pending();
CALL settle();
-- and its customer concerns nobody
UPDATE ticket SET customer_id = 2 WHERE id = 101;
SELECT * FROM pending();

UPDATE city SET population = 1 WHERE id = 4;
SELECT array_agg(id ORDER BY id) FROM customers WHERE city_id = 4;
SELECT * FROM pending();
CALL settle();
UPDATE product SET category = 'toys' WHERE id = 3;
SELECT count(DISTINCT customer_id) FROM orders WHERE product_id = 3;
SELECT * FROM pending();
CALL settle();
INSERT INTO sms VALUES (101, '+3', 'hello');
SELECT * FROM pending();
CALL settle();
INSERT INTO blocked VALUES ('name4');
SELECT * FROM pending();
CALL settle();

-- the subject's own row
UPDATE customers SET credit = 1000 WHERE id = 8;
SELECT * FROM pending();
CALL settle();
UPDATE customers SET phone = '+3' WHERE id = 8;
SELECT * FROM pending();
CALL settle();
UPDATE customers SET account_id = 3, city_id = 5 WHERE id = 8;
SELECT * FROM pending();
CALL settle();
INSERT INTO customers VALUES (41, 'name41', '+41', 1, 3, 8, 60);
SELECT * FROM pending();
CALL settle();

-- ---- keys, chains and cascades ----

-- the referrer keeps its old id
UPDATE customers SET id = 108 WHERE id = 8;
SELECT * FROM pending();
CALL settle();
DELETE FROM customers WHERE id = 5;
SELECT * FROM pending();
CALL settle();
UPDATE orders SET id = 112 WHERE id = 12;
SELECT * FROM pending();
CALL settle();
-- both ends of a chain in one transaction, and the way between them is gone at the end
BEGIN;
UPDATE order_items SET quantity = 100 WHERE order_id = 20;
UPDATE orders SET customer_id = 33 WHERE id = 20;
UPDATE order_items SET order_id = 21 WHERE order_id = 20;
DELETE FROM orders WHERE id = 20;
SELECT * FROM pending();
COMMIT;
SELECT * FROM pending();
CALL settle();
-- a city is left by its customers, and changes
BEGIN;
UPDATE customers SET city_id = 1 WHERE city_id = 5 AND id % 2 = 0;
UPDATE city SET population = 2 WHERE id = 5;
SELECT * FROM pending();
ROLLBACK;
SELECT * FROM pending();
BEGIN;
UPDATE city SET population = 2 WHERE id = 5;
UPDATE customers SET city_id = NULL WHERE city_id = 5 AND id % 2 = 0;
COMMIT;
SELECT * FROM pending();
CALL settle();

-- ---- everything at once ----

TRUNCATE order_items;
SELECT * FROM pending();
CALL settle();
TRUNCATE visit;
SELECT * FROM pending();
CALL settle();
TRUNCATE orders CASCADE;
SELECT * FROM pending();
CALL settle();
INSERT INTO orders SELECT i, 9, 1, 10, 100, 'paid' FROM generate_series(1, 5) i;
SELECT * FROM pending();
CALL settle();

-- ---- NOT IN: a NULL in the list makes it unknown for everybody ----

CALL declare('not_in', $$ id NOT IN (SELECT customer_id FROM orders WHERE status = 'returned') $$);
INSERT INTO orders VALUES (201, 3, 1, 1, 1, 'returned');
CALL settle();
SELECT count(*) FROM not_in;
UPDATE orders SET customer_id = 4 WHERE id = 201;
SELECT * FROM pending();
SELECT count(*) FROM not_in;
CALL settle();
-- other segments that read orders by the same column share what is recorded for it
UPDATE orders SET customer_id = NULL WHERE id = 201;
SELECT * FROM pending();
SELECT count(*) FROM not_in;
CALL settle();
DELETE FROM orders WHERE id = 201;
SELECT * FROM pending();
SELECT count(*) FROM not_in;
CALL settle();

-- ---- other ways to tie ----

DROP VIEW by_phone;
DO LANGUAGE segment $$ DROP LINK ON sms REFERENCES customers; $$;
DELETE FROM truth WHERE segment NOT IN (SELECT segment FROM segment.segments);
-- text is compared by its collation: no tie
CALL declare('same_phone', $$ EXISTS (SELECT FROM sms WHERE sms.phone = customers.phone) $$);
-- an equality under OR or NOT confines nothing
CALL declare('tie_or', $$ EXISTS (SELECT FROM visit v WHERE v.customer = customers.id OR v.page = 'all') $$);
CALL declare('tie_not', $$ EXISTS (SELECT FROM visit v WHERE NOT v.customer = customers.id) $$);
-- nor does one on the other side of an outer join
CALL declare('tie_outer', $$ EXISTS (SELECT FROM visit v LEFT JOIN orders o ON v.customer = customers.id AND o.id = v.id WHERE o.id IS NULL) $$);
-- an expression is no column
CALL declare('tie_expression', $$ EXISTS (SELECT FROM visit v WHERE v.customer + 1 = customers.id) $$);
-- two columns of NOT IN
CALL declare('not_in_row', $$ (id, account_id) NOT IN (SELECT customer_id, account_id FROM ticket) $$);
CALL declare('all', $$ credit > ALL (SELECT amount FROM orders o WHERE o.customer_id = customers.id) $$);
CALL declare('array', $$ 'paid' = ANY (ARRAY(SELECT o.status FROM orders o WHERE o.customer_id = customers.id)) $$);
CALL declare('cte', $$ id IN (WITH w AS (SELECT customer FROM visit) SELECT customer FROM w) $$);
CALL declare('limited', $$ id IN (SELECT customer FROM visit ORDER BY id LIMIT 3) $$);
CALL settle();
INSERT INTO visit VALUES (1, 7, 'all');
SELECT * FROM pending();
CALL settle();
INSERT INTO ticket VALUES (102, 3, NULL, false);
SELECT * FROM pending();
CALL settle();
UPDATE orders SET customer_id = 10 WHERE id = 1;
SELECT * FROM pending();
CALL settle();
UPDATE sms SET phone = '+77' WHERE id = 101;
SELECT * FROM pending();
CALL settle();

SET client_min_messages = warning;
DROP TABLE truth, blocked, ticket, sms, visit, order_items, orders, product, customers, account, city CASCADE;
SELECT count(*) FROM segment.segments;
DROP PROCEDURE settle(), declare(text, text, text);
DROP FUNCTION is_exact(regclass, text), pending();
DROP EXTENSION segmentation;

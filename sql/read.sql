-- Reading segments: functions, the view, wherever and whenever it is read.
SET client_min_messages = warning;
CREATE EXTENSION segmentation;
RESET client_min_messages;

CREATE TABLE customers (id int PRIMARY KEY, name text, country text, score int);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, amount int, status text);
INSERT INTO customers SELECT i, 'name' || i, CASE i % 3 WHEN 0 THEN 'DE' WHEN 1 THEN 'PL' END, i % 1000 FROM generate_series(1, 5000) i;
INSERT INTO orders SELECT i, 1 + i * 7 % 5000, i % 50, CASE WHEN i % 5 = 0 THEN 'open' ELSE 'paid' END FROM generate_series(1, 15000) i;
CREATE INDEX ON orders (customer_id);
VACUUM ANALYZE customers, orders;
DO LANGUAGE segment $$
	CREATE SEGMENT german ON customers WHERE country = 'DE';
	CREATE SEGMENT buyers ON customers WHERE sum(orders.amount) FILTER (WHERE orders.status = 'paid') > 100 OR count(orders) = 0;
	CREATE SEGMENT few ON customers WHERE score = 7 AND in_segment('german');
	CREATE SEGMENT nobody ON customers WHERE score < 0;
	CREATE SEGMENT recent ON customers WHERE score < extract(year FROM now()) AND id < 10;
$$;

-- ---- the functions, before the first refresh and after ----

SELECT segment.members('few'), segment.size('few'), segment.contains('few', 7), segment.contains('few', 2007), segment.contains('few', -1);
SELECT segment, state, reads, base_size, pending, untracked, base_age, evaluated, message FROM segment.status ORDER BY segment::text;
DO LANGUAGE segment $$ REFRESH SEGMENT ALL $$;
SELECT segment.members('few'), segment.size('few'), segment.contains('few', 7), segment.contains('few', 2007), segment.contains('few', -1);
SELECT segment.size('german'), segment.size('buyers'), segment.size('nobody'), segment.members('nobody'), segment.members('recent');
SELECT segment, state, reads, base_size, pending, untracked, base_age < '1 hour' AS young, cost_ms >= 0 AS cost, evaluated, message
	FROM segment.status ORDER BY segment::text;
SELECT segment, subject_table, definition, enabled, options FROM segment.segments ORDER BY segment::text;
SELECT segment.segments_of('customers', 2007) ORDER BY 1;
SELECT segment.segments_of('customers', 7) ORDER BY 1;
SELECT segment.segments_of('customers', 999999) ORDER BY 1;
SELECT segment.segments_of('orders', 7);
SELECT part, depth, condition, value, result FROM segment.explain('buyers', 7);
SELECT part, depth, condition, value, result FROM segment.explain('few', 8);
SELECT count(*) FROM segment.explain('few', 999999);
SELECT count(*) FROM segment.explain('few', -1);
SELECT * FROM segment.preview('ON customers WHERE score = 7');
SELECT * FROM segment.preview('ON customers WHERE NOT in_segment(''german'') AND count(orders) > 2');
SELECT size, ids FROM segment.preview('ON customers WHERE score < 0');
SELECT a, b, size, round(jaccard::numeric, 3) FROM segment.overlap('{german,buyers,few,nobody}');
SELECT * FROM segment.overlap('{}');
-- the clock: the reader's, but never before that of the base
SELECT segment.clock('german') >= now() AS not_before, segment.clock('german') < now() + interval '1 minute' AS near;
BEGIN;
SELECT segment.clock('german') = now() AS now;
UPDATE customers SET country = 'DE' WHERE id = 3;
UPDATE customers SET country = 'PL' WHERE id = 3;
UPDATE customers SET country = 'DE' WHERE id = 3;
SELECT segment.refresh('german');
SELECT segment.clock('german') > now() AS of_the_base;
COMMIT;
-- what is no segment, and NULL
SELECT segment.members('customers');
SELECT segment.size('pg_views');
SELECT segment.size(0);
SELECT segment.members(NULL) IS NULL, segment.contains('few', NULL) IS NULL;

-- ---- the view and the planner ----

-- one subject: through the index, then one lookup
EXPLAIN (COSTS OFF) SELECT name FROM german WHERE id = 3;
-- few members: their ids into the index
EXPLAIN (COSTS OFF) SELECT name FROM few;
SELECT * FROM few ORDER BY id;
-- many: a filter
EXPLAIN (COSTS OFF) SELECT name FROM german;
SELECT count(*) FROM german;
EXPLAIN (COSTS OFF) SELECT name FROM few WHERE country = 'PL';
EXPLAIN (COSTS OFF) SELECT count(*) FROM few JOIN german USING (id);
SELECT count(*) FROM few JOIN german USING (id);
SELECT count(*) FROM german a JOIN german b USING (id) JOIN orders o ON o.customer_id = a.id;
SELECT count(*), count(g.id), count(f.id) FROM customers c LEFT JOIN german g USING (id) LEFT JOIN few f USING (id);
SELECT count(*) FROM customers c WHERE NOT EXISTS (SELECT FROM german g WHERE g.id = c.id);
SELECT count(*) FROM german FULL JOIN few USING (id) WHERE few.id IS NULL OR german.id IS NULL;
SELECT f.id, x.n FROM few f, LATERAL (SELECT count(*) AS n FROM buyers b WHERE b.id BETWEEN f.id - 50 AND f.id) x ORDER BY 1;
-- the planner knows how many
CREATE FUNCTION rows_planned(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
	RETURN plan->0->'Plan'->>'Plan Rows';
END $$;
SELECT rows_planned('SELECT * FROM german'), segment.size('german'), rows_planned('SELECT * FROM few'), segment.size('few');

-- rows are written through the view as through any
BEGIN;
UPDATE few SET country = 'PL' WHERE id = 1007 RETURNING id;
UPDATE few SET country = 'PL' WHERE id < 3000 RETURNING id;
SELECT id FROM few ORDER BY id;
DELETE FROM german WHERE id NOT IN (SELECT customer_id FROM orders);
SELECT id FROM few ORDER BY id FOR UPDATE;
ROLLBACK;
SELECT segment.members('few');

-- ---- one snapshot, whoever looks ----

CREATE FUNCTION truth() RETURNS TABLE (id int) LANGUAGE sql STABLE AS $$
	SELECT c.id FROM customers c LEFT JOIN (SELECT customer_id, sum(amount) FILTER (WHERE status = 'paid') AS paid FROM orders GROUP BY 1) o
		ON o.customer_id = c.id WHERE o.paid > 100 OR o.customer_id IS NULL
$$;
CREATE FUNCTION is_exact() RETURNS boolean LANGUAGE sql STABLE AS $$
	WITH t AS MATERIALIZED (SELECT id FROM truth())
	SELECT NOT EXISTS (SELECT id FROM t EXCEPT ALL SELECT id FROM buyers)
		AND NOT EXISTS (SELECT id FROM buyers EXCEPT ALL SELECT id FROM t)
		AND segment.members('buyers') OPERATOR(segment.=) (SELECT segment.bitmap_agg(id) FROM t)
		AND segment.size('buyers') = (SELECT count(*) FROM t)
$$;
SELECT is_exact();
-- a cursor keeps seeing what it saw
BEGIN;
SELECT segment.contains('buyers', 1);
DECLARE open_cursor CURSOR FOR SELECT id, segment.contains('buyers', id) AS contained, segment.size('buyers') AS size FROM buyers WHERE id <= 15 ORDER BY id;
FETCH 1 FROM open_cursor;
SELECT segment.size('buyers');
INSERT INTO orders VALUES (20001, 1, 1000, 'paid'), (20002, 2, 1000, 'paid'), (20003, 15, 1000, 'paid');
UPDATE orders SET status = 'open' WHERE customer_id < 10 AND id < 20000;
SELECT segment.size('buyers'), is_exact();
FETCH ALL FROM open_cursor;
SELECT segment.size('buyers'), is_exact();
ROLLBACK;
SELECT segment.size('buyers'), is_exact();
BEGIN;
DECLARE kept CURSOR WITH HOLD FOR SELECT id FROM few ORDER BY id;
UPDATE customers SET country = 'PL' WHERE id = 2007;
COMMIT;
FETCH ALL FROM kept;
SELECT segment.members('few');
CLOSE kept;
UPDATE customers SET country = 'DE' WHERE id = 2007;

-- plpgsql keeps its expressions from statement to statement
DO $$
DECLARE
	size bigint;
	inside boolean;
	listed boolean;
BEGIN
	FOR i IN 1..5 LOOP
		INSERT INTO orders VALUES (20000 + i, i, 1000, 'paid');
		size := segment.size('buyers');
		inside := segment.contains('buyers', i);
		listed := EXISTS (SELECT FROM buyers WHERE id = i);
		RAISE NOTICE 'after insert %: size %, % %, exact %', i, size, inside, listed, is_exact();
		DELETE FROM orders WHERE customer_id = i AND id <> 20000 + i;
		UPDATE orders SET amount = 1 WHERE id = 20000 + i;
		size := segment.size('buyers');
		inside := segment.contains('buyers', i);
		listed := EXISTS (SELECT FROM buyers WHERE id = i);
		RAISE NOTICE 'after update %: size %, % %, exact %', i, size, inside, listed, is_exact();
	END LOOP;
	RAISE EXCEPTION 'take it back';
END $$;
SELECT is_exact();
-- savepoints
BEGIN;
SELECT segment.size('german');
SAVEPOINT one;
UPDATE customers SET country = 'DE' WHERE id = 1;
SELECT segment.size('german');
SAVEPOINT two;
UPDATE customers SET country = 'DE' WHERE id IN (2, 4);
SELECT segment.size('german');
ROLLBACK TO two;
SELECT segment.size('german'), segment.contains('german', 1), segment.contains('german', 2);
ROLLBACK TO one;
SELECT segment.size('german'), segment.contains('german', 1);
RELEASE one;
UPDATE customers SET country = 'DE' WHERE id = 1;
COMMIT;
SELECT segment.size('german'), segment.contains('german', 1);
DO $$
BEGIN
	UPDATE customers SET country = 'PL' WHERE id = 1;
	RAISE NOTICE '%', segment.size('german');
	BEGIN
		DELETE FROM orders;
		DELETE FROM customers;
		RAISE NOTICE '%', segment.size('german');
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		RAISE NOTICE '%', segment.size('german');
	END;
END $$;
SELECT segment.size('german'), is_exact();
-- isolation levels
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT is_exact();
INSERT INTO orders VALUES (20001, 1, 1000, 'paid');
SELECT is_exact();
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT is_exact();
INSERT INTO orders VALUES (20001, 1, 1000, 'paid');
SELECT is_exact();
SAVEPOINT s;
DELETE FROM orders WHERE customer_id = 3;
SELECT is_exact();
ROLLBACK TO s;
SELECT is_exact();
COMMIT;
BEGIN READ ONLY;
SELECT is_exact();
SELECT segment.size('german'), segment.size('few');
COMMIT;
DELETE FROM orders WHERE id = 20001;

-- ---- prepared statements ----

SET plan_cache_mode = force_generic_plan;
PREPARE one(int) AS SELECT count(*) FROM german WHERE id = $1;
PREPARE num AS SELECT segment.size('german'), count(*) FROM german;
EXPLAIN (COSTS OFF) EXECUTE one(1);
EXECUTE one(1);
UPDATE customers SET country = 'DE' WHERE id = 1;
EXECUTE one(1);
EXECUTE num;
-- the plan goes with the definition
DO LANGUAGE segment $$ ALTER SEGMENT german WHERE country = 'DE' AND id <> 1 $$;
EXECUTE one(1);
EXECUTE num;
DO LANGUAGE segment $$ ALTER SEGMENT german DISABLE $$;
EXECUTE num;
DO LANGUAGE segment $$ ALTER SEGMENT german ENABLE; ALTER SEGMENT german WHERE country = 'DE'; REFRESH SEGMENT german; $$;
EXECUTE one(1);
EXECUTE num;
ALTER TABLE customers RENAME COLUMN country TO land;
ALTER VIEW german RENAME TO deutsch;
EXECUTE num;
ALTER VIEW deutsch RENAME TO german;
ALTER TABLE customers RENAME COLUMN land TO country;
EXECUTE num;
DEALLOCATE ALL;
RESET plan_cache_mode;
UPDATE customers SET country = 'PL' WHERE id = 1;

-- ---- reads while a statement on a source is running ----

CREATE TABLE seen (n serial, at text, size bigint, truth bigint, exact boolean);
CREATE FUNCTION look(at text) RETURNS int LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	INSERT INTO seen (at, size, truth, exact) SELECT $1, segment.size('buyers'), (SELECT count(*) FROM truth()), is_exact();
	RETURN 0;
END $$;
CREATE FUNCTION look_here() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM look(lower(tg_when || ' ' || tg_level || ' ' || tg_op) || coalesce(' ' || CASE tg_op WHEN 'DELETE' THEN old.id ELSE new.id END, ''));
	RETURN CASE tg_op WHEN 'DELETE' THEN old ELSE new END;
END $$;
-- before and behind our own triggers, by name
CREATE TRIGGER "0 before" BEFORE INSERT OR UPDATE OR DELETE ON orders EXECUTE FUNCTION look_here();
CREATE TRIGGER "0 before row" BEFORE INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION look_here();
CREATE TRIGGER "0 after row" AFTER INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION look_here();
CREATE TRIGGER "0 after" AFTER INSERT OR UPDATE OR DELETE ON orders EXECUTE FUNCTION look_here();
CREATE TRIGGER "z after" AFTER INSERT OR UPDATE OR DELETE ON orders EXECUTE FUNCTION look_here();
INSERT INTO orders SELECT 20000 + i, i, 1000, 'paid' FROM generate_series(1, 2) i RETURNING look('returning ' || id);
SELECT at, size, truth, exact FROM seen ORDER BY n;
TRUNCATE seen;
UPDATE orders SET status = 'open' WHERE id > 20000 RETURNING look('returning ' || id);
SELECT at, size, truth, exact FROM seen ORDER BY n;
TRUNCATE seen;
WITH gone AS (DELETE FROM orders WHERE id > 20000 RETURNING id, look('returning ' || id)) SELECT count(*) FROM gone WHERE look('outside') = 0;
SELECT at, size, truth, exact FROM seen ORDER BY n;
TRUNCATE seen;
-- after an error in the middle of a statement there is none running any more
DO $$
BEGIN
	INSERT INTO orders SELECT 20000 + i, i, 1000 / (3 - i), 'paid' FROM generate_series(1, 3) i;
EXCEPTION WHEN division_by_zero THEN
	PERFORM look('after the error');
END $$;
SELECT at, size, truth, exact FROM seen ORDER BY n;
SELECT reads, pending FROM segment.status WHERE segment = 'buyers'::regclass;
TRUNCATE seen;
DROP TRIGGER "0 before" ON orders;
DROP TRIGGER "0 before row" ON orders;
DROP TRIGGER "0 after" ON orders;
DROP TRIGGER "z after" ON orders;
DROP TRIGGER "0 after row" ON orders;
-- one statement inside another, on another source; and at the end of the transaction
CREATE TABLE inbox (id int PRIMARY KEY);
CREATE FUNCTION to_orders() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO orders VALUES (30000 + new.id, new.id, 1000, 'paid');
	PERFORM look('inside ' || new.id);
	UPDATE customers SET country = 'DE' WHERE id = new.id AND look('of customers') = 0;
	RETURN new;
END $$;
CREATE TRIGGER into_orders AFTER INSERT ON inbox FOR EACH ROW EXECUTE FUNCTION to_orders();
CREATE CONSTRAINT TRIGGER at_the_end AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION look_here();
BEGIN;
INSERT INTO inbox VALUES (1), (2), (4) RETURNING look('returning');
SELECT look('before commit');
COMMIT;
SELECT at, size, truth, exact FROM seen ORDER BY n;
TRUNCATE seen;
DROP TABLE inbox;
DROP TRIGGER at_the_end ON orders;
-- a STABLE function in a statement sees the table as it was before it
UPDATE customers SET score = CASE WHEN segment.contains('german', id) THEN -1 ELSE score END, country = 'DE' WHERE id IN (1, 2, 3) RETURNING id, score;
UPDATE customers SET score = id, country = CASE id WHEN 1 THEN 'PL' WHEN 3 THEN 'DE' END WHERE id IN (1, 2, 3);
DELETE FROM orders WHERE id > 20000;
SELECT is_exact(), segment.members('nobody');

-- ---- holds() by hand ----

SELECT id AS german_id FROM segment.segment WHERE view = 'german'::regclass \gset
SELECT id AS buyers_id FROM segment.segment WHERE view = 'buyers'::regclass \gset
CREATE ROLE regress_segment_reader;
GRANT SELECT ON german TO regress_segment_reader;
SET ROLE regress_segment_reader;
SELECT count(*) FROM german;
-- neither the table
SELECT count(*) FROM customers WHERE segment.holds(:german_id, id, country = 'DE');
SELECT segment.size('buyers');
SELECT count(*) FROM buyers;
SELECT segment.segments_of('customers', 3);
SELECT segment, state FROM segment.status WHERE state IS NOT NULL;
RESET ROLE;
-- nor, with the table, a segment that is not granted
GRANT SELECT ON customers, orders TO regress_segment_reader;
SET ROLE regress_segment_reader;
SELECT count(*) FROM customers WHERE segment.holds(:german_id, id, country = 'DE');
SELECT count(*) FROM customers c WHERE segment.holds(:german_id, c.id, c.country = 'PL');
SELECT count(*) FROM customers WHERE segment.holds(:buyers_id, id, country = 'PL');
SELECT segment.probe('german', 1::bigint);
SELECT segment.probe_ids(NULL::segment.handle);
RESET ROLE;
EXPLAIN (COSTS OFF) SELECT FROM customers WHERE segment.holds(:german_id, id, country = 'DE');
EXPLAIN (COSTS OFF) SELECT FROM customers WHERE segment.holds(:german_id, id, country = 'PL');
EXPLAIN (COSTS OFF) SELECT FROM customers WHERE segment.holds(-5, id, country = 'PL');
EXPLAIN (COSTS OFF) SELECT FROM customers WHERE segment.holds(NULL, id, country = 'PL');
EXPLAIN (COSTS OFF) SELECT FROM customers WHERE segment.holds(:german_id, score, country = 'DE');
SELECT segment.holds(1, 2, true), segment.holds(1, NULL, false), segment.holds(NULL, 2, NULL), segment.holds(:german_id, 3, false);
DO LANGUAGE segment $$ CREATE SEGMENT landless ON customers WHERE country IS NULL; REFRESH SEGMENT landless $$;
SELECT id AS landless_id FROM segment.segment WHERE view = 'landless'::regclass \gset
SELECT count(*) FROM (VALUES (2), (3), (99999)) v(id) LEFT JOIN customers c USING (id) WHERE segment.holds(:landless_id, c.id, c.country IS NULL);
SELECT count(*) FROM (VALUES (2), (3), (99999)) v(id) LEFT JOIN customers c USING (id) WHERE segment.holds(0, c.id, c.country IS NULL);

-- ---- views on views ----

CREATE ROLE regress_segment_analyst;
GRANT SELECT ON german TO regress_segment_analyst;
GRANT CREATE ON SCHEMA public TO regress_segment_analyst;
SET ROLE regress_segment_analyst;
CREATE VIEW german_names AS SELECT id, name FROM german WHERE id < 100;
GRANT SELECT ON german_names TO regress_segment_reader;
CREATE VIEW pairs AS SELECT a.id FROM german a JOIN german b ON b.id = a.id + 3 WHERE segment.contains('german', a.id);
RESET ROLE;
REVOKE ALL ON german, customers, orders FROM regress_segment_reader;
SET ROLE regress_segment_reader;
SELECT count(*) FROM german_names;
SELECT count(*) FROM german;
RESET ROLE;
SELECT count(*) FROM german_names;
UPDATE customers SET country = 'PL' WHERE id = 3;
SET ROLE regress_segment_reader;
SELECT count(*) FROM german_names;
RESET ROLE;
SELECT count(*) FROM pairs WHERE id < 20;
REVOKE SELECT ON german FROM regress_segment_analyst;
SET ROLE regress_segment_reader;
SELECT count(*) FROM german_names;
RESET ROLE;
SELECT count(*) FROM german_names;
UPDATE customers SET country = 'DE' WHERE id = 3;

-- ---- a view changed by hand ----

ALTER VIEW german RESET (security_barrier);
EXPLAIN (COSTS OFF) SELECT name FROM german WHERE id = 3;
SELECT count(*) FROM german;
UPDATE customers SET country = 'DE' WHERE id = 1;
SELECT count(*), segment.size('german') FROM german;
ALTER VIEW german SET (security_barrier);
-- another condition than the one that was built
CREATE OR REPLACE VIEW german AS SELECT id, name, country, score FROM customers WHERE segment.holds(:german_id, id, country = 'PL');
SELECT count(*), segment.size('german'), segment.contains('german', 3), segment.contains('german', 4) FROM german;
SELECT count(*) FROM customers WHERE country = 'PL';
SELECT segment.members('few');
DO LANGUAGE segment $$ REFRESH SEGMENT german $$;
SELECT count(*), segment.size('german'), segment.contains('german', 3), segment.contains('german', 4) FROM german;
UPDATE customers SET country = 'PL' WHERE id = 3;
SELECT count(*), segment.size('german'), segment.contains('german', 3) FROM german;
-- one that reads what is not captured
CREATE OR REPLACE VIEW german AS SELECT id, name, country, score FROM customers WHERE segment.holds(:german_id, id, name LIKE '%99');
SELECT count(*), segment.size('german') FROM german;
DO LANGUAGE segment $$ REFRESH SEGMENT german $$;
SELECT reads, untracked FROM segment.status WHERE segment = 'german'::regclass;
UPDATE customers SET name = 'name99' WHERE id = 1;
SELECT count(*), segment.size('german'), segment.contains('german', 1) FROM german;
-- the id of another segment
CREATE OR REPLACE VIEW german AS SELECT id, name, country, score FROM customers WHERE segment.holds(:buyers_id, id, country = 'DE');
SELECT count(*) FROM german;
SELECT count(*) FROM customers WHERE country = 'DE';
SELECT is_exact();
DO LANGUAGE segment $$ REFRESH SEGMENT german $$;
DO LANGUAGE segment $$ REFRESH SEGMENT buyers $$;
SELECT is_exact();
-- more conditions beside
CREATE OR REPLACE VIEW german AS SELECT id, name, country, score FROM customers WHERE segment.holds(:german_id, id, country = 'DE') AND id < 10;
SELECT array_agg(id ORDER BY id) FROM german;
SELECT segment.size('german');
-- which is no segment; others that refer to it say so, and nothing else suffers
SELECT segment.members('few');
UPDATE customers SET score = -1 WHERE id = 5;
DO LANGUAGE segment $$ REFRESH SEGMENT ALL $$;
SELECT segment, state, base_size, message FROM segment.status WHERE segment <> 'german'::regclass ORDER BY segment::text;
SELECT segment.members('nobody');

SET client_min_messages = warning;
DROP TABLE customers, orders, seen CASCADE;
DROP FUNCTION truth(), is_exact(), look(text), look_here(), to_orders(), rows_planned(text);
REVOKE CREATE ON SCHEMA public FROM regress_segment_analyst;
DROP ROLE regress_segment_reader, regress_segment_analyst;
DROP EXTENSION segmentation;

-- REFRESH SEGMENT: what is stored, when, and what a failure stops.
SET client_min_messages = warning;
CREATE EXTENSION segmentation;
RESET client_min_messages;
\set VERBOSITY terse

CREATE TABLE customers (id bigint PRIMARY KEY, country text, score int, divisor int DEFAULT 1);
CREATE TABLE orders (id int PRIMARY KEY, customer_id bigint REFERENCES customers ON DELETE CASCADE, amount int, note text, color text);
INSERT INTO customers SELECT i, CASE WHEN i % 2 = 0 THEN 'DE' ELSE 'PL' END, i % 100 FROM generate_series(1, 1000) i;
INSERT INTO orders SELECT i, 1 + i * 7 % 1000, i % 50 FROM generate_series(1, 3000) i;
CREATE INDEX ON orders (customer_id);
ANALYZE;

CREATE TABLE truth (segment text PRIMARY KEY, query text);
-- The segments that differ from plain SQL; NULL if none.
CREATE FUNCTION wrong() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	t record;
	exact boolean;
	found text;
BEGIN
	FOR t IN SELECT segment, query FROM truth WHERE to_regclass(segment) IS NOT NULL ORDER BY segment LOOP
		EXECUTE format('WITH truth AS MATERIALIZED (%1$s)
			SELECT NOT EXISTS (SELECT id FROM truth EXCEPT ALL SELECT id FROM %2$s)
				AND NOT EXISTS (SELECT id FROM %2$s EXCEPT ALL SELECT id FROM truth)
				AND segment.size(%2$L) = (SELECT count(*) FROM truth)', t.query, t.segment) INTO exact;
		IF NOT exact THEN
			found := concat_ws(' ', found, t.segment);
		END IF;
	END LOOP;
	RETURN found;
END $$;
CREATE VIEW standing AS
	SELECT segment::text, state, reads, base_size AS size, pending, evaluated, message FROM segment.status ORDER BY segment::text COLLATE "C";
CREATE VIEW chunks AS
	SELECT s.view::text AS segment, c.first, c.size, c.ctid AS at, c.xmin::text AS writer
	FROM segment.chunk c JOIN segment.segment s USING (id) ORDER BY s.view::text COLLATE "C", c.first;

DO LANGUAGE segment $$
	CREATE SEGMENT german ON customers WHERE country = 'DE';
	CREATE SEGMENT buyers ON customers WHERE sum(orders.amount) > 70;
	CREATE SEGMENT german_buyers AS german & buyers;
$$;
INSERT INTO truth VALUES
	('german', $$ SELECT id FROM customers WHERE country = 'DE' $$),
	('buyers', $$ SELECT id FROM customers WHERE (SELECT sum(amount) FROM orders o WHERE o.customer_id = customers.id) > 70 $$),
	('german_buyers', $$ SELECT id FROM customers WHERE country = 'DE' AND (SELECT sum(amount) FROM orders o WHERE o.customer_id = customers.id) > 70 $$);

-- ---- one, some, all ----

TABLE standing;
DO LANGUAGE segment $$ REFRESH SEGMENT german $$;
TABLE standing;
DO LANGUAGE segment $$ REFRESH SEGMENT buyers, german_buyers $$;
TABLE standing;
SELECT wrong();
UPDATE customers SET country = 'DE' WHERE id IN (1, 3, 5);
INSERT INTO orders VALUES (5001, 7, 100);
TABLE standing;
SELECT * FROM segment.execute('REFRESH SEGMENT german_buyers');
TABLE standing;
DO LANGUAGE segment $$ REFRESH SEGMENT ALL $$;
TABLE standing;
SELECT wrong();
SELECT segment.refresh('german');
SELECT segment.refresh();
SELECT segment.refresh(NULL);
DO LANGUAGE segment $$ REFRESH SEGMENT nosuch $$;
DO LANGUAGE segment $$ REFRESH SEGMENT customers $$;
SELECT segment.refresh('customers');
BEGIN READ ONLY;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
ROLLBACK;
-- in the transaction of the writes: they stay pending, as other transactions cannot tell them apart; rolled back, nothing happened
BEGIN;
UPDATE customers SET country = 'FR' WHERE id = 2;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment, pending FROM standing;
SELECT wrong();
UPDATE customers SET country = 'FR' WHERE id = 4;
SELECT wrong();
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT wrong();
COMMIT;
SELECT wrong();
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment, pending, size FROM standing;
BEGIN;
UPDATE customers SET country = 'FR' WHERE id = 6;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
ROLLBACK;
SELECT segment, pending, size FROM standing;
SELECT wrong();
-- nothing to do writes nothing
CREATE TABLE before AS SELECT * FROM chunks;
CREATE TABLE epoch_before AS SELECT e::text FROM segment.epoch e;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT count(*) FROM (SELECT e::text FROM segment.epoch e EXCEPT TABLE epoch_before) e;
SELECT count(*) FROM (TABLE chunks EXCEPT TABLE before) c;
DROP TABLE before, epoch_before;

-- ---- invalidations ----

SELECT count(*) FROM segment.invalidation;
UPDATE customers SET country = 'PL' WHERE id = 10;
SELECT count(*) FROM segment.invalidation;
-- a refresh of some keeps what the others need
DO LANGUAGE segment 'REFRESH SEGMENT german';
SELECT count(*) > 0 AS kept FROM segment.invalidation;
SELECT segment, pending FROM standing;
SELECT wrong();
-- the one after deletes what all have (a transaction's own refresh is too young to)
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
UPDATE customers SET country = 'PL' WHERE id = 10;
UPDATE orders SET amount = 60 WHERE id = 5;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
UPDATE orders SET amount = 61 WHERE id = 5;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT count(*) <= 1 AS few FROM segment.invalidation;
SELECT count(*) FROM segment.epoch;
SELECT wrong();

-- ---- chunks: only those that change are written ----

CREATE TABLE things (id bigint PRIMARY KEY, kind int);
INSERT INTO things SELECT i, 1 FROM generate_series(0, 400000, 2) i;
ANALYZE things;
DO LANGUAGE segment $$
	CREATE SEGMENT ones ON things WHERE kind = 1;
	REFRESH SEGMENT ones;
$$;
INSERT INTO truth VALUES ('ones', 'SELECT id FROM things WHERE kind = 1');
SELECT first, size FROM chunks WHERE segment = 'ones' AND size > 0;
SELECT sum(size), segment.size('ones') FROM chunks WHERE segment = 'ones';
CREATE TABLE before AS SELECT * FROM chunks;
UPDATE things SET kind = 2 WHERE id = 200000;
DO LANGUAGE segment 'REFRESH SEGMENT ones';
SELECT c.first, c.size, c.at = b.at AND c.writer = b.writer AS untouched FROM chunks c JOIN before b USING (segment, first, size) WHERE segment = 'ones';
SELECT first, size FROM chunks WHERE segment = 'ones' AND (segment, first, size) NOT IN (SELECT segment, first, size FROM before);
SELECT wrong();
-- touched, but as it was: nothing is written
DELETE FROM before;
INSERT INTO before TABLE chunks;
UPDATE things SET kind = 3 WHERE id = 200000;
UPDATE things SET kind = 7 WHERE id = 100000;
UPDATE things SET kind = 1 WHERE id = 100000;
SELECT segment, pending FROM standing WHERE segment = 'ones';
DO LANGUAGE segment 'REFRESH SEGMENT ones';
SELECT count(*) FROM (TABLE chunks EXCEPT TABLE before) c;
SELECT segment, pending, evaluated FROM standing WHERE segment = 'ones';
-- shrinking
DELETE FROM things WHERE id BETWEEN 70000 AND 250000;
DO LANGUAGE segment 'REFRESH SEGMENT ones';
SELECT first, size FROM chunks WHERE segment = 'ones' AND size > 0;
SELECT wrong();
DELETE FROM things;
DO LANGUAGE segment 'REFRESH SEGMENT ones';
SELECT first, size FROM chunks WHERE segment = 'ones' AND size > 0;
SELECT wrong();
-- growing from nothing, in steps; at most twice a chunk's size each
INSERT INTO things SELECT i * 2, 1 FROM generate_series(0, 9999) i;
DO LANGUAGE segment 'REFRESH SEGMENT ones';
SELECT first, size FROM chunks WHERE segment = 'ones' AND size > 0;
INSERT INTO things SELECT i * 2 + 1, 1 FROM generate_series(0, 99999, 5) i;
DO LANGUAGE segment 'REFRESH SEGMENT ones';
SELECT wrong(), sum(size) = segment.size('ones') AS sums, max(pg_column_size(c.ids)) < 2 * 8300 AS small
	FROM segment.chunk c JOIN segment.segment s USING (id) WHERE s.view = 'ones'::regclass;
-- very sparse ids, up to the last one there is
TRUNCATE things;
DO LANGUAGE segment 'REFRESH SEGMENT ones';
INSERT INTO things VALUES (0, 1), (2147483647, 1), (2147483648, 1), (4294967295, 1), (4294967296, 1),
	(4611686018427387904, 1), (9223372036854775806, 1), (9223372036854775807, 1);
SELECT segment.members('ones');
DO LANGUAGE segment 'REFRESH SEGMENT ones';
SELECT first, size FROM chunks WHERE segment = 'ones' AND size > 0;
SELECT segment.members('ones'), segment.contains('ones', 9223372036854775807), segment.contains('ones', 4294967297), wrong();
SELECT id FROM ones ORDER BY id;
INSERT INTO things SELECT i::bigint * 1000000007, 1 FROM generate_series(1, 20000) i;
DO LANGUAGE segment 'REFRESH SEGMENT ones';
SELECT wrong(), count(*) > 10 AS many, sum(size) = segment.size('ones') AS sums, max(pg_column_size(c.ids)) < 2 * 8300 AS small
	FROM segment.chunk c JOIN segment.segment s USING (id) WHERE s.view = 'ones'::regclass;
DELETE FROM before;
INSERT INTO before TABLE chunks;
UPDATE things SET kind = 2 WHERE id = 9223372036854775807;
DELETE FROM things WHERE id = 0;
DO LANGUAGE segment 'REFRESH SEGMENT ones';
SELECT count(*) FROM (TABLE chunks EXCEPT TABLE before) c;
SELECT wrong();
DELETE FROM things WHERE id BETWEEN 1 AND 4611686018427387904;
DO LANGUAGE segment 'REFRESH SEGMENT ones';
SELECT segment.members('ones'), wrong();
DROP TABLE before;

-- ---- failures ----

DO LANGUAGE segment $$ CREATE SEGMENT ratio ON customers WHERE score / divisor > 50; REFRESH SEGMENT ALL $$;
INSERT INTO truth VALUES ('ratio', 'SELECT id FROM customers WHERE score / divisor > 50');
-- the writer is not disturbed
UPDATE customers SET divisor = 0, country = 'DE' WHERE id = 55;
SELECT segment.size('ratio');
SELECT count(*) FROM ratio;
SELECT segment.contains('ratio', 55);
-- another subject can still be looked at
SELECT segment.contains('ratio', 54), segment.contains('ratio', 51);
\set VERBOSITY default
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
\set VERBOSITY terse
SELECT * FROM standing WHERE segment IN ('german', 'ratio');
SELECT segment.size('ratio');
SELECT segment.size('german') = (SELECT count(*) FROM customers WHERE country = 'DE') AS german;
SELECT segment.segments_of('customers', 54);
-- again, and by name
UPDATE customers SET country = 'PL' WHERE id = 56;
DO LANGUAGE segment 'REFRESH SEGMENT ratio';
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment, state, pending FROM standing WHERE segment IN ('german', 'ratio');
-- mended
UPDATE customers SET divisor = 2 WHERE id = 55;
SELECT segment.size('ratio') = (SELECT count(*) FROM customers WHERE score / divisor > 50) AS mended;
SELECT * FROM standing WHERE segment = 'ratio';
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT * FROM standing WHERE segment = 'ratio';
SELECT wrong();
-- those that refer to it fail with it
DO LANGUAGE segment $$ CREATE SEGMENT no_ratio ON customers WHERE NOT in_segment('ratio') OR score < 10; REFRESH SEGMENT ALL $$;
UPDATE customers SET divisor = 0 WHERE id = 55;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment, state, message FROM standing WHERE segment <> 'ones';
UPDATE customers SET divisor = 1 WHERE id = 55;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment, state, message FROM standing WHERE state <> 'built';
DROP VIEW no_ratio;
-- a negative id appears later
INSERT INTO customers VALUES (-1, 'DE', 99);
SELECT segment.size('german');
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment, state, message FROM standing WHERE segment <> 'ones';
SELECT segment.size('german');
DELETE FROM customers WHERE id = -1;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment, state, message FROM standing WHERE state <> 'built';
SELECT wrong();

-- ---- disabled and untracked ----

DO LANGUAGE segment $$ ALTER SEGMENT buyers DISABLE; REFRESH SEGMENT ALL $$;
SELECT * FROM standing WHERE segment IN ('german_buyers', 'buyers');
UPDATE orders SET amount = 0 WHERE customer_id < 50;
SELECT wrong();
DO LANGUAGE segment 'REFRESH SEGMENT buyers';
SELECT segment, state, pending FROM standing WHERE segment IN ('german_buyers', 'buyers');
DO LANGUAGE segment $$ ALTER SEGMENT buyers ENABLE $$;
SELECT segment, state, reads FROM standing WHERE segment IN ('german_buyers', 'buyers');
SELECT wrong();
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment, state, pending FROM standing WHERE segment IN ('german_buyers', 'buyers');
SELECT wrong();

ALTER TABLE orders DISABLE TRIGGER USER;
SELECT segment, reads FROM standing;
INSERT INTO orders SELECT 6000 + i, i, 1000 FROM generate_series(1, 10) i;
SELECT wrong();
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment, state, reads, message FROM standing;
DELETE FROM orders WHERE id BETWEEN 6000 AND 6005;
SELECT wrong();
ALTER TABLE orders ENABLE TRIGGER USER;
SELECT segment, state, reads FROM standing;
SELECT wrong();
DELETE FROM orders WHERE id = 6010;
SELECT wrong();
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment, state, reads, message FROM standing;
INSERT INTO orders VALUES (7000, 999, 1000);
SELECT segment, reads, pending FROM standing;
SELECT wrong();
-- ENABLE TRIGGER made ordinary triggers of ours; they must be as they were
ALTER TABLE orders ENABLE ALWAYS TRIGGER "00_segment_before", ENABLE ALWAYS TRIGGER "00_segment_delete",
	ENABLE ALWAYS TRIGGER "00_segment_insert", ENABLE REPLICA TRIGGER "00_segment_replica", ENABLE ALWAYS TRIGGER "00_segment_update";
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment, state, reads, pending FROM standing;
INSERT INTO orders VALUES (7001, 998, 1000);
SELECT segment, reads, pending FROM standing;
SELECT wrong();
-- disabled and enabled again between two refreshes
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
ALTER TABLE orders DISABLE TRIGGER ALL;
UPDATE orders SET amount = 1000 WHERE customer_id BETWEEN 500 AND 600;
ALTER TABLE orders ENABLE TRIGGER ALL;
SELECT segment, reads FROM standing WHERE segment = 'buyers';
SELECT wrong();
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT wrong();
-- one trigger is dropped
SELECT tgname FROM pg_trigger WHERE tgrelid = 'orders'::regclass AND NOT tgisinternal ORDER BY 1;
SELECT format('DROP TRIGGER %I ON orders', tgname) FROM pg_trigger WHERE tgrelid = 'orders'::regclass AND NOT tgisinternal ORDER BY tgname LIMIT 1 \gexec
UPDATE orders SET amount = 2 WHERE customer_id BETWEEN 500 AND 600;
SELECT segment, reads FROM standing WHERE segment = 'buyers';
SELECT wrong();
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT wrong();
-- and comes back when the segment is altered
DO LANGUAGE segment $$ CREATE OR REPLACE SEGMENT buyers ON customers WHERE sum(orders.amount) > 70 $$;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment, state, reads FROM standing WHERE segment = 'buyers';
SELECT wrong();

-- ---- ALTER, and other definitions than the one that was built ----

DO LANGUAGE segment $$ ALTER SEGMENT german WHERE country = 'PL' AND score > 5 $$;
UPDATE truth SET query = $$ SELECT id FROM customers WHERE country = 'PL' AND score > 5 $$ WHERE segment = 'german';
UPDATE truth SET query = $$ SELECT id FROM customers WHERE country = 'PL' AND score > 5 AND (SELECT sum(amount) FROM orders o WHERE o.customer_id = customers.id) > 70 $$ WHERE segment = 'german_buyers';
SELECT segment, state, reads FROM standing;
SELECT wrong();
UPDATE customers SET score = 1 WHERE id = 11;
SELECT wrong();
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment, state, reads FROM standing;
SELECT wrong();
-- altered and taken back
BEGIN;
DO LANGUAGE segment $$ ALTER SEGMENT german WHERE country = 'FR' $$;
UPDATE truth SET query = replace(query, 'PL'' AND score > 5', 'FR''') WHERE segment LIKE 'german%';
SELECT wrong();
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT wrong();
ROLLBACK;
SELECT segment, state, reads FROM standing;
SELECT wrong();
-- a function is replaced
CREATE FUNCTION is_good(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 90';
DO LANGUAGE segment $$ CREATE SEGMENT good ON customers WHERE is_good(score); REFRESH SEGMENT good $$;
INSERT INTO truth VALUES ('good', 'SELECT id FROM customers WHERE is_good(score)');
SELECT segment.size('good'), state FROM standing WHERE segment = 'good';
CREATE OR REPLACE FUNCTION is_good(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 80';
SELECT segment.size('good'), state, wrong() FROM standing WHERE segment = 'good';
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment.size('good'), state, wrong() FROM standing WHERE segment = 'good';
CREATE OR REPLACE FUNCTION is_good(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN 1 / (50 - $1) = 0 OR $1 = 51; END $$;
SELECT segment.size('good');
SELECT segment, state, message FROM standing WHERE state <> 'built';
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment, state, message FROM standing WHERE state <> 'built';
DROP FUNCTION is_good(int);
SET client_min_messages = warning;
DROP FUNCTION is_good(int) CASCADE;
RESET client_min_messages;
SELECT segment FROM standing;

-- ---- what a segment reads is dropped ----

SELECT count(*) FROM segment.segment s WHERE NOT EXISTS (SELECT FROM segment.state WHERE id = s.id);
ALTER TABLE orders DROP COLUMN amount;
DROP TABLE orders;
-- a column that is not read goes, and comes
ALTER TABLE orders DROP COLUMN note;
ALTER TABLE orders ADD COLUMN extra int DEFAULT 5;
SELECT wrong();
ALTER TABLE orders ALTER COLUMN color TYPE bytea USING color::bytea;
ALTER TABLE orders ALTER COLUMN customer_id SET NOT NULL;
SELECT wrong();
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT segment, state, reads FROM standing;
-- one whose type changes
ALTER TABLE orders ALTER COLUMN amount TYPE numeric;
ALTER TABLE orders RENAME COLUMN amount TO total;
SELECT definition FROM segment.segments WHERE segment = 'buyers'::regclass;
-- one that is read goes, and takes the segment and those that refer to it along
SET client_min_messages = warning;
ALTER TABLE orders DROP COLUMN total CASCADE;
RESET client_min_messages;
SELECT segment, state, reads FROM standing;
SELECT wrong();
SELECT tgname FROM pg_trigger WHERE tgrelid = 'orders'::regclass AND NOT tgisinternal;
DO LANGUAGE segment $$ CREATE SEGMENT orderless ON customers WHERE count(orders) = 0; REFRESH SEGMENT ALL $$;
INSERT INTO truth VALUES ('orderless', 'SELECT id FROM customers WHERE id NOT IN (SELECT customer_id FROM orders)');
DROP TABLE orders;
DROP TABLE orders CASCADE;
DROP TABLE things CASCADE;
SELECT segment, state, reads FROM standing;
SELECT wrong();
UPDATE customers SET country = 'PL' WHERE id = 20;
SELECT segment, pending FROM standing;
SELECT wrong();
DROP VIEW german, ratio;
SELECT (SELECT count(*) FROM segment.segment), (SELECT count(*) FROM segment.state), (SELECT count(*) FROM segment.chunk);
SELECT tgname FROM pg_trigger WHERE tgrelid = 'customers'::regclass AND NOT tgisinternal;

DROP VIEW standing, chunks;
DROP TABLE customers, truth CASCADE;
DROP FUNCTION wrong();
DROP EXTENSION segmentation;

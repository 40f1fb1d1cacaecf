-- Refreshing in parts: what is left is pending to every reader, and nothing is wrong in between.
SET client_min_messages = warning;
CREATE EXTENSION segmentation;
RESET client_min_messages;
\set VERBOSITY terse

CREATE TABLE customers (id bigint PRIMARY KEY, country text, score int, seen timestamptz);
CREATE TABLE orders (id int PRIMARY KEY, customer_id bigint REFERENCES customers ON DELETE CASCADE, amount int);
CREATE INDEX ON orders (customer_id);
INSERT INTO customers SELECT i, CASE WHEN i % 2 = 0 THEN 'DE' ELSE 'PL' END, i % 100, '2026-01-01Z'::timestamptz + i * interval '1 minute'
	FROM generate_series(1, 1000) i;
INSERT INTO orders SELECT i, 1 + i * 7 % 1000, i % 50 FROM generate_series(1, 3000) i;
ANALYZE;
SET segmentation.clock = '2026-01-01 08:00Z';

DO LANGUAGE segment $$
	CREATE SEGMENT german ON customers WHERE country = 'DE';
	CREATE SEGMENT buyers ON customers WHERE sum(orders.amount) > 70;
	CREATE SEGMENT german_buyers AS german & buyers;
	CREATE SEGMENT fresh ON customers WHERE seen > now() - interval '4 hours';
	CREATE SEGMENT above ON customers WHERE score > (SELECT avg(score) FROM customers);
$$;

-- The segments whose members are not what the condition says; NULL if none.
CREATE FUNCTION wrong() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(segment, ' ' ORDER BY segment) FROM (VALUES
		('german', ARRAY(SELECT id FROM customers WHERE country = 'DE')),
		('buyers', ARRAY(SELECT id FROM customers WHERE (SELECT sum(amount) FROM orders o WHERE o.customer_id = customers.id) > 70)),
		('german_buyers', ARRAY(SELECT id FROM customers WHERE country = 'DE' AND (SELECT sum(amount) FROM orders o WHERE o.customer_id = customers.id) > 70)),
		('fresh', ARRAY(SELECT id FROM customers WHERE seen > segment.clock('fresh') - interval '4 hours')),
		('above', ARRAY(SELECT id FROM customers WHERE score > (SELECT avg(score) FROM customers)))
	) AS t (segment, ids)
	WHERE segment.members(segment::regclass)::bigint[] <> ARRAY(SELECT unnest(ids) ORDER BY 1)
		OR segment.size(segment::regclass) <> cardinality(ids)
		OR (SELECT count(*) FROM unnest(ids) id WHERE NOT segment.contains(segment::regclass, id)) > 0;
$$;
CREATE VIEW standing AS
	SELECT segment::text, state, reads, base_size AS size, pending, evaluated FROM segment.status ORDER BY segment::text COLLATE "C";
CREATE VIEW progress AS
	SELECT segment::text, phase, done, total, since <= clock_timestamp() AS began, estimated_end > clock_timestamp() AS ends
	FROM segment.progress ORDER BY segment::text COLLATE "C";

-- ---- a build in parts ----

SET client_min_messages = warning;
SELECT segment.refresh_step('customers', 300);
TABLE standing;
TABLE progress;
SELECT wrong();
-- with writes in between, to those that are done, and those that are not
UPDATE customers SET country = 'DE' WHERE id IN (1, 601);
DELETE FROM customers WHERE id IN (2, 602);
INSERT INTO customers VALUES (1001, 'DE', 99, '2026-01-01 07:00Z');
SELECT wrong();
-- whoever's average changes is everybody: that segment is not divided
SELECT segment.refresh_step('customers', 300);
TABLE progress;
SELECT wrong();
SELECT segment.refresh_step('customers', 300);
SELECT segment.refresh_step('customers', 300);
SELECT segment.refresh_step('customers', 300);
SELECT wrong();
SELECT segment.refresh_step('customers', 300);
TABLE standing;
TABLE progress;
SELECT wrong();
SELECT segment.refresh_step('customers', 300);

-- ---- many pending subjects ----

UPDATE customers SET country = 'FR' WHERE id <= 200;
SELECT segment, pending FROM standing;
SELECT segment.refresh_step('customers', 60);
SELECT segment, state, pending FROM standing;
TABLE progress;
SELECT wrong();
-- the same are touched again: the others get their turn nevertheless
UPDATE customers SET country = 'DE' WHERE id <= 100;
SELECT segment.refresh_step('customers', 60);
UPDATE customers SET country = 'FR' WHERE id <= 100;
SELECT segment.refresh_step('customers', 60);
UPDATE customers SET country = 'DE' WHERE id <= 100;
SELECT segment.refresh_step('customers', 60);
SELECT segment, state, pending FROM standing WHERE segment = 'german';
SELECT wrong();
-- a refresh without a budget does the rest
DO LANGUAGE segment $$ REFRESH SEGMENT ALL $$;
TABLE standing;
TABLE progress;
SELECT wrong();

-- ---- time goes on ----

SET segmentation.clock = '2026-01-01 12:00Z';
SELECT segment, pending FROM standing WHERE segment = 'fresh';
SELECT segment.refresh_step('customers', 100);
SELECT segment, pending FROM standing WHERE segment = 'fresh';
SELECT wrong();
SET segmentation.clock = '2026-01-01 13:00Z';
SELECT segment.refresh_step('customers', 100);
SELECT wrong();
SELECT segment.refresh_step('customers', 0);
SELECT wrong();

-- ---- a definition that changes, or fails, half way ----

DO LANGUAGE segment $$ ALTER SEGMENT buyers WHERE count(orders) > 2 $$;
SELECT segment.refresh_step('customers', 300);
SELECT segment, state, reads FROM standing WHERE segment LIKE '%buyers';
DO LANGUAGE segment $$ ALTER SEGMENT buyers WHERE sum(orders.amount) > 70 $$;
SELECT wrong();
SELECT segment.refresh_step('customers', 700);
SELECT wrong();
SELECT segment.refresh_step('customers', 700);
SELECT segment.refresh_step('customers', 700);
SELECT wrong();
DO LANGUAGE segment $$ CREATE SEGMENT ratio ON customers WHERE 100 / (score - 50) > 1 $$;
SELECT segment.refresh_step('customers', 700);
SELECT s.segment, s.state, s.failures, s.retry_at > now() AS waits FROM segment.status s WHERE state = 'failed';
SELECT segment.refresh_step('customers', 700);
SELECT s.segment, s.state, s.failures, s.retry_at > now() AS waits FROM segment.status s WHERE state = 'failed';
UPDATE customers SET score = 51 WHERE score = 50;
SELECT segment.refresh_step('customers', 700);
SELECT segment.refresh_step('customers', 700);
SELECT segment, state FROM standing;
SELECT s.segment, s.failures, s.retry_at FROM segment.status s WHERE segment = 'ratio'::regclass;
SELECT wrong();

-- ---- CALL: a transaction for each part; in a block, one ----

UPDATE customers SET country = 'PL' WHERE id <= 500;
CALL segment.refresh_all(100);
SELECT segment, pending FROM standing;
BEGIN;
UPDATE customers SET country = 'FR' WHERE id <= 500;
CALL segment.refresh_all(100);
SELECT wrong();
ROLLBACK;
SELECT wrong();
CALL segment.refresh_all(-1);
SELECT segment.refresh_step('customers', -1);
SELECT segment.refresh_step('orders', 10);
SELECT segment.refresh_step(0, 10);

-- ---- as of the last refresh ----

CALL segment.refresh_all();
INSERT INTO customers VALUES (2001, 'DE', 1, '2026-01-01 12:30Z');
SELECT segment.size('german'), segment.contains('german', 2001), (SELECT count(*) FROM german WHERE id = 2001) AS rows;
SET segmentation.read = refreshed;
SELECT segment.size('german') AS refreshed_size, segment.contains('german', 2001), (SELECT count(*) FROM german WHERE id = 2001) AS rows;
-- one that is not built is evaluated
DO LANGUAGE segment $$ CREATE SEGMENT polish ON customers WHERE country = 'PL' $$;
SELECT segment.size('polish') = (SELECT count(*) FROM customers WHERE country = 'PL') AS right;
SELECT segment, state, pending FROM standing WHERE segment = 'german';
RESET segmentation.read;
SELECT segment.size('german'), segment.contains('german', 2001);
SET segmentation.read = yesterday;

-- ---- behind the triggers' back ----

CALL segment.refresh_all();
SELECT verified, missing, extra, ids, in_full FROM segment.verify() ORDER BY verified::text COLLATE "C";
ALTER EVENT TRIGGER segmentation_watch_ddl DISABLE;
ALTER TABLE customers DISABLE TRIGGER ALL;
UPDATE customers SET country = 'DE' WHERE id IN (7, 9);
UPDATE customers SET country = 'FR' WHERE id = 1001;
ALTER TABLE customers ENABLE TRIGGER ALL;
SELECT format('ALTER TABLE customers ENABLE ALWAYS TRIGGER %I', tgname) FROM pg_trigger WHERE tgrelid = 'customers'::regclass AND tgname LIKE '00\_segment%' ORDER BY 1 \gexec
ALTER EVENT TRIGGER segmentation_watch_ddl ENABLE ALWAYS;
SELECT verified, missing, extra, ids, in_full FROM segment.verify('german');
SELECT segment.rebuild('german');
SELECT verified, missing, extra, ids, in_full FROM segment.verify('german');
SELECT segment.rebuild();
SELECT sum(missing + extra) FROM segment.verify();
SELECT wrong();
DO LANGUAGE segment $$ ALTER SEGMENT german DISABLE $$;
SELECT verified, missing, extra, ids, in_full FROM segment.verify('german');
SELECT * FROM segment.verify('customers');
CREATE ROLE segment_partial;
GRANT SELECT ON german TO segment_partial;
SET ROLE segment_partial;
SELECT * FROM segment.verify('german');
SELECT * FROM segment.verify();
SELECT segment.rebuild('german');
SELECT segment.rebuild();
SELECT segment.refresh_step('customers', 1);
CALL segment.refresh_all();
RESET ROLE;
REVOKE SELECT ON german FROM segment_partial;
DROP ROLE segment_partial;

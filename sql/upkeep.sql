-- What is kept is let go in time: history, invalidations of segments that nobody refreshes, ids of those that were dropped.
SET client_min_messages = warning;
CREATE EXTENSION segmentation;
\set VERBOSITY terse
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET search_path = public, segment;

CREATE TABLE customers (id bigint PRIMARY KEY, country text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id bigint REFERENCES customers, amount int);
INSERT INTO customers SELECT i, CASE WHEN i % 2 = 0 THEN 'DE' ELSE 'PL' END FROM generate_series(1, 2000) i;
ANALYZE;
DO LANGUAGE segment $$
	CREATE SEGMENT german ON customers WHERE country = 'DE' AND id < 10;
	CREATE SEGMENT sparse ON customers WHERE country = 'DE';
$$;

-- ---- a clock that is set back ----

SET segmentation.clock = '2026-01-01 00:00Z';
SELECT segment.refresh();
UPDATE customers SET country = 'DE' WHERE id = 5;
SET segmentation.clock = '2027-01-01 00:00Z';
SELECT segment.refresh();
SELECT segment.members('german', '2026-06-01'), segment.members('german', '2027-06-01');
-- the same members, a year earlier: since then
SET segmentation.clock = '2026-05-01 00:00Z';
SELECT segment.refresh();
SELECT segment.members('german', '2026-04-01'), segment.members('german', '2026-06-01'), segment.size('german', '2026-06-01');
SELECT segment, entered_at FROM segment.memberships_history('customers', 5);
-- and others
UPDATE customers SET country = 'PL' WHERE id = 5;
SET segmentation.clock = '2026-04-01 00:00Z';
SELECT segment.refresh();
SELECT segment.members('german', '2026-03-01'), segment.members('german', '2026-06-01');
RESET segmentation.clock;

-- ---- a large segment that changes little ----

-- A row with all members would come when the differences weigh as much, which they never do here; the history cannot begin later before that.
SET segmentation.history_retention = '10 d';
CREATE FUNCTION days_pass(n int) RETURNS TABLE (changes bigint, with_members bigint) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. n LOOP
		UPDATE segment.change SET written = written - interval '1 day', weight = CASE WHEN members IS NULL THEN 1 ELSE 0 END;
		UPDATE customers SET country = CASE country WHEN 'DE' THEN 'PL' ELSE 'DE' END WHERE id = 1000 + i % 2;
		PERFORM segment.refresh('sparse');
	END LOOP;
	RETURN QUERY SELECT count(*), count(*) FILTER (WHERE members IS NOT NULL)
		FROM segment.change WHERE id = (SELECT id FROM segment.segment WHERE view = 'sparse'::regclass);
END $$;
SELECT changes BETWEEN 15 AND 20 AS all_kept FROM days_pass(15);
SELECT changes BETWEEN 10 AND 35 AS bounded, with_members >= 2 AS goes_on FROM days_pass(60);
SELECT segment.members('sparse', 'infinity') = segment.members('sparse') AS right;
RESET segmentation.history_retention;

-- ---- segments that the worker does not refresh ----

DO LANGUAGE segment $$
	CREATE SEGMENT by_hand ON customers WITH (auto_refresh = off) WHERE country = 'FR';
	REFRESH SEGMENT ALL;
$$;
SELECT state, reads FROM segment.status WHERE segment = 'by_hand'::regclass;
-- many writes, none of which it reads
INSERT INTO segment.invalidation SELECT pg_current_xact_id(), 1000 + i, 0, NULL, 1, '{1}' FROM generate_series(1, 90000) i;
SELECT segment.refresh_step('customers', 0, true);
SELECT count(*) > 80000 AS kept FROM segment.invalidation;
INSERT INTO segment.invalidation SELECT pg_current_xact_id(), 1000 + i, 0, NULL, 1, '{1}' FROM generate_series(1, 20000) i;
UPDATE customers SET country = 'FR' WHERE id = 7;
SELECT segment.members('by_hand');
SELECT segment.refresh_step('customers', 0, true);
SELECT segment.refresh_step('customers', 0, true);
SELECT count(*) < 10 AS deleted FROM segment.invalidation;
SELECT state, reads FROM segment.status WHERE segment = 'by_hand'::regclass;
SELECT segment.members('by_hand');
DO LANGUAGE segment 'REFRESH SEGMENT by_hand';
SELECT state, reads FROM segment.status WHERE segment = 'by_hand'::regclass;

-- ---- erasure: what a dropped segment had recorded ----

DO LANGUAGE segment $$ CREATE SEGMENT buyers ON customers WHERE sum(orders.amount) > 10; REFRESH SEGMENT ALL $$;
INSERT INTO orders VALUES (1, 42, 100), (2, 43, 100);
DELETE FROM orders WHERE customer_id = 42;
DELETE FROM customers WHERE id = 42;
DO LANGUAGE segment 'DROP SEGMENT buyers';
SELECT source::regclass, keys FROM segment.invalidation WHERE keys && '{42}' ORDER BY n;
SELECT relation, held > 0 AS held, left_over FROM segment.forget('customers', '{42}') WHERE relation = 'segment.invalidation'::regclass;
SELECT source::regclass, keys FROM segment.invalidation WHERE keys && '{42}' ORDER BY n;
SELECT segment.members('german');

DROP FUNCTION days_pass(int);
DROP TABLE customers, orders CASCADE;
DROP EXTENSION segmentation;

-- Segments that refer to others: what time does to these, it does to them.  Nothing of these is evaluated again for that.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION segmentation;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
CREATE TABLE customers (id int PRIMARY KEY, country text, birthday date);
CREATE TABLE visits (customer_id int REFERENCES customers, at timestamptz);
CREATE INDEX ON visits (customer_id);
INSERT INTO customers SELECT i, (ARRAY['DE', 'FR'])[1 + i % 2], date '2000-01-01' + i % 5 FROM generate_series(1, 40) i;
INSERT INTO visits SELECT i, '2026-01-01 06:00Z'::timestamptz + interval '1 hour' * i FROM generate_series(1, 5) i;
DO LANGUAGE segment $$
	CREATE SEGMENT german ON customers WHERE country = 'DE';
	CREATE SEGMENT recent ON customers WHERE count(visits) FILTER (WHERE at > now() - interval '1 day') > 0;
	CREATE SEGMENT birthday ON customers WHERE to_char(birthday, 'MM-DD') = to_char(current_date, 'MM-DD');
	CREATE SEGMENT recent_or_german AS recent | german;
	CREATE SEGMENT foreign_guests AS recent_or_german - german;
	CREATE SEGMENT congratulate AS foreign_guests | birthday;
$$;
CREATE FUNCTION wrong() RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(format('%s lacks %s, has %s too many', verified, missing, extra), '; ' ORDER BY verified::text) FROM segment.verify() WHERE missing > 0 OR extra > 0 $$;
CREATE VIEW standing AS SELECT segment::text, CASE WHEN reads LIKE 'base%' THEN 'base' ELSE reads END AS reads, pending, evaluated FROM segment.status ORDER BY segment::text COLLATE "C";

-- each at its own instants, without a refresh
SET segmentation.clock = '2026-01-01 12:00Z';
CALL segment.refresh_all();
SELECT segment.members('recent_or_german') OPERATOR(segment.&) '{1-10}' AS recent_or_german, segment.members('foreign_guests') AS foreign_guests, segment.members('congratulate') AS congratulate, wrong();
SET segmentation.clock = '2026-01-02 08:00Z';
SELECT segment.members('recent_or_german') OPERATOR(segment.&) '{1-10}' AS recent_or_german, segment.members('foreign_guests') AS foreign_guests, segment.members('congratulate') AS congratulate, wrong();
-- midnight was evaluated ahead, for all three
SELECT segment, reads FROM standing;
SET segmentation.clock = '2026-01-02 11:30Z';
SELECT segment.members('foreign_guests') AS foreign_guests, wrong();
CALL segment.refresh_all();
SELECT segment, evaluated FROM standing;
SELECT segment.members('foreign_guests') AS foreign_guests, wrong();

-- who is written, and changes with time later on
INSERT INTO visits SELECT i, '2026-01-02 11:00Z' FROM generate_series(11, 16) i;
SELECT segment.members('foreign_guests') AS foreign_guests, wrong();
CALL segment.refresh_all();
SET segmentation.clock = '2026-01-03 10:59:59Z';
SELECT segment.members('foreign_guests') AS foreign_guests, wrong();
SET segmentation.clock = '2026-01-03 11:00Z';
SELECT segment.members('foreign_guests') AS foreign_guests, wrong();
CALL segment.refresh_all();

-- the outer one refreshed alone, then both in parts: 25 is evaluated for the outer one, and left over by the inner one
INSERT INTO visits SELECT i, '2025-06-01 10:00Z' FROM unnest('{21,22,23,25}'::int[]) i;
DO LANGUAGE segment $$ REFRESH SEGMENT recent_or_german $$;
INSERT INTO visits VALUES (25, '2026-01-03 10:30Z');
SELECT segment, pending FROM standing WHERE segment IN ('recent', 'recent_or_german', 'foreign_guests');
DO LANGUAGE segment $$ ALTER SEGMENT foreign_guests DISABLE; ALTER SEGMENT congratulate DISABLE $$;
SELECT segment.refresh_step('customers', 3) AS more;
SELECT segment, pending FROM standing WHERE segment IN ('recent', 'recent_or_german', 'foreign_guests');
SET segmentation.clock = '2026-01-04 10:00Z';
SELECT segment.members('recent_or_german') OPERATOR(segment.&) '{20-30}' AS recent_or_german, wrong();
SET segmentation.clock = '2026-01-04 10:30Z';
SELECT segment.members('recent_or_german') OPERATOR(segment.&) '{20-30}' AS recent_or_german, wrong();
DO LANGUAGE segment $$ ALTER SEGMENT foreign_guests ENABLE; ALTER SEGMENT congratulate ENABLE $$;
CALL segment.refresh_all();

-- an inner one that fails, or that is not refreshed
INSERT INTO visits VALUES (31, '2026-01-04 10:00Z');
DO LANGUAGE segment $$ ALTER SEGMENT recent DISABLE $$;
CALL segment.refresh_all();
SET segmentation.clock = '2026-01-05 09:59:59Z';
SELECT segment.members('foreign_guests') AS foreign_guests, wrong();
SET segmentation.clock = '2026-01-05 10:00Z';
SELECT segment.members('foreign_guests') AS foreign_guests, wrong();
DO LANGUAGE segment $$ ALTER SEGMENT recent ENABLE $$;
CALL segment.refresh_all();
SELECT segment, reads, pending FROM standing;
SELECT wrong();

-- an outer one with a deadline of its own, farther away than what the inner one is known for, which does not concern this customer
ALTER TABLE customers ADD seen timestamptz;
DO LANGUAGE segment $$
	CREATE SEGMENT every_other_day ON customers WHERE country = 'DE' AND extract(day FROM current_date)::int % 2 = 0;
	CREATE SEGMENT seen_lately ON customers WHERE (in_segment('every_other_day') OR country = 'FR') AND seen > now() - interval '7 days';
$$;
SET segmentation.clock = '2026-02-01 09:00Z';
CALL segment.refresh_all();
SET segmentation.clock = '2026-02-01 10:00Z';
UPDATE customers SET seen = '2026-02-01 10:00Z' WHERE id = 1;
CALL segment.refresh_all();
SET segmentation.clock = '2026-02-02 00:30Z';
CALL segment.refresh_all();
SET segmentation.clock = '2026-02-03 00:30Z';
CALL segment.refresh_all();
SET segmentation.clock = '2026-02-05 00:30Z';
CALL segment.refresh_all();
SET segmentation.clock = '2026-02-07 00:30Z';
CALL segment.refresh_all();
SET segmentation.clock = '2026-02-08 00:30Z';
CALL segment.refresh_all();
SET segmentation.clock = '2026-02-08 09:59:59Z';
SELECT segment.members('seen_lately') AS seen_lately, wrong();
SET segmentation.clock = '2026-02-08 10:00Z';
SELECT segment.members('seen_lately') AS seen_lately, wrong();

-- too many pending subjects to look at at once, in a segment that changes at midnights: in parts, each up to the next instant only
SET statement_timeout = '60s';
CREATE TABLE crowd (id int PRIMARY KEY, here boolean);
INSERT INTO crowd SELECT i, true FROM generate_series(1, 4000) i;
ANALYZE crowd;
DO LANGUAGE segment $$
	CREATE SEGMENT here_today ON crowd WHERE here AND (extract(isodow FROM current_date) <= 3 OR id > 10);
	CREATE SEGMENT not_gone AS here_today;
	REFRESH SEGMENT here_today, not_gone;
$$;
UPDATE crowd SET here = id % 3 > 0;
SELECT segment.refresh_step('crowd', 1500) AS more;
SELECT segment.refresh_step('crowd', 1500) AS more;
SELECT wrong();
SELECT segment.refresh_step('crowd', 1500) AS more;
SELECT segment, reads, pending FROM standing WHERE segment IN ('here_today', 'not_gone');
SET segmentation.clock = '2026-02-09 10:00Z';
SELECT wrong();

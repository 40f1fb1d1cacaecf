-- Who may create, refresh and read; as whom and under which settings a condition runs.
SET client_min_messages = warning;
CREATE EXTENSION segmentation;
CREATE ROLE regress_segment_shop;		-- owns the tables
CREATE ROLE regress_segment_maker;		-- makes segments on them
CREATE ROLE regress_segment_reader;		-- may read some segments
CREATE ROLE regress_segment_writer;		-- may write the tables
CREATE ROLE regress_segment_other;
RESET client_min_messages;
CREATE SCHEMA shop AUTHORIZATION regress_segment_shop;
CREATE SCHEMA made AUTHORIZATION regress_segment_maker;
CREATE SCHEMA trap AUTHORIZATION regress_segment_other;
GRANT USAGE ON SCHEMA shop, made TO PUBLIC;

-- ---- an owner of tables ----

SET ROLE regress_segment_shop;
SET search_path = shop;
CREATE TABLE customers (id int PRIMARY KEY, name text, country text, secret text, seen_at timestamptz);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, amount int);
INSERT INTO customers SELECT i, 'name' || i, CASE WHEN i % 2 = 0 THEN 'DE' ELSE 'PL' END, 'secret' || i, '2024-03-10 23:30+00' FROM generate_series(1, 10) i;
INSERT INTO orders SELECT i, 1 + i % 10, i * 10 FROM generate_series(1, 30) i;
DO LANGUAGE segment $$
	CREATE SEGMENT german ON customers WHERE country = 'DE';
	CREATE SEGMENT buyers ON customers WHERE sum(orders.amount) > 500;
	REFRESH SEGMENT ALL;
$$;
SELECT segment.members('german'), segment.members('buyers');
SELECT segment, owner, definition FROM segment.segments ORDER BY segment::text;

-- ---- holds() by hand, by somebody with no right to anything but a view of the ids ----

CREATE VIEW directory AS SELECT id, name FROM customers;
GRANT SELECT ON directory TO regress_segment_other;
SELECT id AS buyers FROM segment.segment WHERE view = 'buyers'::regclass \gset
SET ROLE regress_segment_other;
SELECT d.id FROM shop.directory d WHERE segment.holds(:buyers, d.id, (SELECT sum(orders.amount) AS sum FROM shop.orders WHERE orders.customer_id = d.id) > 500);
SET ROLE regress_segment_shop;
-- where the planner shows another query than that of the call
DO $$ BEGIN
	SET LOCAL from_collapse_limit = 1;
	EXECUTE format('EXPLAIN SELECT EXISTS (SELECT FROM %s, shop.customers x WHERE x.id = o.id AND segment.holds(1, x.id, x.country = ''DE'')) FROM (VALUES (1), (2)) o (id)',
		(SELECT string_agg('pg_class a' || i, ', ') FROM generate_series(1, 40) i));
END $$;
-- explain() shows nothing of rows that row security hides from the caller
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON orders, customers, buyers TO regress_segment_other;
SET ROLE regress_segment_other;
SELECT part, value, result FROM segment.explain('shop.buyers', 1);
SET ROLE regress_segment_shop;
ALTER TABLE orders DISABLE ROW LEVEL SECURITY;
SET ROLE regress_segment_other;
SELECT part, value, result FROM segment.explain('shop.buyers', 1);
SET ROLE regress_segment_shop;
REVOKE SELECT ON orders, customers, buyers FROM regress_segment_other;
DROP VIEW directory;

-- ---- a maker with SELECT and TRIGGER on them, both or neither ----

SET ROLE regress_segment_maker;
SET search_path = made, shop;
DO LANGUAGE segment $$ CREATE SEGMENT mine ON customers WHERE country = 'DE' $$;
SET ROLE regress_segment_shop;
GRANT SELECT ON customers TO regress_segment_maker;
SET ROLE regress_segment_maker;
DO LANGUAGE segment $$ CREATE SEGMENT mine ON customers WHERE country = 'DE' $$;
SELECT * FROM segment.preview('ON customers WHERE country = ''DE''');
SELECT * FROM segment.preview('ON customers WHERE count(orders) > 2');
SET ROLE regress_segment_shop;
REVOKE SELECT ON customers FROM regress_segment_maker;
GRANT TRIGGER ON customers TO regress_segment_maker;
SET ROLE regress_segment_maker;
DO LANGUAGE segment $$ CREATE SEGMENT mine ON customers WHERE country = 'DE' $$;
SET ROLE regress_segment_shop;
GRANT SELECT (id, country) ON customers TO regress_segment_maker;
SET ROLE regress_segment_maker;
DO LANGUAGE segment $$ CREATE SEGMENT mine ON customers WHERE country = 'DE' $$;
SET ROLE regress_segment_shop;
REVOKE SELECT (id, country) ON customers FROM regress_segment_maker;
GRANT SELECT ON customers TO regress_segment_maker;
SET ROLE regress_segment_maker;
DO LANGUAGE segment $$ CREATE SEGMENT mine ON customers WHERE country = 'DE' $$;
DO LANGUAGE segment $$ CREATE SEGMENT many ON customers WHERE count(orders) > 2 $$;
SET ROLE regress_segment_shop;
GRANT SELECT ON orders TO regress_segment_maker;
SET ROLE regress_segment_maker;
DO LANGUAGE segment $$ CREATE SEGMENT many ON customers WHERE sum(orders.amount) > 500 $$;
SET ROLE regress_segment_shop;
GRANT TRIGGER ON orders TO regress_segment_maker;
SET ROLE regress_segment_maker;
DO LANGUAGE segment $$ CREATE SEGMENT many ON customers WHERE sum(orders.amount) > 500; REFRESH SEGMENT ALL $$;
SELECT segment.members('mine'), segment.members('many');
-- nor others' segments: to read, to build on, to change
SELECT segment.size('german');
DO LANGUAGE segment $$ CREATE SEGMENT on_german ON customers WHERE in_segment('german') $$;
DO LANGUAGE segment $$ CREATE SEGMENT on_german AS mine & german $$;
DO LANGUAGE segment $$ ALTER SEGMENT german WHERE country = 'PL' $$;
DO LANGUAGE segment $$ CREATE OR REPLACE SEGMENT shop.german ON customers WHERE country = 'PL' $$;
DO LANGUAGE segment $$ DROP SEGMENT german $$;
DO LANGUAGE segment $$ REFRESH SEGMENT german $$;
SELECT segment.refresh('german');
DO LANGUAGE segment $$ CREATE LINK ON orders (customer_id) REFERENCES customers $$;
DO LANGUAGE segment $$ CREATE SEGMENT shop.here ON customers WHERE true $$;
SELECT segment, state, reads FROM segment.status ORDER BY segment::text;
-- one's own tables: what is inside is nobody's
SELECT * FROM segment.state;
SELECT * FROM segment.chunk;
SELECT * FROM segment.epoch;
SELECT * FROM segment.invalidation;
DELETE FROM segment.segment;
INSERT INTO segment.link VALUES ('orders', 'customer_id', 'customers', 'id');
SELECT nextval('segment.segment_id_seq');

-- ---- readers ----

GRANT SELECT ON mine, many TO regress_segment_reader;
SET ROLE regress_segment_reader;
SELECT id, name FROM mine ORDER BY id;
SELECT segment.members('mine'), segment.size('many'), segment.contains('mine', 2);
SELECT segment.segments_of('shop.customers', 2) ORDER BY 1;
SELECT condition, value, result FROM segment.explain('many', 3);
SELECT a, b, size FROM segment.overlap('{mine,many}');
SELECT * FROM segment.overlap('{mine,shop.german}');
SELECT segment.members('shop.german');
SELECT segment.explain('shop.german', 2);
SELECT segment.clock('shop.german');
SELECT * FROM shop.customers;
SELECT * FROM segment.preview('ON shop.customers WHERE in_segment(''mine'')');
SELECT segment, state FROM segment.status WHERE state IS NOT NULL ORDER BY segment::text;
-- a leaky function sees members only
RESET ROLE;
CREATE FUNCTION public.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE NOTICE 'leaked %', $1; RETURN true; END $$;
SET ROLE regress_segment_reader;
SELECT count(*) FROM mine WHERE public.leak(secret);
SELECT count(*) FROM mine m JOIN many n USING (id) WHERE public.leak(n.secret) AND m.id < 9;
RESET ROLE;
-- a writer needs nothing of ours
GRANT INSERT, UPDATE (amount), SELECT ON shop.orders TO regress_segment_writer;
SET ROLE regress_segment_writer;
INSERT INTO shop.orders VALUES (101, 1, 1000);
UPDATE shop.orders SET amount = 0 WHERE customer_id = 10;
SELECT segment.members('mine');
CREATE TEMP TABLE here (id int PRIMARY KEY, x int);
CREATE TRIGGER t AFTER INSERT ON shop.orders EXECUTE FUNCTION segment.capture();
SET ROLE regress_segment_reader;
SELECT segment.members('many');
RESET ROLE;
SELECT customer_id FROM shop.orders GROUP BY 1 HAVING sum(amount) > 500 ORDER BY 1;

-- ---- conditions run as the owner of the segment, restricted ----

SET ROLE regress_segment_maker;
SET search_path = made, shop;
CREATE FUNCTION who(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF $1 <= 2 THEN
		RAISE NOTICE 'evaluated for % by %, path %', $1, current_user, current_setting('search_path');
	END IF;
	RETURN $1 < 5;
END $$;
DO LANGUAGE segment $$ CREATE SEGMENT seen ON customers WHERE who(id) $$;
GRANT SELECT ON seen TO regress_segment_reader;
SET ROLE regress_segment_reader;
SET search_path = trap, made;
SELECT segment.members('seen');
SELECT count(*) FROM seen;
SELECT segment.contains('seen', 1), segment.contains('seen', 9);
SELECT result FROM segment.explain('seen', 2);
RESET ROLE;
SELECT segment.members('made.seen');
SELECT segment.refresh('made.seen');
SELECT segment.members('made.seen');
SET ROLE regress_segment_maker;
CREATE OR REPLACE FUNCTION who(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM set_config('role', 'none', false);
	RETURN true;
END $$;
RESET ROLE;
SELECT segment.members('made.seen');
SELECT segment.refresh('made.seen');
SET ROLE regress_segment_maker;
CREATE OR REPLACE FUNCTION who(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	EXECUTE 'RESET SESSION AUTHORIZATION';
	RETURN true;
END $$;
RESET ROLE;
SELECT segment.members('made.seen');
SET ROLE regress_segment_maker;
CREATE OR REPLACE FUNCTION who(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	EXECUTE 'CREATE TEMP TABLE t ()';
	RETURN true;
END $$;
RESET ROLE;
SELECT segment.refresh('made.seen');
SET ROLE regress_segment_maker;
CREATE OR REPLACE FUNCTION who(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM set_config('search_path', 'trap', false);
	PERFORM set_config('TimeZone', 'Asia/Tokyo', false);
	RETURN EXISTS (SELECT FROM shop.orders WHERE customer_id = $1 AND amount > 200);
END $$;
RESET ROLE;
SET search_path = public;
SET TimeZone = 'UTC';
SELECT segment.members('made.seen');
SHOW search_path;
SHOW TimeZone;
SET ROLE regress_segment_maker;
SET search_path = made, shop;
DROP VIEW seen;
DROP FUNCTION who(int);

-- ---- what the owner may no longer do, nobody does through his segments ----

SET ROLE regress_segment_maker;
DO LANGUAGE segment $$ REFRESH SEGMENT ALL $$;
SET ROLE regress_segment_reader;
SET search_path = made;
SELECT segment.size('many'), count(*) FROM many;
RESET ROLE;
REVOKE SELECT ON shop.orders FROM regress_segment_maker;
SET ROLE regress_segment_reader;
SELECT segment.size('many');
SELECT segment.members('many');
SELECT segment.contains('many', 1);
SELECT count(*) FROM many;
SELECT segment.explain('many', 1);
SELECT segment.segments_of('shop.customers', 2);
SET segmentation.read = refreshed;
SELECT segment.size('made.many');
SELECT count(*) FROM made.many;
RESET segmentation.read;
RESET ROLE;
SELECT segment.size('made.many');
SELECT reads FROM segment.status WHERE segment = 'made.many'::regclass;
SELECT segment.refresh('made.many');
SELECT segment, state, message FROM segment.status WHERE segment = 'made.many'::regclass;
SET ROLE regress_segment_reader;
SELECT segment.size('many');
SELECT segment.size('mine');
RESET ROLE;
GRANT SELECT ON shop.orders TO regress_segment_maker;
SET ROLE regress_segment_reader;
SELECT segment.size('many'), count(*) FROM many;
RESET ROLE;
SELECT segment.refresh('made.many');
SELECT segment, state, message FROM segment.status WHERE segment = 'made.many'::regclass;

-- ---- row security ----

-- on the subject table (in the view the policies of its owner hold, as in any view: there are none, so no rows)
ALTER TABLE shop.customers ENABLE ROW LEVEL SECURITY;
SET ROLE regress_segment_reader;
SELECT segment.size('mine');
SELECT count(*) FROM mine;
RESET ROLE;
ALTER TABLE shop.customers DISABLE ROW LEVEL SECURITY;
SELECT segment.size('made.mine');
-- on another source
ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY small ON shop.orders USING (amount < 100);
SET ROLE regress_segment_reader;
SELECT segment.size('many');
SELECT count(*) FROM many;
SET ROLE regress_segment_maker;
SET search_path = made, shop;
DO LANGUAGE segment $$ CREATE SEGMENT hidden ON customers WHERE count(orders) > 1 $$;
DO LANGUAGE segment $$ REFRESH SEGMENT many $$;
SET ROLE regress_segment_shop;
SET search_path = shop;
-- does not concern the owner of the table
SELECT segment.members('buyers');
ALTER TABLE shop.orders FORCE ROW LEVEL SECURITY;
SELECT segment.members('buyers');
DO LANGUAGE segment $$ CREATE SEGMENT hidden ON customers WHERE count(orders) > 1 $$;
ALTER TABLE shop.orders NO FORCE ROW LEVEL SECURITY;
ALTER TABLE shop.orders DISABLE ROW LEVEL SECURITY;
DROP POLICY small ON shop.orders;
RESET ROLE;
SELECT segment.members('made.many') OPERATOR(segment.=) segment.members('shop.buyers') AS same;

-- ---- pinned settings ----

SET ROLE regress_segment_shop;
SET search_path = shop;
SET TimeZone = 'Europe/Warsaw';
SET DateStyle = 'German';
SET IntervalStyle = 'iso_8601';
CREATE FUNCTION grade(int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ''even'' WHERE $1 % 2 = 0';
CREATE FUNCTION graded(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN grade($1); END $$;
DO LANGUAGE segment $$
	CREATE SEGMENT by_day ON customers WHERE seen_at::date = '11.03.2024' AND seen_at::text LIKE '11.03.2024 00:30%';
	CREATE SEGMENT in_tokyo ON customers WITH (timezone = 'Asia/Tokyo') WHERE extract(hour FROM seen_at) = 8;
	CREATE SEGMENT spelled ON customers WHERE (seen_at - '2024-03-09')::text LIKE 'P%' AND graded(id) = 'even';
$$;
SELECT segment.members('by_day'), segment.members('in_tokyo'), segment.members('spelled');
GRANT SELECT ON by_day, in_tokyo, spelled TO regress_segment_other;
SET ROLE regress_segment_other;
-- all else than pinned, and names that lead elsewhere
CREATE FUNCTION trap.grade(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE EXCEPTION 'caught %', current_user; END $$;
CREATE FUNCTION trap.graded(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE EXCEPTION 'caught %', current_user; END $$;
CREATE TABLE trap.customers (id int, country text);
CREATE FUNCTION trap.same(int, int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE EXCEPTION 'caught %', current_user; END $$;
CREATE OPERATOR trap.= (LEFTARG = int, RIGHTARG = int, FUNCTION = trap.same);
SET search_path = trap, pg_catalog, shop;
SET TimeZone = 'America/Lima';
SET DateStyle = 'SQL, MDY';
SET IntervalStyle = 'postgres_verbose';
SELECT segment.members('by_day'), segment.members('in_tokyo'), segment.members('spelled');
SELECT count(*) FROM by_day;
SELECT count(*) FROM in_tokyo;
SELECT count(*) FROM spelled;
SELECT segment.contains('spelled', 2), segment.contains('spelled', 3);
SELECT value, result FROM segment.explain('in_tokyo', 1);
RESET ROLE;
SELECT segment.refresh();
SELECT segment.members('by_day'), segment.members('in_tokyo'), segment.members('spelled');
UPDATE shop.customers SET seen_at = '2024-03-10 22:30+00' WHERE id <= 4;
SELECT segment.members('by_day'), segment.members('in_tokyo'), segment.members('spelled');
SHOW TimeZone;
SHOW DateStyle;
SHOW search_path;
RESET TimeZone;
RESET DateStyle;
RESET IntervalStyle;
RESET search_path;
SELECT segment.members('shop.by_day'), segment.members('shop.in_tokyo'), segment.members('shop.spelled');

-- ---- another owner ----

GRANT USAGE, CREATE ON SCHEMA made TO regress_segment_other;
ALTER VIEW made.many OWNER TO regress_segment_other;
SET ROLE regress_segment_reader;
SELECT segment.size('made.many');
SELECT count(*) FROM made.many;
RESET ROLE;
SELECT segment.refresh('made.many');
DO LANGUAGE segment $$ ALTER SEGMENT made.mine OWNER TO regress_segment_other $$;
SELECT segment, owner FROM segment.segments WHERE segment IN ('made.mine'::regclass, 'made.many'::regclass) ORDER BY segment::text;
GRANT SELECT, TRIGGER ON shop.customers, shop.orders TO regress_segment_other;
-- the right to an inner segment
SET ROLE regress_segment_maker;
SET search_path = made, shop;
DO LANGUAGE segment $$ CREATE SEGMENT outside ON customers WHERE NOT in_segment('mine'); REFRESH SEGMENT outside $$;
RESET ROLE;
RESET search_path;
DO LANGUAGE segment $$ ALTER SEGMENT made.mine OWNER TO regress_segment_other $$;
SELECT segment, owner FROM segment.segments WHERE segment IN ('made.mine'::regclass, 'made.many'::regclass) ORDER BY segment::text;
SELECT segment.size('made.outside');
GRANT SELECT ON made.mine TO regress_segment_maker;
SELECT segment.size('made.outside');
DROP VIEW made.outside;
SET ROLE regress_segment_reader;
SELECT segment.size('made.many'), segment.size('made.mine');
SELECT count(*) FROM made.many;
SET ROLE regress_segment_other;
SET search_path = made;
DO LANGUAGE segment $$ REFRESH SEGMENT ALL; ALTER SEGMENT many RENAME TO lots; DROP SEGMENT mine; $$;
RESET ROLE;
RESET search_path;
-- a role goes with what it owns
SELECT segment, owner FROM segment.segments ORDER BY segment::text;
SELECT count(*) > 0 AS triggers FROM pg_trigger WHERE tgrelid = 'shop.orders'::regclass AND tgname LIKE '00_segment%';
DROP OWNED BY regress_segment_other;
SELECT segment, owner FROM segment.segments ORDER BY segment::text;
SELECT segment.size('shop.buyers');
UPDATE shop.orders SET amount = 10000 WHERE id = 1;
SELECT segment.size('shop.buyers');

SET client_min_messages = warning;
DROP FUNCTION public.leak(text);
DROP OWNED BY regress_segment_shop, regress_segment_maker, regress_segment_reader, regress_segment_writer, regress_segment_other CASCADE;
DROP EXTENSION segmentation;
DROP ROLE regress_segment_shop, regress_segment_maker, regress_segment_reader, regress_segment_writer, regress_segment_other;

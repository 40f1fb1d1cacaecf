-- The statements about segments, run by an ordinary role on its own tables.
CREATE EXTENSION segmentation;
CREATE ROLE regress_segment_alice;
CREATE ROLE regress_segment_bob;
CREATE SCHEMA shop AUTHORIZATION regress_segment_alice;
CREATE SCHEMA "other shop" AUTHORIZATION regress_segment_alice;
SET TimeZone = 'Europe/Lisbon';
SET ROLE regress_segment_alice;
SET search_path = shop, public;
CREATE TABLE customers (id bigint PRIMARY KEY, name text, country text, phone text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id bigint REFERENCES customers, amount numeric, status text);
CREATE TABLE calls (id int PRIMARY KEY, phone text, seconds int);
CREATE TABLE "order" (id smallint PRIMARY KEY, "Total" int, "śród" int);
INSERT INTO customers SELECT i, 'n' || i, CASE WHEN i % 2 = 0 THEN 'DE' ELSE 'PL' END, '+' || i FROM generate_series(1, 10) i;
INSERT INTO orders SELECT i, i % 10 + 1, i * 10, CASE WHEN i % 4 = 0 THEN 'open' ELSE 'paid' END FROM generate_series(1, 40) i;
INSERT INTO calls SELECT i, '+' || i % 5, i FROM generate_series(1, 20) i;
INSERT INTO "order" SELECT i, i, i FROM generate_series(1, 5) i;

-- what the registration says (settings are those of the session)
CREATE VIEW registered AS
	SELECT view::text, enabled, options,
		substring(array_to_string(settings, ';') FROM 'search_path=([^;]*)') AS search_path,
		substring(array_to_string(settings, ';') FROM 'TimeZone=([^;]*)') AS timezone
	FROM segment.segment ORDER BY view::text COLLATE "C";

-- CREATE SEGMENT: several in one block, comments, dollar quotes, quoting as in SQL
DO LANGUAGE segment $do$
	-- a comment; with a semicolon
	CREATE SEGMENT german ON customers WHERE country = 'DE';;
	create segment Big on Shop.Customers /* here too; */
		where sum(orders.amount) filter (where orders.status = $$paid$$) > 500;
	CREATE SEGMENT "other shop"."Selected Orders" ON "order" WITH (timezone = 'Europe/Warsaw', max_staleness = '15 min')
		WHERE "Total" > 2 AND U&"\015br\00f3d" < 5 AND 'a;b' <> '';
$do$;
SELECT * FROM german ORDER BY id;
SELECT id FROM big ORDER BY id;
SELECT * FROM "other shop"."Selected Orders" ORDER BY id;
SELECT * FROM registered;
SELECT reloptions, relkind FROM pg_class WHERE relname = 'german';

-- AS: segments of segments
SELECT * FROM segment.execute($$
	CREATE SEGMENT common AS german & big;
	CREATE SEGMENT either AS german | big;
	CREATE SEGMENT without AS either - common - big;
	CREATE SEGMENT nested WITH (timezone = 'UTC') AS (german - big) | (big - (german));
	CREATE SEGMENT "same" AS shop.german
$$);
SELECT array(SELECT id FROM common ORDER BY 1) AS common, array(SELECT id FROM either ORDER BY 1) AS either,
	array(SELECT id FROM without ORDER BY 1) AS without, array(SELECT id FROM nested ORDER BY 1) AS nested,
	array(SELECT id FROM "same" ORDER BY 1) AS "same";

-- IF NOT EXISTS, OR REPLACE: the id stays, grants stay, new columns are taken up
CREATE TEMP TABLE ids AS SELECT id, view FROM segment.segment;
GRANT SELECT ON german TO regress_segment_bob;
ALTER TABLE customers ADD COLUMN vip boolean;
ALTER TABLE customers RENAME COLUMN name TO full_name;
DO LANGUAGE segment $$ CREATE SEGMENT IF NOT EXISTS german ON customers WHERE false $$;
DO LANGUAGE segment $$ CREATE SEGMENT IF NOT EXISTS customers ON customers WHERE false $$;
SELECT count(*) FROM german;
DO LANGUAGE segment $$ CREATE OR REPLACE SEGMENT german ON customers WHERE country = 'DE' AND full_name <> 'n2' $$;
SELECT * FROM german ORDER BY id;
SELECT has_table_privilege('regress_segment_bob', 'german', 'SELECT');
SELECT count(*) FROM segment.segment JOIN ids USING (id, view) WHERE view = 'german'::regclass;
DO LANGUAGE segment $$ CREATE OR REPLACE SEGMENT fresh ON customers WHERE country = 'PL' $$;
SELECT count(*) FROM fresh;

-- ALTER SEGMENT
DO LANGUAGE segment $$
	ALTER SEGMENT big WHERE count(orders) FILTER (WHERE orders.status = 'open') > 0;
	ALTER SEGMENT german SET (max_staleness = '1 hour', timezone = 'america/new_york');
	ALTER SEGMENT "other shop"."Selected Orders" RESET (timezone, max_staleness);
	ALTER SEGMENT fresh DISABLE;
	ALTER SEGMENT either DISABLE;
	ALTER SEGMENT either ENABLE;
$$;
SELECT id, name FROM big ORDER BY id;
SELECT * FROM registered;
DO LANGUAGE segment $$
	ALTER SEGMENT fresh AS german & big;
	ALTER SEGMENT "same" RENAME TO "Same as German";
	ALTER SEGMENT fresh SET SCHEMA "other shop";
	ALTER SEGMENT IF EXISTS nowhere RENAME TO somewhere;
	COMMENT ON SEGMENT big IS 'has open orders: '';'' ';
	COMMENT ON SEGMENT common IS U&'caf!00e9' UESCAPE '!';
	COMMENT ON SEGMENT common IS NULL;
$$;
SELECT obj_description('big'::regclass, 'pg_class'), obj_description('common'::regclass, 'pg_class');
SELECT array(SELECT id FROM "other shop".fresh ORDER BY 1) AS fresh, array(SELECT id FROM "Same as German" ORDER BY 1) AS "same";
-- the same by PostgreSQL's own statements
ALTER VIEW "Same as German" RENAME TO same;
ALTER VIEW "other shop".fresh SET SCHEMA shop;
COMMENT ON VIEW big IS 'open orders';
SELECT pg_get_viewdef('fresh') ~ 'contains\(''german''' AS follows;
SELECT view FROM registered;

-- owner: it must be able to read what the segment reads
RESET ROLE;
GRANT USAGE, CREATE ON SCHEMA shop TO regress_segment_bob;
DO LANGUAGE segment $$ ALTER SEGMENT big OWNER TO regress_segment_bob $$;
GRANT SELECT, TRIGGER ON customers, orders TO regress_segment_bob;
DO LANGUAGE segment $$ ALTER SEGMENT big OWNER TO regress_segment_bob $$;
SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'big'::regclass;
-- a role with SELECT and TRIGGER on the tables can do the same
SET ROLE regress_segment_bob;
DO LANGUAGE segment $$
	ALTER SEGMENT big WHERE max(orders.amount) >= 390;
	CREATE SEGMENT bobs ON customers WHERE country = 'DE' AND in_segment('big');
	ALTER SEGMENT bobs OWNER TO CURRENT_USER;
$$;
SELECT id FROM bobs ORDER BY id;
DO LANGUAGE segment $$ CREATE SEGMENT calling ON customers WHERE country = 'DE' AND NOT in_segment('either') $$;
DO LANGUAGE segment $$ ALTER SEGMENT either DISABLE $$;
DO LANGUAGE segment $$ DROP SEGMENT either $$;
DO LANGUAGE segment $$ REFRESH SEGMENT either $$;
DO LANGUAGE segment $$ CREATE SEGMENT caller ON customers WHERE EXISTS (SELECT FROM calls WHERE calls.phone = customers.phone) $$;
RESET ROLE;
DO LANGUAGE segment $$ DROP SEGMENT bobs; ALTER SEGMENT big OWNER TO regress_segment_alice $$;
SET ROLE regress_segment_alice;

-- links; a phone number is no integer, so calls touch everybody, which the statement says
SET client_min_messages = warning;
DO LANGUAGE segment $$
	CREATE LINK ON calls (phone) REFERENCES customers (phone);
	CREATE SEGMENT talkative ON customers WHERE sum(calls.seconds) > 30;
$$;
SELECT source, column_name, target, key_name FROM segment.link;
SELECT id FROM talkative ORDER BY id;
DO LANGUAGE segment $$ CREATE LINK ON calls (id) REFERENCES customers $$;
ALTER TABLE calls RENAME COLUMN phone TO number;
SELECT id FROM talkative ORDER BY id;
-- a link follows renames, and is left out when its column is gone
SELECT column_name, key_name FROM segment.link;
DO LANGUAGE segment $$
	CREATE SEGMENT silent ON customers WHERE count(calls) = 0;
	DROP LINK ON shop.calls REFERENCES shop.customers CASCADE;
$$;
ALTER TABLE calls ADD COLUMN other text;
DO LANGUAGE segment $$ CREATE LINK ON calls (other) REFERENCES customers (phone) $$;
ALTER TABLE calls DROP COLUMN other;
DO LANGUAGE segment $$ CREATE SEGMENT silence ON customers WHERE count(calls) = 0 $$;
DO LANGUAGE segment $$ DROP LINK ON calls REFERENCES customers $$;
RESET client_min_messages;
DO LANGUAGE segment $$ DROP LINK IF EXISTS ON calls REFERENCES customers $$;
SELECT id FROM silent ORDER BY id;
SELECT id FROM talkative ORDER BY id;

-- typed functions
SELECT segment.create_segment('typed', 'ON customers WHERE country = ''DE''', '{"timezone": "Europe/Warsaw"}');
SELECT segment.create_segment('"Typed Two"', d, '{"or_replace": true}')
	FROM (VALUES ('ON customers WHERE country = ''PL'''::segment.definition)) v(d);
SELECT segment.create_segment('shop.typed', 'ON customers WHERE false', '{"if_not_exists": true}');
SELECT segment.alter_segment('typed', 'ON customers WHERE country = ''PL''', '{"timezone": null, "max_staleness": "1 day", "enabled": false}');
SELECT segment.alter_segment('typed', options => '{"enabled": true}');
SELECT count(*) FROM typed;
SELECT * FROM registered WHERE view ILIKE '%typed%';
SELECT segment.link('calls', 'number', 'customers', 'phone');
SELECT segment.unlink('calls', 'customers');
SELECT segment.refresh('typed');
SELECT segment.refresh();
PREPARE make(text, segment.definition) AS SELECT segment.create_segment($1, $2);
EXECUTE make('prepared', 'ON customers WHERE id < 3');
SELECT count(*) FROM prepared;
SELECT segment.drop_segment('typed');
SELECT segment.drop_segment('"Typed Two"', "cascade" => true);

-- constants are read in the segment's time zone, not in the session's
CREATE TABLE events (id int PRIMARY KEY, at timestamptz);
INSERT INTO events VALUES (1, '2024-01-01 00:30 Asia/Tokyo'), (2, '2024-01-01 00:30 UTC');
DO LANGUAGE segment $$
	CREATE SEGMENT in_tokyo ON events WITH (timezone = 'Asia/Tokyo') WHERE at >= '2024-01-01';
	CREATE SEGMENT in_utc ON events WITH (timezone = 'UTC') WHERE at >= '2024-01-01';
	CREATE SEGMENT day_in_tokyo ON events WITH (timezone = 'Asia/Tokyo') WHERE at::date = '2024-01-01';
$$;
SHOW TimeZone;
SELECT array(SELECT id FROM in_tokyo ORDER BY 1) AS tokyo, array(SELECT id FROM in_utc) AS utc, array(SELECT id FROM day_in_tokyo ORDER BY 1) AS day;
DO LANGUAGE segment $$ ALTER SEGMENT in_utc WHERE at < '2024-01-01'; ALTER SEGMENT in_tokyo WHERE at < '2024-01-01' $$;
SELECT array(SELECT id FROM in_tokyo ORDER BY 1) AS tokyo, array(SELECT id FROM in_utc) AS utc, array(SELECT id FROM day_in_tokyo ORDER BY 1) AS day;
DO LANGUAGE segment $$ DROP SEGMENT in_tokyo, in_utc, day_in_tokyo $$;
DROP TABLE events;

-- REFRESH
SELECT * FROM segment.execute('REFRESH SEGMENT german, big; REFRESH SEGMENT german; REFRESH SEGMENT ALL');

-- DROP
SELECT * FROM segment.execute('DROP SEGMENT prepared; DROP SEGMENT IF EXISTS prepared, silent; DROP SEGMENT IF EXISTS nowhere.prepared');
DO LANGUAGE segment $$ DROP SEGMENT german $$;
DO LANGUAGE segment $$ DROP SEGMENT big, without, common, either, nested, fresh, same, german $$;
SELECT view FROM registered;
-- triggers are left where a segment still reads
SELECT DISTINCT tgrelid::regclass FROM pg_trigger WHERE tgfoid = 'segment.capture'::regproc ORDER BY 1;
DO LANGUAGE segment $$ DROP SEGMENT talkative CASCADE; DROP SEGMENT "other shop"."Selected Orders" RESTRICT $$;
SELECT count(*) FROM pg_trigger WHERE tgfoid = 'segment.capture'::regproc;
SELECT count(*) FROM segment.segment;

-- nothing happens when one statement of a block is wrong
DO LANGUAGE segment $$ CREATE SEGMENT one ON customers WHERE true; CREATE SEGMENT two ON customers WHERE $$;
DO LANGUAGE segment $$ CREATE SEGMENT one ON customers WHERE true; CREATE SEGMENT two ON customers WHERE nothing $$;
SELECT count(*) FROM segment.segment;
DO LANGUAGE segment '';
SELECT * FROM segment.execute(' -- nothing ');

RESET ROLE;
RESET search_path;
DROP SCHEMA shop, "other shop" CASCADE;
DROP OWNED BY regress_segment_alice, regress_segment_bob;
DROP EXTENSION segmentation;
DROP ROLE regress_segment_alice, regress_segment_bob;

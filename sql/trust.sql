-- What a segment may not do to those who look at it, and what others may do to a segment.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION segmentation;
CREATE ROLE trust_owner;
GRANT CREATE ON SCHEMA public TO trust_owner;
CREATE TYPE level AS ENUM ('silver', 'gold');
CREATE TABLE customers (id int PRIMARY KEY, country text, lvl level);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, placed_at timestamptz);
INSERT INTO customers VALUES (1, 'DE', 'gold'), (2, 'PL', 'silver'), (3, 'DE', 'silver');
INSERT INTO orders VALUES (1, 1, now()), (2, 1, now()), (3, 2, now());
ALTER TABLE customers OWNER TO trust_owner;
ALTER TABLE orders OWNER TO trust_owner;
DO LANGUAGE segment $$ CREATE LINK ON orders (customer_id) REFERENCES customers $$;

-- code of the owner runs as the owner, or not at all: not as who compiles or refreshes
CREATE FUNCTION one() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN IF current_user <> 'trust_owner' THEN RAISE WARNING 'one() runs as somebody else'; END IF; RETURN 1; END $$;
CREATE DOMAIN small AS int CHECK (VALUE < 10 + one());
SET ROLE trust_owner;
DO LANGUAGE segment $$
	CREATE SEGMENT often ON customers WHERE (SELECT count(*) FROM orders o WHERE o.customer_id = customers.id AND o.placed_at > now() - interval '1 day') > one();
	CREATE SEGMENT often_small ON customers WHERE (SELECT count(*) FROM orders o WHERE o.customer_id = customers.id AND o.placed_at > now() - interval '1 day') > 1::small;
	CREATE SEGMENT german ON customers WHERE country = 'DE';
$$;
RESET ROLE;
\c
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT segment FROM segment.segments ORDER BY segment::text;
SELECT segment.refresh_step('customers', 0);
SELECT view, segment.members(view) FROM segment.segment ORDER BY id;
SELECT * FROM segment.verify() WHERE missing <> 0 OR extra <> 0;

-- a view that somebody has redefined so that it is none of ours: the others are refreshed
SELECT id FROM segment.segment WHERE view = 'often'::regclass \gset
CREATE OR REPLACE VIEW often AS SELECT id, country, lvl FROM customers WHERE segment.holds(:id, id, segment.contains('german'::regclass, 1));
UPDATE customers SET country = 'DE' WHERE id = 2;
\c
\set VERBOSITY terse
SET client_min_messages = warning;
DO LANGUAGE segment 'REFRESH SEGMENT ALL';
SELECT base_size, pending FROM segment.status WHERE segment = 'german'::regclass;
SELECT segment, state, message FROM segment.status ORDER BY segment::text COLLATE "C";
SELECT segment, subject_table, definition IS NOT NULL AS defined FROM segment.segments ORDER BY segment::text COLLATE "C";
SELECT segment.segments_of('customers', 2);
-- what it may hold of a subject is erased with the rest, and what it had built is given up
INSERT INTO customers (id, country) VALUES (99, 'DE');
DO LANGUAGE segment 'REFRESH SEGMENT german';
DELETE FROM customers WHERE id = 99;
SELECT relation, left_over FROM segment.forget('customers', '{99}');
SELECT segment.members('german');
DROP VIEW often, often_small;

-- the labels of an enum, and their order, are data
DO LANGUAGE segment $$
	CREATE SEGMENT gold ON customers WHERE lvl::text = 'gold';
	CREATE SEGMENT highest ON customers WHERE lvl = enum_last(NULL::level);
	REFRESH SEGMENT ALL;
$$;
SELECT segment.members('gold') AS gold, segment.members('highest') AS highest;
ALTER TYPE level RENAME VALUE 'gold' TO 'or';
ALTER TYPE level ADD VALUE 'platinum';
SELECT segment.members('gold') AS gold, segment.members('highest') AS highest;
SELECT * FROM segment.verify() WHERE missing <> 0 OR extra <> 0;

-- an inheritance child: its rows are not those of the table with the same key
CREATE TABLE more_customers () INHERITS (customers);
INSERT INTO more_customers VALUES (1, 'PL', 'or'), (9, 'DE', 'or');
SELECT * FROM german ORDER BY id, country;
DROP TABLE more_customers;
SELECT id FROM german ORDER BY id;

-- holds() written by hand, in a plan that is kept
SELECT id FROM segment.segment WHERE view = 'german'::regclass \gset
PREPARE kept AS SELECT count(*) FROM customers WHERE segment.holds(:id, id, country = 'DE'::text);
EXECUTE kept;
DO LANGUAGE segment $$ ALTER SEGMENT german WHERE country = 'PL' $$;
EXECUTE kept;

-- a function of the same name in our schema is none of ours
CREATE FUNCTION segment.holds(int, int, boolean) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
\set VERBOSITY default
DO LANGUAGE segment $$ CREATE SEGMENT fooled ON customers WHERE country = 'FR' $$;
DROP FUNCTION segment.holds(int, int, boolean);

\set VERBOSITY terse
-- functions of ours that anybody may put to uses of his own
CREATE FUNCTION same(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN $1 = $2; END';
CREATE OPERATOR public.=== (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = same, RESTRICT = segment.id_selectivity);
CREATE TEMP TABLE numbers (n bigint);
SELECT count(*) FROM numbers WHERE n OPERATOR(public.===) 5::bigint;
DROP OPERATOR public.=== (bigint, bigint);
DROP FUNCTION same;
CREATE TEMP TABLE parts (part int, c bool, k bigint) PARTITION BY LIST (part);
CREATE TEMP TABLE part1 PARTITION OF parts FOR VALUES IN (1);
CREATE TEMP TABLE part2 PARTITION OF parts FOR VALUES IN (2);
INSERT INTO parts SELECT 1, false, 5 FROM generate_series(1, 2000);
INSERT INTO parts SELECT 2, true, -1 FROM generate_series(1, 2000);
ANALYZE parts;
SET enable_partitionwise_aggregate = on;
SELECT pg_typeof(segment.count_flip(c, now(), k)) FROM parts;
RESET enable_partitionwise_aggregate;
DROP TABLE parts, numbers;
-- a condition that doubles with each level, one that would refresh
DO $do$
DECLARE
	e text := $$CASE WHEN now() > timestamptz '2020-01-01' THEN 1 ELSE 0 END$$;
BEGIN
	FOR i IN 1 .. 40 LOOP
		e := format('CASE (%s) WHEN 1 THEN 1 WHEN 2 THEN 2 ELSE 3 END', e);
	END LOOP;
	PERFORM segment.create_segment('bomb', format('ON customers WHERE %s = 3', e)::segment.definition);
END $do$;
CREATE FUNCTION refreshes(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM segment.refresh('gold'); RETURN true; END $$;
DO LANGUAGE segment $$ CREATE SEGMENT deep ON customers WHERE refreshes(id) $$;
DO LANGUAGE segment 'REFRESH SEGMENT deep';
DROP VIEW deep;
DROP FUNCTION refreshes;

DROP EXTENSION segmentation CASCADE;
DROP TABLE customers, orders;
DROP TYPE level;
DROP DOMAIN small;
DROP FUNCTION one();
REVOKE CREATE ON SCHEMA public FROM trust_owner;
DROP ROLE trust_owner;

-- whoever installs the extension: its schema is no longer his
DROP SCHEMA segment;
CREATE ROLE trust_installer;
CREATE SCHEMA mine AUTHORIZATION trust_installer;
DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO trust_installer', current_database()); END $$;
SET ROLE trust_installer;
\set VERBOSITY terse
CREATE SCHEMA segment;
-- somebody may be making something in it, that cannot be seen yet
CREATE EXTENSION segmentation;
BEGIN;
GRANT USAGE ON SCHEMA segment TO PUBLIC;
CREATE EXTENSION segmentation;
ROLLBACK;
DROP SCHEMA segment;
BEGIN;
CREATE SCHEMA segment;
CREATE TABLE segment.consumer (name text PRIMARY KEY, owner regrole, follow boolean);
CREATE EXTENSION segmentation;
ROLLBACK;
BEGIN;
CREATE SCHEMA segment;
GRANT CREATE ON SCHEMA segment TO PUBLIC;
CREATE EXTENSION segmentation;
ROLLBACK;
\set VERBOSITY terse
CREATE EXTENSION segmentation;
ALTER SCHEMA segment RENAME TO ours;
CREATE TABLE segment.mine (id int);
DROP TABLE segment.consumer;
SELECT nspowner = 'trust_installer'::regrole AS mine FROM pg_namespace WHERE nspname = 'segment';
-- nor is another one of that name taken for it
RESET ROLE;
ALTER SCHEMA segment RENAME TO hidden;
SET ROLE trust_installer;
CREATE SCHEMA segment;
\set VERBOSITY default
SELECT hidden.create_consumer('x');
CREATE TABLE mine.t (id int, n int);
ALTER TABLE mine.t RENAME COLUMN n TO m;
DROP TABLE mine.t;
\set VERBOSITY terse
DROP SCHEMA segment;
RESET ROLE;
ALTER SCHEMA hidden RENAME TO segment;
SET ROLE trust_installer;
DROP EXTENSION segmentation CASCADE;
RESET ROLE;
DROP SCHEMA segment;
DROP SCHEMA mine;
DROP OWNED BY trust_installer;
DROP ROLE trust_installer;

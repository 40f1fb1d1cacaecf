-- Registration follows the view, whichever way that is changed or dropped.
CREATE EXTENSION segmentation;
CREATE ROLE regress_segment_carol;
CREATE ROLE regress_segment_dave;
CREATE SCHEMA here AUTHORIZATION regress_segment_carol;
SET client_min_messages = warning;
SET ROLE regress_segment_carol;
SET search_path = here;
CREATE TABLE customers (id int PRIMARY KEY, country text, age int);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, amount int);
CREATE TABLE lists (member int);
CREATE VIEW registered AS SELECT view::text FROM segment.segment ORDER BY id;
CREATE VIEW captured AS
	SELECT DISTINCT tgrelid::regclass::text AS source, tgnargs, convert_from(tgargs, 'UTF8') AS arguments
	FROM (SELECT tgrelid, tgnargs, replace(encode(tgargs, 'escape'), '\000', ';')::bytea AS tgargs
		FROM pg_trigger WHERE tgfoid = 'segment.capture'::regproc AND tgnargs > 0) t ORDER BY 1;
CREATE FUNCTION make() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT command FROM segment.execute($x$
		CREATE SEGMENT young ON customers WHERE age < 30;
		CREATE SEGMENT german ON customers WHERE country = 'DE';
		CREATE SEGMENT buyers ON customers WHERE sum(orders.amount) > 10;
		CREATE SEGMENT young_buyers AS young & buyers;
	$x$)
$$;
SELECT count(*) FROM make();
SELECT * FROM registered;
SELECT * FROM captured;

-- nothing stays of what is rolled back
BEGIN;
DO LANGUAGE segment $$ DROP SEGMENT german; CREATE SEGMENT odd ON customers WHERE id % 2 = 1 $$;
SELECT * FROM registered;
SAVEPOINT s;
DO LANGUAGE segment $$ ALTER SEGMENT odd WHERE orders IS NULL $$;
ROLLBACK TO s;
DO LANGUAGE segment $$ ALTER SEGMENT odd RENAME TO odder; CREATE LINK ON lists (member) REFERENCES customers $$;
ROLLBACK;
SELECT * FROM registered;
SELECT count(*) FROM segment.link;

-- what is compiled follows changes of view and tables
ALTER TABLE customers RENAME TO people;
ALTER TABLE people RENAME COLUMN age TO years;
DO LANGUAGE segment $$ ALTER SEGMENT young WHERE years < 40; CREATE SEGMENT old ON people WHERE NOT in_segment('young') $$;
ALTER TABLE people RENAME TO customers;
ALTER TABLE customers RENAME COLUMN years TO age;
INSERT INTO customers VALUES (1, 'DE', 20), (2, 'PL', 50), (3, 'DE', 60);
SELECT id FROM old ORDER BY id;
DO LANGUAGE segment $$ ALTER SEGMENT old AS old $$;

-- triggers record what is read: ALTER and DROP narrow them
SELECT * FROM captured;
DO LANGUAGE segment $$ ALTER SEGMENT german WHERE age > 50; DROP SEGMENT young_buyers, buyers $$;
SELECT * FROM captured;

-- every way of dropping
DROP VIEW german;
SELECT * FROM registered;
ALTER TABLE customers DROP COLUMN age CASCADE;
SELECT * FROM registered;
SELECT * FROM captured;
ALTER TABLE customers ADD COLUMN age int;
SELECT count(*) FROM make();
DROP TABLE orders CASCADE;
SELECT * FROM registered;
SELECT * FROM captured;
DO LANGUAGE segment $$ CREATE LINK ON lists (member) REFERENCES customers; CREATE SEGMENT listed ON customers WHERE count(lists) > 0 $$;
SELECT * FROM captured;
ALTER TABLE customers DROP CONSTRAINT customers_pkey CASCADE;
SELECT * FROM registered;
SELECT count(*) FROM segment.link;
DROP TABLE lists;
SELECT count(*) FROM segment.link;
ALTER TABLE customers ADD PRIMARY KEY (id);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, amount int);
SELECT count(*) FROM make();
RESET ROLE;
SET session_replication_role = replica;
DROP VIEW german;
RESET session_replication_role;
SELECT * FROM registered;
-- an index instead of a constraint
CREATE TABLE indexed (id int NOT NULL);
CREATE UNIQUE INDEX indexed_key ON indexed (id);
DO LANGUAGE segment $$ CREATE SEGMENT by_index ON indexed WHERE id > 3 $$;
DROP INDEX indexed_key;
DROP INDEX indexed_key CASCADE;
SELECT * FROM registered;

-- who drops something else never notices
SET ROLE regress_segment_dave;
CREATE TEMP TABLE unrelated (id int);
DROP TABLE unrelated;
RESET ROLE;

-- a registration whose view was turned into something else is no segment any more
DO LANGUAGE segment $$ CREATE SEGMENT turned ON customers WHERE true; CREATE SEGMENT kept ON customers WHERE age > 3 $$;
CREATE OR REPLACE VIEW turned AS SELECT id, country, age FROM customers;
DO LANGUAGE segment $$ ALTER SEGMENT turned WHERE true $$;
DO LANGUAGE segment $$ CREATE SEGMENT x AS turned $$;
DO LANGUAGE segment $$ DROP SEGMENT kept, turned $$;

-- the user's part of a dump
SELECT c.relname FROM pg_extension e, unnest(extconfig) u(oid) JOIN pg_class c USING (oid) WHERE extname = 'segmentation'
	AND c.relname IN ('segment', 'link', 'segment_id_seq') ORDER BY 1;

DROP TABLE indexed;
DROP OWNED BY regress_segment_carol;
SELECT * FROM segment.segment;
SELECT count(*) FROM pg_trigger WHERE tgfoid = 'segment.capture'::regproc;
RESET search_path;
DROP SCHEMA IF EXISTS here CASCADE;
-- the segments keep the extension
CREATE TABLE public.t (id int PRIMARY KEY);
DO LANGUAGE segment $$ CREATE SEGMENT s ON public.t WHERE id > 0 $$;
DROP EXTENSION segmentation;
RESET client_min_messages;
DROP EXTENSION segmentation CASCADE;
DROP TABLE t;
DROP ROLE regress_segment_carol, regress_segment_dave;

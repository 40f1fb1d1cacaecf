-- What writes leave behind in segment.invalidation.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION segmentation;

-- The triggers of a source, made by hand: captures are 'key:column,...'
CREATE FUNCTION track(source regclass, VARIADIC captures text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	args text := (SELECT string_agg(quote_literal(c), ', ' ORDER BY n) FROM unnest(captures) WITH ORDINALITY AS u(c, n));
BEGIN
	EXECUTE format('CREATE TRIGGER "00_segment_before" BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s EXECUTE FUNCTION segment.capture()', source);
	EXECUTE format('CREATE TRIGGER "00_segment_insert" AFTER INSERT ON %s REFERENCING NEW TABLE AS n EXECUTE FUNCTION segment.capture(%s)', source, args);
	EXECUTE format('CREATE TRIGGER "00_segment_update" AFTER UPDATE ON %s REFERENCING OLD TABLE AS o NEW TABLE AS n EXECUTE FUNCTION segment.capture(%s)', source, args);
	EXECUTE format('CREATE TRIGGER "00_segment_delete" AFTER DELETE ON %s REFERENCING OLD TABLE AS o EXECUTE FUNCTION segment.capture(%s)', source, args);
	EXECUTE format('CREATE TRIGGER "00_segment_replica" AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION segment.capture(%s)', source, args);
	EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER "00_segment_before", ENABLE ALWAYS TRIGGER "00_segment_insert",
		ENABLE ALWAYS TRIGGER "00_segment_update", ENABLE ALWAYS TRIGGER "00_segment_delete", ENABLE REPLICA TRIGGER "00_segment_replica"', source);
END $$;

-- What was recorded since the last look, transactions numbered from 1.
CREATE FUNCTION recorded() RETURNS TABLE (tx bigint, n int, source name, key smallint, keys text) LANGUAGE sql AS $$
	WITH rows AS (DELETE FROM segment.invalidation RETURNING *)
	SELECT dense_rank() OVER (ORDER BY r.xid), r.n, c.relname, r.key,
		CASE WHEN r.keys IS NULL THEN 'everybody' ELSE r.keys::text END
	FROM rows r LEFT JOIN pg_class c ON c.oid = r.source ORDER BY r.xid, r.n
$$;

CREATE TABLE customer (id int PRIMARY KEY, country text, note text);
CREATE TABLE purchase (id bigint PRIMARY KEY, customer_id int REFERENCES customer ON DELETE CASCADE ON UPDATE CASCADE,
	amount numeric, note text, shop smallint);
SELECT track('customer', '1:1,2');
SELECT track('purchase', '2:2,3');
-- DDL on a source touches everybody
SELECT DISTINCT source, key, keys FROM recorded() ORDER BY 1;

-- every way to write
INSERT INTO customer SELECT g, 'DE', 'x' FROM generate_series(1, 10) g;
INSERT INTO customer VALUES (11, 'PL', NULL), (100000, 'PL', NULL);
INSERT INTO purchase VALUES (1, 1, 10, 'a', 1), (2, 1, 20, 'b', 1), (3, 2, 5, 'c', 2), (4, NULL, 1, 'guest', 2);
SELECT * FROM recorded();
UPDATE purchase SET amount = amount + 1 WHERE id = 3;
DELETE FROM purchase WHERE id = 2;
COPY customer FROM stdin;
12	FR	copied
13	FR	copied
\.
SELECT * FROM recorded();
INSERT INTO customer VALUES (1, 'FR', NULL), (14, 'FR', NULL)
	ON CONFLICT (id) DO UPDATE SET country = excluded.country;
INSERT INTO customer VALUES (1, 'FR', NULL) ON CONFLICT DO NOTHING;
MERGE INTO customer c USING (VALUES (2, 'US'), (3, 'drop'), (15, 'US')) v(id, country) ON c.id = v.id
	WHEN MATCHED AND v.country = 'drop' THEN DELETE
	WHEN MATCHED THEN UPDATE SET country = v.country
	WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.country);
SELECT * FROM recorded();
WITH d AS (DELETE FROM customer WHERE id = 4 RETURNING id),
	i AS (INSERT INTO customer VALUES (16, 'IT') RETURNING id),
	j AS (INSERT INTO customer VALUES (17, 'IT') RETURNING id)
	SELECT * FROM d UNION ALL SELECT * FROM i UNION ALL SELECT * FROM j;
SELECT * FROM recorded();
UPDATE customer SET country = 'AT' FROM purchase p WHERE p.customer_id = customer.id AND p.id = 3;
SELECT * FROM recorded();

-- nothing to say
INSERT INTO customer SELECT * FROM customer WHERE false;
UPDATE customer SET note = 'y';
UPDATE customer SET country = country;
UPDATE purchase SET amount = amount, shop = 7, note = NULL;
DELETE FROM customer WHERE id < 0;
UPDATE purchase SET amount = 2 WHERE id = 4;	-- NULL key
BEGIN;
UPDATE customer SET note = 'z';
SELECT pg_current_xact_id_if_assigned() IS NULL AS unassigned FROM customer LIMIT 0;
COMMIT;
SELECT * FROM recorded();

-- equal by "=" is not the same
UPDATE purchase SET amount = 6.0 WHERE id = 3;
SELECT * FROM recorded();

-- keys and links: both sides
UPDATE customer SET id = 50 WHERE id = 5;
UPDATE purchase SET customer_id = 6 WHERE id = 3;
UPDATE purchase SET customer_id = NULL WHERE id = 3;
UPDATE purchase SET customer_id = 7 WHERE id = 3;
SELECT * FROM recorded();

-- cascades tell of the child too; the row that was deleted under another key as well
INSERT INTO purchase SELECT g, 8 + g % 2, 1 FROM generate_series(100, 109) g;
DELETE FROM customer WHERE id IN (8, 9);
UPDATE customer SET id = 70 WHERE id = 7;
SELECT * FROM recorded();

-- savepoints: what is rolled back leaves nothing, numbers do not come back
BEGIN;
INSERT INTO customer VALUES (20);
SAVEPOINT a;
INSERT INTO customer VALUES (21);
SAVEPOINT b;
INSERT INTO customer VALUES (22);
ROLLBACK TO a;
INSERT INTO customer VALUES (23);
RELEASE a;
COMMIT;
BEGIN;
INSERT INTO customer VALUES (24);
ROLLBACK;
SELECT * FROM recorded();
-- the id is reused after a rollback
BEGIN;
SAVEPOINT a;
INSERT INTO customer VALUES (24);
ROLLBACK TO a;
INSERT INTO customer VALUES (24);
DELETE FROM customer WHERE id = 24;
INSERT INTO customer VALUES (24);
COMMIT;
SELECT * FROM recorded();

-- TRUNCATE
TRUNCATE purchase;
TRUNCATE customer CASCADE;
SELECT * FROM recorded();

-- functions, triggers that write the same source, exceptions
CREATE FUNCTION add_twin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.note = 'twin' THEN
		INSERT INTO customer VALUES (NEW.id + 1000);
		BEGIN
			INSERT INTO customer VALUES (NEW.id + 1000);
		EXCEPTION WHEN unique_violation THEN NULL;
		END;
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER twin AFTER INSERT ON customer FOR EACH ROW EXECUTE FUNCTION add_twin();
SELECT * FROM recorded();
INSERT INTO customer VALUES (1, 'DE', 'twin'), (2, 'DE', 'twin');
SELECT n, source, key, keys FROM recorded() ORDER BY keys;
DROP TRIGGER twin ON customer;
SELECT * FROM recorded();

-- a BEFORE trigger changes a column that the statement does not name
CREATE FUNCTION set_country() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.country := 'CH'; RETURN NEW; END $$;
CREATE TRIGGER swiss BEFORE UPDATE ON customer FOR EACH ROW EXECUTE FUNCTION set_country();
UPDATE customer SET note = 'b' WHERE id = 1;
UPDATE customer SET note = 'c' WHERE id = 1;
DROP TRIGGER swiss ON customer;
SELECT * FROM recorded();

-- generated columns; big values; a dropped column; rows count, no column
CREATE TABLE thing (junk int, id smallint PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED, big text, other text);
ALTER TABLE thing DROP COLUMN junk;
ALTER TABLE thing ALTER COLUMN big SET STORAGE EXTERNAL, ALTER COLUMN other SET STORAGE EXTERNAL;
SELECT track('thing', '2:2,4,5');
SELECT DISTINCT source, key, keys FROM recorded() ORDER BY 1;
INSERT INTO thing (id, a, big, other) SELECT g, g, repeat('x', 5000), repeat('x', 5000) FROM generate_series(1, 3) g;
SELECT * FROM recorded();
UPDATE thing SET a = -a WHERE id = 1;
UPDATE thing SET other = 'short';
UPDATE thing SET big = repeat('x', 2500) || repeat('x', 2500) WHERE id = 2;
SELECT * FROM recorded();
UPDATE thing SET big = big || 'y' WHERE id = 2;
UPDATE thing SET big = overlay(big placing 'z' from 10) WHERE id = 3;
SELECT * FROM recorded();

CREATE TABLE event (id bigint, account bigint, kind text);
SELECT track('event', '0:', '!2:2', '1:1,3');
SELECT DISTINCT source, key, keys FROM recorded() ORDER BY 1;
INSERT INTO event VALUES (1, 10, 'a');
UPDATE event SET kind = 'b';
UPDATE event SET account = 11;
UPDATE event SET account = NULL;
DELETE FROM event;
SELECT * FROM recorded();
-- negative keys cannot be recorded: everybody
INSERT INTO event VALUES (2, 7, ''), (-5, 7, ''), (3, 8, '');
SELECT * FROM recorded();
INSERT INTO event VALUES (9223372036854775807, 0, '');
SELECT * FROM recorded();

-- arguments that are not understood: everybody, and no error
CREATE TABLE odd (id int, t text);
SELECT track('odd', 'nonsense', '1:1,99', '2:2', '77:77', '-1:4', '1:', '', '99999:1', '1:1,', '!');
SELECT DISTINCT source, key, keys FROM recorded() ORDER BY 1;
INSERT INTO odd VALUES (1, 'x');
SELECT source, key, keys, count(*) FROM recorded() GROUP BY 1, 2, 3 ORDER BY 2, 3;
UPDATE odd SET id = id;
SELECT source, key, keys, count(*) FROM recorded() GROUP BY 1, 2, 3 ORDER BY 2, 3;
CREATE TRIGGER wrong BEFORE INSERT OR UPDATE OR DELETE ON odd FOR EACH ROW EXECUTE FUNCTION segment.capture('1:1');
UPDATE odd SET id = 2 RETURNING *;
DELETE FROM odd RETURNING *;
DROP TABLE odd;
DELETE FROM segment.invalidation;
SELECT segment.capture();

-- many rows: one row, run-compressed, and a sparse one that goes out of line
INSERT INTO event SELECT g, g, '' FROM generate_series(1000, 100999) g;
SELECT key, pg_column_size(keys) < 200 AS small, segment.cardinality(keys) FROM segment.invalidation ORDER BY key;
DELETE FROM segment.invalidation;
INSERT INTO event SELECT g * 1000003, NULL, '' FROM generate_series(1::bigint, 20000) g;
SELECT key, keys IS NULL AS everybody, segment.cardinality(keys) FROM segment.invalidation ORDER BY key;
SELECT keys OPERATOR(segment.=) (SELECT segment.bitmap_agg(id) FROM event WHERE account IS NULL) AS same FROM segment.invalidation WHERE key = 1;
DELETE FROM segment.invalidation;

-- a session in replica role: statement triggers tell; row triggers do not repeat it
SET session_replication_role = replica;
INSERT INTO customer VALUES (30, 'DE'), (31, 'DE');
UPDATE customer SET country = 'FR' WHERE id = 30;
DELETE FROM customer WHERE id = 31;
SELECT * FROM recorded();
-- row triggers alone, as in an apply worker
ALTER TABLE customer DISABLE TRIGGER "00_segment_before";
SELECT * FROM recorded();
ALTER TABLE customer DISABLE TRIGGER "00_segment_insert", DISABLE TRIGGER "00_segment_update", DISABLE TRIGGER "00_segment_delete";
SELECT * FROM recorded();
INSERT INTO customer VALUES (32, 'DE'), (33, 'DE');
UPDATE customer SET note = 'unread' WHERE id = 32;
UPDATE customer SET id = 34 WHERE id = 33;
DELETE FROM customer WHERE id = 32;
SELECT * FROM recorded();
-- a statement that says it began but never that it ended: everybody, before commit
ALTER TABLE customer ENABLE ALWAYS TRIGGER "00_segment_before";
RESET session_replication_role;
SELECT * FROM recorded();
INSERT INTO customer VALUES (35, 'DE');
BEGIN;
SAVEPOINT a;
INSERT INTO customer VALUES (36, 'DE');
ROLLBACK TO a;
COMMIT;
SELECT * FROM recorded();
ALTER TABLE customer ENABLE ALWAYS TRIGGER "00_segment_insert", ENABLE ALWAYS TRIGGER "00_segment_update", ENABLE ALWAYS TRIGGER "00_segment_delete";
SELECT * FROM recorded();

-- commands behind the triggers' back; harmless ones are not reported
ALTER TABLE customer ALTER COLUMN note SET DEFAULT 'n', ALTER COLUMN country SET STATISTICS 10, ADD CHECK (id > -1), SET (fillfactor = 90);
ALTER TABLE customer RENAME COLUMN note TO remark;
CREATE INDEX ON customer (country);
SELECT * FROM recorded();
ALTER TABLE customer ALTER COLUMN country TYPE text USING upper(country);
ALTER TABLE customer ADD COLUMN extra int DEFAULT 5;
ALTER TABLE customer DISABLE TRIGGER USER;
ALTER TABLE customer ENABLE TRIGGER ALL;
DROP TRIGGER "00_segment_delete" ON customer;
CREATE OR REPLACE TRIGGER "00_segment_insert" AFTER INSERT ON customer FOR EACH STATEMENT EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT * FROM recorded();
CREATE TABLE old_customer () INHERITS (customer);
ALTER TABLE old_customer NO INHERIT customer;
CREATE TABLE parent (extra int);
ALTER TABLE customer INHERIT parent;
SELECT * FROM recorded();
ALTER TABLE parent ALTER COLUMN extra TYPE bigint;
SELECT * FROM recorded();
CREATE TYPE kind AS (id int, x int);
CREATE TABLE typed OF kind;
SELECT track('typed', '1:1,2');
DELETE FROM segment.invalidation;
ALTER TYPE kind ALTER ATTRIBUTE x TYPE text CASCADE;
SELECT * FROM recorded();

-- whoever may write the source may write; nobody else reads or forges the record
CREATE ROLE segment_regress_writer;
GRANT INSERT, UPDATE ON event TO segment_regress_writer;
SET ROLE segment_regress_writer;
INSERT INTO event VALUES (5, 5, 'w');
SELECT count(*) FROM segment.invalidation;
INSERT INTO segment.invalidation VALUES ('1', 1, 1, 1, NULL);
RESET ROLE;
GRANT CREATE ON SCHEMA public TO segment_regress_writer;
SET ROLE segment_regress_writer;
CREATE TABLE own (id int);
ALTER TABLE own ADD COLUMN x int;
CREATE TRIGGER t AFTER INSERT ON own REFERENCING NEW TABLE AS n EXECUTE FUNCTION segment.capture('1:1');
DROP TRIGGER t ON own;
RESET ROLE;
SELECT * FROM recorded();
DROP OWNED BY segment_regress_writer;
DROP ROLE segment_regress_writer;

-- DROP EXTENSION takes triggers that depend on it; ours are made so by CREATE SEGMENT
DROP TABLE typed, event, thing, purchase, customer, old_customer, parent CASCADE;
DROP FUNCTION recorded(), track(regclass, text[]);
DROP EXTENSION segmentation;

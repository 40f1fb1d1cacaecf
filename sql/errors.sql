-- What goes wrong when segments are declared: message, position, code, detail, hint.
CREATE EXTENSION segmentation;
CREATE ROLE regress_segment_owner;
CREATE ROLE regress_segment_guest;
CREATE SCHEMA errors AUTHORIZATION regress_segment_owner;
SET ROLE regress_segment_owner;
SET search_path = errors;
CREATE TABLE customers (id bigint PRIMARY KEY, name text, country text, age int, account int, created_at timestamptz);
CREATE TABLE orders (id int PRIMARY KEY, customer_id bigint REFERENCES customers, referrer_id bigint REFERENCES customers,
	amount numeric, status text);
CREATE TABLE visits (id int PRIMARY KEY, customer_id bigint REFERENCES customers, at timestamptz);
CREATE TABLE accounts (id int PRIMARY KEY, plan text);
CREATE TABLE lists (member bigint, tags jsonb);
DO LANGUAGE segment $$
	CREATE SEGMENT german ON customers WHERE country = 'DE';
	CREATE SEGMENT adult ON customers WHERE age >= 18;
	CREATE SEGMENT paying ON accounts WHERE plan <> 'free';
	CREATE SEGMENT german_adult AS german & adult;
	CREATE SEGMENT outer_one ON customers WHERE in_segment('german_adult') OR age < 3;
$$;

-- the code as well (VERBOSITY verbose would show places in C files too)
CREATE FUNCTION try(statements text) RETURNS text LANGUAGE plpgsql AS $fn$
DECLARE
	code text; message text; detail text; hint text;
BEGIN
	PERFORM * FROM segment.execute(statements);
	RETURN 'no error';
EXCEPTION WHEN others THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n', code || ': ' || message, nullif(detail, ''), '-> ' || nullif(hint, ''));
END $fn$;
\pset format unaligned
\pset tuples_only on

-- unknown words, with where and what is possible
DO LANGUAGE segment $$ CREAT SEGMENT x ON customers WHERE true $$;
DO LANGUAGE segment $$ CREATE TABLE x () $$;
DO LANGUAGE segment $$ CREATE OR REPLACE LINK $$;
DO LANGUAGE segment $$ CREATE OR SEGMENT x $$;
DO LANGUAGE segment $$ CREATE SEGMENT $$;
DO LANGUAGE segment $$ CREATE SEGMENT select ON customers WHERE true $$;
DO LANGUAGE segment $$ CREATE SEGMENT x $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers AS german $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WITH timezone WHERE true $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WITH (timezone) WHERE true $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WITH (timezone = ) WHERE true $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WITH (timezone = 'UTC' WHERE true $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WITH (timezone = 'UTC') $$;
DO LANGUAGE segment $$ CREATE SEGMENT x WHERE true $$;
DO LANGUAGE segment $$ CREATE SEGMENT IF EXISTS x ON customers WHERE true $$;
DO LANGUAGE segment $$ CREATE OR REPLACE SEGMENT IF NOT EXISTS x ON customers WHERE true $$;
DO LANGUAGE segment $$ ALTER SEGMENT german $$;
DO LANGUAGE segment $$ ALTER SEGMENT german DROP x $$;
DO LANGUAGE segment $$ ALTER SEGMENT german SET timezone = 'UTC' $$;
DO LANGUAGE segment $$ ALTER SEGMENT german RENAME x $$;
DO LANGUAGE segment $$ ALTER SEGMENT german OWNER regress_segment_guest $$;
DO LANGUAGE segment $$ ALTER SEGMENT german ENABLE now $$;
DO LANGUAGE segment $$ ALTER TABLE customers ENABLE $$;
DO LANGUAGE segment $$ DROP TABLE customers $$;
DO LANGUAGE segment $$ DROP SEGMENT $$;
DO LANGUAGE segment $$ DROP SEGMENT german, $$;
DO LANGUAGE segment $$ DROP SEGMENT german adult $$;
DO LANGUAGE segment $$ REFRESH german $$;
DO LANGUAGE segment $$ REFRESH SEGMENT $$;
DO LANGUAGE segment $$ COMMENT ON german IS '' $$;
DO LANGUAGE segment $$ COMMENT ON SEGMENT german IS 3 $$;
DO LANGUAGE segment $$ COMMENT ON SEGMENT german $$;
DO LANGUAGE segment $$ CREATE LINK orders (customer_id) REFERENCES customers $$;
DO LANGUAGE segment $$ CREATE LINK ON orders REFERENCES customers $$;
DO LANGUAGE segment $$ CREATE LINK ON orders (customer_id, id) REFERENCES customers $$;
DO LANGUAGE segment $$ DROP LINK orders $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE country = 'DE' CREATE SEGMENT y ON customers WHERE true $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE country = 'DE $$;
DO LANGUAGE segment $$ CREATE SEGMENT a.b.c.d ON customers WHERE true $$;

-- the condition: positions count from the start of the block
DO LANGUAGE segment $$
  CREATE SEGMENT x ON customers
    WHERE country = 'DE' AND
          agee > 18;
$$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE age $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE age > 'old' $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE age = country $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE no_such_function(age) $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE country = 'DE' ORDER BY id $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE age > $1 $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE row_number() OVER () < 10 $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE generate_series(1, 3) > 1 $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE random() > 0.5 $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE created_at > clock_timestamp() - interval '1 day' $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE created_at > 'today' $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE current_user = name $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE current_setting('a.b') = name $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE ctid = '(0,1)' $$;
-- aggregates
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE sum(amount) > 5 $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE count(*) > 5 $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE sum(payments.amount) > 5 $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE count(accounts) > 5 $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE count(orders) > 5 $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE sum(visits.id + accounts.id) > 5 $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE count(visits.nothing) > 5 $$;
-- other segments
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE in_segment('nowhere') $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE in_segment('orders') $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE in_segment(name) $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE in_segment('paying') $$;
DO LANGUAGE segment $$ CREATE SEGMENT x AS nowhere & german $$;
DO LANGUAGE segment $$ CREATE SEGMENT x AS german & orders $$;
DO LANGUAGE segment $$ CREATE SEGMENT x AS german & paying $$;
DO LANGUAGE segment $$ CREATE SEGMENT x AS german & adult - outer_one $$;
DO LANGUAGE segment $$ CREATE SEGMENT x AS german & (adult | outer_one - german) $$;
DO LANGUAGE segment $$ CREATE SEGMENT x AS german & $$;
DO LANGUAGE segment $$ CREATE SEGMENT x AS german adult $$;
DO LANGUAGE segment $$ CREATE SEGMENT x AS german + adult $$;
DO LANGUAGE segment $$ CREATE SEGMENT x AS (german & adult $$;
DO LANGUAGE segment $$ CREATE SEGMENT x AS !german $$;
DO LANGUAGE segment $$ ALTER SEGMENT german WHERE in_segment('outer_one') $$;
DO LANGUAGE segment $$ ALTER SEGMENT german AS german $$;
DO LANGUAGE segment $$ CREATE OR REPLACE SEGMENT german AS adult | outer_one $$;
DO LANGUAGE segment $$ ALTER SEGMENT paying AS german $$;

-- subject tables
CREATE VIEW a_view AS SELECT * FROM customers;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM customers;
CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE by_text (id text PRIMARY KEY);
CREATE TABLE by_two (a int, b int, PRIMARY KEY (a, b));
CREATE TABLE nullable (id int UNIQUE);
CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE);
CREATE TABLE negative (id int PRIMARY KEY);
INSERT INTO negative VALUES (1), (-7);
SELECT try(format('CREATE SEGMENT x ON %s WHERE true', t)) FROM unnest('{nowhere, nowhere.at_all, pg_class, segment.segment, a_view, a_matview,
	german, parted, part, unlogged, parent, lists, by_text, by_two, nullable, deferred, negative, customers_pkey}'::text[]) WITH ORDINALITY u(t, n) ORDER BY n;
CREATE TEMP TABLE temporary (id int PRIMARY KEY);
SELECT try('CREATE SEGMENT x ON temporary WHERE true');
SELECT try('CREATE SEGMENT pg_temp.x ON customers WHERE true');
SELECT try('CREATE SEGMENT nowhere.x ON customers WHERE true');
SELECT try('CREATE SEGMENT other_database.errors.x ON customers WHERE true');
-- sources
SELECT try(format('CREATE SEGMENT x ON customers WHERE EXISTS (SELECT FROM %s)', t)) FROM unnest('{nowhere, pg_class, a_view, a_matview,
	german, parted, part, unlogged, parent, temporary}'::text[]) WITH ORDINALITY u(t, n) ORDER BY n;

-- names
SELECT try('CREATE SEGMENT german ON customers WHERE true');
SELECT try('CREATE SEGMENT orders ON customers WHERE true');
SELECT try('CREATE OR REPLACE SEGMENT orders ON customers WHERE true');
SELECT try('CREATE OR REPLACE SEGMENT a_view ON customers WHERE true');
SELECT try('CREATE OR REPLACE SEGMENT german ON accounts WHERE true');
SELECT try('ALTER SEGMENT nowhere ENABLE');
SELECT try('ALTER SEGMENT orders ENABLE');
SELECT try('ALTER SEGMENT a_view WHERE true');
SELECT try('ALTER SEGMENT german RENAME TO adult');
SELECT try('ALTER SEGMENT german SET SCHEMA nowhere');
SELECT try('ALTER SEGMENT german OWNER TO nobody_of_this_name');
SELECT try('ALTER SEGMENT german OWNER TO public');
SELECT try('DROP SEGMENT orders');
SELECT try('DROP SEGMENT a_view');
SELECT try('DROP SEGMENT nowhere');
SELECT try('DROP SEGMENT german');
SELECT try('REFRESH SEGMENT orders');
SELECT try('COMMENT ON SEGMENT orders IS ''x''');

-- options
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WITH (timezone = 'Mars/Olympus') WHERE true $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WITH (timezone = 'UTC', timezone = 'UTC') WHERE true $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WITH (colour = red) WHERE true $$;
DO LANGUAGE segment $$ ALTER SEGMENT german SET (max_staleness = 'soon') $$;
DO LANGUAGE segment $$ ALTER SEGMENT german SET (max_staleness = '-1 hour') $$;
DO LANGUAGE segment $$ ALTER SEGMENT german RESET (colour) $$;

-- links
SELECT try('CREATE LINK ON nowhere (id) REFERENCES customers');
SELECT try('CREATE LINK ON a_view (id) REFERENCES customers');
SELECT try('CREATE LINK ON lists (nothing) REFERENCES customers');
SELECT try('CREATE LINK ON lists (ctid) REFERENCES customers');
SELECT try('CREATE LINK ON lists (tags) REFERENCES customers');
SELECT try('CREATE LINK ON lists (member) REFERENCES nowhere');
SELECT try('CREATE LINK ON lists (member) REFERENCES customers (nothing)');
SELECT try('CREATE LINK ON lists (member) REFERENCES by_two');
SELECT try('CREATE LINK ON customers (id) REFERENCES customers');
SELECT try('DROP LINK ON lists REFERENCES customers');

-- the language and the functions
CREATE FUNCTION f() RETURNS void LANGUAGE segment AS 'CREATE SEGMENT x ON customers WHERE true';
SELECT segment.create_segment('x', 'ON customers WHERE true', '[]');
SELECT segment.create_segment('x', 'ON customers WHERE true', '{"colour": "red"}');
SELECT segment.create_segment('x', 'ON customers WHERE true', '{"timezone": {}}');
SELECT segment.create_segment('x', 'ON customers WHERE true', '{"or_replace": true, "if_not_exists": true}');
SELECT segment.create_segment('x', 'ON customers WHERE true', '{"or_replace": "maybe"}');
SELECT segment.create_segment('x', 'ON customers WHERE agee > 3');
SELECT segment.create_segment('x y', 'ON customers WHERE true');
SELECT segment.alter_segment('german', 'ON accounts WHERE true');
SELECT segment.alter_segment('customers', 'ON customers WHERE true');
SELECT segment.drop_segment('orders');
SELECT segment.drop_segment('german');
SELECT segment.link('lists', NULL, 'customers');

-- privileges
RESET ROLE;
GRANT USAGE ON SCHEMA errors TO regress_segment_guest;
CREATE SCHEMA guest AUTHORIZATION regress_segment_guest;
SET ROLE regress_segment_guest;
SET search_path = guest, errors;
SELECT errors.try('CREATE SEGMENT errors.x ON customers WHERE true');
SELECT errors.try('CREATE SEGMENT x ON customers WHERE true');
SELECT errors.try('CREATE OR REPLACE SEGMENT errors.german ON customers WHERE true');
SELECT errors.try('ALTER SEGMENT german ' || a) FROM unnest('{WHERE true,AS adult,SET (timezone = UTC),RENAME TO x,SET SCHEMA guest,DISABLE,OWNER TO CURRENT_USER}'::text[]) u(a);
SELECT errors.try('DROP SEGMENT outer_one');
SELECT errors.try('REFRESH SEGMENT german');
SELECT errors.try('COMMENT ON SEGMENT german IS ''mine''');
SELECT errors.try('CREATE LINK ON lists (member) REFERENCES customers');
SELECT count(*) FROM german;
RESET ROLE;
GRANT SELECT ON customers, orders TO regress_segment_guest;
SET ROLE regress_segment_guest;
SELECT errors.try('CREATE SEGMENT x ON customers WHERE true');
RESET ROLE;
GRANT TRIGGER ON customers TO regress_segment_guest;
SET ROLE regress_segment_guest;
SELECT errors.try('CREATE SEGMENT x ON customers WHERE age > 3');
SELECT errors.try('CREATE SEGMENT y ON customers WHERE EXISTS (SELECT FROM orders WHERE customer_id = customers.id)');
SELECT errors.try('CREATE SEGMENT y ON customers WHERE EXISTS (SELECT FROM visits WHERE customer_id = customers.id)');
SELECT errors.try('CREATE SEGMENT y ON customers WHERE in_segment(''german'')');
SELECT errors.try('CREATE SEGMENT y AS x & german');
RESET ROLE;
GRANT CREATE ON SCHEMA errors TO regress_segment_guest;
SET ROLE regress_segment_guest;
SELECT errors.try('CREATE OR REPLACE SEGMENT errors.german ON customers WHERE true');
INSERT INTO segment.segment VALUES (1, 'errors.customers');
DELETE FROM segment.segment;
-- columns granted one by one
RESET ROLE;
REVOKE SELECT ON customers FROM regress_segment_guest;
GRANT SELECT (id, age) ON customers TO regress_segment_guest;
SET ROLE regress_segment_guest;
SELECT errors.try('CREATE SEGMENT y ON customers WHERE age > 3');
-- row-level security
RESET ROLE;
GRANT SELECT, TRIGGER ON customers TO regress_segment_guest;
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
SET ROLE regress_segment_guest;
SELECT errors.try('CREATE SEGMENT y ON customers WHERE age > 3');
SET ROLE regress_segment_owner;
SET search_path = errors;
SELECT errors.try('CREATE SEGMENT y ON customers WHERE age > 3');

-- a read-only transaction
START TRANSACTION READ ONLY;
DO LANGUAGE segment $$ CREATE LINK ON lists (member) REFERENCES customers $$;
ROLLBACK;

-- tables and columns that segments read are not dropped under them
\pset tuples_only off
ALTER TABLE customers DROP COLUMN country;
ALTER TABLE customers DROP CONSTRAINT customers_pkey;
ALTER TABLE customers ALTER COLUMN age TYPE bigint;
DROP TABLE accounts;
DROP TABLE accounts CASCADE;
SELECT view::text FROM segment.segment ORDER BY 1;

RESET ROLE;
RESET search_path;
SET client_min_messages = warning;
DROP TABLE temporary;
DROP SCHEMA errors, guest CASCADE;
SELECT count(*) FROM segment.segment;
DROP EXTENSION segmentation;
DROP ROLE regress_segment_owner, regress_segment_guest;

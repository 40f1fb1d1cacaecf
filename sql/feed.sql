-- The change feed: what refreshes append to it, consumers, history, hooks, retention, erasure, privileges.
SET client_min_messages = warning;
CREATE EXTENSION segmentation;
\set VERBOSITY terse
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET search_path = public, segment;

CREATE TABLE customers (id bigint PRIMARY KEY, country text, score int, seen timestamptz);
CREATE TABLE orders (id int PRIMARY KEY, customer_id bigint REFERENCES customers ON DELETE CASCADE, amount int);
INSERT INTO customers SELECT i, CASE WHEN i % 2 = 0 THEN 'DE' ELSE 'PL' END, i, '2026-01-01 00:00+00'::timestamptz + i * interval '1 hour' FROM generate_series(1, 20) i;
INSERT INTO orders SELECT i, i, i * 10 FROM generate_series(1, 20) i;
ANALYZE;

-- Refresh everything as of a clock.
CREATE FUNCTION go(clock text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('segmentation.clock', clock, false);
	PERFORM segment.refresh();
END $$;
-- The segments whose feed does not add up to what is stored, or to what is read at the clock of the refresh; NULL if none.
CREATE FUNCTION unsound() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	s record;
	c record;
	told segment.bitmap;
	stored segment.bitmap;
	found text;
BEGIN
	FOR s IN SELECT id, view FROM segment.segment ORDER BY id LOOP
		-- the oldest change that is kept has all members; what was before it is gone
		SELECT (members - entered) | exited INTO told FROM segment.change WHERE id = s.id ORDER BY number LIMIT 1;
		told := COALESCE(told, '{}');
		FOR c IN SELECT * FROM segment.changes(s.view) LOOP
			IF NOT c.entered <@ (c.entered - told) OR NOT c.exited <@ told THEN
				found := concat_ws(' ', found, s.view || ' at ' || c.number);
			END IF;
			told := (told - c.exited) | c.entered;
		END LOOP;
		SELECT COALESCE(union_agg(ids), '{}') INTO stored FROM segment.chunk WHERE id = s.id;
		IF told <> stored OR segment.members(s.view, 'infinity') <> stored THEN
			found := concat_ws(' ', found, s.view);
		END IF;
	END LOOP;
	RETURN found;
END $$;

-- ---- what goes into the feed ----

DO LANGUAGE segment $$
	CREATE SEGMENT german ON customers WHERE country = 'DE';
	CREATE SEGMENT buyers ON customers WHERE sum(orders.amount) > 150;
	CREATE SEGMENT nobody ON customers WHERE score > 1000;
	CREATE SEGMENT german_buyers AS german & buyers;
$$;
SELECT * FROM segment.changes('german');
SELECT segment.members('german', 'infinity'), segment.size('german', 'infinity');
SELECT go('2026-03-01 10:00+00');
SELECT * FROM segment.changes('german');
SELECT * FROM segment.changes('buyers');
-- the first change is there even if it is nothing: the history begins with it
SELECT * FROM segment.changes('nobody');
-- nothing changes, and what changes to and fro in between
SELECT go('2026-03-01 11:00+00');
UPDATE customers SET country = 'PL' WHERE id = 2;
UPDATE customers SET country = 'DE' WHERE id = 2;
SELECT go('2026-03-01 12:00+00');
SELECT count(*) FROM segment.change;
UPDATE customers SET country = 'DE' WHERE id IN (1, 3);
UPDATE orders SET amount = 500 WHERE id = 1;
DELETE FROM customers WHERE id = 20;
SELECT go('2026-03-02 10:00+00');
SELECT number, changed_at, reason, entered, exited FROM segment.changes('german');
SELECT number, changed_at, reason, entered, exited FROM segment.changes('buyers');
SELECT number, changed_at, reason, entered, exited FROM segment.changes('german_buyers');
SELECT unsound();
-- from a position, and so many
SELECT number, entered, exited FROM segment.changes('german', 1);
SELECT number, entered, exited FROM segment.changes('german', 0, 1);
SELECT number, entered, exited FROM segment.changes('german', max_rows => 0);
SELECT number, entered, exited FROM segment.changes('german', 1000);
SELECT * FROM segment.changes('german', 0, -1);
SELECT * FROM segment.changes('customers');
SELECT * FROM segment.changes(0);
SELECT * FROM segment.changes(NULL);
-- another definition: the difference to what it was, not to nothing
DO LANGUAGE segment $$ CREATE OR REPLACE SEGMENT german ON customers WHERE country = 'DE' AND id > 3; ALTER SEGMENT nobody WHERE score > 17 $$;
SELECT go('2026-03-03 10:00+00');
SELECT number, reason, entered, exited FROM segment.changes('german', 5);
SELECT number, reason, entered, exited FROM segment.changes('nobody');
SELECT unsound();
-- disabled, and a failure: the feed waits, and goes on from where it was
DO LANGUAGE segment $$ ALTER SEGMENT german DISABLE $$;
UPDATE customers SET country = 'DE' WHERE id IN (5, 7);
SELECT go('2026-03-04 10:00+00');
SELECT count(*) FROM segment.changes('german', 9);
DO LANGUAGE segment $$ ALTER SEGMENT german ENABLE; CREATE SEGMENT ratio ON customers WHERE 100 / score > 10 $$;
SELECT go('2026-03-05 10:00+00');
SELECT reason, entered, exited FROM segment.changes('german', 9);
UPDATE customers SET score = 0 WHERE id = 15;
UPDATE customers SET score = 1 WHERE id IN (16, 17);
SELECT go('2026-03-06 10:00+00');
SELECT reason, entered, exited FROM segment.changes('ratio');
UPDATE customers SET score = 2 WHERE id = 15;
SELECT go('2026-03-07 10:00+00');
SELECT reason, entered, exited FROM segment.changes('ratio');
SELECT unsound();
DO LANGUAGE segment 'DROP SEGMENT ratio';
-- rolled back: nothing happened
BEGIN;
UPDATE customers SET country = 'FR';
SELECT go('2026-03-08 10:00+00');
SELECT count(*) FROM segment.changes('german');
ROLLBACK;
SELECT count(*) FROM segment.changes('german');
SELECT unsound();
-- the set of all members comes again when the differences weigh more than it
CREATE TABLE things (id bigint PRIMARY KEY, kind int);
INSERT INTO things SELECT i * 3, 1 FROM generate_series(1, 20000) i;
DO LANGUAGE segment $$ CREATE SEGMENT ones ON things WHERE kind = 1; REFRESH SEGMENT ones $$;
DO $$ BEGIN
	FOR i IN 1 .. 60 LOOP
		UPDATE things SET kind = 1 - kind WHERE id BETWEEN i * 900 AND i * 900 + 999;
		PERFORM segment.refresh('ones');
	END LOOP;
END $$;
SELECT count(*), count(members) BETWEEN 2 AND 20 AS some, sum(pg_column_size(members)) < 2 * sum(pg_column_size(entered) + pg_column_size(exited)) AS amortised
	FROM segment.change WHERE id = (SELECT id FROM segment.segment WHERE view = 'ones'::regclass);
SELECT unsound();
-- each membership is found again
SELECT count(*) FROM segment.changes('ones') c, LATERAL (SELECT id FROM segment.segment WHERE view = 'ones'::regclass) s
	WHERE segment.members('ones', c.changed_at) IS NULL;
DROP TABLE things CASCADE;

-- ---- refreshes in parts ----

CREATE TABLE things (id bigint PRIMARY KEY, kind int);
INSERT INTO things SELECT i, i % 2 FROM generate_series(1, 1000) i;
ANALYZE things;
DO LANGUAGE segment $$ CREATE SEGMENT ones ON things WHERE kind = 1 $$;
-- a build is told when it is complete
SELECT segment.refresh_step('things', 300);
SELECT segment.refresh_step('things', 300);
SELECT state, base_size > 0 AS something FROM segment.status WHERE segment = 'ones'::regclass;
SELECT count(*) FROM segment.changes('ones');
-- erasure reaches what is left for later
DELETE FROM things WHERE id IN (3, 999);
SELECT relation, held > 0 AS held, left_over FROM segment.forget('things', '{3,999}') WHERE relation IN ('segment.state'::regclass, 'segment.chunk'::regclass);
SELECT segment.refresh_step('things', 300);
SELECT segment.refresh_step('things', 300);
SELECT state FROM segment.status WHERE segment = 'ones'::regclass;
SELECT reason, segment.cardinality(entered), exited FROM segment.changes('ones');
-- another definition too, against the old one
DO LANGUAGE segment $$ ALTER SEGMENT ones WHERE kind = 1 AND id > 10 $$;
SELECT segment.refresh_step('things', 300);
SELECT segment.refresh_step('things', 300);
SELECT count(*) FROM segment.changes('ones');
SELECT segment.refresh_step('things', 300);
SELECT segment.refresh_step('things', 300);
SELECT reason, entered, exited FROM segment.changes('ones', 0) ORDER BY number DESC LIMIT 1;
-- catching up is told part by part
UPDATE things SET kind = 1 - kind WHERE id <= 700;
SELECT segment.refresh_step('things', 300);
SELECT unsound();
SELECT segment.refresh_step('things', 300), segment.refresh_step('things', 300);
SELECT reason, segment.cardinality(entered), segment.cardinality(exited) FROM segment.changes('ones', 0) ORDER BY number OFFSET 2;
SELECT unsound(), segment.members('ones') = segment.members('ones', 'infinity') AS complete;
-- everybody left for later is gone and forgotten: the build ends all the same
CREATE TABLE few (id bigint PRIMARY KEY);
INSERT INTO few SELECT generate_series(1, 600);
ANALYZE few;
DO LANGUAGE segment $$ CREATE SEGMENT leftover ON few WHERE id > 0 $$;
SELECT segment.refresh_step('few', 300);
DELETE FROM few WHERE id > 300;
SELECT relation, held > 0 AS held, left_over FROM segment.forget('few', '{301-600}') WHERE relation = 'segment.state'::regclass;
SELECT segment.refresh_step('few', 300);
SELECT state, reads, pending FROM segment.status WHERE segment = 'leftover'::regclass;
SELECT reason, entered, exited FROM segment.changes('leftover');
SELECT unsound();
DROP TABLE things, few CASCADE;

-- ---- who changed by time has its instant ----

RESET segmentation.clock;
DO LANGUAGE segment $$
	CREATE SEGMENT lapsed ON customers WHERE seen < now() - interval '60 days';
	CREATE SEGMENT lapsed_german AS lapsed & german;
	CREATE SEGMENT that_day ON customers WHERE seen >= date_trunc('day', now()) - interval '60 days';
$$;
SELECT go('2026-03-02 03:30+00');
SELECT go('2026-03-02 08:30+00');
SELECT changed_at, entered, exited, instants, flipped FROM segment.changes('lapsed');
SELECT changed_at, entered, exited, instants, flipped FROM segment.changes('lapsed_german');
-- not who was written to, and not who came by a write
UPDATE customers SET seen = seen - interval '1 minute' WHERE id = 9;
UPDATE customers SET seen = '2026-01-01' WHERE id = 14;
SELECT go('2026-03-02 11:30+00');
SELECT entered, exited, instants, flipped FROM segment.changes('lapsed') ORDER BY number DESC LIMIT 1;
-- everybody at a known instant
SELECT entered, exited, instants, flipped FROM segment.changes('that_day');
SELECT go('2026-03-04 11:30+00');
SELECT entered, exited, instants, flipped FROM segment.changes('that_day', 1) ORDER BY number DESC LIMIT 1;
-- many instants at once: the first hundred are looked at, the others are taken from the deadlines
INSERT INTO customers SELECT i, 'FR', 0, '2026-01-05'::timestamptz + i * interval '1 second' FROM generate_series(1001, 1250) i;
SELECT go('2026-03-05 11:30+00');
SELECT go('2026-03-07 11:30+00');
SELECT segment.cardinality(entered), array_length(instants, 1), instants[1], instants[250], flipped[250] FROM segment.changes('lapsed') ORDER BY number DESC LIMIT 1;
DELETE FROM customers WHERE id > 1000;
-- a clock that goes back: what was told stays told, and is no history
SELECT go('2026-05-01 00:00+00');
SELECT segment.size('lapsed', '2026-04-30'), segment.size('lapsed', '2026-05-02');
SELECT go('2026-03-02 05:30+00');
SELECT entered, exited FROM segment.changes('lapsed') ORDER BY number DESC LIMIT 1;
SELECT segment.members('lapsed', '2026-03-02 05:30+00'), segment.members('lapsed', '2026-05-02');
SELECT * FROM segment.memberships_history('customers', 4);
SELECT * FROM segment.memberships_history('customers', 6);
SELECT unsound();
DO LANGUAGE segment 'DROP SEGMENT lapsed_german, lapsed, that_day';

-- ---- history ----

SELECT go('2026-06-01 00:00+00');
UPDATE customers SET country = 'DE' WHERE id = 11;
SELECT go('2026-06-02 00:00+00');
UPDATE customers SET country = 'PL' WHERE id = 11;
SELECT go('2026-06-03 00:00+00');
UPDATE customers SET country = 'DE' WHERE id IN (11, 13);
SELECT go('2026-06-04 00:00+00');
SELECT at, segment.members('german', at) FROM unnest('{2020-01-01,2026-03-01 10:00,2026-06-01 23:59,2026-06-02,2026-06-02 23:59,2026-06-03,2026-06-10}'::timestamptz[]) at;
SELECT * FROM segment.size_history('german', '2026-02-28', '2026-06-05', '14 days');
SELECT count(*) FROM segment.size_history('german', '2026-02-28', '2026-06-05', '-1 day');
SELECT * FROM segment.size_history('german', '2026-02-28', '2026-06-05', '0');
SELECT * FROM segment.memberships_history('customers', 11);
SELECT * FROM segment.memberships_history('customers', 16);
SELECT * FROM segment.memberships_history('customers', 20);
SELECT * FROM segment.memberships_history('orders', 11);
SELECT segment.members('german', NULL) IS NULL, segment.size('german', NULL) IS NULL;

-- none of this in a condition: no write to what it reads would be noticed
DO LANGUAGE segment $$ CREATE SEGMENT was ON customers WHERE segment.members('german', '2026-06-01'::timestamptz) @> id $$;
DO LANGUAGE segment $$ CREATE SEGMENT was ON customers WHERE segment.members('german') @> id $$;
DO LANGUAGE segment $$ CREATE SEGMENT was ON customers WHERE id IN (SELECT max(number) FROM segment.changes('german')) $$;

-- ---- consumers ----

SELECT segment.create_consumer('mailer', '{german,buyers}', from_start => true);
SELECT segment.create_consumer('all');
SELECT segment.create_consumer('mailer');
SELECT segment.create_consumer('');
SELECT segment.create_consumer(NULL);
SELECT segment.create_consumer('bad', '{customers}');
SELECT segment.create_consumer('bad', ARRAY[NULL]::regclass[]);
SELECT name, segment, position > 0 AS positioned, behind, lost FROM segment.consumers ORDER BY 1, segment::text;
SELECT segment, number, reason, entered, exited FROM segment.next_batch('mailer', 2);
-- not acknowledged: again
SELECT segment, number FROM segment.next_batch('mailer', 2);
SELECT segment.ack('mailer', 'german', 1);
-- the oldest waiting change is next
SELECT segment, number FROM segment.next_batch('mailer', 1);
SELECT segment.ack('mailer', 'buyers', 2);
SELECT segment, number FROM segment.next_batch('mailer', 1);
-- never back
SELECT segment.ack('mailer', 'buyers', 1);
-- what is not there yet, what is not subscribed, what is no segment
SELECT segment.ack('mailer', 'buyers', 1000000);
SELECT segment.ack('mailer', 'nobody', 3);
SELECT segment.ack('mailer', 'customers', 3);
SELECT segment.next_batch('nosuch');
SELECT segment.next_batch('mailer', 0);
SELECT segment.ack('nosuch', 'german', 1);
SELECT segment.drop_consumer('nosuch');
-- until nothing is left
CREATE FUNCTION drain(consumer text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c record;
	batch text;
	found text;
BEGIN
	LOOP
		batch := NULL;
		FOR c IN SELECT * FROM segment.next_batch(consumer, 3) LOOP
			batch := concat_ws(', ', batch, format('%s +%s -%s', c.segment, c.entered, c.exited));
			PERFORM segment.ack(consumer, c.segment, c.number);
		END LOOP;
		EXIT WHEN batch IS NULL;
		found := concat_ws(E'\n', found, batch);
	END LOOP;
	RETURN found;
END $$;
SELECT drain('mailer');
SELECT drain('all');
-- segments to come, for who follows all
DO LANGUAGE segment $$ CREATE SEGMENT late ON customers WHERE id < 3 $$;
UPDATE customers SET country = 'PL' WHERE id = 11;
SELECT go('2026-06-05 00:00+00');
SELECT drain('all');
SELECT drain('mailer');
SELECT name, segment, position > 0 AS positioned, behind, behind_age, lost FROM segment.consumers ORDER BY 1, segment::text;
BEGIN READ ONLY;
SELECT * FROM segment.next_batch('mailer');
ROLLBACK;
DO LANGUAGE segment 'DROP SEGMENT late';
SELECT count(*) FROM segment.subscription WHERE consumer = 'all';
SELECT segment.drop_consumer('all');

-- ---- retention ----

-- real ages decide: all that is here is older than a day, but for the next change
UPDATE segment.change SET written = written - interval '10 days';
SET segmentation.history_retention = '5 d';
SET segmentation.consumer_retention = '20 d';
UPDATE customers SET country = 'DE' WHERE id = 11;
-- the mailer has all: it holds nothing back
SELECT count(*) AS before FROM segment.changes('german') \gset
SELECT go('2026-06-06 00:00+00');
SELECT :before AS before, count(*) AS after, min(number) = max(number) FILTER (WHERE written < now() - interval '5 days') AS one_is_old
	FROM segment.change WHERE id = (SELECT id FROM segment.segment WHERE view = 'german'::regclass);
SELECT segment.members('german', '2026-06-02'), segment.members('german', '2026-06-05'), segment.members('german', '2026-06-06');
-- a membership from before the history
SELECT segment, entered_at, exited_at FROM segment.memberships_history('customers', 4);
-- a consumer that lags holds back, up to the limit
SELECT segment.create_consumer('slow', '{german}');
UPDATE customers SET country = 'PL' WHERE id = 11;
SELECT go('2026-06-07 00:00+00');
UPDATE segment.change SET written = written - interval '10 days';
UPDATE customers SET country = 'DE' WHERE id = 11;
SELECT go('2026-06-08 00:00+00');
SELECT name, behind, lost FROM segment.consumers WHERE segment = 'german'::regclass ORDER BY 1;
SET segmentation.consumer_retention = '1 d';
UPDATE segment.change SET written = written - interval '10 days';
UPDATE customers SET country = 'PL' WHERE id = 11;
SELECT go('2026-06-09 00:00+00');
SELECT name, behind, lost FROM segment.consumers WHERE segment = 'german'::regclass ORDER BY 1;
\set VERBOSITY default
SELECT * FROM segment.next_batch('slow');
\set VERBOSITY terse
SELECT number > 0 FROM segment.changes('german', 1);
SELECT segment, position > 0 AS positioned, members FROM segment.reset_consumer('slow');
SELECT * FROM segment.next_batch('slow');
UPDATE customers SET country = 'DE' WHERE id = 11;
SELECT go('2026-06-10 00:00+00');
SELECT segment, entered, exited FROM segment.next_batch('slow');
SELECT segment, members FROM segment.reset_consumer('mailer', 'german');
SELECT drain('mailer');
-- keep all; keep nothing but what is needed
SET segmentation.history_retention = -1;
UPDATE segment.change SET written = written - interval '10 days';
UPDATE customers SET country = 'PL' WHERE id = 11;
SELECT count(*) AS before FROM segment.changes('german') \gset
SELECT go('2026-06-11 00:00+00');
SELECT count(*) = :before + 1 AS kept FROM segment.changes('german');
SET segmentation.history_retention = 0;
SET segmentation.consumer_retention = 0;
UPDATE customers SET country = 'DE' WHERE id = 11;
SELECT go('2026-06-12 00:00+00');
SELECT count(*) FROM segment.changes('german');
SELECT segment.drop_consumer('slow'), segment.drop_consumer('mailer');
RESET segmentation.history_retention;
RESET segmentation.consumer_retention;

-- ---- hooks ----

CREATE TABLE outbox (n serial, event text, ids segment.bitmap, note text, seen segment.bitmap);
CREATE FUNCTION note_entry(ids segment.bitmap, note text) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO outbox (event, ids, note, seen) VALUES ('enter', ids, note, segment.members('german')) $$;
CREATE FUNCTION note_exit(ids segment.bitmap) RETURNS int LANGUAGE sql AS
	$$ INSERT INTO outbox (event, ids) VALUES ('exit', ids) RETURNING n $$;
DO LANGUAGE segment $$
	ALTER SEGMENT german ON ENTER EXECUTE FUNCTION note_entry('it''s here');
	ALTER SEGMENT german ON EXIT EXECUTE FUNCTION public.note_exit();
$$;
TABLE segment.hooks;
UPDATE customers SET country = 'DE' WHERE id = 15;
UPDATE customers SET country = 'FR' WHERE id = 2;
SELECT go('2026-06-13 00:00+00');
SELECT go('2026-06-13 01:00+00');
-- what the hook saw is what the refresh made
SELECT event, ids, note, seen = segment.members('german') AS exact FROM outbox ORDER BY n;
-- a hook that writes to what the segment reads: pending for the next refresh, which calls the hook again if need be
CREATE FUNCTION ban(ids segment.bitmap, country text) RETURNS void LANGUAGE plpgsql AS
	$$ BEGIN UPDATE customers SET country = ban.country WHERE id IN (SELECT segment.ids(ban.ids)); END $$;
DO LANGUAGE segment $$ ALTER SEGMENT german ON ENTER EXECUTE FUNCTION ban('XX') $$;
UPDATE customers SET country = 'DE' WHERE id = 17;
SELECT go('2026-06-14 00:00+00');
SELECT pending FROM segment.status WHERE segment = 'german'::regclass;
SELECT segment.contains('german', 17), segment.members('german') = segment.members('german', 'infinity') AS as_stored, unsound();
SELECT go('2026-06-14 01:00+00');
SELECT entered, exited FROM segment.changes('german') ORDER BY number DESC LIMIT 2;
SELECT event, ids FROM outbox ORDER BY n DESC LIMIT 1;
-- errors are the hook's alone
CREATE FUNCTION fails(ids segment.bitmap) RETURNS void LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO outbox (event) VALUES ('never'); RAISE 'no %', ids; END $$;
DO LANGUAGE segment $$ ALTER SEGMENT german ON ENTER EXECUTE FUNCTION fails(); ALTER SEGMENT german ON EXIT DO NOTHING; ALTER SEGMENT german ON EXIT DO NOTHING $$;
UPDATE customers SET country = 'DE' WHERE id = 17;
\set VERBOSITY default
SELECT go('2026-06-15 00:00+00');
\set VERBOSITY terse
SELECT segment, event, function, failures, failed_at IS NOT NULL AS failed, message FROM segment.hooks;
SELECT count(*) FROM outbox WHERE event = 'never';
SELECT entered FROM segment.changes('german') ORDER BY number DESC LIMIT 1;
SELECT state FROM segment.status WHERE segment = 'german'::regclass;
CREATE OR REPLACE FUNCTION fails(ids segment.bitmap) RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO outbox (event, ids) VALUES ('mended', ids); END $$;
UPDATE customers SET country = 'DE' WHERE id = 19;
SELECT go('2026-06-15 01:00+00');
SELECT segment, event, function, failures, failed_at IS NOT NULL AS failed, message FROM segment.hooks;
-- statements about segments, and what a security-restricted operation refuses
CREATE FUNCTION meddle(ids segment.bitmap, command text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE command; END $$;
CREATE TABLE late_checked (id int PRIMARY KEY, UNIQUE (id) DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'as %', current_user; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON late_checked DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION later();
DO LANGUAGE segment $$ ALTER SEGMENT german WHERE country = 'DE'; REFRESH SEGMENT ALL $$;
CREATE TABLE commands (n serial, command text, message text);
INSERT INTO commands (command) VALUES ('DO LANGUAGE segment ''REFRESH SEGMENT ALL'''), ('SELECT segment.refresh()'), ('SELECT segment.forget(''customers'', ''{1}'')'),
	('DO LANGUAGE segment ''DROP SEGMENT german'''), ('CREATE TEMP TABLE x (i int)'), ('SET ROLE postgres'), ('INSERT INTO late_checked VALUES (1)'), ('COMMIT'),
	('SELECT 1 / 0'), ('SET search_path = nowhere'), ('SELECT segment.refresh_step(''customers'', 0)'), ('CALL segment.refresh_all()'), ('SELECT segment.rebuild(''german'')'),
	('DO $x$ BEGIN RAISE ''too slow, elsewhere'' USING ERRCODE = ''57014''; END $x$'), ('DO $x$ BEGIN RAISE ''not in order, elsewhere'' USING ERRCODE = ''40001''; END $x$');
DO $$
DECLARE
	c record;
BEGIN
	FOR c IN TABLE commands ORDER BY n LOOP
		PERFORM segment.execute(format('ALTER SEGMENT german ON ENTER EXECUTE FUNCTION meddle(%L)', c.command));
		UPDATE customers SET country = CASE country WHEN 'DE' THEN 'XX' ELSE 'DE' END WHERE id IN (1, 3);
		PERFORM segment.refresh('german');
		UPDATE customers SET country = CASE country WHEN 'DE' THEN 'XX' ELSE 'DE' END WHERE id IN (1, 3);
		PERFORM segment.refresh('german');
		UPDATE commands SET message = (SELECT h.message FROM segment.hooks h) WHERE n = c.n;
	END LOOP;
END $$;
SELECT command, message FROM commands ORDER BY n;
-- one that takes too long
DO LANGUAGE segment $$ ALTER SEGMENT german ON ENTER EXECUTE FUNCTION meddle('SELECT pg_sleep(3600)') $$;
UPDATE customers SET country = CASE country WHEN 'DE' THEN 'XX' ELSE 'DE' END WHERE id IN (1, 2);
SET segmentation.hook_timeout = '50ms';
DO LANGUAGE segment $$ REFRESH SEGMENT german $$;
RESET segmentation.hook_timeout;
SELECT message FROM segment.hooks;
SHOW search_path;
SELECT unsound();
DO LANGUAGE segment $$ ALTER SEGMENT german ON ENTER DO NOTHING $$;
TABLE segment.hooks;
-- mistakes in the statement
\set VERBOSITY default
DO LANGUAGE segment $$ ALTER SEGMENT german ON ENTER $$;
DO LANGUAGE segment $$ ALTER SEGMENT german ON ENTRY DO NOTHING $$;
DO LANGUAGE segment $$ ALTER SEGMENT german ON EXIT EXECUTE FUNCTION nosuch('x', 'y') $$;
DO LANGUAGE segment $$ ALTER SEGMENT german ON EXIT EXECUTE FUNCTION note_exit('x') $$;
DO LANGUAGE segment $$ ALTER SEGMENT german ON EXIT EXECUTE FUNCTION note_exit(7) $$;
DO LANGUAGE segment $$ ALTER SEGMENT german ON EXIT EXECUTE FUNCTION note_exit $$;
DO LANGUAGE segment $$ ALTER SEGMENT german ON EXIT EXECUTE FUNCTION segment.ids() $$;
DO LANGUAGE segment $$ ALTER SEGMENT german ON EXIT EXECUTE PROCEDURE note_exit() $$;
\set VERBOSITY terse

-- ---- privileges ----

CREATE ROLE feed_owner;
CREATE ROLE feed_reader;
CREATE ROLE feed_worker;
CREATE ROLE feed_stranger;
GRANT feed_reader TO feed_worker;
GRANT SELECT, TRIGGER ON customers, orders TO feed_owner;
GRANT CREATE ON SCHEMA public TO feed_owner;
GRANT SELECT ON german TO feed_reader;
GRANT INSERT ON outbox TO feed_owner;
GRANT USAGE ON SEQUENCE outbox_n_seq TO feed_owner;
SET ROLE feed_owner;
DO LANGUAGE segment $$ CREATE SEGMENT mine ON customers WHERE country = 'PL' $$;
CREATE FUNCTION my_hook(ids segment.bitmap) RETURNS void LANGUAGE sql AS $$ INSERT INTO outbox (event, ids, note) VALUES (current_user, ids, session_user = current_user) $$;
DO LANGUAGE segment $$ ALTER SEGMENT mine ON ENTER EXECUTE FUNCTION my_hook() $$;
DO LANGUAGE segment $$ ALTER SEGMENT german ON ENTER EXECUTE FUNCTION my_hook() $$;
TABLE segment.change;
SELECT * FROM segment.consumer;
SELECT * FROM segment.subscription;
SELECT * FROM segment.hook;
SELECT * FROM segment.changes('german');
SELECT segment.members('german', 'infinity');
SELECT segment.size('german', 'infinity');
SELECT * FROM segment.size_history('german', '2026-06-01', '2026-06-02', '1 day');
SELECT segment FROM segment.memberships_history('customers', 4);
SELECT segment.create_consumer('sneaky', '{german}');
SELECT segment.forget('customers', '{1}');
RESET ROLE;
-- the superuser refreshes, the hook runs as the owner of the segment
SELECT go('2026-06-20 00:00+00');
SELECT event, note FROM outbox ORDER BY n DESC LIMIT 1;
REVOKE INSERT ON outbox FROM feed_owner;
UPDATE customers SET country = 'PL' WHERE id = 4;
SELECT go('2026-06-21 00:00+00');
SET ROLE feed_owner;
SELECT segment, failures, message FROM segment.hooks;
SET ROLE feed_stranger;
SELECT segment, failures, message FROM segment.hooks;
RESET ROLE;
-- no EXECUTE for the owner any more; another owner
GRANT INSERT ON outbox TO feed_owner;
REVOKE EXECUTE ON FUNCTION note_exit(segment.bitmap) FROM PUBLIC;
DO LANGUAGE segment $$ ALTER SEGMENT mine ON ENTER EXECUTE FUNCTION note_exit() $$;
REVOKE EXECUTE ON FUNCTION my_hook(segment.bitmap) FROM PUBLIC, feed_owner;
UPDATE customers SET country = 'PL' WHERE id = 6;
SELECT go('2026-06-22 00:00+00');
GRANT EXECUTE ON FUNCTION my_hook(segment.bitmap) TO PUBLIC;
DO LANGUAGE segment $$ ALTER SEGMENT mine OWNER TO CURRENT_USER $$;
UPDATE customers SET country = 'PL' WHERE id = 8;
SELECT go('2026-06-23 00:00+00');
SELECT segment, failures, message FROM segment.hooks;
-- consumers: the owner, its members, nobody else; SELECT is checked for who reads
SET ROLE feed_reader;
SELECT segment.create_consumer('readers');
SELECT segment.create_consumer('readers_german', '{german}', true);
SET ROLE feed_stranger;
SELECT * FROM segment.next_batch('readers');
SELECT segment.ack('readers', 'german', 1);
SELECT segment.drop_consumer('readers');
SELECT segment.reset_consumer('readers');
SELECT name FROM segment.consumers;
RESET ROLE;
UPDATE customers SET country = 'DE' WHERE id = 8;
SELECT go('2026-06-24 00:00+00');
SET ROLE feed_worker;
SELECT segment, entered, exited FROM segment.next_batch('readers');
SELECT segment, count(*) > 0 FROM segment.next_batch('readers_german') GROUP BY 1;
SELECT name, owner, segment, behind FROM segment.consumers WHERE behind > 0 ORDER BY 1, segment::text;
RESET ROLE;
REVOKE SELECT ON german FROM feed_reader;
SET ROLE feed_worker;
SELECT segment, entered, exited FROM segment.next_batch('readers');
SELECT segment.drop_consumer('readers'), segment.drop_consumer('readers_german');
RESET ROLE;
SET ROLE feed_owner;
SET segmentation.history_retention = 0;
RESET ROLE;

SELECT * FROM segment.size_history('german', '-infinity', '2026-07-01', '1 day');

-- ---- erasure ----

CREATE TABLE visits (id int PRIMARY KEY, customer_id bigint, n int);
INSERT INTO visits VALUES (1, 5, 1), (2, 9, 1);
DO LANGUAGE segment $$
	CREATE LINK ON visits (customer_id) REFERENCES customers (id);
	CREATE SEGMENT fresh ON customers WHERE seen > now() - interval '10000 days' AND count(visits) = 0;
	CREATE SEGMENT known ON visits WHERE EXISTS (SELECT FROM customers c WHERE c.id = visits.customer_id AND c.country <> '') AND n > 0;
	REFRESH SEGMENT ALL;
$$;
SELECT segment.members('known');
\set VERBOSITY default
SELECT * FROM segment.forget('customers', '{9,16}');
\set VERBOSITY terse
SELECT * FROM segment.forget('customers', '{}');
DELETE FROM customers WHERE id IN (9, 16);
-- not refreshed: still in the bases, the deadlines, the invalidations
SELECT count(*) FROM segment.chunk WHERE ids && '{9,16}';
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM segment.forget('customers', '{9,16}');
ROLLBACK;
CREATE TEMP TABLE sizes AS SELECT s.view, h.number, h.size FROM segment.change h JOIN segment.segment s USING (id);
SELECT * FROM segment.forget('customers', ARRAY[9, 16]::bigint[]::segment.bitmap);
SELECT * FROM segment.forget('customers', '{9,16}');
SELECT count(*) FROM segment.chunk WHERE ids && '{9,16}';
SELECT count(*) FROM segment.change WHERE entered && '{9,16}' OR exited && '{9,16}' OR members && '{9,16}';
SELECT * FROM segment.memberships_history('customers', 16);
-- reads are right, before and after the next refresh; the other table's segment too
SELECT view, segment.members(view) FROM segment.segment ORDER BY id;
SELECT unsound();
SELECT segment.refresh();
SELECT unsound();
SELECT * FROM segment.verify() WHERE missing <> 0 OR extra <> 0;
SELECT view, segment.members(view) FROM segment.segment ORDER BY id;
-- an id comes again
INSERT INTO customers VALUES (16, 'DE', 5, now());
SELECT segment.contains('german', 16);
SELECT segment.refresh();
SELECT segment.contains('german', 16), unsound();
-- counts stay
SELECT count(*) FROM sizes s JOIN segment.segment g USING (view) JOIN segment.change h ON h.id = g.id AND h.number = s.number WHERE h.size <> s.size;
SELECT segment.forget('customers', '{77}');
SELECT segment.forget(0, '{77}');
SELECT segment.forget('outbox', '{77}');

-- ---- the end ----

SELECT segment.create_consumer('last');
DO LANGUAGE segment $$ ALTER SEGMENT german ON EXIT EXECUTE FUNCTION note_exit() $$;
DROP TABLE customers, orders, visits CASCADE;
SELECT (SELECT count(*) FROM segment.change), (SELECT count(*) FROM segment.subscription), (SELECT count(*) FROM segment.hook);
SELECT name, segment, position FROM segment.consumers;
DROP OWNED BY feed_owner, feed_reader, feed_worker, feed_stranger;
DROP ROLE feed_owner, feed_reader, feed_worker, feed_stranger;
DROP FUNCTION go(text), unsound(), drain(text), note_entry(segment.bitmap, text), note_exit(segment.bitmap), ban(segment.bitmap, text), fails(segment.bitmap), meddle(segment.bitmap, text);
DROP TABLE outbox, late_checked, commands;
DROP FUNCTION later();
DROP EXTENSION segmentation;

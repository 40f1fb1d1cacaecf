-- Segments that change by themselves: what was asked for by name, and the rules of the clock.
SET client_min_messages = warning;
CREATE EXTENSION segmentation;
RESET client_min_messages;
SET TimeZone = 'America/New_York';		-- the segments have another
SET DateStyle = 'ISO, YMD';

CREATE TABLE customers (id bigint PRIMARY KEY, birthday date, created_at timestamptz);
CREATE TABLE orders (id serial PRIMARY KEY, customer_id bigint REFERENCES customers, placed_at timestamptz);
CREATE TABLE visits (id serial PRIMARY KEY, customer_id bigint REFERENCES customers, at timestamptz);

CREATE TABLE truth (segment regclass PRIMARY KEY, condition text);
CREATE PROCEDURE declare(name text, condition text, plain text DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM segment.execute(format('CREATE SEGMENT %I ON customers WITH (timezone = ''Europe/Berlin'') WHERE %s', name, condition));
	INSERT INTO truth VALUES (name::regclass, coalesce(plain, condition));
END $$;
-- Members at a clock; an error if plain SQL, with the clock as a literal, has others.
CREATE FUNCTION at(segment regclass, clock text) RETURNS text LANGUAGE plpgsql SET TimeZone = 'Europe/Berlin' AS $$
DECLARE
	literal text := quote_literal(clock::timestamptz);
	members text;
	plain text;
BEGIN
	PERFORM set_config('segmentation.clock', clock::timestamptz::text, false);
	SET LOCAL TimeZone = 'Asia/Tokyo';	-- a reader's zone is of no matter
	EXECUTE format('SELECT segment.members(%L)', segment) INTO members;
	SET LOCAL TimeZone = 'Europe/Berlin';
	SELECT replace(replace(replace(condition, 'now()', format('timestamptz %s', literal)),
		'current_date', format('(timestamptz %s)::date', literal)), 'age(birthday)', format('age((timestamptz %s)::date, birthday)', literal))
		INTO plain FROM truth t WHERE t.segment = at.segment;
	EXECUTE format('SELECT coalesce(segment.bitmap_agg(id), ''{}'') FROM customers WHERE %s', plain) INTO plain;
	IF plain <> members THEN
		RAISE EXCEPTION '% at %: % instead of %', segment, clock, members, plain;
	END IF;
	RETURN members;
END $$;
-- Refresh as of a clock, then members at others.
CREATE FUNCTION story(segment text, VARIADIC clocks text[]) RETURNS TABLE (clock text, members text, read text) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL client_min_messages = warning;
	FOREACH clock IN ARRAY clocks LOOP
		IF clock LIKE 'refresh %' THEN
			PERFORM at(segment, substr(clock, 9));
			PERFORM segment.execute('REFRESH SEGMENT ' || segment);
		END IF;
		members := at(segment, replace(clock, 'refresh ', ''));
		SELECT s.reads || coalesce(', ' || s.pending, '') INTO read FROM segment.standing(segment) s;
		RETURN NEXT;
	END LOOP;
END $$;

-- birthdays: everybody at midnight, 29 February too
INSERT INTO customers VALUES (1, '1988-02-28'), (2, '1988-02-29'), (3, '1990-03-01'), (4, '2001-12-31'), (5, '2000-01-01'), (6, NULL);
CALL declare('birthday_today', $$to_char(birthday, 'MM-DD') = to_char(current_date, 'MM-DD')$$);
SELECT * FROM story('birthday_today', 'refresh 2024-02-28 12:00', '2024-02-28 23:59:59.999999', '2024-02-29 00:00',
	'refresh 2024-02-29 00:00', '2024-02-29 23:59:59.999999', '2024-03-01 00:00', '2025-02-28 00:00', '2025-03-01 00:00');
-- who was born on 29 February celebrates on 28 February in other years, says PostgreSQL's interval
CALL declare('celebrates', $$current_date = (birthday + make_interval(years => extract(year FROM current_date)::int - extract(year FROM birthday)::int))::date$$);
SELECT * FROM story('celebrates', 'refresh 2024-02-28 12:00', '2024-02-29 00:00', '2025-02-28 00:00', 'refresh 2025-02-28 00:00', '2025-03-01 00:00');
-- this week, over the end of a year
CALL declare('birthday_this_week', $$(SELECT bool_or(to_char(birthday, 'MM-DD') = to_char(d.day, 'MM-DD'))
	FROM generate_series(date_trunc('week', now()), date_trunc('week', now()) + interval '6 days', interval '1 day') AS d(day))$$);
SELECT * FROM story('birthday_this_week', 'refresh 2024-12-29 23:59:59.999999', '2024-12-30 00:00', 'refresh 2024-12-30 00:00', '2025-01-05 23:59:59.999999', '2025-01-06 00:00');
-- of age: exact per subject
CALL declare('adult', $$birthday <= current_date - interval '18 years'$$);
SELECT * FROM story('adult', 'refresh 2006-02-27 12:00', '2006-02-28 00:00', 'refresh 2006-02-28 00:00', '2006-03-01 00:00', '2019-12-30 23:59:59.999999', '2019-12-31 00:00');
CALL declare('adult_by_age', $$age(birthday) >= interval '18 years'$$);
SELECT * FROM story('adult_by_age', 'refresh 2006-02-27 12:00', '2006-02-28 00:00', '2006-03-01 00:00', '2019-12-30 23:59:59.999999', '2019-12-31 00:00');

-- quarters, ISO weeks
UPDATE customers SET created_at = timestamptz '2024-12-27 12:00+01' + id * interval '1 day';
SELECT id, created_at AT TIME ZONE 'Europe/Berlin' AS created_in_berlin FROM customers ORDER BY id;
CALL declare('new_this_quarter', $$date_trunc('quarter', created_at) = date_trunc('quarter', now())$$);
SELECT * FROM story('new_this_quarter', 'refresh 2024-12-31 23:59:59.999999', '2025-01-01 00:00', 'refresh 2025-01-01 00:00', '2025-03-31 23:59:59.999999', '2025-04-01 00:00');
CALL declare('new_this_iso_week', $$extract(week FROM created_at) = extract(week FROM now()) AND extract(isoyear FROM created_at) = extract(isoyear FROM now())$$);
SELECT * FROM story('new_this_iso_week', 'refresh 2024-12-29 23:59:59.999999', '2024-12-30 00:00', 'refresh 2024-12-30 00:00', '2025-01-05 23:59:59.999999', '2025-01-06 00:00');

-- an order in each of the last three calendar months
INSERT INTO orders (customer_id, placed_at) VALUES
	(1, '2024-12-31 23:59:59+01'), (1, '2025-01-15 12:00+01'), (1, '2025-02-28 12:00+01'), (1, '2025-03-31 23:59:59+02'),
	(2, '2024-12-01 00:00+01'), (2, '2025-01-31 23:59:59+01'), (2, '2025-03-01 00:00+01'), (3, '2025-02-01 00:00+01');
CALL declare('each_month', $$(SELECT count(DISTINCT date_trunc('month', o.placed_at)) FROM orders o WHERE o.customer_id = customers.id
	AND o.placed_at >= date_trunc('month', now()) - interval '3 months' AND o.placed_at < date_trunc('month', now())) = 3$$);
SELECT * FROM story('each_month', 'refresh 2025-02-28 23:59:59.999999', '2025-03-01 00:00', 'refresh 2025-03-01 00:00',
	'2025-03-31 23:59:59.999999', '2025-04-01 00:00', '2025-05-01 00:00');

-- visits on 5 of the last 7 days, over the change to summer time
INSERT INTO visits (customer_id, at) SELECT 1, d FROM generate_series(timestamptz '2025-03-26 23:30+01', '2025-03-30 22:30+02', interval '23 hours 30 minutes') d;
INSERT INTO visits (customer_id, at) SELECT 2, d FROM generate_series(timestamptz '2025-03-25 01:00+01', '2025-04-03 01:00+02', interval '2 days') d;
CALL declare('regular', $$(SELECT count(DISTINCT v.at::date) FROM visits v WHERE v.customer_id = customers.id AND v.at::date BETWEEN current_date - 6 AND current_date) >= 5$$);
SELECT * FROM story('regular', 'refresh 2025-03-29 12:00', '2025-03-29 23:59:59.999999', '2025-03-30 00:00', 'refresh 2025-03-30 12:00',
	'2025-04-01 23:59:59.999999', '2025-04-02 00:00');

-- did not come back within 7 days after signing up
TRUNCATE visits;
INSERT INTO visits (customer_id, at) VALUES (1, '2024-12-29 12:00+01'), (2, '2025-01-06 12:00+01'), (3, '2025-01-06 12:00:00.000001+01');
CALL declare('not_back', $$created_at + interval '7 days' < now() AND count(visits) FILTER (WHERE at BETWEEN created_at AND created_at + interval '7 days') = 0$$,
	$$created_at + interval '7 days' < now() AND (SELECT count(*) FROM visits v WHERE v.customer_id = customers.id AND v.at BETWEEN created_at AND created_at + interval '7 days') = 0$$);
SELECT * FROM story('not_back', 'refresh 2025-01-06 11:00', '2025-01-06 12:00', '2025-01-06 12:00:00.000001', 'refresh 2025-01-06 12:00:00.000001', '2025-01-07 12:00:00.000001', '2030-01-01 00:00');

-- two windows that meet: active 90 to 30 days ago, not since
CALL declare('lapsing', $$count(visits) FILTER (WHERE at BETWEEN now() - interval '90 days' AND now() - interval '30 days') > 0
	AND count(visits) FILTER (WHERE at > now() - interval '30 days') = 0$$,
	$$EXISTS (SELECT FROM visits v WHERE v.customer_id = customers.id AND at BETWEEN now() - interval '90 days' AND now() - interval '30 days')
	AND NOT EXISTS (SELECT FROM visits v WHERE v.customer_id = customers.id AND at > now() - interval '30 days')$$);
SELECT * FROM story('lapsing', 'refresh 2025-01-28 11:59:59.999999', '2025-01-28 12:00', 'refresh 2025-01-28 12:00', '2025-02-05 12:00',
	'2025-03-29 12:00', '2025-03-29 12:00:00.000001', 'refresh 2025-03-31 00:00', '2025-04-06 12:59:59.999999', '2025-04-06 13:00', '2025-04-06 13:00:00.000001');

-- last seen more than 60 days ago, by GROUP BY
CALL declare('lost', $$id IN (SELECT customer_id FROM visits GROUP BY customer_id HAVING max(at) < now() - interval '60 days')$$);
SELECT * FROM story('lost', 'refresh 2025-02-27 12:00', '2025-02-27 12:00:00.000001', '2025-03-07 12:00', 'refresh 2025-03-07 12:00', '2025-03-07 12:00:00.000001', '2025-03-07 12:00:00.000002');

-- a month back is not monotone: one row comes and goes
UPDATE customers SET created_at = '2025-02-28 12:00+01' WHERE id = 1;
CALL declare('a_month_old', $$created_at < now() - interval '1 month'$$);
SELECT * FROM story('a_month_old', 'refresh 2025-03-28 11:00', '2025-03-28 12:00', '2025-03-28 12:00:00.000001', '2025-03-29 00:00', '2025-03-29 12:00:00.000001',
	'2025-03-30 00:00', '2025-03-30 12:00:00.000001', '2025-03-31 00:00', '2025-03-31 12:00:00.000001', '2025-04-01 00:00');
SELECT segment.next_flip(timestamptz '2025-02-28 12:00+01', interval '-1 month', 0, '2025-03-28 12:30+01') > '2025-03-28 12:30+01' AS again;

-- ---- evaluated ahead ----
-- at midnight only those are looked at that change; who is written to before is evaluated at both clocks
DROP VIEW a_month_old, lost, lapsing, not_back, regular, each_month, new_this_iso_week, new_this_quarter, adult_by_age, adult, birthday_this_week, celebrates, birthday_today;
TRUNCATE truth;
UPDATE customers SET birthday = date '1990-05-01' + id::int;
CALL declare('birthday_today', $$to_char(birthday, 'MM-DD') = to_char(current_date, 'MM-DD')$$);
SELECT * FROM story('birthday_today', 'refresh 2025-05-02 10:00');
UPDATE customers SET birthday = '1999-05-03' WHERE id = 6;
SELECT * FROM story('birthday_today', '2025-05-02 10:00', '2025-05-03 00:00', 'refresh 2025-05-02 11:00', '2025-05-02 23:59:59.999999', '2025-05-03 00:00',
	'2025-05-03 23:59:59.999999', '2025-05-04 00:00', 'refresh 2025-05-04 00:00:00.000001', '2025-05-05 00:00');
-- what lies farther ahead is not prepared for yet; nor is more than one instant
CALL declare('in_may', $$extract(month FROM current_date) = 5 AND id < 4$$);
SELECT * FROM story('in_may', 'refresh 2025-05-05 12:00', '2025-06-01 00:00', 'refresh 2025-05-30 21:59', '2025-06-01 00:00', 'refresh 2025-05-30 22:00', '2025-06-01 00:00', '2025-07-01 00:00');
-- with comparisons of their own deadlines on both sides of the midnight
CALL declare('mixed', $$extract(isodow FROM now()) = 6 AND created_at < now() - interval '10 hours'$$);
UPDATE customers SET created_at = timestamptz '2025-05-09 12:00+02' + id * interval '1 hour';
SELECT * FROM story('mixed', 'refresh 2025-05-09 11:00', '2025-05-09 23:30', '2025-05-10 00:00', '2025-05-10 00:00:00.000001', '2025-05-10 02:00:00.000001',
	'refresh 2025-05-10 02:30', '2025-05-10 23:59:59.999999', '2025-05-11 00:00');
-- an error ahead is not one now: that instant is not known, as before
CALL declare('error_ahead', $$id / (extract(day FROM current_date) - 12) < 0$$);
SELECT * FROM story('error_ahead', 'refresh 2025-05-11 12:00');
SET segmentation.clock = '2025-05-12 12:00';
SELECT segment.size('error_ahead');
SELECT * FROM story('error_ahead', '2025-05-11 12:00', '2025-05-11 23:59:59.999999');
-- a segment on another that is of another zone
SELECT segment.execute($$CREATE SEGMENT elsewhere ON customers WITH (timezone = 'Asia/Tokyo') WHERE NOT in_segment('birthday_today') AND birthday < current_date - interval '35 years'$$);
SET segmentation.clock = '2025-05-04 12:00+02';
DO LANGUAGE segment $$ REFRESH SEGMENT ALL $$;
SET segmentation.clock = '2025-05-04 16:59:59.999999+02';
SELECT segment.members('elsewhere'), reads, pending FROM segment.standing('elsewhere');
SET segmentation.clock = '2025-05-04 17:00+02';		-- midnight in Tokyo
SELECT segment.members('elsewhere'), reads, pending FROM segment.standing('elsewhere');
SET segmentation.clock = '2025-05-05 00:00+02';		-- and in Berlin
SELECT segment.members('elsewhere'), reads, pending FROM segment.standing('elsewhere');

-- ---- counts: not every row that leaves the window matters ----
DROP VIEW elsewhere, error_ahead, mixed, in_may, birthday_today;
TRUNCATE truth, orders, visits;
INSERT INTO visits (customer_id, at) SELECT 1, timestamptz '2025-05-20 12:00+02' - n * interval '1 day' FROM generate_series(-1, 9) n;
INSERT INTO visits (customer_id, at) SELECT 2, timestamptz '2025-05-20 12:00+02' - n * interval '1 day' FROM generate_series(8, 9) n;
CALL declare('thrice', $$count(visits) FILTER (WHERE at > now() - interval '10 days' AND at <= now()) >= 3$$,
	$$(SELECT count(*) FROM visits v WHERE v.customer_id = customers.id AND at > now() - interval '10 days' AND at <= now()) >= 3$$);
SELECT * FROM story('thrice', 'refresh 2025-05-20 12:00', '2025-05-28 11:59:59.999999', 'refresh 2025-05-28 12:00', '2025-05-29 12:00');
CALL declare('eleven', $$10 < count(visits) FILTER (WHERE at > now() - interval '10 days' AND at <= now())$$,
	$$10 < (SELECT count(*) FROM visits v WHERE v.customer_id = customers.id AND at > now() - interval '10 days' AND at <= now())$$);
CALL declare('here', $$EXISTS (SELECT FROM visits v WHERE v.customer_id = customers.id AND v.at > now() - interval '10 days')$$);
CALL declare('not_here', $$id NOT IN (SELECT customer_id FROM visits WHERE at > now() - interval '10 days')$$);
CALL declare('exactly_two', $$(SELECT count(*) FROM visits v WHERE v.customer_id = customers.id AND v.at > now() - interval '10 days') = 2$$);
SET segmentation.clock = '2025-05-20 12:00+02';
DO LANGUAGE segment $$ REFRESH SEGMENT ALL $$;
SELECT s.name, id, result, may_change_at AT TIME ZONE 'Europe/Berlin' AS may_change_in_berlin
FROM unnest('{thrice, eleven, here, not_here, exactly_two}'::regclass[]) s (name), unnest('{1, 2, 3}'::int[]) id, segment.explain(s.name, id) e
WHERE depth = 0 ORDER BY s.name::text, id;
SELECT * FROM story('eleven', '2025-05-21 11:59:59.999999', '2025-05-21 12:00', '2025-05-29 12:00');
SELECT * FROM story('exactly_two', '2025-05-21 12:00', '2025-05-29 12:00', '2025-05-31 12:00');
SELECT * FROM story('not_here', '2025-05-22 12:00', '2025-05-31 12:00');
-- k that is no constant, or a count that is more than compared: as before, each row's
CALL declare('by_id', $$(SELECT count(*) FROM visits v WHERE v.customer_id = customers.id AND v.at > now() - interval '10 days') >= id$$);
SELECT may_change_at FROM segment.explain('by_id', 1);
SELECT k, segment.count_flip(n % 2 = 0, CASE WHEN n < 9 THEN timestamptz '2025-01-01 UTC' + n * interval '1 day' END, k) FROM generate_series(1, 10) n, generate_series(-1, 11) k GROUP BY k ORDER BY k;

-- ---- where deadlines are computed ----
DROP VIEW by_id, exactly_two, not_here, here, eleven, thrice;
TRUNCATE truth;
ALTER TABLE visits ADD parts int;
UPDATE visits SET parts = CASE WHEN at > '2025-05-13' THEN 2 ELSE 0 END;
-- CASE guards them as it guards the condition
CALL declare('guarded', $$EXISTS (SELECT FROM visits v WHERE v.customer_id = customers.id AND CASE WHEN parts = 0 THEN false ELSE v.at + interval '20 days' / parts > now() END)$$);
SELECT * FROM story('guarded', 'refresh 2025-05-20 12:00', '2025-05-31 12:00');
-- what only their computation fails on does not make the segment fail
CALL declare('blind', $$EXISTS (SELECT FROM visits v WHERE v.customer_id = customers.id AND v.at > now() - interval '6 days' AND v.at + interval '20 days' / parts > now())$$);
SELECT * FROM story('blind', 'refresh 2025-05-20 12:00', '2025-05-20 13:00');
SELECT state, message FROM segment.status WHERE segment = 'blind'::regclass;
UPDATE visits SET parts = 2;
SELECT * FROM story('blind', 'refresh 2025-05-20 12:00', '2025-05-25 12:00');
SELECT state, message FROM segment.status WHERE segment = 'blind'::regclass;
-- CASE x WHEN, arguments left to their defaults, WITH, subqueries in subqueries in FROM
UPDATE customers SET birthday = date '2025-05-20' + id::int;
CREATE FUNCTION is_day(date, date DEFAULT current_date) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT $1 = $2';
CALL declare('cases', $$CASE birthday WHEN current_date THEN true WHEN current_date + 1 THEN id < 3 ELSE false END$$);
CALL declare('default_date', $$is_day(birthday)$$, $$is_day(birthday, current_date)$$);
CALL declare('with_query', $$(WITH v AS (SELECT customer_id FROM visits WHERE at > now() - interval '10 days'), mine AS (SELECT FROM v WHERE v.customer_id = customers.id) SELECT count(*) FROM mine) >= 3$$);
CALL declare('nested', $$EXISTS (SELECT FROM (SELECT * FROM (SELECT customer_id FROM visits WHERE at < now() - interval '10 days') a) b WHERE b.customer_id = customers.id)$$);
SELECT * FROM story('cases', 'refresh 2025-05-20 12:00', '2025-05-21 00:00', '2025-05-22 00:00', '2025-05-23 00:00');
SELECT * FROM story('default_date', 'refresh 2025-05-20 12:00', '2025-05-21 00:00', '2025-05-22 00:00');
SELECT * FROM story('with_query', 'refresh 2025-05-20 12:00', '2025-05-29 11:59:59.999999', '2025-05-29 12:00');
SELECT * FROM story('nested', 'refresh 2025-05-20 12:00', '2025-05-21 12:00', '2025-05-21 12:00:00.000001');
DROP VIEW nested, with_query, default_date, cases, blind, guarded;

-- ---- the clock ----
TRUNCATE truth;
UPDATE customers SET created_at = timestamptz '2025-01-01 00:00+01' + id * interval '1 day';
CALL declare('old', $$created_at <= now() - interval '30 days'$$);
SET TimeZone = 'UTC';
SET segmentation.clock = '2025-02-03 12:00+00';
DO LANGUAGE segment $$ REFRESH SEGMENT ALL $$;
SELECT segment.clock('old'), segment.members('old');
SELECT reads, pending, base_clock FROM segment.standing('old');
-- later: those whose time has come
SET segmentation.clock = '2025-02-04 23:00+00';
SELECT segment.clock('old'), segment.members('old'), s.reads, s.pending FROM segment.standing('old') s;
-- before the base: everybody
SET segmentation.clock = '2025-02-02 23:00+00';
SELECT segment.clock('old'), segment.members('old'), s.reads FROM segment.standing('old') s;
-- how many by when
SELECT until, segment.due('old', until) FROM unnest('{2025-02-03 12:00+00, 2025-02-04 12:00+00, 2025-02-06 12:00+00, 2026-01-01}'::timestamptz[]) until;
-- when what may change
SET segmentation.clock = '2025-02-03 12:00+00';
SELECT condition, value, result, may_change_at FROM segment.explain('old', 2);
SELECT condition, value, result, may_change_at FROM segment.explain('old', 4);
CALL declare('mixed', $$created_at <= now() - interval '30 days' AND birthday > date '1980-01-01' AND extract(month FROM birthday) = extract(month FROM current_date)$$);
SELECT part, depth, condition, result, may_change_at FROM segment.explain('mixed', 4);
DROP VIEW mixed;
-- an interval that cannot be a clock, and who may set it
SET segmentation.clock = 'infinity';
SET segmentation.clock = 'yesterday or so';
RESET segmentation.clock;
-- a base of the past is read as ever; everybody is old by now
SELECT segment.clock('old') = now() AS now, segment.members('old'), s.reads FROM segment.standing('old') s;
-- a base of the future: read in full, and rebuilt
SET segmentation.clock = '2999-01-01';
DO LANGUAGE segment $$ REFRESH SEGMENT ALL $$;
RESET segmentation.clock;
INSERT INTO customers VALUES (7, NULL, '2500-01-01');
SELECT segment.clock('old') = now() AS now, segment.members('old'), s.reads FROM segment.standing('old') s;
DO LANGUAGE segment $$ REFRESH SEGMENT ALL $$;
SELECT segment.clock('old') >= now() AS now, segment.members('old'), s.reads, s.base_clock <= clock_timestamp() AS rebuilt FROM segment.standing('old') s;
-- another segment's base of the future is not followed either
CALL declare('not_old', $$NOT in_segment('old')$$);
DO LANGUAGE segment $$ REFRESH SEGMENT ALL $$;
SET segmentation.clock = '2999-01-01';
DO LANGUAGE segment $$ REFRESH SEGMENT old $$;
SELECT segment.members('not_old');
RESET segmentation.clock;
SELECT segment.members('not_old'), s.reads FROM segment.standing('not_old') s;
DO LANGUAGE segment $$ REFRESH SEGMENT ALL $$;
-- a reader whose transaction began before the refresh reads at the base's clock
BEGIN;
UPDATE customers SET created_at = created_at + interval '1 hour' WHERE id = 1;
DO LANGUAGE segment $$ REFRESH SEGMENT ALL $$;
SELECT segment.clock('old') > now() AS later, segment.clock('old') = base_clock AS of_the_base FROM segment.standing('old');
COMMIT;
CREATE ROLE regress_segment_reader;
SET ROLE regress_segment_reader;
SET segmentation.clock = '2025-01-01';
RESET ROLE;
DROP ROLE regress_segment_reader;

-- ---- a bound instead of exactness ----
SET segmentation.clock = '2025-02-03 12:00+00';
DO LANGUAGE segment $$ CREATE SEGMENT stale ON customers WITH (max_staleness = '15 minutes') WHERE extract(epoch FROM now() - created_at) > 30 * 86400 $$;
DO LANGUAGE segment $$ REFRESH SEGMENT stale $$;
SELECT segment.members('stale');
SET segmentation.clock = '2025-02-03 12:14:59.999999+00';
SELECT segment.members('stale'), reads, pending FROM segment.standing('stale');
SET segmentation.clock = '2025-02-03 12:15+00';
SELECT segment.members('stale'), reads FROM segment.standing('stale');
DO LANGUAGE segment $$ REFRESH SEGMENT stale $$;
SELECT segment.members('stale'), reads, pending FROM segment.standing('stale');
RESET segmentation.clock;

-- ---- refused, with the place ----
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE birthday IS NULL OR extract(epoch FROM now() - created_at) > 86400 $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE age(now(), created_at) > interval '1 month' $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE tstzrange(created_at, 'infinity') @> now() $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE created_at > date_trunc('second', now()) $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE created_at > current_timestamp(0) $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE count(visits) FILTER (WHERE greatest(at, now()) > created_at) > 0 $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE id IN (SELECT customer_id FROM visits GROUP BY customer_id HAVING max(at) - min(at) < now() - min(at)) $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE id IN (WITH RECURSIVE w AS (SELECT id, customer_id FROM visits WHERE at > now() UNION SELECT id + 1, customer_id FROM w WHERE id < 3) SELECT customer_id FROM w) $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE created_at > clock_timestamp() $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE created_at > statement_timestamp() $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE created_at::time > current_time $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE created_at > 'today' $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE created_at > timestamptz 'now' $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE created_at > '04:05 today' $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE birthday = ANY ('{2000-01-01,today}') $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE birthday <@ daterange '[2000-01-01,today)' $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE birthday <@ '{[today,)}'::datemultirange $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE left(created_at::text, 10)::date = birthday $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE 'tomorrow'::text::date = birthday $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE string_to_array(created_at::text, '+')::timestamp[] <> '{}' $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE created_at::time::timetz > '12:00+00' $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE jsonb_populate_record(NULL::orders, '{}') IS NULL $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WHERE EXISTS (SELECT FROM XMLTABLE('/a' PASSING (xml '<a>now</a>') COLUMNS d date PATH '.') x WHERE d = birthday) $$;
DO LANGUAGE segment $$ CREATE SEGMENT frozen ON customers WHERE birthday = '2025-05-21'::text::date OR created_at::text::date = birthday OR created_at::text = 'today' $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WITH (timezone = 'Europe/Nowhere') WHERE true $$;
DO LANGUAGE segment $$ CREATE SEGMENT x ON customers WITH (max_staleness = 'a while') WHERE true $$;

-- ---- beyond all clocks ----
SELECT x, segment.next_flip(x, i, 0, '2025-01-01') FROM (VALUES (timestamptz '294276-12-31', interval '-6000 years'), ('294276-12-31', '0'),
	('infinity', '1 day'), ('-infinity', '1 day'), ('4713-01-02 BC', '1 day')) v (x, i);
SELECT segment.shift(timestamptz '2025-01-01', interval '1 month 1 day 1 hour', -1), segment.shift(timestamptz '294276-01-01', interval '2 years', 1) IS NULL AS never;

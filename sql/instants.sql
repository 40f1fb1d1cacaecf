-- The instants that the change feed tells for flips that time caused, against reads around them: a microsecond before, at the
-- instant, and from there to the clock of the refresh.  Over a change of summer time, a month's end, and steps of calendar forms.
SET client_min_messages = warning;
CREATE EXTENSION segmentation;
\set VERBOSITY terse
SET TimeZone = 'America/New_York';
SET search_path = public, segment;

CREATE TABLE customers (id bigint PRIMARY KEY, seen timestamptz, born date, local timestamp);
INSERT INTO customers SELECT i, '2026-03-01 00:00'::timestamptz + (i * 7919 % 28800) * interval '1 minute' + i * interval '7 seconds',
	'2026-02-20'::date + i * 13 % 40, '2026-03-01 00:00'::timestamp + (i * 6101 % 28800) * interval '1 minute' FROM generate_series(1, 40) i;
DO LANGUAGE segment $$
	CREATE SEGMENT lapsed ON customers WHERE seen < now() - interval '1 day';
	CREATE SEGMENT window_of ON customers WHERE seen > now() - interval '1 month' AND seen < now();
	CREATE SEGMENT wall_clock ON customers WHERE local > localtimestamp - interval '36 hours' AND local < localtimestamp;
	CREATE SEGMENT days ON customers WHERE born > current_date - 3;
	CREATE SEGMENT calendar ON customers WHERE seen >= date_trunc('day', now()) OR in_segment('wall_clock');
	CREATE SEGMENT mornings ON customers WHERE NOT in_segment('window_of') AND extract(hour FROM now()) < 12;
	CREATE SEGMENT months ON customers WHERE born < current_date - interval '1 month';
$$;

CREATE FUNCTION members_at(which regclass, clock timestamptz) RETURNS segment.bitmap LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('segmentation.clock', clock::text, false);
	RETURN segment.members(which);
END $$;
-- Refreshes at one clock and at the next, and looks at what the second one told.
CREATE FUNCTION check_instants(first timestamptz, next timestamptz, OUT changes bigint, OUT flips bigint, OUT wrong bigint, OUT untold bigint) LANGUAGE plpgsql AS $$
DECLARE
	s record;
	c record;
	told segment.bitmap;
	clock timestamptz;
BEGIN
	changes := 0; flips := 0; wrong := 0; untold := 0;
	PERFORM set_config('segmentation.clock', first::text, false);
	PERFORM segment.refresh();
	PERFORM set_config('segmentation.clock', next::text, false);
	PERFORM segment.refresh();
	FOR s IN SELECT view FROM segment.segment ORDER BY id LOOP
		FOR c IN SELECT * FROM segment.changes(s.view) WHERE changed_at = next LOOP
			told := '{}';
			FOR i IN 1 .. COALESCE(array_length(c.instants, 1), 0) LOOP
				told := told | c.flipped[i];
				clock := c.instants[i];
				IF NOT c.flipped[i] <@ (members_at(s.view, clock) # members_at(s.view, clock - interval '1 microsecond')) THEN
					wrong := wrong + 1;
				END IF;
				WHILE clock < next LOOP
					IF (members_at(s.view, clock) & c.flipped[i]) <> (c.entered & c.flipped[i]) THEN
						wrong := wrong + 1;
					END IF;
					clock := clock + interval '97 minutes';
				END LOOP;
			END LOOP;
			changes := changes + segment.cardinality(c.entered) + segment.cardinality(c.exited);
			flips := flips + segment.cardinality(told);
			untold := untold + segment.cardinality((c.entered | c.exited) - told);
		END LOOP;
	END LOOP;
END $$;
SELECT * FROM check_instants('2026-03-05 10:17', '2026-03-07 18:00');
SELECT * FROM check_instants('2026-03-07 18:01', '2026-03-08 16:00');
SELECT * FROM check_instants('2026-03-30 11:00', '2026-04-01 03:00');
SELECT * FROM check_instants('2026-04-02 11:00', '2026-04-02 11:00:01');

DROP TABLE customers CASCADE;
DROP FUNCTION members_at(regclass, timestamptz), check_instants(timestamptz, timestamptz);
DROP EXTENSION segmentation;

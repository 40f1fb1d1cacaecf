-- Figures of segment.bitmap and, where it is installed, pg_roaringbitmap: "shape operation who microseconds".
-- Table bench_input (shape, k, bytes) is loaded by run.sh.
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' '
SET client_min_messages = error;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
SET search_path = public, segment;

CREATE TEMP TABLE operation (name text, per text, ours text, theirs text);
INSERT INTO operation VALUES
  ('and', 'pair', 'sum(segment.cardinality(a.b & b.b))', 'sum(rb_cardinality(a.b & b.b))'),
  ('or', 'pair', 'sum(segment.cardinality(a.b | b.b))', 'sum(rb_cardinality(a.b | b.b))'),
  ('andnot', 'pair', 'sum(segment.cardinality(a.b - b.b))', 'sum(rb_cardinality(a.b - b.b))'),
  ('xor', 'pair', 'sum(segment.cardinality(a.b # b.b))', 'sum(rb_cardinality(a.b # b.b))'),
  ('and_cardinality', 'pair', 'sum(segment.and_cardinality(a.b, b.b))', 'sum(rb_and_cardinality(a.b, b.b))'),
  ('or_cardinality', 'pair', 'sum(segment.or_cardinality(a.b, b.b))', 'sum(rb_or_cardinality(a.b, b.b))'),
  ('andnot_cardinality', 'pair', 'sum(segment.andnot_cardinality(a.b, b.b))', 'sum(rb_andnot_cardinality(a.b, b.b))'),
  ('xor_cardinality', 'pair', 'sum(segment.xor_cardinality(a.b, b.b))', 'sum(rb_xor_cardinality(a.b, b.b))'),
  ('cardinality', 'row', 'sum(segment.cardinality(a.b))', 'sum(rb_cardinality(a.b))'),
  ('contains', 'row', 'count(*) FILTER (WHERE a.b @> 5000000::bigint)', 'count(*) FILTER (WHERE a.b @> 5000000)'),
  ('or_agg', 'all', 'segment.cardinality(segment.union_agg(a.b))', 'rb_cardinality(rb_or_agg(a.b))'),
  ('and_agg', 'all', 'segment.cardinality(segment.intersect_agg(a.b))', 'rb_cardinality(rb_and_agg(a.b))'),
  ('xor_agg', 'all', 'segment.cardinality(segment.xor_agg(a.b))', 'rb_cardinality(rb_xor_agg(a.b))'),
  ('or_cardinality_agg', 'all', 'segment.or_cardinality_agg(a.b)', 'rb_or_cardinality_agg(a.b)'),
  ('and_cardinality_agg', 'all', 'segment.and_cardinality_agg(a.b)', 'rb_and_cardinality_agg(a.b)'),
  ('xor_cardinality_agg', 'all', 'segment.xor_cardinality_agg(a.b)', 'rb_xor_cardinality_agg(a.b)'),
  ('ids', 'one', '(SELECT count(*) FROM (SELECT segment.ids(x.b) FROM ours_t x WHERE k = 0) i)', '(SELECT count(*) FROM (SELECT rb_iterate(x.b) FROM theirs_t x WHERE k = 0) i)'),
  ('to_array', 'one', '(SELECT cardinality(x.b::bigint[]) FROM ours_t x WHERE k = 0)', '(SELECT cardinality(rb_to_array(x.b)) FROM theirs_t x WHERE k = 0)'),
  ('from_array', 'one', '(SELECT segment.cardinality(ids::segment.bitmap) FROM ids8)', '(SELECT rb_cardinality(rb_build(ids)) FROM ids4)'),
  ('build_agg', 'one', '(SELECT segment.cardinality(segment.bitmap_agg(id)) FROM shuffled)', '(SELECT rb_cardinality(rb_build_agg(id::int)) FROM shuffled)'),
  ('text_out', 'one', '(SELECT length(x.b::text) FROM ours_t x WHERE k = 0)', '(SELECT length(x.b::text) FROM theirs_t x WHERE k = 0)'),
  ('text_in', 'one', '(SELECT segment.cardinality(t::segment.bitmap) FROM as_text)', '(SELECT rb_cardinality(t::roaringbitmap) FROM as_text)'),
  ('send', 'row', 'sum(length(segment.bitmap_send(a.b)))', 'sum(length(roaringbitmap_send(a.b)))'),
  ('from_bytes', 'row', 'sum(segment.cardinality(a.bytes::segment.bitmap))', 'sum(rb_cardinality(a.bytes::roaringbitmap))');

-- Microseconds on the processor of this backend, where Linux tells, else of the clock.
CREATE FUNCTION pg_temp.used() RETURNS float8
LANGUAGE plpgsql AS $$
BEGIN
    RETURN split_part(pg_read_file('/proc/self/schedstat', 0, 100), ' ', 1)::float8 / 1000;
EXCEPTION WHEN others THEN
    RETURN extract(epoch FROM clock_timestamp())::float8 * 1e6;
END $$;

CREATE PROCEDURE pg_temp.measure(the_shape text, rounds int)
LANGUAGE plpgsql AS $$
DECLARE
    o record;
    who text;
    n bigint;
    started float8;
    times_done int;
    times float8[];
    query text;
    result text;
    results text[];
    theirs_there boolean := to_regtype('roaringbitmap') IS NOT NULL;
BEGIN
    DROP TABLE IF EXISTS ours_t, theirs_t, shuffled, as_text, ids8, ids4;
    EXECUTE format('CREATE UNLOGGED TABLE ours_t AS SELECT k, bytes::segment.bitmap AS b, bytes FROM bench_input WHERE shape = %L ORDER BY k', the_shape);
    IF theirs_there THEN
        EXECUTE format('CREATE UNLOGGED TABLE theirs_t AS SELECT k, bytes::roaringbitmap AS b, bytes FROM bench_input WHERE shape = %L ORDER BY k', the_shape);
        PERFORM set_config('roaringbitmap.output_format', 'array', true);
    END IF;
    CREATE TEMP TABLE shuffled AS SELECT id FROM ours_t x, segment.ids(x.b) id WHERE k = 0 ORDER BY hashint8(id) LIMIT 1000000;
    CREATE TEMP TABLE ids8 AS SELECT array_agg(id) AS ids FROM shuffled;
    CREATE TEMP TABLE ids4 AS SELECT ids::int[] AS ids FROM ids8;
    PERFORM set_config('segmentation.bitmap_output', 'ids', true);
    CREATE TEMP TABLE as_text AS SELECT b::text AS t FROM ours_t WHERE k = 0;
    SELECT count(*) INTO n FROM ours_t;
    FOR o IN SELECT * FROM operation LOOP
        results := '{}';
        times := '{}';
        FOR i IN 0..rounds LOOP   -- the first one warms up
            FOREACH who IN ARRAY CASE WHEN theirs_there THEN '{ours,theirs}'::text[] ELSE '{ours}' END LOOP
                query := format(CASE o.per WHEN 'pair' THEN 'SELECT %1$s FROM %2$s a JOIN %2$s b ON b.k = (a.k + 1) %% %3$s'
                                           WHEN 'one' THEN 'SELECT %1$s'
                                           ELSE 'SELECT %1$s FROM %2$s a' END,
                                CASE who WHEN 'ours' THEN o.ours ELSE o.theirs END, who || '_t', n);
                -- the kernel accounts in steps of milliseconds: go on for 100 of them
                started := pg_temp.used();
                times_done := 0;
                LOOP
                    EXECUTE query INTO result;
                    times_done := times_done + 1;
                    EXIT WHEN i = 0 OR pg_temp.used() - started > 100000;
                END LOOP;
                times := times || (pg_temp.used() - started) / times_done / CASE WHEN o.per IN ('pair', 'row') THEN n ELSE 1 END;
                IF i = 0 THEN
                    results := results || result;
                END IF;
            END LOOP;
        END LOOP;
        FOR i IN 1..cardinality(results) LOOP
            RAISE INFO '% % % %', the_shape, o.name, CASE i WHEN 1 THEN 'ours' ELSE 'theirs' END,
                (SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY t)::numeric, 2)
                   FROM unnest(times) WITH ORDINALITY u(t, number)
                  WHERE number > cardinality(results) AND (number - i) % cardinality(results) = 0);
        END LOOP;
        IF theirs_there AND o.name <> 'send' AND o.name <> 'text_out' AND results[1] <> results[2] THEN
            RAISE EXCEPTION '% %: results differ: %', the_shape, o.name, results;
        END IF;
    END LOOP;
END $$;
CALL pg_temp.measure(:'shape', :rounds);

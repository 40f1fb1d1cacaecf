-- segment.bitmap: the type, its text form, operators, functions and aggregates
CREATE EXTENSION segmentation;
SET search_path = segment, public;

-- text form
SELECT '{1,5,7-20}'::bitmap;
SELECT '{}'::bitmap, ' { } '::bitmap, ' { 20 - 30 , 3,1,2 , 25-40,2 } '::bitmap;
SELECT '{9223372036854775807}'::bitmap, '{0,4294967295-4294967296}'::bitmap;
SELECT '{65535,65536,131071-131073}'::bitmap;
SELECT '{0-99999999999}'::bitmap;
SELECT '{9223372036854775808}'::bitmap;
SELECT '{1,-5}'::bitmap;
SELECT '{1,5'::bitmap;
SELECT '{1,,5}'::bitmap;
SELECT '{1,}'::bitmap;
SELECT '{1 2}'::bitmap;
SELECT '{9-2}'::bitmap;
SELECT '1,2'::bitmap;
SELECT '{1,2} x'::bitmap;
SELECT ''::bitmap;
SELECT '{1,2,a}'::bitmap;
SELECT ('{' || repeat('1,', 100) || 'ü}')::bitmap;
SELECT '{7, 0-9223372036854775807}'::bitmap;
SELECT '{900-1000,5,40-50,45-60,61-62,7-8,5-6,65530-131080,1,850-899}'::bitmap, '{4294967290-4294967300,3-4}'::bitmap;

SET segmentation.bitmap_output = ids;
SELECT '{1,5,7-20}'::bitmap, '{}'::bitmap;
SET segmentation.bitmap_output = hex;
SELECT '{1,5,7-20}'::bitmap, '{}'::bitmap;
SELECT '\x0100000000000000000000003b3000000100000f000300010000000500000007000d00'::bitmap;
RESET segmentation.bitmap_output;
SELECT '\x0100000000000000000000003b3000000100000f000300010000000500000007000d00'::bitmap;
SELECT '\x01'::bitmap;
SELECT '\x01000000 00000000
000000003A30000001000000000001001000000001000500'::bitmap;
SELECT '\x010'::bitmap;
SELECT '\x01 0 1'::bitmap;
SELECT ('\x' || repeat('00', 100) || '0g')::bitmap;
SET segmentation.bitmap_output = 'nonsense';
SET segmentation.nonsense = 1;

-- casts
SELECT '{1,5,7-9}'::bitmap::bigint[], '{}'::bitmap::bigint[];
SELECT '{9,8,7,5,5,1}'::bigint[]::bitmap, '{}'::bigint[]::bitmap, ARRAY[[1,2],[3,4]]::bigint[]::bitmap;
SELECT '{9,8,7,5,5,1}'::int[]::bitmap, '{}'::int[]::bitmap, bitmap(ARRAY[2,1]), bitmap('{1-3}');
SELECT '{1,5,2147483646-2147483647}'::bitmap::int[], '{}'::bitmap::int[];
SELECT '{1,2147483648}'::bitmap::int[];
SELECT '{1,-1}'::int[]::bitmap;
SELECT '{1,NULL}'::int[]::bitmap;
CREATE TEMP TABLE assigned (b bitmap);
INSERT INTO assigned VALUES (ARRAY[3,1,2]), (ARRAY[4294967296,1]), ('{7-9}');
SELECT * FROM assigned;
SELECT '{1,NULL}'::bigint[]::bitmap;
SELECT '{1,-1}'::bigint[]::bitmap;
SELECT '{1,5}'::bitmap::bytea, '{}'::bitmap::bytea, '{1,5}'::bitmap::bytea::bitmap;
SELECT to_bytea32('{1,5}'), to_bytea32('{}'), to_bytea32('{1,5}')::bitmap, to_bytea32('{}')::bitmap;
SELECT to_bytea32('{4294967296}');

-- operators
SELECT '{1,2,3}'::bitmap | '{3,4}', '{1,2,3}'::bitmap & '{3,4}', '{1,2,3}'::bitmap - '{3,4}', '{1,2,3}'::bitmap # '{3,4}';
SELECT '{1,4294967296}'::bitmap | '{8589934592}', '{1,4294967296}'::bitmap & '{4294967296,8589934592}',
       '{1,4294967296}'::bitmap - '{1}', '{1,4294967296}'::bitmap # '{1,4294967297}';
SELECT '{1,2,3}'::bitmap @> '{1,3}', '{1,2,3}'::bitmap @> '{1,4}', '{1,3}'::bitmap <@ '{1,2,3}', '{}'::bitmap <@ '{}',
       '{1}'::bitmap && '{1,2}', '{1}'::bitmap && '{2}', '{}'::bitmap && '{}';
SELECT '{1,7-20}'::bitmap @> 8, '{1,7-20}'::bitmap @> 21, 7 <@ '{1,7-20}'::bitmap, -1 <@ '{1}'::bitmap, 9223372036854775807 <@ '{9223372036854775807}'::bitmap;
SELECT '{1,2}'::bitmap | 3, 4294967296 | '{1,2}'::bitmap, '{1,2}'::bitmap - 2, '{1}'::bitmap - 1, '{1}'::bitmap - (-1)::bigint, '{1}'::bitmap | NULL::bigint;
SELECT '{1}'::bitmap | (-1);
SELECT '{1,2,3}'::bitmap @> ARRAY[1,3], ARRAY[1,3] <@ '{1,2,3}'::bitmap, ARRAY[1,4]::bigint[] <@ '{1,2,3}'::bitmap, ARRAY[4,3] && '{1,2,3}'::bitmap,
       '{}'::bigint[] && '{1}'::bitmap, '{1,2}' <@ '{1,2,3}'::bitmap, '{1-2}' && '{1,2,3}'::bitmap, '{1,2,3}'::bitmap @> '{1-2}';
SELECT o.oprname, o.oprleft::regtype, o.oprright::regtype
  FROM pg_operator o LEFT JOIN pg_operator c ON c.oid = o.oprcom AND c.oprcom = o.oid AND c.oprleft = o.oprright AND c.oprright = o.oprleft
 WHERE 'bitmap'::regtype IN (o.oprleft, o.oprright) AND o.oprname <> '-' AND c.oid IS NULL;
SELECT '{1,2,3}'::bitmap @> ARRAY[1,3]::bigint[], '{1,2,3}'::bitmap && ARRAY[4]::bigint[], '{1,2,3}'::bitmap @> '{}'::bigint[];
SELECT '{1,2,3}'::bitmap @> ARRAY[1,-1] AS f, ARRAY[-1] <@ '{1}'::bitmap AS f, '{1}'::bitmap && ARRAY[-1,1] AS t, ARRAY[-1] && '{1}'::bitmap AS f;
SELECT '{1,2}'::bitmap = '{1-2}', '{1,2}'::bitmap <> '{1-2}', '{1,2}'::bitmap = '{1}', equals('{1}', '{1}'),
       is_strict_subset('{1}', '{1,2}'), is_strict_subset('{1}', '{1}');

-- the same set is the same bytes, whichever way it was made
SELECT (range(1, 2) | range(5, 6))::bytea = '{1,2,5,6}'::bitmap::bytea,
       (range(1, 100) - range(3, 100))::bytea = ARRAY[1, 2]::bigint[]::bitmap::bytea,
       (range(0, 200000) & '{1,2,4,5,70000,70001}') = '{1,2,4,5,70000,70001}',
       (range(1, 3))::bytea = '{1,2,3}'::bitmap::bytea,
       (range(0, 65535) - range(4, 60000) - range(60003, 65535) - '{1}') = '{0,2,3,60001,60002}';

-- order
SELECT x FROM unnest(ARRAY['{2}', '{1,3}', '{}', '{1,2}', '{1}', '{1-5}', '{1,2,4}', '{65536}', '{0-65535}', '{0-65536}', '{0,1,3-70000}']::bitmap[]) x ORDER BY x;
SELECT x, count(*) FROM unnest(ARRAY['{1,2}', '{1-2}', '{}', '{1}', '{}']::bitmap[]) x GROUP BY x ORDER BY x;
SELECT DISTINCT x FROM unnest(ARRAY['{1,2}', '{1-2}', '{3}']::bitmap[]) x ORDER BY x DESC;
CREATE TABLE b (k int, v bitmap);
INSERT INTO b SELECT i, range(i % 10, i % 10 + 5) FROM generate_series(1, 100) i;
SET enable_hashjoin = off; SET enable_nestloop = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM b x JOIN b y USING (v);
SELECT count(*) FROM b x JOIN b y USING (v);
RESET enable_hashjoin; SET enable_mergejoin = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM b x JOIN b y USING (v);
SELECT count(*) FROM b x JOIN b y USING (v);
RESET enable_nestloop; RESET enable_mergejoin;
CREATE INDEX ON b (v);
SET enable_seqscan = off;
SELECT k FROM b WHERE v = '{3-8}' ORDER BY k;
RESET enable_seqscan;
DROP TABLE b;
CREATE TABLE b AS SELECT '{1,7-20}'::bitmap AS v FROM generate_series(1, 20000);
CREATE INDEX b_v ON b (v);
SELECT pg_relation_size('b_v') < 300000 AS equal_ones_are_stored_once;
SELECT bool_and((bitmap_hash_extended(v, 0) & 4294967295) = (bitmap_hash(v)::bigint & 4294967295)), count(DISTINCT bitmap_hash_extended(v, seed))
  FROM unnest(ARRAY['{}', '{1}', '{1-70000}']::bitmap[]) v, generate_series(0, 3) seed;
DROP TABLE b;
CREATE TABLE b (v bitmap) PARTITION BY HASH (v);
CREATE TABLE b0 PARTITION OF b FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE b1 PARTITION OF b FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO b SELECT range(i, i * 2) FROM generate_series(1, 100) i;
SELECT count(*) = 100, count(DISTINCT tableoid), count(*) FILTER (WHERE v = range(7, 14)) FROM b;
SELECT count(*) FROM b WHERE v = '{7-14}';
DROP TABLE b;

-- an index on what is asked all the time
CREATE TABLE audience AS SELECT i AS name, range(i, i + 10) AS members FROM generate_series(1, 1000) i;
CREATE INDEX ON audience ((members @> 42::bigint));
ANALYZE audience;
EXPLAIN (COSTS OFF) SELECT name FROM audience WHERE members @> 42;
SELECT min(name), max(name) FROM audience WHERE members @> 42;
DROP TABLE audience;

-- counts and positions
SELECT cardinality('{1,5,7-20}'::bitmap), cardinality('{}'::bitmap), cardinality('{0-99999999999}'::bitmap), is_empty('{}'), is_empty('{0}');
SELECT and_cardinality('{1-5}', '{4-9}'), or_cardinality('{1-5}', '{4-9}'), andnot_cardinality('{1-5}', '{4-9}'), xor_cardinality('{1-5}', '{4-9}'),
       jaccard('{1-5}', '{4-9}'), jaccard('{}', '{}');
SELECT min_id('{5,4294967301}'), max_id('{5,4294967301}'), min_id('{}'), max_id('{}');
SELECT segment.rank('{5,7,4294967301}', 4), segment.rank('{5,7,4294967301}', 7), segment.rank('{5,7,4294967301}', 5000000000), segment.rank('{0}', -1);
SELECT nth('{5,7,4294967301}', 1), nth('{5,7,4294967301}', 3), nth('{5,7,4294967301}', 4), nth('{5,7,4294967301}', 0), nth('{5,7,4294967301}', -1), nth('{5,7,4294967301}', -4);
SELECT slice('{1-10,20-30}', 4), slice('{1-10,20-30}', 4, 8), slice('{1-10}', 4, 10), slice('{1-10}', 0), slice('{1-10}', 9223372036854775807, 5);
SELECT slice('{1}', -1);
SELECT range_cardinality('{1-10,4294967301}', 5, 4294967301), range_cardinality('{1-10}', 5, 4), range_cardinality('{1-10}', -5, 4);

-- changes
SELECT add('{1}', 3), add('{}', 9223372036854775807), remove('{1-3}', 2), remove('{1}', 1), remove('{1}', -1);
SELECT add('{1}', -3);
SELECT range(7, 20), range(5, 5), add_range('{1}', 65530, 65540), fill('{1}', 3, 4), remove_range('{1-10}', 3, 4), remove_range('{1-10,8589934592}', 0, 4294967296);
SELECT range(7, 6);
SELECT range(-1, 6);
SELECT range(0, 9223372036854775807);
SELECT range(0, 5149666607103);
SELECT keep_range('{1-10}', 3, 4), keep_range('{1-10}', -5, 4), keep_range('{1-10}', 5, 4), keep_range('{1-10}', -5, -4),
       keep_range('{1-10,4294967290-4294967300,9223372036854775807}', 7, 9223372036854775807),
       keep_range('{1-10,4294967290-4294967300}', 4294967292, 4294967297), keep_range('{}', 0, 9223372036854775807);
SELECT flip('{1-10}', 5, 15), flip('{}', 4294967295, 4294967296), flip('{1}', 1, 1);
SELECT shift('{1-10}', 5), shift('{1-10}', -5), shift('{1,4294967295}', 1), shift('{4294967296,8589934593}', -4294967297), shift('{9223372036854775806-9223372036854775807}', 1),
       shift('{1}', 9223372036854775807), shift('{1,9223372036854775807}', -9223372036854775808), shift('{5}', 0);
SELECT cardinality(sample('{1-1000}', 10, 1)), sample('{1-1000}', 10, 1) = sample('{1-1000}', 10, 1), sample('{1-1000}', 10, 1) <@ '{1-1000}'::bitmap,
       cardinality(sample('{1-1000}', 900, 1)), sample('{1-5}', 7, 1), sample('{1-5}', 0, 1);
SELECT run_optimize('{1-5}');
SELECT * FROM bitmap_stats('{1-70000,100000,4294967296}');
SELECT * FROM bitmap_stats('{}');

-- rows
SELECT ids('{1,5,7-9,4294967296}');
SELECT * FROM ids('{}');
SELECT count(*), sum(i) FROM ids('{0-99999,4294967296}') i;

-- what the planner expects
CREATE TABLE customers AS SELECT i AS id, nullif(greatest(i - 5000, 0), 0) AS card FROM generate_series(1::bigint, 10000) i;
ANALYZE customers;
CREATE FUNCTION planned(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    RETURN plan #>> '{0,Plan,Plan Rows}';
END $$;
SELECT planned($$SELECT * FROM customers WHERE id <@ '{1-5000}'::bitmap$$);
SELECT planned($$SELECT * FROM customers WHERE '{1-100,5000000}'::bitmap @> id$$);
SELECT planned($$SELECT * FROM customers WHERE card <@ '{1-5000}'::bitmap$$);
SELECT planned($$SELECT * FROM ids('{1-12345}')$$);
DROP TABLE customers;

-- aggregates
SELECT bitmap_agg(i) FROM generate_series(1, 10) i WHERE i <> 5;
SELECT bitmap_agg(i) FROM generate_series(1, 0) i;
SELECT bitmap_agg(NULL), bitmap_cardinality_agg(NULL), union_agg(NULL), or_cardinality_agg(NULL);
SELECT bitmap_agg(-1);
SELECT cardinality(bitmap_agg(i * 7919 % 100000)), bitmap_cardinality_agg(i * 7919 % 1000) FROM generate_series(1, 100000::bigint) i;
SELECT union_agg(v), intersect_agg(v), xor_agg(v), or_cardinality_agg(v), and_cardinality_agg(v), xor_cardinality_agg(v)
  FROM (VALUES ('{1-5,9}'::bitmap), (NULL), ('{4-9,4294967296}'), ('{5,9}')) t(v);
SELECT i, union_agg(range(i, i)) OVER (ORDER BY i ROWS 2 PRECEDING) FROM generate_series(1, 5) i;

-- in parallel
CREATE TABLE p AS SELECT i AS id, range(i, i + 10) AS v FROM generate_series(1, 20000) i;
ALTER TABLE p SET (parallel_workers = 2);
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT bitmap_agg(id), union_agg(v), intersect_agg(v), xor_agg(v), bitmap_cardinality_agg(id), or_cardinality_agg(v), and_cardinality_agg(v), xor_cardinality_agg(v) FROM p;
SELECT bitmap_agg(id), union_agg(v), intersect_agg(v), cardinality(xor_agg(v)), bitmap_cardinality_agg(id), or_cardinality_agg(v), and_cardinality_agg(v), xor_cardinality_agg(v) FROM p;
SELECT id % 3 AS g, cardinality(bitmap_agg(id)), cardinality(union_agg(v)), intersect_agg(v) FROM p GROUP BY 1 ORDER BY 1;
DROP TABLE p;

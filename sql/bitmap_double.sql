-- every operation of segment.bitmap against plain sorted arrays, on random and adversarial shapes
CREATE EXTENSION segmentation;
SET search_path = segment, public;
SELECT setseed(0.42);

CREATE TABLE shape (name text PRIMARY KEY, ids bigint[]);
INSERT INTO shape
SELECT name, (SELECT coalesce(array_agg(DISTINCT id ORDER BY id), '{}') FROM unnest(ids) id)
  FROM (VALUES
    ('empty', '{}'::bigint[]),
    ('zero', '{0}'),
    ('greatest', '{9223372036854775807}'),
    ('ends', '{0,9223372036854775807}'),
    ('borders', '{65534,65535,65536,65537,131071,131072,4294967294,4294967295,4294967296,4294967297,8589934591,8589934592,9223372032559808511,9223372032559808512}'),
    ('tie', '{1,2,3,65536,65537,65538,65540,65541,131072,4294967296,4294967297,4294967298}'),
    ('nearly a tie', '{1,2,10,11,65536,65537,4294967296,4294967297,4294967298,4294967299}'),
    ('full container', (SELECT array_agg(i) FROM generate_series(0::bigint, 65535) i)),
    ('full but one', (SELECT array_agg(i) FROM generate_series(0::bigint, 65535) i WHERE i <> 4711)),
    ('array at its limit', (SELECT array_agg(i * 2) FROM generate_series(0::bigint, 4095) i)),
    ('bitset at its limit', (SELECT array_agg(i * 2) FROM generate_series(0::bigint, 4096) i)),
    ('odd bitset', (SELECT array_agg(i * 2 + 1) FROM generate_series(0::bigint, 32767) i)),
    ('runs', (SELECT array_agg(i + 100 * j) FROM generate_series(0::bigint, 70) i, generate_series(640::bigint, 680) j)),
    ('run over the 2^32 border', (SELECT array_agg(i) FROM generate_series(4294967000, 4294968000) i)),
    ('sparse', (SELECT array_agg(floor(random() * 1e12)::bigint) FROM generate_series(1, 500))),
    ('few buckets', (SELECT array_agg(floor(random() * 3)::bigint * 4294967296 + floor(random() * 100)::bigint) FROM generate_series(1, 300))),
    ('uniform 10 %', (SELECT array_agg(i) FROM generate_series(60000::bigint, 140000) i WHERE random() < 0.1)),
    ('uniform 1 %', (SELECT array_agg(i) FROM generate_series(0::bigint, 200000) i WHERE random() < 0.01)),
    ('clustered', (SELECT array_agg(b + i) FROM (SELECT floor(random() * 150000)::bigint AS b FROM generate_series(1, 60)) c, generate_series(0, 50) i))
  ) v(name, ids);
CREATE TABLE s AS SELECT name, ids, ids::bitmap AS b FROM shape;

-- there and back
SELECT name, what
  FROM s, LATERAL (VALUES
    ('array', b::bigint[] = ids),
    ('integers', CASE WHEN max_id(b) < 2147483648 THEN b::int[] = ids::int[] AND ids::int[]::bitmap = b ELSE true END),
    ('text', b::text::bitmap = b),
    ('bytea', b::bytea::bitmap = b),
    ('bytes of bitmap_send', bitmap_send(b) = b::bytea),
    ('bitmap_agg', (SELECT coalesce(bitmap_agg(id), '{}') FROM unnest(ids) id) = b),
    ('bitmap_agg, descending', (SELECT coalesce(bitmap_agg(id ORDER BY id DESC), '{}') FROM unnest(ids || ids) id) = b),
    ('bitmap_agg, shuffled', (SELECT coalesce(bitmap_agg(id ORDER BY hashint8(id)), '{}') FROM unnest(ids) id) = b),
    ('union_agg of single ids', (SELECT coalesce(union_agg(add('{}', id) ORDER BY hashint8(id)), '{}') FROM unnest(ids || ids) id) = b),
    ('xor_agg of single ids', (SELECT coalesce(xor_agg(add('{}', id) ORDER BY hashint8(id), n), '{}') FROM unnest(ids || ids || ids) WITH ORDINALITY u(id, n)) = b),
    ('xor_agg to nothing', (SELECT coalesce(xor_agg(add('{}', id)), '{}') FROM unnest(ids || ids) id) = '{}'),
    ('text, any order', (SELECT ('{' || coalesce(string_agg(CASE WHEN n % 3 = 0 THEN id::text ELSE id - least(n % 2, id) || '-' || id END, ',' ORDER BY hashint8(id)), '') || '}')::bitmap
        FROM unnest(ids) WITH ORDINALITY u(id, n)) =
        (SELECT coalesce(bitmap_agg(id), '{}') FROM (SELECT id FROM unnest(ids) id UNION ALL SELECT id - least(n % 2, id) FROM unnest(ids) WITH ORDINALITY u(id, n) WHERE n % 3 <> 0) u)),
    ('ids', (SELECT coalesce(array_agg(i ORDER BY n), '{}') FROM ids(b) WITH ORDINALITY t(i, n)) = ids),
    ('run_optimize', run_optimize(b)::bytea = b::bytea),
    ('hash', bitmap_hash(b) = bitmap_hash(b::bytea::bitmap)),
    ('32 bits', CASE WHEN max_id(b) < 4294967296 THEN to_bytea32(b)::bitmap = b ELSE true END)) t(what, good)
 WHERE good IS NOT TRUE ORDER BY 1, 2;
SET segmentation.bitmap_output = ids;
SELECT name FROM s WHERE b::text <> ids::text OR b::text::bitmap <> b;
SET segmentation.bitmap_output = hex;
SELECT name FROM s WHERE b::text <> b::bytea::text OR b::text::bitmap <> b;
RESET segmentation.bitmap_output;

-- of one set
SELECT name, what
  FROM s, LATERAL (VALUES
    ('cardinality', cardinality(b) = cardinality(ids)),
    ('is_empty', is_empty(b) = (ids = '{}')),
    ('min_id', min_id(b) IS NOT DISTINCT FROM ids[1]),
    ('max_id', max_id(b) IS NOT DISTINCT FROM ids[cardinality(ids)]),
    ('nth', nth(b, 7) IS NOT DISTINCT FROM ids[7] AND nth(b, -7) IS NOT DISTINCT FROM ids[cardinality(ids) - 6]),
    ('slice', slice(b, 1000, 10)::bigint[] = ids[11:1010]),
    ('sample', cardinality(sample(b, 100, 7)) = least(100, cardinality(ids)) AND sample(b, 100, 7) <@ b),
    ('sample most', cardinality(sample(b, cardinality(b) - 3, 7)) = greatest(cardinality(ids) - 3, 0))) t(what, good)
 WHERE cardinality(b) >= 3 AND good IS NOT TRUE ORDER BY 1, 2;

-- of one set and one id, or a range of ids
CREATE TABLE probe AS
SELECT p FROM (VALUES (0::bigint), (1), (4711), (8191), (8192), (65535), (65536), (65537), (100000), (4294967295), (4294967296), (4294967500),
                      (9223372032559808512), (9223372036854775806), (9223372036854775807)) v(p);
SELECT name, p, what
  FROM s, probe, LATERAL (VALUES
    ('contains', (b @> p) = (p = ANY (ids)) AND (p <@ b) = (p = ANY (ids))),
    ('rank', segment.rank(b, p) = (SELECT count(*) FROM unnest(ids) id WHERE id <= p)),
    ('add', add(b, p) = (ids || p)::bitmap AND add(b, p)::bytea = (ids || p)::bitmap::bytea),
    ('remove', remove(b, p) = array_remove(ids, p)::bitmap),
    ('range_cardinality', range_cardinality(b, p - p / 3, p) = (SELECT count(*) FROM unnest(ids) id WHERE id BETWEEN p - p / 3 AND p)),
    ('keep_range', keep_range(b, p - p / 3, p) = (SELECT coalesce(bitmap_agg(id), '{}') FROM unnest(ids) id WHERE id BETWEEN p - p / 3 AND p)),
    ('| and - id', (b | p) = add(b, p) AND (p | b) = add(b, p) AND (b - p) = remove(b, p)),
    ('add_range', add_range(b, p - least(p, 5000), p) = b | (SELECT bitmap_agg(i) FROM generate_series(p - least(p, 5000), p) i)),
    ('remove_range', remove_range(b, p / 2, p) = (SELECT coalesce(bitmap_agg(id), '{}') FROM unnest(ids) id WHERE id NOT BETWEEN p / 2 AND p)),
    ('flip', flip(b, p - least(p, 5000), p) = b # range(p - least(p, 5000), p)),
    ('shift up', shift(b, p) = (SELECT coalesce(bitmap_agg(id + p), '{}') FROM unnest(ids) id WHERE id <= 9223372036854775807 - p)),
    ('shift down', shift(b, -p) = (SELECT coalesce(bitmap_agg(id - p), '{}') FROM unnest(ids) id WHERE id >= p))) t(what, good)
 WHERE good IS NOT TRUE ORDER BY 1, 2, 3;

-- of two sets
CREATE TABLE pair AS
SELECT x.name AS a, y.name AS b, x.ids AS ia, y.ids AS ib, x.b AS ba, y.b AS bb,
       m."and", m."or", m."andnot", m."dnatna", m."xor"
  FROM s x, s y, LATERAL (
    SELECT coalesce(array_agg(id ORDER BY id) FILTER (WHERE l AND r), '{}') AS "and",
           coalesce(array_agg(id ORDER BY id), '{}') AS "or",
           coalesce(array_agg(id ORDER BY id) FILTER (WHERE r IS NULL), '{}') AS "andnot",
           coalesce(array_agg(id ORDER BY id) FILTER (WHERE l IS NULL), '{}') AS "dnatna",
           coalesce(array_agg(id ORDER BY id) FILTER (WHERE l IS NULL OR r IS NULL), '{}') AS "xor"
      FROM (SELECT id, true AS l FROM unnest(x.ids) id) ll FULL JOIN (SELECT id, true AS r FROM unnest(y.ids) id) rr USING (id)) m
 WHERE x.name <= y.name;
SELECT count(*) FROM pair;
SELECT a, b, what
  FROM pair, LATERAL (VALUES
    ('and', (ba & bb)::bigint[] = "and" AND (ba & bb)::bytea = "and"::bitmap::bytea),
    ('or', (ba | bb)::bigint[] = "or" AND (ba | bb)::bytea = "or"::bitmap::bytea),
    ('andnot', (ba - bb)::bigint[] = "andnot" AND (ba - bb)::bytea = "andnot"::bitmap::bytea),
    ('andnot the other way', (bb - ba)::bigint[] = "dnatna" AND (bb - ba)::bytea = "dnatna"::bitmap::bytea),
    ('or the other way', (bb | ba) = (ba | bb) AND (bb & ba) = (ba & bb) AND (bb # ba) = (ba # bb)),
    ('xor', (ba # bb)::bigint[] = "xor" AND (ba # bb)::bytea = "xor"::bitmap::bytea),
    ('and_cardinality', and_cardinality(ba, bb) = cardinality("and")),
    ('or_cardinality', or_cardinality(ba, bb) = cardinality("or")),
    ('andnot_cardinality', andnot_cardinality(ba, bb) = cardinality("andnot")),
    ('xor_cardinality', xor_cardinality(ba, bb) = cardinality("xor")),
    ('jaccard', jaccard(ba, bb) IS NOT DISTINCT FROM cardinality("and")::float8 / nullif(cardinality("or"), 0)),
    ('contains', (ba @> bb) = ("and" = ib) AND (bb <@ ba) = ("and" = ib) AND (ba <@ bb) = ("and" = ia)),
    ('contains array', (ba @> ib) = ("and" = ib) AND (ba && ib) = ("and" <> '{}')),
    ('array contained', (ib <@ ba) = ("and" = ib) AND (ib && ba) = ("and" <> '{}')),
    ('overlaps', (ba && bb) = ("and" <> '{}')),
    ('is_strict_subset', is_strict_subset(ba, bb) = ("and" = ia AND ia <> ib)),
    ('=', (ba = bb) = (ia = ib) AND (ba <> bb) = (ia <> ib)),
    ('order', (ba < bb) = (ia < ib) AND (ba <= bb) = (ia <= ib) AND (ba > bb) = (ia > ib) AND (ba >= bb) = (ia >= ib)),
    ('cmp', bitmap_cmp(ba, bb) = btarraycmp(ia, ib))) t(what, good)
 WHERE good IS NOT TRUE ORDER BY 1, 2, 3;

-- of many sets
SELECT what
  FROM (SELECT union_agg(b) AS u, intersect_agg(b) AS i, xor_agg(b) AS x, or_cardinality_agg(b) AS cu,
               and_cardinality_agg(b) AS ci, xor_cardinality_agg(b) AS cx FROM s) a,
       (SELECT coalesce(bitmap_agg(id), '{}') AS u, coalesce(bitmap_agg(id) FILTER (WHERE n % 2 = 1), '{}') AS x
          FROM (SELECT id, count(*) AS n FROM s, unnest(ids) id GROUP BY id) g) o,
       LATERAL (VALUES
    ('union_agg', a.u = o.u AND a.u::bytea = o.u::bytea),
    ('xor_agg', a.x = o.x AND a.x::bytea = o.x::bytea),
    ('intersect_agg', a.i = '{}'),
    ('cardinalities', a.cu = cardinality(o.u) AND a.cx = cardinality(o.x) AND a.ci = 0)) t(what, good)
 WHERE good IS NOT TRUE;
SELECT intersect_agg(b)::bigint[] = (SELECT array_agg(id ORDER BY id) FROM (SELECT id FROM s, unnest(ids) id WHERE name IN ('full container', 'full but one', 'odd bitset', 'uniform 10 %')
                                      GROUP BY id HAVING count(*) = 4) g)
  FROM s WHERE name IN ('full container', 'full but one', 'odd bitset', 'uniform 10 %');

-- aggregates whose set grows, so that it goes on with bitsets: over some containers of 65536 ids, by runs, by few ids, by many
CREATE TABLE many AS
SELECT n, CASE n % 3
       WHEN 0 THEN (SELECT bitmap_agg(first + i) FROM (SELECT floor(random() * 400000)::bigint AS first, floor(random() * 3000)::bigint AS length FROM generate_series(n, n + 4)) r, generate_series(0, length) i)
       WHEN 1 THEN (SELECT bitmap_agg(floor(random() * 400000)::bigint) FROM generate_series(n, n + 40))
       ELSE (SELECT bitmap_agg(n % 7 * 65536 + i) FROM generate_series(0::bigint, 65535) i WHERE random() < 0.2) END AS b
  FROM generate_series(1, 150) n;
CREATE TABLE counted AS
SELECT until, id, count(*) FROM (VALUES (10), (150)) u(until), many, ids(b) id WHERE n <= until GROUP BY 1, 2;
CREATE FUNCTION grown() RETURNS TABLE (until int, what text) LANGUAGE sql AS $$
SELECT until, what
  FROM (SELECT until, bitmap_agg(id) AS u, bitmap_agg(id) FILTER (WHERE count % 2 = 1) AS x FROM counted GROUP BY 1) o,
       LATERAL (SELECT union_agg(b ORDER BY n) AS u, xor_agg(b ORDER BY n) AS x, xor_cardinality_agg(b ORDER BY n) AS nx FROM many WHERE n <= until) a,
       LATERAL (SELECT xor_agg(b ORDER BY i, n) AS nothing, xor_cardinality_agg(b ORDER BY i, n) AS zero FROM many, generate_series(1, 2) i WHERE n <= until) z,
       LATERAL (SELECT xor_agg(b ORDER BY i, n) AS x FROM many, generate_series(1, 2) i WHERE n <= until AND (i = 1 OR n > 5)) f,
       LATERAL (SELECT xor_agg(b ORDER BY n) AS x FROM many WHERE n <= 5) first,
       LATERAL (SELECT x FROM (SELECT n, xor_agg(b) OVER (ORDER BY n) AS x FROM many WHERE n <= until) r WHERE r.n = until) running,
       LATERAL (VALUES ('union_agg', a.u::bytea = o.u::bytea), ('xor_agg', a.x::bytea = o.x::bytea), ('xor_cardinality_agg', a.nx = cardinality(o.x)),
                       ('running', running.x::bytea = o.x::bytea), ('all twice', z.nothing = '{}' AND z.zero = 0), ('all but the first twice', f.x::bytea = first.x::bytea)) t(what, good)
 WHERE good IS NOT TRUE $$;
SELECT * FROM grown();
SET work_mem = '64kB';	-- without bitsets
SELECT * FROM grown();
RESET work_mem;
-- the same sets in pairs, most of which share some containers
SELECT a.n, c.n, what
  FROM many a JOIN many c ON c.n - a.n IN (1, 30),
       LATERAL (SELECT bitmap_agg(id) AS u, bitmap_agg(id) FILTER (WHERE ina AND inb) AS i, bitmap_agg(id) FILTER (WHERE NOT inb) AS d, bitmap_agg(id) FILTER (WHERE ina <> inb) AS x
                  FROM (SELECT id, x.id IS NOT NULL AS ina, y.id IS NOT NULL AS inb FROM ids(a.b) x(id) FULL JOIN ids(c.b) y(id) USING (id)) j) o,
       LATERAL (VALUES ('|', (a.b | c.b)::bytea = o.u::bytea), ('&', (a.b & c.b)::bytea = coalesce(o.i, '{}')::bytea),
                       ('-', (a.b - c.b)::bytea = coalesce(o.d, '{}')::bytea), ('#', (a.b # c.b)::bytea = coalesce(o.x, '{}')::bytea),
                       ('counts', and_cardinality(a.b, c.b) = cardinality(coalesce(o.i, '{}')) AND (a.b && c.b) = (o.i IS NOT NULL))) t(what, good)
 WHERE good IS NOT TRUE;

-- the binary form of COPY
CREATE TABLE back (name text, b bitmap);
\copy (SELECT name, b FROM s) TO 'results/bitmap_double.bin' (FORMAT binary)
\copy back FROM 'results/bitmap_double.bin' (FORMAT binary)
SELECT count(*) FROM s JOIN back USING (name, b);

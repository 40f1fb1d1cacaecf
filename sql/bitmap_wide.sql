-- sets that grow: unions of many, and ids whose upper halves are all different
CREATE EXTENSION segmentation;
SET search_path = public, segment;

-- Runs of ids; the union goes on with bitsets where work_mem allows.
CREATE TABLE run AS
    SELECT k, start, start + k * j % 200 AS stop
      FROM generate_series(1, 150) k, generate_series(0, 30) j, LATERAL (SELECT (k * 7919 + j * 104729) % 1000000::bigint AS start) s;
CREATE TABLE part AS SELECT k, union_agg(range(start, stop)) AS b FROM run GROUP BY k;
CREATE VIEW by_ids AS SELECT bitmap_agg(id) AS b FROM run, generate_series(start, stop) id;
SELECT u.b = i.b, u.b::bytea = i.b::bytea, u.n = cardinality(i.b)
  FROM (SELECT union_agg(b) AS b, or_cardinality_agg(b) AS n FROM part) u, by_ids i;
SET work_mem = '64kB';
SELECT u.b = i.b, u.b::bytea = i.b::bytea, u.n = cardinality(i.b)
  FROM (SELECT union_agg(b) AS b, or_cardinality_agg(b) AS n FROM part) u, by_ids i;
RESET work_mem;
SELECT g, u.b = i.b
  FROM (SELECT k % 3 AS g, union_agg(b) AS b FROM part GROUP BY 1) u
  JOIN (SELECT k % 3 AS g, bitmap_agg(id) AS b FROM run, generate_series(start, stop) id GROUP BY 1) i USING (g) ORDER BY g;

-- Ids whose upper halves are all different, one set each; text in descending order; many containers that go.
SET statement_timeout = '15s';
CREATE TABLE scattered AS SELECT hashint8extended(i, 7) & 9223372036854775807 AS id FROM generate_series(1, 100000::bigint) i;
CREATE TABLE whole AS SELECT bitmap_agg(id) AS b FROM scattered;
SELECT u.b = w.b, u.x = w.b, u.n FROM (SELECT union_agg(add('{}', id)) AS b, xor_agg(add('{}', id)) AS x, xor_cardinality_agg(add('{}', id)) AS n FROM scattered) u, whole w;
SELECT xor_agg(add('{}', id)) FROM scattered, generate_series(1, 2);
SELECT cardinality(b), bool_and(b @> id AND NOT b @> (id + 1)) FROM whole, (SELECT id FROM scattered LIMIT 10) s GROUP BY 1;
SELECT bool_and(segment.rank(b, id) = r AND nth(b, r) = id)
  FROM whole, (SELECT id, r FROM (SELECT id, row_number() OVER (ORDER BY id) AS r FROM scattered) s WHERE r % 2000 = 1) s;
SELECT ('{' || string_agg(k * 131072 || ',' || (k * 131072 - 9) || '-' || (k * 131072 - 5), ',' ORDER BY k DESC) || '}')::bitmap =
       (SELECT bitmap_agg(id) FROM generate_series(1, 50000::bigint) k, LATERAL (SELECT k * 131072 UNION ALL SELECT generate_series(k * 131072 - 9, k * 131072 - 5)) s(id))
  FROM generate_series(1, 50000::bigint) k;
SELECT xor_agg(b) FROM (SELECT bitmap_agg(i * 65536) AS b FROM generate_series(0, 65535::bigint) i) s, generate_series(1, 20);
RESET statement_timeout;

-- 200,000 subjects with random bigint ids, where moving half of what is there for each of them would take too long.
CREATE TABLE customers (id bigint PRIMARY KEY, credit int);
INSERT INTO customers SELECT hashint8extended(i, 42) & 9223372036854775807, i % 10 FROM generate_series(1, 200000::bigint) i;
SET statement_timeout = '15s';
DO LANGUAGE segment 'CREATE SEGMENT rich ON customers WHERE credit > 4; REFRESH SEGMENT rich';
SELECT segment.size('rich'), count(*) FROM customers WHERE credit > 4;
SELECT segment.members('rich') = bitmap_agg(id) FROM customers WHERE credit > 4;
RESET statement_timeout;
UPDATE customers SET credit = 9 - credit;
SET statement_timeout = '15s';
SELECT segment.size('rich'), count(*) FROM customers WHERE credit > 4;
SELECT segment.members('rich') = bitmap_agg(id) FROM customers WHERE credit > 4;
DO LANGUAGE segment 'REFRESH SEGMENT rich';
SELECT segment.members('rich') = bitmap_agg(id) FROM customers WHERE credit > 4;

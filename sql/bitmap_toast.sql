-- large values: stored in pieces, read whole and in parts, wherever the pieces are
CREATE EXTENSION segmentation;
SET search_path = public, segment;

-- ids of value k: multiples of k and some more, 4 kB to 400 kB
CREATE FUNCTION make(k int) RETURNS bitmap LANGUAGE sql AS
$$ SELECT bitmap_agg(i * (2 + k % 5)) | range(k * 100, k * 100 + 50) | add('{}', 4294967296 * k) FROM generate_series(1::bigint, 1500 * (1 + k % 40)) i $$;
CREATE TABLE stored (k int PRIMARY KEY, b bitmap) WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
SELECT attstorage FROM pg_attribute WHERE attrelid = 'stored'::regclass AND attname = 'b';

-- in order, then with holes that later values fill
INSERT INTO stored SELECT k, make(k) FROM generate_series(1, 60) k;
DELETE FROM stored WHERE k % 3 = 0;
VACUUM stored;
INSERT INTO stored SELECT k, make(k) FROM generate_series(61, 100) k;
UPDATE stored SET b = make(k + 7) WHERE k % 4 = 1;
VACUUM stored;
INSERT INTO stored SELECT k, make(k) FROM generate_series(101, 120) k;
BEGIN;
INSERT INTO stored SELECT k, make(k) FROM generate_series(201, 220) k;
ROLLBACK;
INSERT INTO stored SELECT k, make(k) FROM generate_series(121, 130) k;

CREATE TABLE expected AS SELECT k, make(CASE WHEN k % 4 = 1 AND k <= 100 THEN k + 7 ELSE k END) AS b FROM stored;
SELECT k, what
  FROM stored s JOIN expected e USING (k), LATERAL (VALUES
    ('=', s.b = e.b),
    ('bytes', s.b::bytea = e.b::bytea),
    ('cardinality', cardinality(s.b) = cardinality(e.b::bigint[])),
    ('contains', s.b @> 4294967296 * (k + CASE WHEN k % 4 = 1 AND k <= 100 THEN 7 ELSE 0 END) AND NOT s.b @> 4294967296 * 1000::bigint),
    ('contains one', (SELECT bool_and(s.b @> i) FROM unnest(e.b::bigint[]) WITH ORDINALITY u(i, n) WHERE n % 3000 = 1)),
    ('contains not', NOT (SELECT bool_or(s.b @> i) FROM unnest((range(0, 100000) - e.b)::bigint[]) WITH ORDINALITY u(i, n) WHERE n % 3000 = 1)),
    ('and', (s.b & e.b) = e.b AND cardinality(s.b # e.b) = 0)) t(what, good)
 WHERE good IS NOT TRUE ORDER BY 1, 2;
SELECT count(*), cardinality(union_agg(s.b)) = cardinality(union_agg(e.b)) FROM stored s JOIN expected e USING (k);

-- compressed all the same, and rewritten by VACUUM FULL
ALTER TABLE stored ALTER b SET STORAGE extended;
UPDATE stored SET b = b | '{}';
SELECT count(*) FROM stored s JOIN expected e USING (k) WHERE s.b @> e.b AND e.b @> s.b AND cardinality(s.b) = cardinality(e.b);
ALTER TABLE stored ALTER b SET STORAGE external;
UPDATE stored SET b = b | '{}';
VACUUM FULL stored;
SELECT count(*) FROM stored s JOIN expected e USING (k) WHERE s.b::bytea = e.b::bytea AND cardinality(s.b) = cardinality(e.b);

-- segment.bitmap: a compressed set of ids from 0 to 9223372036854775807

CREATE TYPE segment.bitmap;

CREATE FUNCTION segment.bitmap_in(cstring) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_in'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION segment.bitmap_out(segment.bitmap) RETURNS cstring
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_out'
    LANGUAGE C STABLE STRICT PARALLEL SAFE;

CREATE FUNCTION segment.bitmap_recv(internal) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_recv'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION segment.bitmap_send(segment.bitmap) RETURNS bytea
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_to_bytea'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

-- The bytes are compressed already, and parts of them are read alone: external, never pglz.
CREATE TYPE segment.bitmap (
    INPUT = segment.bitmap_in,
    OUTPUT = segment.bitmap_out,
    RECEIVE = segment.bitmap_recv,
    SEND = segment.bitmap_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = int4,
    STORAGE = external
);
COMMENT ON TYPE segment.bitmap IS 'set of ids from 0 to 9223372036854775807, as a Roaring bitmap';

-- casts

CREATE FUNCTION segment.bitmap(bytea) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_bytea_to_bitmap'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION segment.bitmap(bytea) IS 'set from the portable Roaring serialisation, 64-bit or 32-bit';

CREATE FUNCTION segment.to_bytea(segment.bitmap) RETURNS bytea
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_to_bytea'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION segment.to_bytea(segment.bitmap) IS 'the portable 64-bit Roaring serialisation';

CREATE FUNCTION segment.to_bytea32(segment.bitmap) RETURNS bytea
    AS 'MODULE_PATHNAME', 'segmentation_to_bytea32'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION segment.to_bytea32(segment.bitmap) IS 'the portable 32-bit Roaring serialisation; ids must be below 4294967296';

CREATE FUNCTION segment.bitmap(bigint[]) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_array_to_bitmap'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION segment.bitmap(bigint[]) IS 'set of the elements';

CREATE FUNCTION segment.bitmap(integer[]) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_array_to_bitmap'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION segment.bitmap(integer[]) IS 'set of the elements';

CREATE FUNCTION segment.to_array(segment.bitmap) RETURNS bigint[]
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_to_array'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION segment.to_array(segment.bitmap) IS 'the ids in ascending order';

CREATE FUNCTION segment.to_integer_array(segment.bitmap) RETURNS integer[]
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_to_integer_array'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION segment.to_integer_array(segment.bitmap) IS 'the ids in ascending order, none above 2147483647';

CREATE CAST (bytea AS segment.bitmap) WITH FUNCTION segment.bitmap(bytea);
CREATE CAST (segment.bitmap AS bytea) WITH FUNCTION segment.to_bytea(segment.bitmap);
CREATE CAST (bigint[] AS segment.bitmap) WITH FUNCTION segment.bitmap(bigint[]) AS ASSIGNMENT;
CREATE CAST (integer[] AS segment.bitmap) WITH FUNCTION segment.bitmap(integer[]) AS ASSIGNMENT;
CREATE CAST (segment.bitmap AS bigint[]) WITH FUNCTION segment.to_array(segment.bitmap);
CREATE CAST (segment.bitmap AS integer[]) WITH FUNCTION segment.to_integer_array(segment.bitmap);
COMMENT ON CAST (bytea AS segment.bitmap) IS 'from the portable 64-bit Roaring serialisation, which is checked';
COMMENT ON CAST (segment.bitmap AS bytea) IS 'to the portable 64-bit Roaring serialisation';
COMMENT ON CAST (bigint[] AS segment.bitmap) IS 'the set of these ids; NULL and negative elements are errors';
COMMENT ON CAST (integer[] AS segment.bitmap) IS 'the set of these ids; NULL and negative elements are errors';
COMMENT ON CAST (segment.bitmap AS bigint[]) IS 'the ids in ascending order';
COMMENT ON CAST (segment.bitmap AS integer[]) IS 'the ids in ascending order; those above 2147483647 are errors';

-- comparison

CREATE FUNCTION segment.bitmap_eq(segment.bitmap, segment.bitmap) RETURNS boolean
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_eq'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;

CREATE FUNCTION segment.bitmap_ne(segment.bitmap, segment.bitmap) RETURNS boolean
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_ne'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;

CREATE FUNCTION segment.bitmap_lt(segment.bitmap, segment.bitmap) RETURNS boolean
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_lt'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE FUNCTION segment.bitmap_le(segment.bitmap, segment.bitmap) RETURNS boolean
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_le'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE FUNCTION segment.bitmap_gt(segment.bitmap, segment.bitmap) RETURNS boolean
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_gt'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE FUNCTION segment.bitmap_ge(segment.bitmap, segment.bitmap) RETURNS boolean
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_ge'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE FUNCTION segment.bitmap_cmp(segment.bitmap, segment.bitmap) RETURNS integer
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_cmp'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE FUNCTION segment.bitmap_hash(segment.bitmap) RETURNS integer
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_hash'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;

CREATE FUNCTION segment.bitmap_hash_extended(segment.bitmap, bigint) RETURNS bigint
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_hash_extended'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;

CREATE OPERATOR segment.= (
    LEFTARG = segment.bitmap, RIGHTARG = segment.bitmap, FUNCTION = segment.bitmap_eq,
    COMMUTATOR = OPERATOR(segment.=),
    NEGATOR = OPERATOR(segment.<>),
    RESTRICT = pg_catalog.eqsel, JOIN = pg_catalog.eqjoinsel,
    HASHES, MERGES
);
COMMENT ON OPERATOR segment.= (segment.bitmap, segment.bitmap) IS 'same ids';

CREATE OPERATOR segment.<> (
    LEFTARG = segment.bitmap, RIGHTARG = segment.bitmap, FUNCTION = segment.bitmap_ne,
    COMMUTATOR = OPERATOR(segment.<>),
    NEGATOR = OPERATOR(segment.=),
    RESTRICT = pg_catalog.neqsel, JOIN = pg_catalog.neqjoinsel
);
COMMENT ON OPERATOR segment.<> (segment.bitmap, segment.bitmap) IS 'different ids';

CREATE OPERATOR segment.< (
    LEFTARG = segment.bitmap, RIGHTARG = segment.bitmap, FUNCTION = segment.bitmap_lt,
    COMMUTATOR = OPERATOR(segment.>),
    NEGATOR = OPERATOR(segment.>=),
    RESTRICT = pg_catalog.scalarltsel, JOIN = pg_catalog.scalarltjoinsel
);
COMMENT ON OPERATOR segment.< (segment.bitmap, segment.bitmap) IS 'order of the ascending lists of ids';

CREATE OPERATOR segment.<= (
    LEFTARG = segment.bitmap, RIGHTARG = segment.bitmap, FUNCTION = segment.bitmap_le,
    COMMUTATOR = OPERATOR(segment.>=),
    NEGATOR = OPERATOR(segment.>),
    RESTRICT = pg_catalog.scalarlesel, JOIN = pg_catalog.scalarlejoinsel
);
COMMENT ON OPERATOR segment.<= (segment.bitmap, segment.bitmap) IS 'order of the ascending lists of ids';

CREATE OPERATOR segment.> (
    LEFTARG = segment.bitmap, RIGHTARG = segment.bitmap, FUNCTION = segment.bitmap_gt,
    COMMUTATOR = OPERATOR(segment.<),
    NEGATOR = OPERATOR(segment.<=),
    RESTRICT = pg_catalog.scalargtsel, JOIN = pg_catalog.scalargtjoinsel
);
COMMENT ON OPERATOR segment.> (segment.bitmap, segment.bitmap) IS 'order of the ascending lists of ids';

CREATE OPERATOR segment.>= (
    LEFTARG = segment.bitmap, RIGHTARG = segment.bitmap, FUNCTION = segment.bitmap_ge,
    COMMUTATOR = OPERATOR(segment.<=),
    NEGATOR = OPERATOR(segment.<),
    RESTRICT = pg_catalog.scalargesel, JOIN = pg_catalog.scalargejoinsel
);
COMMENT ON OPERATOR segment.>= (segment.bitmap, segment.bitmap) IS 'order of the ascending lists of ids';

CREATE OPERATOR CLASS segment.bitmap_ops DEFAULT FOR TYPE segment.bitmap USING btree AS
    OPERATOR 1 segment.<, OPERATOR 2 segment.<=, OPERATOR 3 segment.=, OPERATOR 4 segment.>=, OPERATOR 5 segment.>,
    FUNCTION 1 segment.bitmap_cmp(segment.bitmap, segment.bitmap),
    FUNCTION 4 (segment.bitmap, segment.bitmap) pg_catalog.btequalimage(oid);

CREATE OPERATOR CLASS segment.bitmap_ops DEFAULT FOR TYPE segment.bitmap USING hash AS
    OPERATOR 1 segment.=,
    FUNCTION 1 segment.bitmap_hash(segment.bitmap),
    FUNCTION 2 segment.bitmap_hash_extended(segment.bitmap, bigint);
COMMENT ON OPERATOR CLASS segment.bitmap_ops USING btree IS 'like their ascending lists of ids: {} < {1} < {1,2} < {1,3} < {2}';
COMMENT ON OPERATOR CLASS segment.bitmap_ops USING hash IS 'hash of the set';

-- algebra

CREATE FUNCTION segment.bitmap_or(segment.bitmap, segment.bitmap) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_or'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE FUNCTION segment.bitmap_and(segment.bitmap, segment.bitmap) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_and'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE FUNCTION segment.bitmap_andnot(segment.bitmap, segment.bitmap) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_andnot'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE FUNCTION segment.bitmap_xor(segment.bitmap, segment.bitmap) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_xor'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE OPERATOR segment.| (
    LEFTARG = segment.bitmap, RIGHTARG = segment.bitmap, FUNCTION = segment.bitmap_or,
    COMMUTATOR = OPERATOR(segment.|)
);
COMMENT ON OPERATOR segment.| (segment.bitmap, segment.bitmap) IS 'union';

CREATE OPERATOR segment.& (
    LEFTARG = segment.bitmap, RIGHTARG = segment.bitmap, FUNCTION = segment.bitmap_and,
    COMMUTATOR = OPERATOR(segment.&)
);
COMMENT ON OPERATOR segment.& (segment.bitmap, segment.bitmap) IS 'intersection';

CREATE OPERATOR segment.- (
    LEFTARG = segment.bitmap, RIGHTARG = segment.bitmap, FUNCTION = segment.bitmap_andnot
);
COMMENT ON OPERATOR segment.- (segment.bitmap, segment.bitmap) IS 'difference';

CREATE OPERATOR segment.# (
    LEFTARG = segment.bitmap, RIGHTARG = segment.bitmap, FUNCTION = segment.bitmap_xor,
    COMMUTATOR = OPERATOR(segment.#)
);
COMMENT ON OPERATOR segment.# (segment.bitmap, segment.bitmap) IS 'symmetric difference';

CREATE FUNCTION segment.bitmap_contains(segment.bitmap, segment.bitmap) RETURNS boolean
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_contains'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE FUNCTION segment.bitmap_contained(segment.bitmap, segment.bitmap) RETURNS boolean
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_contained'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE FUNCTION segment.bitmap_overlaps(segment.bitmap, segment.bitmap) RETURNS boolean
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_overlaps'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE FUNCTION segment.bitmap_contains_id(segment.bitmap, bigint) RETURNS boolean
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_contains_id'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;

CREATE FUNCTION segment.id_contained(bigint, segment.bitmap) RETURNS boolean
    AS 'MODULE_PATHNAME', 'segmentation_id_contained'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;

CREATE FUNCTION segment.bitmap_contains_array(segment.bitmap, bigint[]) RETURNS boolean
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_contains_array'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE FUNCTION segment.bitmap_overlaps_array(segment.bitmap, bigint[]) RETURNS boolean
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_overlaps_array'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE FUNCTION segment.array_contained(bigint[], segment.bitmap) RETURNS boolean
    AS 'MODULE_PATHNAME', 'segmentation_array_contained'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE FUNCTION segment.array_overlaps(bigint[], segment.bitmap) RETURNS boolean
    AS 'MODULE_PATHNAME', 'segmentation_array_overlaps'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE FUNCTION segment.id_selectivity(internal, oid, internal, integer) RETURNS double precision
    AS 'MODULE_PATHNAME', 'segmentation_id_selectivity'
    LANGUAGE C STABLE STRICT PARALLEL SAFE;

CREATE OPERATOR segment.@> (
    LEFTARG = segment.bitmap, RIGHTARG = segment.bitmap, FUNCTION = segment.bitmap_contains,
    COMMUTATOR = OPERATOR(segment.<@),
    RESTRICT = pg_catalog.contsel, JOIN = pg_catalog.contjoinsel
);
COMMENT ON OPERATOR segment.@> (segment.bitmap, segment.bitmap) IS 'contains all ids of';

CREATE OPERATOR segment.<@ (
    LEFTARG = segment.bitmap, RIGHTARG = segment.bitmap, FUNCTION = segment.bitmap_contained,
    COMMUTATOR = OPERATOR(segment.@>),
    RESTRICT = pg_catalog.contsel, JOIN = pg_catalog.contjoinsel
);
COMMENT ON OPERATOR segment.<@ (segment.bitmap, segment.bitmap) IS 'is a subset of';

CREATE OPERATOR segment.&& (
    LEFTARG = segment.bitmap, RIGHTARG = segment.bitmap, FUNCTION = segment.bitmap_overlaps,
    COMMUTATOR = OPERATOR(segment.&&),
    RESTRICT = pg_catalog.contsel, JOIN = pg_catalog.contjoinsel
);
COMMENT ON OPERATOR segment.&& (segment.bitmap, segment.bitmap) IS 'have ids in common';

CREATE OPERATOR segment.@> (
    LEFTARG = segment.bitmap, RIGHTARG = bigint, FUNCTION = segment.bitmap_contains_id,
    COMMUTATOR = OPERATOR(segment.<@),
    RESTRICT = segment.id_selectivity, JOIN = pg_catalog.contjoinsel
);
COMMENT ON OPERATOR segment.@> (segment.bitmap, bigint) IS 'contains the id';

CREATE OPERATOR segment.<@ (
    LEFTARG = bigint, RIGHTARG = segment.bitmap, FUNCTION = segment.id_contained,
    COMMUTATOR = OPERATOR(segment.@>),
    RESTRICT = segment.id_selectivity, JOIN = pg_catalog.contjoinsel
);
COMMENT ON OPERATOR segment.<@ (bigint, segment.bitmap) IS 'is an id of';

CREATE OPERATOR segment.@> (
    LEFTARG = segment.bitmap, RIGHTARG = bigint[], FUNCTION = segment.bitmap_contains_array,
    COMMUTATOR = OPERATOR(segment.<@),
    RESTRICT = pg_catalog.contsel, JOIN = pg_catalog.contjoinsel
);
COMMENT ON OPERATOR segment.@> (segment.bitmap, bigint[]) IS 'contains all elements of';

CREATE OPERATOR segment.<@ (
    LEFTARG = bigint[], RIGHTARG = segment.bitmap, FUNCTION = segment.array_contained,
    COMMUTATOR = OPERATOR(segment.@>),
    RESTRICT = pg_catalog.contsel, JOIN = pg_catalog.contjoinsel
);
COMMENT ON OPERATOR segment.<@ (bigint[], segment.bitmap) IS 'has all its elements in';

CREATE OPERATOR segment.&& (
    LEFTARG = segment.bitmap, RIGHTARG = bigint[], FUNCTION = segment.bitmap_overlaps_array,
    COMMUTATOR = OPERATOR(segment.&&),
    RESTRICT = pg_catalog.contsel, JOIN = pg_catalog.contjoinsel
);
COMMENT ON OPERATOR segment.&& (segment.bitmap, bigint[]) IS 'contains an element of';

CREATE OPERATOR segment.&& (
    LEFTARG = bigint[], RIGHTARG = segment.bitmap, FUNCTION = segment.array_overlaps,
    COMMUTATOR = OPERATOR(segment.&&),
    RESTRICT = pg_catalog.contsel, JOIN = pg_catalog.contjoinsel
);
COMMENT ON OPERATOR segment.&& (bigint[], segment.bitmap) IS 'has an element in';

CREATE FUNCTION segment.equals(segment.bitmap, segment.bitmap) RETURNS boolean
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_eq'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.equals(segment.bitmap, segment.bitmap) IS 'same ids, like =';

CREATE FUNCTION segment.is_strict_subset(a segment.bitmap, b segment.bitmap) RETURNS boolean
    AS 'MODULE_PATHNAME', 'segmentation_is_strict_subset'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.is_strict_subset(a segment.bitmap, b segment.bitmap) IS 'is a contained in b, and b not in a';

-- counting

CREATE FUNCTION segment.cardinality(segment.bitmap) RETURNS bigint
    AS 'MODULE_PATHNAME', 'segmentation_cardinality'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION segment.cardinality(segment.bitmap) IS 'number of ids';

CREATE FUNCTION segment.is_empty(segment.bitmap) RETURNS boolean
    AS 'MODULE_PATHNAME', 'segmentation_is_empty'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION segment.is_empty(segment.bitmap) IS 'is there no id';

CREATE FUNCTION segment.and_cardinality(segment.bitmap, segment.bitmap) RETURNS bigint
    AS 'MODULE_PATHNAME', 'segmentation_and_cardinality'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.and_cardinality(segment.bitmap, segment.bitmap) IS 'number of ids in both';

CREATE FUNCTION segment.or_cardinality(segment.bitmap, segment.bitmap) RETURNS bigint
    AS 'MODULE_PATHNAME', 'segmentation_or_cardinality'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.or_cardinality(segment.bitmap, segment.bitmap) IS 'number of ids in either';

CREATE FUNCTION segment.andnot_cardinality(segment.bitmap, segment.bitmap) RETURNS bigint
    AS 'MODULE_PATHNAME', 'segmentation_andnot_cardinality'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.andnot_cardinality(segment.bitmap, segment.bitmap) IS 'number of ids in the first and not in the second';

CREATE FUNCTION segment.xor_cardinality(segment.bitmap, segment.bitmap) RETURNS bigint
    AS 'MODULE_PATHNAME', 'segmentation_xor_cardinality'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.xor_cardinality(segment.bitmap, segment.bitmap) IS 'number of ids in exactly one';

CREATE FUNCTION segment.jaccard(segment.bitmap, segment.bitmap) RETURNS double precision
    AS 'MODULE_PATHNAME', 'segmentation_jaccard'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.jaccard(segment.bitmap, segment.bitmap) IS 'ids in both by ids in either; NULL for two empty sets';

CREATE FUNCTION segment.range_cardinality(bitmap segment.bitmap, first bigint, last bigint) RETURNS bigint
    AS 'MODULE_PATHNAME', 'segmentation_range_cardinality'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.range_cardinality(bitmap segment.bitmap, first bigint, last bigint) IS 'number of ids from first to last, both inclusive';

CREATE FUNCTION segment.min_id(segment.bitmap) RETURNS bigint
    AS 'MODULE_PATHNAME', 'segmentation_min_id'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.min_id(segment.bitmap) IS 'least id, NULL if empty';

CREATE FUNCTION segment.max_id(segment.bitmap) RETURNS bigint
    AS 'MODULE_PATHNAME', 'segmentation_max_id'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.max_id(segment.bitmap) IS 'greatest id, NULL if empty';

CREATE FUNCTION segment.rank(bitmap segment.bitmap, id bigint) RETURNS bigint
    AS 'MODULE_PATHNAME', 'segmentation_rank'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.rank(bitmap segment.bitmap, id bigint) IS 'number of ids less than or equal to id';

CREATE FUNCTION segment.nth(bitmap segment.bitmap, n bigint) RETURNS bigint
    AS 'MODULE_PATHNAME', 'segmentation_nth'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.nth(bitmap segment.bitmap, n bigint) IS 'id at position n from 1, or from the end for negative n; NULL beyond';

-- making and changing

CREATE FUNCTION segment.add(bitmap segment.bitmap, id bigint) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_add'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.add(bitmap segment.bitmap, id bigint) IS 'with this id';

CREATE FUNCTION segment.remove(bitmap segment.bitmap, id bigint) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_remove'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.remove(bitmap segment.bitmap, id bigint) IS 'without this id';

CREATE FUNCTION segment.id_add_bitmap(bigint, segment.bitmap) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_id_add_bitmap'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;

CREATE OPERATOR segment.| (
    LEFTARG = segment.bitmap, RIGHTARG = bigint, FUNCTION = segment.add,
    COMMUTATOR = OPERATOR(segment.|)
);
COMMENT ON OPERATOR segment.| (segment.bitmap, bigint) IS 'with this id';

CREATE OPERATOR segment.| (
    LEFTARG = bigint, RIGHTARG = segment.bitmap, FUNCTION = segment.id_add_bitmap,
    COMMUTATOR = OPERATOR(segment.|)
);
COMMENT ON OPERATOR segment.| (bigint, segment.bitmap) IS 'with this id';

CREATE OPERATOR segment.- (
    LEFTARG = segment.bitmap, RIGHTARG = bigint, FUNCTION = segment.remove
);
COMMENT ON OPERATOR segment.- (segment.bitmap, bigint) IS 'without this id';

CREATE FUNCTION segment.range(first bigint, last bigint) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_range'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION segment.range(first bigint, last bigint) IS 'the ids from first to last, both inclusive';

CREATE FUNCTION segment.add_range(bitmap segment.bitmap, first bigint, last bigint) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_add_range'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.add_range(bitmap segment.bitmap, first bigint, last bigint) IS 'with the ids from first to last, both inclusive';

CREATE FUNCTION segment.fill(bitmap segment.bitmap, first bigint, last bigint) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_add_range'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.fill(bitmap segment.bitmap, first bigint, last bigint) IS 'another name of add_range';

CREATE FUNCTION segment.remove_range(bitmap segment.bitmap, first bigint, last bigint) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_remove_range'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.remove_range(bitmap segment.bitmap, first bigint, last bigint) IS 'without the ids from first to last, both inclusive';

CREATE FUNCTION segment.keep_range(bitmap segment.bitmap, first bigint, last bigint) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_keep_range'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.keep_range(bitmap segment.bitmap, first bigint, last bigint) IS 'its ids from first to last, both inclusive';

CREATE FUNCTION segment.flip(bitmap segment.bitmap, first bigint, last bigint) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_flip'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.flip(bitmap segment.bitmap, first bigint, last bigint) IS 'with the ids from first to last, both inclusive, turned over';

CREATE FUNCTION segment.shift(bitmap segment.bitmap, "offset" bigint) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_shift'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.shift(bitmap segment.bitmap, "offset" bigint) IS 'every id plus the offset; ids that would leave the range are dropped';

CREATE FUNCTION segment.slice(bitmap segment.bitmap, "limit" bigint, "offset" bigint DEFAULT 0) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_slice'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.slice(bitmap segment.bitmap, "limit" bigint, "offset" bigint) IS 'up to limit ids, in ascending order, behind the first offset ones';

CREATE FUNCTION segment.sample(bitmap segment.bitmap, n bigint, seed bigint) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_sample'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.sample(bitmap segment.bitmap, n bigint, seed bigint) IS 'n ids chosen at random; the same for the same seed';

CREATE FUNCTION segment.run_optimize(segment.bitmap) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_run_optimize'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.run_optimize(segment.bitmap) IS 'the same set, written anew in its canonical form';

-- rows

CREATE FUNCTION segment.ids_support(internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'segmentation_ids_support'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION segment.ids(segment.bitmap) RETURNS SETOF bigint
    AS 'MODULE_PATHNAME', 'segmentation_ids'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    ROWS 1000 SUPPORT segment.ids_support;
COMMENT ON FUNCTION segment.ids(segment.bitmap) IS 'the ids in ascending order, one row each';

CREATE FUNCTION segment.bitmap_stats(
    bitmap segment.bitmap,
    OUT cardinality bigint, OUT min_id bigint, OUT max_id bigint, OUT bytes bigint, OUT buckets bigint,
    OUT array_containers bigint, OUT array_ids bigint, OUT array_bytes bigint,
    OUT bitset_containers bigint, OUT bitset_ids bigint, OUT bitset_bytes bigint,
    OUT run_containers bigint, OUT run_ids bigint, OUT run_bytes bigint)
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_stats'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION segment.bitmap_stats(segment.bitmap) IS 'what a bitmap is made of: containers, ids and bytes by kind';

-- aggregates

CREATE FUNCTION segment.bitmap_agg_transfn(internal, bigint) RETURNS internal
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_agg_transfn'
    LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION segment.bitmap_agg_combinefn(internal, internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_agg_combinefn'
    LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION segment.bitmap_agg_serialfn(internal) RETURNS bytea
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_agg_serialfn'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION segment.bitmap_agg_deserialfn(bytea, internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_agg_deserialfn'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION segment.bitmap_agg_finalfn(internal) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_agg_finalfn'
    LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION segment.bitmap_agg_count_finalfn(internal) RETURNS bigint
    AS 'MODULE_PATHNAME', 'segmentation_bitmap_agg_count_finalfn'
    LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION segment.union_agg_transfn(internal, segment.bitmap) RETURNS internal
    AS 'MODULE_PATHNAME', 'segmentation_union_agg_transfn'
    LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100;

CREATE FUNCTION segment.intersect_agg_transfn(internal, segment.bitmap) RETURNS internal
    AS 'MODULE_PATHNAME', 'segmentation_intersect_agg_transfn'
    LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100;

CREATE FUNCTION segment.intersect_agg_combinefn(internal, internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'segmentation_intersect_agg_combinefn'
    LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100;

CREATE FUNCTION segment.xor_agg_transfn(internal, segment.bitmap) RETURNS internal
    AS 'MODULE_PATHNAME', 'segmentation_xor_agg_transfn'
    LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100;

CREATE FUNCTION segment.xor_agg_combinefn(internal, internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'segmentation_xor_agg_combinefn'
    LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100;

CREATE FUNCTION segment.intersect_agg_serialfn(internal) RETURNS bytea
    AS 'MODULE_PATHNAME', 'segmentation_intersect_agg_serialfn'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION segment.intersect_agg_deserialfn(bytea, internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'segmentation_intersect_agg_deserialfn'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION segment.intersect_agg_finalfn(internal) RETURNS segment.bitmap
    AS 'MODULE_PATHNAME', 'segmentation_intersect_agg_finalfn'
    LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION segment.intersect_agg_count_finalfn(internal) RETURNS bigint
    AS 'MODULE_PATHNAME', 'segmentation_intersect_agg_count_finalfn'
    LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE AGGREGATE segment.bitmap_agg(bigint) (
    SFUNC = segment.bitmap_agg_transfn, STYPE = internal, SSPACE = 4096,
    COMBINEFUNC = segment.bitmap_agg_combinefn,
    SERIALFUNC = segment.bitmap_agg_serialfn, DESERIALFUNC = segment.bitmap_agg_deserialfn,
    FINALFUNC = segment.bitmap_agg_finalfn, PARALLEL = SAFE
);
COMMENT ON AGGREGATE segment.bitmap_agg(bigint) IS 'the set of these ids';

CREATE AGGREGATE segment.bitmap_cardinality_agg(bigint) (
    SFUNC = segment.bitmap_agg_transfn, STYPE = internal, SSPACE = 4096,
    COMBINEFUNC = segment.bitmap_agg_combinefn,
    SERIALFUNC = segment.bitmap_agg_serialfn, DESERIALFUNC = segment.bitmap_agg_deserialfn,
    FINALFUNC = segment.bitmap_agg_count_finalfn, PARALLEL = SAFE
);
COMMENT ON AGGREGATE segment.bitmap_cardinality_agg(bigint) IS 'number of different ids';

CREATE AGGREGATE segment.union_agg(segment.bitmap) (
    SFUNC = segment.union_agg_transfn, STYPE = internal, SSPACE = 16384,
    COMBINEFUNC = segment.bitmap_agg_combinefn,
    SERIALFUNC = segment.bitmap_agg_serialfn, DESERIALFUNC = segment.bitmap_agg_deserialfn,
    FINALFUNC = segment.bitmap_agg_finalfn, PARALLEL = SAFE
);
COMMENT ON AGGREGATE segment.union_agg(segment.bitmap) IS 'ids in any of the sets';

CREATE AGGREGATE segment.or_cardinality_agg(segment.bitmap) (
    SFUNC = segment.union_agg_transfn, STYPE = internal, SSPACE = 16384,
    COMBINEFUNC = segment.bitmap_agg_combinefn,
    SERIALFUNC = segment.bitmap_agg_serialfn, DESERIALFUNC = segment.bitmap_agg_deserialfn,
    FINALFUNC = segment.bitmap_agg_count_finalfn, PARALLEL = SAFE
);
COMMENT ON AGGREGATE segment.or_cardinality_agg(segment.bitmap) IS 'number of ids in any of the sets';

CREATE AGGREGATE segment.intersect_agg(segment.bitmap) (
    SFUNC = segment.intersect_agg_transfn, STYPE = internal, SSPACE = 16384,
    COMBINEFUNC = segment.intersect_agg_combinefn,
    SERIALFUNC = segment.intersect_agg_serialfn, DESERIALFUNC = segment.intersect_agg_deserialfn,
    FINALFUNC = segment.intersect_agg_finalfn, PARALLEL = SAFE
);
COMMENT ON AGGREGATE segment.intersect_agg(segment.bitmap) IS 'ids in all of the sets';

CREATE AGGREGATE segment.and_cardinality_agg(segment.bitmap) (
    SFUNC = segment.intersect_agg_transfn, STYPE = internal, SSPACE = 16384,
    COMBINEFUNC = segment.intersect_agg_combinefn,
    SERIALFUNC = segment.intersect_agg_serialfn, DESERIALFUNC = segment.intersect_agg_deserialfn,
    FINALFUNC = segment.intersect_agg_count_finalfn, PARALLEL = SAFE
);
COMMENT ON AGGREGATE segment.and_cardinality_agg(segment.bitmap) IS 'number of ids in all of the sets';

CREATE AGGREGATE segment.xor_agg(segment.bitmap) (
    SFUNC = segment.xor_agg_transfn, STYPE = internal, SSPACE = 16384,
    COMBINEFUNC = segment.xor_agg_combinefn,
    SERIALFUNC = segment.bitmap_agg_serialfn, DESERIALFUNC = segment.bitmap_agg_deserialfn,
    FINALFUNC = segment.bitmap_agg_finalfn, PARALLEL = SAFE
);
COMMENT ON AGGREGATE segment.xor_agg(segment.bitmap) IS 'ids in an odd number of the sets';

CREATE AGGREGATE segment.xor_cardinality_agg(segment.bitmap) (
    SFUNC = segment.xor_agg_transfn, STYPE = internal, SSPACE = 16384,
    COMBINEFUNC = segment.xor_agg_combinefn,
    SERIALFUNC = segment.bitmap_agg_serialfn, DESERIALFUNC = segment.bitmap_agg_deserialfn,
    FINALFUNC = segment.bitmap_agg_count_finalfn, PARALLEL = SAFE
);
COMMENT ON AGGREGATE segment.xor_cardinality_agg(segment.bitmap) IS 'number of ids in an odd number of the sets';

-- definition
CREATE TYPE segment.definition;

CREATE FUNCTION segment.definition_in(cstring) RETURNS segment.definition
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'segmentation_definition_in';
CREATE FUNCTION segment.definition_out(segment.definition) RETURNS cstring
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'segmentation_definition_out';
CREATE FUNCTION segment.definition_recv(internal) RETURNS segment.definition
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'segmentation_definition_recv';
CREATE FUNCTION segment.definition_send(segment.definition) RETURNS bytea
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'segmentation_definition_send';

CREATE TYPE segment.definition (
	INPUT = segment.definition_in,
	OUTPUT = segment.definition_out,
	RECEIVE = segment.definition_recv,
	SEND = segment.definition_send,
	INTERNALLENGTH = variable,
	ALIGNMENT = int4,
	STORAGE = extended
);
COMMENT ON TYPE segment.definition IS 'who belongs to a segment: ON table WHERE condition';

-- STABLE: two spellings of the table's name are looked up in the search_path.
CREATE FUNCTION segment.definition_and(segment.definition, segment.definition) RETURNS segment.definition
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'segmentation_definition_and';
CREATE FUNCTION segment.definition_or(segment.definition, segment.definition) RETURNS segment.definition
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'segmentation_definition_or';
CREATE FUNCTION segment.definition_without(segment.definition, segment.definition) RETURNS segment.definition
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'segmentation_definition_without';
CREATE FUNCTION segment.definition_complement(segment.definition) RETURNS segment.definition
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'segmentation_definition_complement';
CREATE FUNCTION segment.definition_eq(segment.definition, segment.definition) RETURNS boolean
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'segmentation_definition_eq';
CREATE FUNCTION segment.definition_ne(segment.definition, segment.definition) RETURNS boolean
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'segmentation_definition_ne';
CREATE FUNCTION segment.definition_hash(segment.definition) RETURNS integer
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'segmentation_definition_hash';

CREATE OPERATOR segment.& (
	LEFTARG = segment.definition, RIGHTARG = segment.definition, FUNCTION = segment.definition_and
);
COMMENT ON OPERATOR segment.& (segment.definition, segment.definition) IS 'members of both';
CREATE OPERATOR segment.| (
	LEFTARG = segment.definition, RIGHTARG = segment.definition, FUNCTION = segment.definition_or
);
COMMENT ON OPERATOR segment.| (segment.definition, segment.definition) IS 'members of either';
CREATE OPERATOR segment.- (
	LEFTARG = segment.definition, RIGHTARG = segment.definition, FUNCTION = segment.definition_without
);
COMMENT ON OPERATOR segment.- (segment.definition, segment.definition) IS 'members of the first and not of the second';
CREATE OPERATOR segment.! (
	RIGHTARG = segment.definition, FUNCTION = segment.definition_complement
);
COMMENT ON OPERATOR segment.! (NONE, segment.definition) IS 'subjects that are no members';
CREATE OPERATOR segment.= (
	LEFTARG = segment.definition, RIGHTARG = segment.definition, FUNCTION = segment.definition_eq,
	COMMUTATOR = OPERATOR(segment.=), NEGATOR = OPERATOR(segment.<>),
	RESTRICT = pg_catalog.eqsel, JOIN = pg_catalog.eqjoinsel, HASHES
);
COMMENT ON OPERATOR segment.= (segment.definition, segment.definition) IS 'same parse tree, however spelled';
CREATE OPERATOR segment.<> (
	LEFTARG = segment.definition, RIGHTARG = segment.definition, FUNCTION = segment.definition_ne,
	COMMUTATOR = OPERATOR(segment.<>), NEGATOR = OPERATOR(segment.=),
	RESTRICT = pg_catalog.neqsel, JOIN = pg_catalog.neqjoinsel
);
COMMENT ON OPERATOR segment.<> (segment.definition, segment.definition) IS 'different parse trees';

CREATE OPERATOR CLASS segment.definition_hash_ops DEFAULT FOR TYPE segment.definition USING hash AS
	OPERATOR 1 segment.=,
	FUNCTION 1 segment.definition_hash(segment.definition);
COMMENT ON OPERATOR CLASS segment.definition_hash_ops USING hash IS 'hash of the text in its canonical form';

CREATE FUNCTION segment.subject_table(definition segment.definition) RETURNS regclass
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'segmentation_subject_table';
COMMENT ON FUNCTION segment.subject_table(segment.definition) IS 'the table whose rows are segmented';
CREATE FUNCTION segment.condition(definition segment.definition) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'segmentation_condition';
COMMENT ON FUNCTION segment.condition(segment.definition) IS 'the condition as written';
CREATE FUNCTION segment.sources(definition segment.definition) RETURNS SETOF regclass
	LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'segmentation_sources';
COMMENT ON FUNCTION segment.sources(segment.definition) IS 'the tables that the definition reads, the subject table first';

\echo Use "CREATE EXTENSION segmentation" to load this file. \quit

-- Schema "segment" is made by CREATE EXTENSION (segmentation.control), as whoever calls that: it is taken over first.
CREATE FUNCTION segment.take_schema() RETURNS void AS 'MODULE_PATHNAME', 'segmentation_take_schema' LANGUAGE C VOLATILE PARALLEL UNSAFE;
SELECT segment.take_schema();
DROP FUNCTION segment.take_schema();
GRANT USAGE ON SCHEMA segment TO PUBLIC;
COMMENT ON SCHEMA segment IS 'extension segmentation: audiences, their sets of ids, and what is stored of them';

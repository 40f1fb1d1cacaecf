-- ---- read: exact members of segments ----

-- What the view of a segment says WHERE.  See src/read/support.c.
CREATE TYPE segment.handle;
CREATE FUNCTION segment.handle_in(cstring) RETURNS segment.handle
	AS 'MODULE_PATHNAME', 'segmentation_handle_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION segment.handle_out(segment.handle) RETURNS cstring
	AS 'MODULE_PATHNAME', 'segmentation_handle_out' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE TYPE segment.handle (
	INPUT = segment.handle_in,
	OUTPUT = segment.handle_out,
	INTERNALLENGTH = 8,
	PASSEDBYVALUE,
	ALIGNMENT = double
);
COMMENT ON TYPE segment.handle IS 'a segment in a plan; made by the planner only';

CREATE FUNCTION segment.holds_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'segmentation_holds_support' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION segment.probe_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'segmentation_probe_support' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION segment.holds(segment integer, key bigint, condition boolean) RETURNS boolean
	AS 'MODULE_PATHNAME', 'segmentation_holds' LANGUAGE C STABLE PARALLEL RESTRICTED
	SUPPORT segment.holds_support;
COMMENT ON FUNCTION segment.holds(integer, bigint, boolean) IS
	'stands in the view of every segment: returns the condition, and is planned as a lookup in the members';

CREATE FUNCTION segment.probe(segment.handle, bigint) RETURNS boolean
	AS 'MODULE_PATHNAME', 'segmentation_probe' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED
	SUPPORT segment.probe_support;
CREATE FUNCTION segment.probe(segment.handle, integer) RETURNS boolean
	AS 'MODULE_PATHNAME', 'segmentation_probe_int4' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED
	SUPPORT segment.probe_support;
CREATE FUNCTION segment.probe(segment.handle, smallint) RETURNS boolean
	AS 'MODULE_PATHNAME', 'segmentation_probe_int2' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED
	SUPPORT segment.probe_support;
CREATE FUNCTION segment.probe_ids(segment.handle) RETURNS bigint[]
	AS 'MODULE_PATHNAME', 'segmentation_probe_ids' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION segment.probe(segment.handle, bigint) IS 'is this subject a member? what segment.holds() is planned as';
COMMENT ON FUNCTION segment.probe(segment.handle, integer) IS 'is this subject a member? what segment.holds() is planned as';
COMMENT ON FUNCTION segment.probe(segment.handle, smallint) IS 'is this subject a member? what segment.holds() is planned as';
COMMENT ON FUNCTION segment.probe_ids(segment.handle) IS 'the member ids, for an index condition';

CREATE FUNCTION segment.members(segment regclass) RETURNS segment.bitmap
	AS 'MODULE_PATHNAME', 'segmentation_members' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION segment.members(regclass) IS
	'all members of a segment, exact under the snapshot and clock of the statement; needs SELECT on the segment';

CREATE FUNCTION segment.size(segment regclass) RETURNS bigint
	AS 'MODULE_PATHNAME', 'segmentation_size' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION segment.size(regclass) IS 'exact number of members; needs SELECT on the segment';

CREATE FUNCTION segment.contains(segment regclass, id bigint) RETURNS boolean
	AS 'MODULE_PATHNAME', 'segmentation_contains' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 10;
COMMENT ON FUNCTION segment.contains(regclass, bigint) IS
	'is the subject with this id a member? one lookup; needs SELECT on the segment';

CREATE FUNCTION segment.clock(segment regclass) RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'segmentation_clock' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION segment.clock(regclass) IS
	'what now() means in a read of this segment: the reader''s now(), but never before the clock of the base';

-- What deadlines are computed with; see src/read/flip.c and src/compile/clock.c.
CREATE FUNCTION segment.next_flip(x timestamptz, shift interval, form integer, clock timestamptz) RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'segmentation_next_flip_tz' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION segment.next_flip(x timestamp, shift interval, form integer, clock timestamptz) RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'segmentation_next_flip_local' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION segment.shift(x timestamptz, span interval, sign integer) RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'segmentation_shift_tz' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION segment.shift(x timestamp, span interval, sign integer) RETURNS timestamp
	AS 'MODULE_PATHNAME', 'segmentation_shift_local' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION segment.next_flip(timestamptz, interval, integer, timestamptz) IS
	'when a comparison of x with the clock plus shift may next change, NULL for never; form 0: now(), 1: localtimestamp, 2: current_date';
COMMENT ON FUNCTION segment.next_flip(timestamp, interval, integer, timestamptz) IS
	'the same for a timestamp without time zone, compared in the session''s zone';
COMMENT ON FUNCTION segment.shift(timestamptz, interval, integer) IS
	'x plus (sign 1) or minus (-1) the length of span, a month being 30 days and a day 24 hours; NULL when out of range';
COMMENT ON FUNCTION segment.shift(timestamp, interval, integer) IS
	'x plus (sign 1) or minus (-1) the length of span, a month being 30 days and a day 24 hours; NULL when out of range';

CREATE FUNCTION segment.count_flip_add(internal, counted boolean, flip timestamptz, k bigint) RETURNS internal
	AS 'MODULE_PATHNAME', 'segmentation_count_flip_add' LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION segment.count_flip_combine(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'segmentation_count_flip_combine' LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION segment.count_flip_serialize(internal) RETURNS bytea
	AS 'MODULE_PATHNAME', 'segmentation_count_flip_serialize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION segment.count_flip_deserialize(bytea, internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'segmentation_count_flip_deserialize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION segment.count_flip_result(internal) RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'segmentation_count_flip_result' LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE AGGREGATE segment.count_flip(counted boolean, flip timestamptz, k bigint) (
	SFUNC = segment.count_flip_add, STYPE = internal, SSPACE = 96,
	COMBINEFUNC = segment.count_flip_combine,
	SERIALFUNC = segment.count_flip_serialize, DESERIALFUNC = segment.count_flip_deserialize,
	FINALFUNC = segment.count_flip_result, PARALLEL = SAFE
);
COMMENT ON AGGREGATE segment.count_flip(boolean, timestamptz, bigint) IS
	'when there may next be k rows counted or fewer than k, given when each may next begin or cease to be; NULL for never';

CREATE FUNCTION segment.due(segment regclass, until timestamptz) RETURNS bigint
	AS 'MODULE_PATHNAME', 'segmentation_due' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION segment.due(regclass, timestamptz) IS
	'how many subjects have a deadline up to an instant, early ones included; all, when the clock changes everybody by then';

CREATE FUNCTION segment.segments_of(subject_table regclass, id bigint) RETURNS SETOF regclass
	AS 'MODULE_PATHNAME', 'segmentation_segments_of' LANGUAGE C STABLE STRICT PARALLEL UNSAFE ROWS 10 COST 1000;
COMMENT ON FUNCTION segment.segments_of(regclass, bigint) IS
	'every segment that the subject with this id is in and that the caller may SELECT from';

CREATE FUNCTION segment.explain(
	segment regclass, id bigint,
	OUT part integer, OUT depth integer, OUT condition text, OUT value text, OUT result boolean,
	OUT may_change_at timestamptz
) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'segmentation_explain' LANGUAGE C STABLE STRICT PARALLEL UNSAFE ROWS 10 COST 1000;
COMMENT ON FUNCTION segment.explain(regclass, bigint) IS
	'why a subject is in a segment or not: each part of the condition, the value found, true, false or NULL; values and results of parts are for the owner and those with SELECT on what the segment reads';

CREATE FUNCTION segment.preview(
	definition segment.definition,
	OUT size bigint, OUT share float8, OUT ids bigint[]
) RETURNS record
	AS 'MODULE_PATHNAME', 'segmentation_preview' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 10000;
COMMENT ON FUNCTION segment.preview(segment.definition) IS
	'who a definition would hold for, nothing stored: exact count, share of the subject table (0 to 1), the first ids';

CREATE FUNCTION segment.overlap(
	segments regclass[],
	OUT a regclass, OUT b regclass, OUT size bigint, OUT jaccard float8
) RETURNS SETOF record
	LANGUAGE sql STABLE STRICT PARALLEL RESTRICTED
	SET search_path = pg_catalog, pg_temp
	AS $$
		WITH m AS MATERIALIZED (
			SELECT s, n, segment.members(s) AS ids FROM pg_catalog.unnest($1) WITH ORDINALITY AS u (s, n))
		SELECT x.s, y.s, segment.and_cardinality(x.ids, y.ids), segment.jaccard(x.ids, y.ids)
		FROM m x JOIN m y ON x.n <= y.n
		ORDER BY x.n, y.n
	$$;
COMMENT ON FUNCTION segment.overlap(regclass[]) IS
	'common members and Jaccard index (0 to 1) of each pair of segments, each with itself too; half the matrix';

CREATE FUNCTION segment.describe(segment regclass, OUT subject_table regclass, OUT definition text) RETURNS record
	AS 'MODULE_PATHNAME', 'segmentation_describe' LANGUAGE C STABLE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION segment.describe(regclass) IS 'subject table and definition of a segment, with the names of today; NULL if it is none';

CREATE FUNCTION segment.standing(
	segment regclass,
	OUT state text, OUT reads text, OUT base_size bigint, OUT pending bigint, OUT untracked regclass,
	OUT base_clock timestamptz, OUT cost_ms float8, OUT evaluated bigint, OUT message text,
	OUT remaining bigint, OUT total bigint, OUT since timestamptz, OUT failures integer, OUT retry_at timestamptz
) RETURNS record
	AS 'MODULE_PATHNAME', 'segmentation_standing' LANGUAGE C STABLE STRICT PARALLEL UNSAFE COST 1000;
COMMENT ON FUNCTION segment.standing(regclass) IS 'where a segment''s base stands; a row of segment.status, NULL without SELECT on the segment';

CREATE FUNCTION segment.refresher(segment regclass) RETURNS text
	AS 'MODULE_PATHNAME', 'segmentation_refresher' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION segment.refresher(regclass) IS 'who refreshes a segment, or why nobody does, as far as this session knows; a column of segment.status';

CREATE VIEW segment.segments AS
	SELECT s.view AS segment, d.subject_table, d.definition,
		pg_catalog.pg_get_userbyid(c.relowner) AS owner, s.enabled, s.options, s.settings
	FROM segment.segment s
	JOIN pg_catalog.pg_class c ON c.oid = s.view,
	LATERAL segment.describe(s.view) d;
COMMENT ON VIEW segment.segments IS 'every segment: subject table, definition, owner, options, pinned settings';

CREATE VIEW segment.status AS
	SELECT s.view AS segment, t.state, t.reads, t.base_size, t.pending, t.untracked,
		pg_catalog.now() - t.base_clock AS base_age, t.cost_ms, t.evaluated, t.message, t.failures, t.retry_at,
		segment.refresher(s.view) AS refresher
	FROM segment.segment s
	JOIN pg_catalog.pg_class c ON c.oid = s.view,
	LATERAL segment.standing(s.view) t;
COMMENT ON VIEW segment.status IS
	'where each segment stands: how it is read, members and age of its base, pending subjects, cost and last error of its refresh';
COMMENT ON COLUMN segment.status.state IS 'built, building, unbuilt, failed or disabled';
COMMENT ON COLUMN segment.status.reads IS 'what a read looks at: base and pending subjects, or everybody, and why';
COMMENT ON COLUMN segment.status.base_size IS 'members as of the last refresh; segment.size() counts those of now';
COMMENT ON COLUMN segment.status.pending IS 'subjects for which the base may be wrong; NULL: everybody';
COMMENT ON COLUMN segment.status.untracked IS 'the source without sound triggers, or in the middle of a statement, because of which everybody is looked at';
COMMENT ON COLUMN segment.status.base_age IS 'time since the clock of the base';
COMMENT ON COLUMN segment.status.cost_ms IS 'what the last refresh took for this segment, in milliseconds';
COMMENT ON COLUMN segment.status.evaluated IS 'subjects that the last refresh evaluated; NULL: everybody';
COMMENT ON COLUMN segment.status.message IS 'why the last refresh failed, or what it could not do; to the owner only';
COMMENT ON COLUMN segment.status.failures IS 'refreshes that have failed in a row';
COMMENT ON COLUMN segment.status.retry_at IS 'when the worker tries again';
COMMENT ON COLUMN segment.status.refresher IS 'who refreshes it, or why nobody does';

CREATE VIEW segment.progress AS
	SELECT s.view AS segment, CASE t.state WHEN 'building' THEN 'building' ELSE 'catching up' END AS phase,
		t.total - t.remaining AS done, t.total, t.since,
		CASE WHEN t.total > t.remaining
			THEN pg_catalog.clock_timestamp()
				+ (pg_catalog.clock_timestamp() - t.since) * (t.remaining::float8 / (t.total - t.remaining)) END AS estimated_end
	FROM segment.segment s
	JOIN pg_catalog.pg_class c ON c.oid = s.view,
	LATERAL segment.standing(s.view) t
	WHERE t.remaining IS NOT NULL;
COMMENT ON VIEW segment.progress IS
	'segments that are being refreshed in parts: subjects done and in all, since when, and when it will end at this rate';

CREATE FUNCTION segment.verify(
	which regclass DEFAULT NULL,
	OUT verified regclass, OUT missing bigint, OUT extra bigint, OUT ids segment.bitmap, OUT in_full text
) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'segmentation_verify' LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE ROWS 100 COST 100000;
COMMENT ON FUNCTION segment.verify(regclass) IS
	'compare what is stored with the condition evaluated over everybody: members missing, members too many, and their ids; NULLs and the reason where it is read in full anyway; NULL argument: all segments of the caller';

GRANT SELECT ON segment.segments, segment.status, segment.progress TO PUBLIC;

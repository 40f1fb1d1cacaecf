-- ---- refresh: what is materialised ----
-- Nothing here is dumped: after a restore every segment is unbuilt, reads evaluate in full, and the next refresh builds it again.
-- Vacuum: rows are updated in place, over and over, and each refresh reads them.  So the number of dead ones alone decides
-- (a share of the table would be nothing in a small one, and let a large one grow), free room on the pages is for HOT
-- updates, and the end of the files is not given back, for the reasons given at segment.invalidation.

CREATE SEQUENCE segment.version_seq;
COMMENT ON SEQUENCE segment.version_seq IS 'versions of bases and ids of epochs; internal';

-- A snapshot and clock that bases stand for; shared by the segments that were refreshed together.
CREATE TABLE segment.epoch (
	id       bigint PRIMARY KEY,
	snapshot pg_snapshot NOT NULL,  -- the base is the truth of this snapshot
	xid      xid8 NOT NULL,         -- of the refresh itself: counts as not visible in it
	clock    timestamptz NOT NULL   -- what now() was
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100, vacuum_truncate = false);

CREATE TABLE segment.state (
	id           integer PRIMARY KEY,   -- segment.segment.id
	status       "char" NOT NULL,       -- b built, p being built, u unbuilt, f failed
	fingerprint  bigint NOT NULL,       -- of the definition that the base stands for
	epoch        bigint NOT NULL,       -- segment.epoch.id; 0 = none: nothing is built, or (status b) everybody is pending and that will stay so for a while
	version      bigint NOT NULL,       -- of the base; changes whenever a chunk does
	size         bigint NOT NULL,       -- members in the base
	evaluated    bigint NOT NULL,       -- subjects that the last refresh evaluated; -1 = all
	cost_ms      float8 NOT NULL,       -- of the last refresh, the segment's share
	refreshed_at timestamptz NOT NULL,
	due          timestamptz NOT NULL,  -- when the clock may change everybody; infinity = never
	message      text,                  -- why it is unbuilt or failed
	rest         segment.bitmap,        -- subjects that the base does not stand for yet: pending for every reader
	total        bigint NOT NULL,       -- how many these were at first, and since when: for segment.progress
	since        timestamptz NOT NULL,
	failures     integer NOT NULL,      -- refreshes that failed in a row
	retry_at     timestamptz NOT NULL,  -- the worker leaves a failed segment alone until then
	spare        bigint NOT NULL        -- deadlines that may be added before all but the earliest of each subject are removed
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200, vacuum_truncate = false,
	toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 200, toast.vacuum_truncate = false);

ALTER TABLE segment.state ALTER COLUMN rest SET STORAGE EXTERNAL;

-- The base, in ranges of ids of about 8 kB each: what a refresh rewrites, and what one lookup reads.
CREATE TABLE segment.chunk (
	id    integer NOT NULL,             -- segment.segment.id
	first bigint NOT NULL,              -- this chunk holds ids from here up to the next chunk's first
	size  integer NOT NULL,             -- members in it
	ids   segment.bitmap NOT NULL,
	PRIMARY KEY (id, first)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, vacuum_truncate = false,
	toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 2000, toast.vacuum_truncate = false);
ALTER TABLE segment.chunk ALTER COLUMN ids SET STORAGE EXTERNAL;

-- When the clock may change subjects: buckets of subjects, fine near, coarse far (src/catalog/deadline.c).
CREATE TABLE segment.deadline (
	id    integer NOT NULL,             -- segment.segment.id
	start timestamptz NOT NULL,         -- the bucket is due from here on
	ids   segment.bitmap NOT NULL,
	PRIMARY KEY (id, start)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, vacuum_truncate = false,
	toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 2000, toast.vacuum_truncate = false);
ALTER TABLE segment.deadline ALTER COLUMN ids SET STORAGE EXTERNAL;

REVOKE ALL ON segment.epoch, segment.state, segment.chunk, segment.deadline FROM PUBLIC;
REVOKE ALL ON SEQUENCE segment.version_seq FROM PUBLIC;
COMMENT ON TABLE segment.epoch IS 'snapshots and clocks that segment bases stand for; internal';
COMMENT ON TABLE segment.state IS 'what is materialised of each segment; internal, see segment.status';
COMMENT ON TABLE segment.deadline IS 'when subjects may change without a write; internal, see segment.due()';
COMMENT ON TABLE segment.chunk IS 'members of segments as of their last refresh; internal, see segment.members()';

CREATE FUNCTION segment.refresh_step(subject_table regclass, budget bigint, automatic boolean DEFAULT false) RETURNS boolean
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'segmentation_refresh_step';
COMMENT ON FUNCTION segment.refresh_step(regclass, bigint, boolean) IS
	'refresh the caller''s segments of a subject table, evaluating at most about so many subjects (0: no limit); true: more is left for another transaction; automatic: as the worker does, what is not to be refreshed automatically, or not yet, is left alone';

CREATE PROCEDURE segment.refresh_all(budget bigint DEFAULT 250000)
	LANGUAGE c AS 'MODULE_PATHNAME', 'segmentation_refresh_all';
COMMENT ON PROCEDURE segment.refresh_all(bigint) IS
	'refresh all segments of the caller, in transactions of at most about so many subjects each (0: no limit, NULL: segmentation.refresh_budget); in a transaction block in one. A table that cannot be refreshed, because of a lock, say, is left, and its error raised when the others are done';

CREATE FUNCTION segment.rebuild(segment regclass DEFAULT NULL) RETURNS void
	LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'segmentation_rebuild';
COMMENT ON FUNCTION segment.rebuild(regclass) IS 'refresh by evaluating everybody, whatever is stored; NULL: all segments of the caller';

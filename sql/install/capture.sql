-- capture: what writers leave behind for readers

-- One row per statement and captured key: "transaction xid touched the rows of source with these values of column key".
-- keys NULL is everybody that reads the source by that key, with key -1 everybody that reads it at all; key + 16384 says besides that who reads it by no key
-- (key 0) is touched.  columns are those of the captured ones that an UPDATE has changed, a bit each; NULL is all: an INSERT or DELETE, say.
-- n counts the rows of a transaction:
-- with it there is a primary key (so the table can be published) without a sequence.  Appended by writers, deleted by refreshes, never updated.
CREATE TABLE segment.invalidation (
	xid xid8 NOT NULL,
	n integer NOT NULL,
	source oid NOT NULL,
	columns bigint,
	key smallint NOT NULL,
	keys segment.bitmap,
	PRIMARY KEY (xid, n)
) WITH (
	-- Few rows live, many dead: the number of dead ones alone says when vacuum pays, however large the table is.
	autovacuum_vacuum_scale_factor = 0,
	autovacuum_vacuum_threshold = 1000,
	-- Rows live until the next refresh; freezing them after so many inserts is wasted, dead rows bring vacuum anyway.
	autovacuum_vacuum_insert_threshold = -1,
	-- Giving back the file's end takes ACCESS EXCLUSIVE, which cancels readers on standbys, and writers fill it again at once.
	vacuum_truncate = false,
	-- Read from C through the primary key: its statistics decide nothing.
	autovacuum_analyze_scale_factor = 0,
	autovacuum_analyze_threshold = 100000,
	-- The same, for bitmaps of more than 2 kB.
	toast.autovacuum_vacuum_scale_factor = 0,
	toast.autovacuum_vacuum_threshold = 1000,
	toast.autovacuum_vacuum_insert_threshold = -1,
	toast.vacuum_truncate = false
);

-- Roaring has compressed it already; do not let every writer try again.
ALTER TABLE segment.invalidation ALTER COLUMN keys SET STORAGE EXTERNAL;

REVOKE ALL ON segment.invalidation FROM PUBLIC;
COMMENT ON TABLE segment.invalidation IS 'what transactions touched since the bases were built; internal';

-- PUBLIC may execute it: who may put a trigger on a table (CREATE SEGMENT, pg_restore) does so as himself.
CREATE FUNCTION segment.capture() RETURNS trigger
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'segmentation_capture';
COMMENT ON FUNCTION segment.capture() IS 'trigger on the sources of segments: records whom a write touches';

CREATE FUNCTION segment.watch_ddl() RETURNS event_trigger
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'segmentation_watch_ddl';
COMMENT ON FUNCTION segment.watch_ddl() IS 'event trigger: commands that change a source behind its triggers touch everybody';
REVOKE ALL ON FUNCTION segment.watch_ddl() FROM PUBLIC;

CREATE EVENT TRIGGER segmentation_watch_ddl ON ddl_command_end
	WHEN TAG IN ('ALTER TABLE', 'ALTER TYPE', 'ALTER TEXT SEARCH CONFIGURATION', 'ALTER TEXT SEARCH DICTIONARY', 'CREATE TRIGGER', 'DROP TRIGGER')
	EXECUTE FUNCTION segment.watch_ddl();
ALTER EVENT TRIGGER segmentation_watch_ddl ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER segmentation_watch_ddl IS 'keeps segments exact when a source is altered';

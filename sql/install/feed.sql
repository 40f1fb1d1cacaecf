-- ---- feed: who entered and left, consumers of it, hooks on it ----
-- Unlike what is materialised, all of this is dumped: it cannot be built again.

-- Shared by all segments.  Taken under the refresh lock of a subject table, so that the numbers of one segment are in the order of commits.
CREATE SEQUENCE segment.change_seq;
COMMENT ON SEQUENCE segment.change_seq IS 'numbers of changes in the feed; internal';

-- One row per refresh and segment that changed (src/catalog/change.c).
CREATE TABLE segment.change (
	id       integer NOT NULL,          -- segment.segment.id
	number   bigint NOT NULL,
	previous bigint NOT NULL,           -- number of the segment's change before this one; 0 = there was none
	clock    timestamptz NOT NULL,      -- what now() was in the refresh
	since    timestamptz,               -- = clock, but for refreshes with an earlier clock that came later: theirs where they found the same members, else NULL (taken back, no part of the history)
	written  timestamptz NOT NULL,      -- real time, for the retention
	reason   "char" NOT NULL,           -- b built (first, or another definition, or after a restore), r refreshed
	size     bigint NOT NULL,           -- members after it
	weight   bigint NOT NULL,           -- bytes of the differences since the last row with "members"
	entered  segment.bitmap NOT NULL,
	exited   segment.bitmap NOT NULL,
	members  segment.bitmap,            -- all members after it; only in some rows
	instants timestamptz[],             -- where time caused it: the instants of the flips ..
	flipped  segment.bitmap[],          -- .. and who flipped at each; the others count as of the clock
	PRIMARY KEY (id, number)
) WITH (
	-- Appended, and deleted from the old end in bulk: vacuum when some share is dead, analysis decides nothing.
	autovacuum_vacuum_scale_factor = 0.05,
	autovacuum_vacuum_threshold = 1000,
	autovacuum_analyze_threshold = 10000,
	-- Giving back the file's end takes ACCESS EXCLUSIVE, which cancels readers on standbys.
	vacuum_truncate = false,
	toast.vacuum_truncate = false
);
ALTER TABLE segment.change ALTER COLUMN entered SET STORAGE EXTERNAL;
ALTER TABLE segment.change ALTER COLUMN exited SET STORAGE EXTERNAL;
ALTER TABLE segment.change ALTER COLUMN members SET STORAGE EXTERNAL;
-- What is old, for the retention.  Rows are inserted as into a catalog, which knows no partial indexes.
CREATE INDEX change_written ON segment.change (id, written);
CREATE INDEX change_since ON segment.change (id, since, number);

-- A named reader of the feed, with a position per segment.
CREATE TABLE segment.consumer (
	name   text PRIMARY KEY,
	owner  regrole NOT NULL,
	follow boolean NOT NULL             -- all segments, future ones too
);
CREATE TABLE segment.subscription (
	consumer text NOT NULL,             -- segment.consumer.name
	id       integer NOT NULL,          -- segment.segment.id
	position bigint NOT NULL,           -- segment.change.number that was acknowledged last
	PRIMARY KEY (consumer, id)
) WITH (
	-- A position is updated with each batch: room for HOT updates, and vacuum by the number of dead rows, see segment.epoch.
	fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200, vacuum_truncate = false
);
CREATE INDEX subscription_id ON segment.subscription (id);

-- What to call when members enter or leave.
CREATE TABLE segment.hook (
	id        integer NOT NULL,         -- segment.segment.id
	event     "char" NOT NULL,          -- e enter, x exit
	owner     regrole NOT NULL,         -- of the segment when the hook was set; no other will run it
	schema    name NOT NULL,            -- by name: a dump keeps no OIDs
	function  name NOT NULL,
	arguments text[] NOT NULL,
	failures  bigint NOT NULL DEFAULT 0,
	failed_at timestamptz,
	message   text,                     -- of the last call, if it failed
	PRIMARY KEY (id, event)
);

REVOKE ALL ON segment.change, segment.consumer, segment.subscription, segment.hook FROM PUBLIC;
REVOKE ALL ON SEQUENCE segment.change_seq FROM PUBLIC;
COMMENT ON TABLE segment.change IS 'entries and exits of each segment, change by change; internal, see segment.changes()';
COMMENT ON TABLE segment.consumer IS 'named consumers of the change feed; internal, see segment.consumers';
COMMENT ON TABLE segment.subscription IS 'what each consumer has acknowledged; internal, see segment.consumers';
COMMENT ON TABLE segment.hook IS 'functions called when members enter or leave; internal, see segment.hooks';

SELECT pg_catalog.pg_extension_config_dump('segment.change_seq', '');
SELECT pg_catalog.pg_extension_config_dump('segment.change', '');
SELECT pg_catalog.pg_extension_config_dump('segment.consumer', '');
SELECT pg_catalog.pg_extension_config_dump('segment.subscription', '');
SELECT pg_catalog.pg_extension_config_dump('segment.hook', '');

-- ---- the feed and the history ----

CREATE FUNCTION segment.changes(
	segment regclass, after bigint DEFAULT 0, max_rows integer DEFAULT NULL,
	OUT number bigint, OUT changed_at timestamptz, OUT reason text, OUT entered segment.bitmap, OUT exited segment.bitmap,
	OUT instants timestamptz[], OUT flipped segment.bitmap[]
) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'segmentation_changes' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 100 COST 1000;
COMMENT ON FUNCTION segment.changes(regclass, bigint, integer) IS
	'the changes of a segment with numbers greater than "after", in order; needs SELECT on the segment';

CREATE FUNCTION segment.members(segment regclass, at timestamptz) RETURNS segment.bitmap
	AS 'MODULE_PATHNAME', 'segmentation_members_at' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION segment.members(regclass, timestamptz) IS
	'members as of the last refresh at or before an instant; NULL before the history begins; needs SELECT on the segment';

CREATE FUNCTION segment.size(segment regclass, at timestamptz) RETURNS bigint
	AS 'MODULE_PATHNAME', 'segmentation_size_at' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION segment.size(regclass, timestamptz) IS
	'number of members as of the last refresh at or before an instant; NULL before the history begins';

CREATE FUNCTION segment.size_history(
	segment regclass, "from" timestamptz, "to" timestamptz, step interval,
	OUT at timestamptz, OUT size bigint
) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'segmentation_size_history' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED ROWS 100 COST 1000;
COMMENT ON FUNCTION segment.size_history(regclass, timestamptz, timestamptz, interval) IS
	'segment.size(segment, at) from "from" to "to", both inclusive, step by step';

CREATE FUNCTION segment.memberships_history(
	subject_table regclass, id bigint,
	OUT segment regclass, OUT entered_at timestamptz, OUT exited_at timestamptz
) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'segmentation_memberships_history' LANGUAGE C STABLE STRICT PARALLEL UNSAFE ROWS 20 COST 1000;
COMMENT ON FUNCTION segment.memberships_history(regclass, bigint) IS
	'when a subject entered and left the segments that the caller may SELECT from; -infinity: before the history begins, NULL: still a member';

-- ---- consumers ----

CREATE FUNCTION segment.create_consumer(name text, segments regclass[] DEFAULT NULL, from_start boolean DEFAULT false) RETURNS void
	AS 'MODULE_PATHNAME', 'segmentation_create_consumer' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION segment.create_consumer(text, regclass[], boolean) IS
	'a named reader of the change feed, owned by the caller; NULL: all segments, future ones too; from_start: with the changes kept so far';

CREATE FUNCTION segment.drop_consumer(name text) RETURNS void
	AS 'MODULE_PATHNAME', 'segmentation_drop_consumer' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION segment.drop_consumer(text) IS 'remove a consumer; waits for workers that are busy with a batch of it';

CREATE FUNCTION segment.next_batch(
	consumer text, max_rows integer DEFAULT 100,
	OUT segment regclass, OUT number bigint, OUT changed_at timestamptz, OUT reason text,
	OUT entered segment.bitmap, OUT exited segment.bitmap, OUT instants timestamptz[], OUT flipped segment.bitmap[]
) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'segmentation_next_batch' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION segment.next_batch(text, integer) IS
	'the next changes of one segment that no other worker of this consumer has in hand, in order; in hand until the transaction ends';

CREATE FUNCTION segment.ack(consumer text, segment regclass, number bigint) RETURNS bigint
	AS 'MODULE_PATHNAME', 'segmentation_ack' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION segment.ack(text, regclass, bigint) IS
	'changes of a segment up to this number are done with; returns the position, which never goes back, NULL if the segment has been dropped meanwhile; needs SELECT on the segment';

CREATE FUNCTION segment.reset_consumer(
	name text, only_segment regclass DEFAULT NULL,
	OUT segment regclass, OUT "position" bigint, OUT members segment.bitmap
) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'segmentation_reset_consumer' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION segment.reset_consumer(text, regclass) IS
	'continue from now on: moves the positions (of all segments, or of one) behind the last change, and returns the members there';

CREATE VIEW segment.consumers WITH (security_barrier) AS
	SELECT c.name, c.owner, s.view AS segment, u.position,
		(SELECT pg_catalog.count(*) FROM segment.change h WHERE h.id = s.id AND h.number > u.position) AS behind,
		(SELECT pg_catalog.now() - h.written FROM segment.change h WHERE h.id = s.id AND h.number > u.position ORDER BY h.number LIMIT 1) AS behind_age,
		COALESCE(u.position < (SELECT h.previous FROM segment.change h WHERE h.id = s.id ORDER BY h.number LIMIT 1), false) AS lost
	FROM segment.consumer c
	LEFT JOIN (segment.subscription u JOIN segment.segment s ON s.id = u.id)
		ON u.consumer = c.name AND pg_catalog.has_table_privilege(s.view, 'SELECT')
	WHERE pg_catalog.pg_has_role(c.owner, 'USAGE');
COMMENT ON VIEW segment.consumers IS
	'consumers of roles that the caller is a member of, with each segment that the caller may read: position, changes and age behind, lost: changes were deleted unread';

CREATE VIEW segment.hooks WITH (security_barrier) AS
	SELECT s.view AS segment, CASE h.event WHEN 'e' THEN 'enter' ELSE 'exit' END AS event,
		pg_catalog.quote_ident(h.schema) || '.' || pg_catalog.quote_ident(h.function) AS function, h.arguments,
		h.failures, h.failed_at, h.message
	FROM segment.hook h
	JOIN segment.segment s ON s.id = h.id
	JOIN pg_catalog.pg_class c ON c.oid = s.view
	WHERE pg_catalog.pg_has_role(c.relowner, 'USAGE');
COMMENT ON VIEW segment.hooks IS
	'hooks of the caller''s segments: what is called, how often it failed, when last, and with which message if the last call did';

GRANT SELECT ON segment.consumers, segment.hooks TO PUBLIC;

-- ---- erasure ----

CREATE FUNCTION segment.forget(
	subject_table regclass, ids segment.bitmap,
	OUT relation regclass, OUT held bigint, OUT left_over bigint
) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'segmentation_forget' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 4;
COMMENT ON FUNCTION segment.forget(regclass, segment.bitmap) IS
	'remove ids of deleted subjects from everything stored: per table, rows that held one of them before, and after; needs ownership of the subject table';

-- worker: who refreshes in the background

CREATE FUNCTION segment.start_worker() RETURNS integer
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'segmentation_start_worker';
COMMENT ON FUNCTION segment.start_worker() IS
	'start the background worker of this database, if it does not run; its pid, NULL if it ended at once';

CREATE FUNCTION segment.stop_worker() RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'segmentation_stop_worker';
COMMENT ON FUNCTION segment.stop_worker() IS
	'end the background worker of this database; false if there is none. The next write starts another, unless segmentation.worker is off';
REVOKE ALL ON FUNCTION segment.start_worker(), segment.stop_worker() FROM PUBLIC;

CREATE FUNCTION segment.worker_state(OUT pid integer, OUT state text) RETURNS record
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'segmentation_worker_state';
COMMENT ON FUNCTION segment.worker_state() IS 'the background worker of this database, or why there is none; a part of segment.activity';

-- Invalidations are deleted when every base has them and no snapshot needs them any more: the oldest of those is shown.
-- A transaction that writes holds back the snapshots of all databases; one that only reads those of its own.
-- Who may not see other users' sessions sees only what pg_stat_activity shows him.
CREATE VIEW segment.activity AS
	SELECT w.pid AS worker_pid, w.state AS worker_state, a.state_change AS worker_since, a.query AS worker_query,
		i.waiting AS invalidations, i.oldest AS oldest_invalidation,
		h.holder AS held_back_by, h.pid AS held_back_pid, h.since AS held_back_since, h.age AS held_back_transactions
	FROM segment.worker_state() w
	LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = w.pid
	CROSS JOIN (SELECT pg_catalog.count(*) AS waiting, pg_catalog.min(v.xid::text::numeric)::text::xid8 AS oldest
				FROM segment.invalidation v) i
	LEFT JOIN LATERAL (
		SELECT * FROM (
			SELECT 'session, ' || s.state || CASE WHEN s.datname <> pg_catalog.current_database()
					THEN ', in database ' || pg_catalog.quote_ident(s.datname) ELSE '' END AS holder,
				s.pid, s.xact_start AS since,
				GREATEST(pg_catalog.age(s.backend_xid), CASE WHEN s.datname = pg_catalog.current_database() THEN pg_catalog.age(s.backend_xmin) END) AS age
			FROM pg_catalog.pg_stat_activity s
			WHERE (s.backend_xid IS NOT NULL OR (s.backend_xmin IS NOT NULL AND s.datname = pg_catalog.current_database()))
				AND s.pid <> pg_catalog.pg_backend_pid() AND s.backend_type NOT LIKE 'segmentation %'
			UNION ALL
			SELECT 'replication slot ' || pg_catalog.quote_ident(r.slot_name), r.active_pid, NULL, pg_catalog.age(r.xmin)
			FROM pg_catalog.pg_replication_slots r WHERE r.xmin IS NOT NULL
			UNION ALL
			SELECT 'standby ' || pg_catalog.quote_ident(r.application_name), r.pid, r.backend_start, pg_catalog.age(r.backend_xmin)
			FROM pg_catalog.pg_stat_replication r WHERE r.backend_xmin IS NOT NULL
			UNION ALL
			SELECT 'prepared transaction ' || pg_catalog.quote_literal(p.gid), NULL, p.prepared, pg_catalog.age(p.transaction)
			FROM pg_catalog.pg_prepared_xacts p) x
		ORDER BY x.age DESC LIMIT 1) h ON i.waiting > 0;
COMMENT ON VIEW segment.activity IS
	'one row: the background worker of this database or why there is none, invalidations waiting, and whose snapshot holds back their deletion';
COMMENT ON COLUMN segment.activity.held_back_transactions IS 'transactions begun since the snapshot that holds them back';
GRANT SELECT ON segment.activity TO PUBLIC;

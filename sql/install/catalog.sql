-- catalog
-- Registered segments.  Who they are for is in the view; here is what was pinned when they were created.
CREATE SEQUENCE segment.segment_id_seq AS integer;
COMMENT ON SEQUENCE segment.segment_id_seq IS 'ids of segments, kept by dumps; internal';
CREATE TABLE segment.segment (
	id integer PRIMARY KEY,
	view regclass NOT NULL UNIQUE,
	enabled boolean NOT NULL DEFAULT true,
	settings text[] NOT NULL DEFAULT '{}',
	options text[] NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE segment.segment IS 'registered segments; see the view segment.segments';
COMMENT ON COLUMN segment.segment.view IS 'the segment: a view that calls segment.holds(id, ...)';
COMMENT ON COLUMN segment.segment.settings IS 'name=value: settings in force at every evaluation, pinned at creation';
COMMENT ON COLUMN segment.segment.options IS 'name=value: as given in WITH';

-- Declared links, by name so that they survive a dump.
CREATE TABLE segment.link (
	source regclass,
	column_name name NOT NULL,
	target regclass,
	key_name name NOT NULL,
	PRIMARY KEY (source, target)
);
COMMENT ON TABLE segment.link IS 'declared links (CREATE LINK): rows of source belong to rows of target';

-- Readable, so that whoever dumps the database need not be a superuser: nothing
-- here that the system catalogs do not show.  Written by the extension only.
REVOKE ALL ON SEQUENCE segment.segment_id_seq FROM PUBLIC;
REVOKE ALL ON TABLE segment.segment, segment.link FROM PUBLIC;
GRANT SELECT ON SEQUENCE segment.segment_id_seq TO PUBLIC;
GRANT SELECT ON TABLE segment.segment, segment.link TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('segment.segment_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('segment.segment', '');
SELECT pg_catalog.pg_extension_config_dump('segment.link', '');

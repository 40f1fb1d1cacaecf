-- statement
CREATE FUNCTION segment.language_handler() RETURNS language_handler
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'segmentation_language_handler';
CREATE FUNCTION segment.inline_handler(internal) RETURNS void
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'segmentation_language_inline';
CREATE FUNCTION segment.validator(oid) RETURNS void
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'segmentation_language_validator';

CREATE TRUSTED LANGUAGE segment
	HANDLER segment.language_handler INLINE segment.inline_handler VALIDATOR segment.validator;
COMMENT ON LANGUAGE segment IS 'statements about segments: DO LANGUAGE segment $$ CREATE SEGMENT ... $$';

CREATE FUNCTION segment.execute(statements text, OUT command text, OUT segment regclass) RETURNS SETOF record
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'segmentation_execute';
COMMENT ON FUNCTION segment.execute(text) IS 'run the statements of a text; a row for each';

CREATE FUNCTION segment.create_segment(name text, definition segment.definition, options jsonb DEFAULT '{}')
	RETURNS regclass
	LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'segmentation_create_segment';
COMMENT ON FUNCTION segment.create_segment(text, segment.definition, jsonb)
	IS 'CREATE SEGMENT; options: timezone, max_staleness, auto_refresh, or_replace, if_not_exists';

CREATE FUNCTION segment.alter_segment(segment regclass, definition segment.definition DEFAULT NULL, options jsonb DEFAULT '{}')
	RETURNS regclass
	LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'segmentation_alter_segment';
COMMENT ON FUNCTION segment.alter_segment(regclass, segment.definition, jsonb)
	IS 'ALTER SEGMENT; a NULL definition leaves the condition; options: timezone, max_staleness, auto_refresh (null resets), enabled';

CREATE FUNCTION segment.drop_segment(segment regclass, "cascade" boolean DEFAULT false) RETURNS void
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'segmentation_drop_segment';
COMMENT ON FUNCTION segment.drop_segment(regclass, boolean) IS 'DROP SEGMENT';

CREATE FUNCTION segment.refresh(segment regclass DEFAULT NULL) RETURNS void
	LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'segmentation_refresh';
COMMENT ON FUNCTION segment.refresh(regclass) IS 'REFRESH SEGMENT; NULL: all that the caller owns';

CREATE FUNCTION segment.link(source regclass, "column" name, subject regclass, key name DEFAULT NULL) RETURNS void
	LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'segmentation_link';
COMMENT ON FUNCTION segment.link(regclass, name, regclass, name) IS 'CREATE LINK; key NULL: the primary key';

CREATE FUNCTION segment.unlink(source regclass, subject regclass) RETURNS void
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'segmentation_unlink';
COMMENT ON FUNCTION segment.unlink(regclass, regclass) IS 'DROP LINK';

CREATE FUNCTION segment.sweep() RETURNS event_trigger
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'segmentation_sweep';
COMMENT ON FUNCTION segment.sweep() IS 'event trigger: cleans up behind segments whose view was dropped';
REVOKE ALL ON FUNCTION segment.sweep() FROM PUBLIC;

CREATE EVENT TRIGGER segmentation_sweep ON sql_drop EXECUTE FUNCTION segment.sweep();
ALTER EVENT TRIGGER segmentation_sweep ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER segmentation_sweep IS 'cleans up behind segments whose view was dropped';

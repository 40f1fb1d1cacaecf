/*-------------------------------------------------------------------------
 *
 * check.c
 *		What a segment must fulfil that is not the compiler's business:
 *		the kind of its subject table, privileges, row security, cycles, keys.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/attnum.h"
#include "access/relation.h"
#include "catalog/catalog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "catalog/registry.h"
#include "definition/scan.h"
#include "statement/statement.h"

/* Why this relation cannot be a subject table; NULL if it can. */
static const char *
refusal(Relation rel, const char **hint)
{
	*hint = "Segments are made on ordinary, permanent tables.";
	switch (rel->rd_rel->relkind)
	{
		case RELKIND_RELATION:
			break;
		case RELKIND_PARTITIONED_TABLE:
			*hint = "Partitioned tables are not supported yet.";
			return "is a partitioned table";
		case RELKIND_VIEW:
			if (segment_catalog_lookup(RelationGetRelid(rel)))
			{
				*hint = "To combine segments write CREATE SEGMENT name AS a & b, or in_segment('a') in the condition.";
				return "is a segment";
			}
			return "is a view";
		case RELKIND_MATVIEW:
			return "is a materialized view";
		case RELKIND_FOREIGN_TABLE:
			return "is a foreign table";
		default:
			return "is no table";
	}
	if (rel->rd_rel->relispartition)
	{
		*hint = "Partitioned tables are not supported yet.";
		return "is a partition";
	}
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		return "is a temporary table";
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED)
	{
		*hint = "ALTER TABLE ... SET LOGGED makes it a table that survives a crash.";
		return "is an unlogged table";
	}
	if (IsCatalogRelation(rel) || strcmp(get_namespace_name(RelationGetNamespace(rel)), "segment") == 0)
		return "is a system table";
	if (rel->rd_rel->relhassubclass && find_inheritance_children(RelationGetRelid(rel), NoLock) != NIL)
	{
		*hint = "Tables with inheritance children are not supported.";
		return "has inheritance children";
	}
	return NULL;
}

/* Refuse what is no plain permanent table.  The caller has locked it. */
void
segment_statement_check_subject(const char *text, Oid subject, RangeVar *name)
{
	Relation	rel = relation_open(subject, NoLock);
	const char *hint;
	const char *reason = refusal(rel, &hint);

	if (reason)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("\"%s\" cannot be a subject table: it %s", RelationGetRelationName(rel), reason),
				errhint("%s", hint),
				segment_definition_position(text, name ? name->location : -1));
	relation_close(rel, NoLock);
}

static void
refuse_privilege(Oid relid, Oid owner, const char *privilege)
{
	ereport(ERROR,
			errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			errmsg("permission denied for table %s", get_rel_name(relid)),
			errdetail("The owner of a segment needs %s on it.", privilege),
			errhint("GRANT %s ON %s TO %s.", privilege,
					quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid)),
					quote_identifier(GetUserNameFromId(owner, false))));
}

static void
check_privileges(const SegmentCompiled *compiled)
{
	Oid			owner = compiled->owner;
	ListCell   *lc;

	/* the view shows every column of the subject table */
	if (pg_class_aclcheck(compiled->subject, owner, ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(compiled->subject, owner, ACL_SELECT, ACLMASK_ALL) != ACLCHECK_OK)
		refuse_privilege(compiled->subject, owner, "SELECT");
	foreach(lc, compiled->sources)
	{
		SegmentSource *source = lfirst(lc);

		if (!segment_compile_may_select(source->relid, owner, source->columns))
			refuse_privilege(source->relid, owner, "SELECT");
		if (pg_class_aclcheck(source->relid, owner, ACL_TRIGGER) != ACLCHECK_OK)
			refuse_privilege(source->relid, owner, "TRIGGER");
		if (check_enable_rls(source->relid, owner, true) == RLS_ENABLED)
			ereport(ERROR,
					errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("row-level security of table \"%s\" applies to the owner of the segment",
						   get_rel_name(source->relid)),
					errdetail("Policies may depend on the session, and a segment has the same members for every reader."),
					errhint("Let a role with BYPASSRLS, or the table's owner, create the segment."));
	}
	foreach(lc, compiled->inner)
		if (pg_class_aclcheck(lfirst_oid(lc), owner, ACL_SELECT) != ACLCHECK_OK)
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("permission denied for segment %s", get_rel_name(lfirst_oid(lc))),
				errhint("GRANT SELECT ON %s TO %s.",
						quote_qualified_identifier(get_namespace_name(get_rel_namespace(lfirst_oid(lc))),
												   get_rel_name(lfirst_oid(lc))),
						quote_identifier(GetUserNameFromId(owner, false))));
}

/*
 * Does one of these segments contain the target?  Then "path" becomes the way
 * there, outermost first.  "seen" keeps diamonds from being walked twice.
 */
static bool
find_path(List *segments, Oid target, List **seen, List **path)
{
	ListCell   *lc;

	check_stack_depth();
	foreach(lc, segments)
	{
		Oid			viewId = lfirst_oid(lc);
		const SegmentCompiled *compiled;

		if (viewId == target)
		{
			*path = list_make1_oid(viewId);
			return true;
		}
		if (list_member_oid(*seen, viewId))
			continue;
		*seen = lappend_oid(*seen, viewId);
		compiled = segment_catalog_compiled(viewId, true);
		if (compiled && find_path(compiled->inner, target, seen, path))
		{
			*path = lcons_oid(viewId, *path);
			return true;
		}
	}
	return false;
}

static void
check_cycle(const SegmentCompiled *compiled, Oid viewId, const char *name)
{
	List	   *seen = NIL;
	List	   *path = NIL;
	StringInfoData buf;
	ListCell   *lc;

	if (!OidIsValid(viewId) || !find_path(compiled->inner, viewId, &seen, &path))
		return;
	initStringInfo(&buf);
	appendStringInfoString(&buf, name);
	foreach(lc, path)
		appendStringInfo(&buf, " -> %s", get_rel_name(lfirst_oid(lc)));
	ereport(ERROR,
			errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			errmsg("segment \"%s\" would contain itself", name),
			errdetail("The cycle is %s.", buf.data));
}

/*
 * segment_statement_check_compiled
 *		Privileges of the owner, row security, cycles.
 *
 * viewId: the segment being redefined, InvalidOid for a new one.
 */
void
segment_statement_check_compiled(const SegmentCompiled *compiled, Oid viewId, const char *name)
{
	ListCell   *lc;

	check_privileges(compiled);
	/* to the end: of two that would contain each other one is refused */
	foreach(lc, compiled->inner)
		LockRelationOid(lfirst_oid(lc), AccessShareLock);
	check_cycle(compiled, viewId, name);
}

/*
 * segment_statement_check_keys
 *		Refuse a subject table that has a negative key now.
 *
 * One that comes later is found by the refresh.  Asked as min(), which the
 * unique index answers at once whatever the statistics say.
 */
void
segment_statement_check_keys(const SegmentCompiled *compiled)
{
	const char *key = quote_identifier(get_attname(compiled->subject, compiled->keyAttno, false));
	char	   *table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(compiled->subject)),
												   get_rel_name(compiled->subject));
	char	   *query = psprintf("SELECT pg_catalog.min(%s)::pg_catalog.int8 FROM ONLY %s", key, table);
	int64		lowest = 0;
	bool		isnull = true;

	SPI_connect();
	if (SPI_execute(query, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the keys of \"%s\"", table);
	if (SPI_processed > 0)
		lowest = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	if (!isnull && lowest < 0)
		ereport(ERROR,
				errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				errmsg("table \"%s\" has a negative key: %s = %lld", get_rel_name(compiled->subject),
					   key, (long long) lowest),
				errdetail("Subjects are identified by integers from 0 to 9223372036854775807."));
}

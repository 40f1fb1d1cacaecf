/*-------------------------------------------------------------------------
 *
 * watch.c
 *		segment.watch_ddl(): commands that change a source behind its triggers.
 *
 * An event trigger at the end of commands.  A command that may have switched off
 * our triggers, rewritten rows without firing them, or moved the source into an
 * inheritance tree records "everybody" for it, in its own transaction: from
 * the moment at which writes can escape, every reader that sees the command
 * evaluates in full, until a later refresh has read the source under a sound set.
 *
 * It only looks at the parse tree and pg_trigger, and writes invalidations, and
 * links that follow the name of a column.  It raises nothing, takes no lock on
 * tables, and costs a table without our triggers one catalogue lookup.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "capture/internal.h"
#include "catalog/registry.h"
#include "testing.h"

PGDLLEXPORT Datum segmentation_watch_ddl(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_watch_ddl);

/* Can this part of ALTER TABLE leave neither rows nor triggers other than they were? */
static bool
is_harmless(const AlterTableCmd *command)
{
	switch (command->subtype)
	{
		case AT_ColumnDefault:
		case AT_DropNotNull:
		case AT_SetNotNull:
		case AT_SetStatistics:
		case AT_SetOptions:
		case AT_ResetOptions:
		case AT_SetStorage:
		case AT_SetCompression:
		case AT_AddConstraint:
		case AT_AlterConstraint:
		case AT_ValidateConstraint:
		case AT_DropConstraint:
		case AT_ChangeOwner:
		case AT_ClusterOn:
		case AT_DropCluster:
		case AT_SetTableSpace:
		case AT_SetRelOptions:
		case AT_ResetRelOptions:
		case AT_ReplicaIdentity:
			return true;
		default:
			return false;
	}
}

static bool
has_triggers(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		has = false;

	if (HeapTupleIsValid(tuple))
	{
		has = ((Form_pg_class) GETSTRUCT(tuple))->relhastriggers;
		ReleaseSysCache(tuple);
	}
	return has;
}

/*
 * Record everybody for a table and, with descend, its children, where they carry
 * triggers of ours (with onlyBroken: fewer than there should be).
 */
static void
touch(Oid relid, bool descend, bool onlyBroken)
{
	List	   *tables;
	ListCell   *lc;

	tables = descend ? find_all_inheritors(relid, NoLock, NULL) : list_make1_oid(relid);
	foreach(lc, tables)
	{
		Oid			table = lfirst_oid(lc);
		int			count;

		if (!has_triggers(table))
			continue;
		count = segment_capture_count(table);
		if (count == 0 || (onlyBroken && count == SEGMENT_CAPTURE_TRIGGERS))
			continue;
		segment_capture_touch_all(table);
		CacheInvalidateRelcacheByRelid(table);
	}
}

/*
 * Something has changed what values mean, wherever they are: the labels of an
 * enum and their order, the attributes of a composite type, how texts are parsed.
 * That is done once in a while: all tables with triggers of ours.
 */
static void
touch_all_tables(void)
{
	ListCell   *lc;

	foreach(lc, SEGMENT_MUTANT("unwatched_types") ? NIL : segment_capture_tables())
		touch(lfirst_oid(lc), false, false);
}

/* A table that becomes a partition, or is one no more, may not be found below the one that is altered. */
static void
watch_partitions(const AlterTableStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->cmds)
	{
		const AlterTableCmd *command = lfirst_node(AlterTableCmd, lc);
		Oid			relid;

		if (command->def == NULL || !IsA(command->def, PartitionCmd))
			continue;
		relid = RangeVarGetRelid(((PartitionCmd *) command->def)->name, NoLock, true);
		if (OidIsValid(relid))
			touch(relid, true, false);
	}
}

static bool
has_dependents(Oid type)
{
	ListCell   *lc;

	foreach(lc, segment_catalog_dependents(TypeRelationId, type))
	{
		Form_pg_depend row = lfirst(lc);

		/* columns and attributes; domains and ranges; not functions */
		if (row->deptype == DEPENDENCY_NORMAL &&
			((row->classid == RelationRelationId && row->objsubid > 0) || row->classid == TypeRelationId))
			return true;
	}
	return false;
}

/* May columns of other tables have the rows of this one as their type? */
static bool
is_type_of_columns(Oid relid)
{
	Oid			type = get_rel_type_id(relid);

	return OidIsValid(type) && (has_dependents(type) || has_dependents(get_array_type(type)));
}

static void
watch_alter(const AlterTableStmt *statement)
{
	Oid			relid;
	ListCell   *lc;
	bool		harmless = true;

	foreach(lc, statement->cmds)
		harmless = harmless && is_harmless(lfirst_node(AlterTableCmd, lc));
	if (harmless)
		return;
	watch_partitions(statement);
	relid = RangeVarGetRelid(statement->relation, NoLock, true);
	if (!OidIsValid(relid))
		return;
	if (statement->objtype == OBJECT_TYPE || is_type_of_columns(relid))
		touch_all_tables();
	else if (statement->objtype == OBJECT_TABLE)
		touch(relid, statement->relation->inh, false);
}

/* By then the table's name is what it was: only the column has got another. */
static void
watch_rename(const RenameStmt *statement)
{
	Oid			relid = RangeVarGetRelid(statement->relation, NoLock, true);
	ListCell   *lc;

	if (!OidIsValid(relid) || SEGMENT_MUTANT("stale_link"))
		return;
	if (is_type_of_columns(relid))
		touch_all_tables();
	foreach(lc, statement->relation->inh ? find_all_inheritors(relid, NoLock, NULL) : list_make1_oid(relid))
		segment_catalog_rename_link_column(lfirst_oid(lc), statement->subname, statement->newname);
}

/* A new trigger is no concern of ours unless it replaces one, or runs our function. */
static void
watch_create_trigger(const CreateTrigStmt *statement)
{
	Oid			relid;

	if (!statement->replace && strcmp(strVal(llast(statement->funcname)), "capture") != 0)
		return;
	relid = RangeVarGetRelid(statement->relation, NoLock, true);
	if (OidIsValid(relid))
		touch(relid, false, false);
}

/* DROP TRIGGER name ON table, which the parser leaves as [schema.]table.name. */
static void
watch_drop_trigger(const DropStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->objects)
	{
		List	   *name = list_copy(lfirst(lc));
		Oid			relid;

		name = list_truncate(name, list_length(name) - 1);
		if (name == NIL)
			continue;
		relid = RangeVarGetRelid(makeRangeVarFromNameList(name), NoLock, true);
		if (OidIsValid(relid))
			touch(relid, false, true);
	}
}

/* A command on a table with triggers, ours among them or not: that must not go unnoticed. */
static bool
is_on_source(Node *statement)
{
	RangeVar   *name = NULL;
	Oid			relid;

	if (IsA(statement, AlterTableStmt))
		name = ((AlterTableStmt *) statement)->relation;
	else if (IsA(statement, CreateTrigStmt))
		name = ((CreateTrigStmt *) statement)->relation;
	else
		return IsA(statement, DropStmt);
	relid = RangeVarGetRelid(name, NoLock, true);
	return OidIsValid(relid) && has_triggers(relid);
}

Datum
segmentation_watch_ddl(PG_FUNCTION_ARGS)
{
	Node	   *statement;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"segment.watch_ddl\" was not called by an event trigger"));

	statement = ((EventTriggerData *) fcinfo->context)->parsetree;
	if (!segment_catalog_is_safe())
	{
		if (is_on_source(statement))
			(void) segment_catalog_schema(false);	/* raises */
		PG_RETURN_NULL();
	}
	if (IsA(statement, AlterTableStmt))
		watch_alter((AlterTableStmt *) statement);
	else if (IsA(statement, AlterEnumStmt) || IsA(statement, AlterTSConfigurationStmt) || IsA(statement, AlterTSDictionaryStmt) ||
			 (IsA(statement, RenameStmt) && ((RenameStmt *) statement)->renameType == OBJECT_ATTRIBUTE))
		touch_all_tables();
	else if (IsA(statement, RenameStmt) && ((RenameStmt *) statement)->renameType == OBJECT_COLUMN)
		watch_rename((RenameStmt *) statement);
	else if (IsA(statement, CreateTrigStmt))
		watch_create_trigger((CreateTrigStmt *) statement);
	else if (IsA(statement, DropStmt) && ((DropStmt *) statement)->removeType == OBJECT_TRIGGER)
		watch_drop_trigger((DropStmt *) statement);
	PG_RETURN_NULL();
}

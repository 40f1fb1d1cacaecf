/*-------------------------------------------------------------------------
 *
 * run.c
 *		Running one statement.
 *
 * What a segment shares with every view (its name, owner, schema, comment, its
 * end) is done by PostgreSQL's own statements about views, as if the client had
 * sent them: event triggers fire, privileges are checked there.
 *
 * Locks: ALTER of the condition or an option takes AccessExclusiveLock on the view, as
 * CREATE OR REPLACE VIEW does, because readers of the old and the new
 * definition must not mix; ENABLE, DISABLE and hooks take ShareUpdateExclusiveLock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "catalog/registry.h"
#include "definition/scan.h"
#include "doorbell.h"
#include "refresh/hook.h"
#include "refresh/refresh.h"
#include "statement/statement.h"

void
segment_statement_run_utility(Node *node, const char *text)
{
	PlannedStmt *planned = makeNode(PlannedStmt);

	planned->commandType = CMD_UTILITY;
	planned->canSetTag = false;
	planned->utilityStmt = node;
	planned->stmt_location = -1;
	planned->stmt_len = 0;
	ProcessUtility(planned, text, false, PROCESS_UTILITY_QUERY, NULL, NULL, None_Receiver, NULL);
	CommandCounterIncrement();
}

const char *
segment_statement_name(const RangeVar *name)
{
	return name->schemaname ? psprintf("%s.%s", name->schemaname, name->relname) : name->relname;
}

static void
check_is_segment(SegmentStatement *statement, RangeVar *name, Oid viewId)
{
	if (segment_catalog_lookup(viewId) == NULL)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("\"%s\" is not a segment", segment_statement_name(name)),
				get_rel_relkind(viewId) == RELKIND_VIEW ?
				errhint("It is an ordinary view; use the statements for views.") : 0,
				segment_definition_position(statement->text, name->location));
}

/*
 * The segment of this name.  InvalidOid, after a NOTICE, if it does not exist
 * and the statement is lenient.
 */
static Oid
find_segment(SegmentStatement *statement, RangeVar *name)
{
	Oid			viewId = RangeVarGetRelid(name, NoLock, true);

	if (!OidIsValid(viewId))
	{
		ereport(statement->lenient ? NOTICE : ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				statement->lenient ?
				errmsg("segment \"%s\" does not exist, skipping", segment_statement_name(name)) :
				errmsg("segment \"%s\" does not exist", segment_statement_name(name)),
				statement->lenient ? 0 : segment_definition_position(statement->text, name->location));
		return InvalidOid;
	}
	check_is_segment(statement, name, viewId);
	return viewId;
}

/* The same, owned by the caller, and locked. */
static Oid
find_own_segment(SegmentStatement *statement, RangeVar *name, LOCKMODE lock)
{
	Oid			viewId;

	if (!OidIsValid(find_segment(statement, name)))
		return InvalidOid;
	viewId = RangeVarGetRelidExtended(name, lock, 0, RangeVarCallbackOwnsRelation, NULL);
	/* what was waited for may have given the name to something else */
	check_is_segment(statement, name, viewId);
	return viewId;
}

static void
rename_segment(SegmentStatement *statement)
{
	RenameStmt *rename = makeNode(RenameStmt);

	rename->renameType = OBJECT_VIEW;
	rename->relationType = OBJECT_VIEW;
	rename->relation = statement->name;
	rename->newname = statement->string;
	segment_statement_run_utility((Node *) rename, statement->text);
}

/* The new owner must be able to read what the segment reads. */
static void
change_owner(SegmentStatement *statement, Oid viewId)
{
	AlterTableStmt *alter = makeNode(AlterTableStmt);
	AlterTableCmd *command = makeNode(AlterTableCmd);
	SegmentCompiled compiled = *segment_catalog_compiled(viewId, false);

	compiled.owner = get_rolespec_oid(statement->role, false);
	segment_statement_check_compiled(&compiled, InvalidOid, statement->name->relname);
	command->subtype = AT_ChangeOwner;
	command->newowner = statement->role;
	alter->relation = statement->name;
	alter->cmds = list_make1(command);
	alter->objtype = OBJECT_VIEW;
	segment_statement_run_utility((Node *) alter, statement->text);
}

static void
set_schema(SegmentStatement *statement)
{
	AlterObjectSchemaStmt *alter = makeNode(AlterObjectSchemaStmt);

	alter->objectType = OBJECT_VIEW;
	alter->relation = statement->name;
	alter->newschema = statement->string;
	segment_statement_run_utility((Node *) alter, statement->text);
}

static List *
name_list(RangeVar *name)
{
	List	   *names = list_make1(makeString(name->relname));

	if (name->schemaname)
		names = lcons(makeString(name->schemaname), names);
	if (name->catalogname)
		names = lcons(makeString(name->catalogname), names);
	return names;
}

static void
comment(SegmentStatement *statement)
{
	CommentStmt *stmt = makeNode(CommentStmt);

	stmt->objtype = OBJECT_VIEW;
	stmt->object = (Node *) name_list(statement->name);
	stmt->comment = statement->string;
	segment_statement_run_utility((Node *) stmt, statement->text);
}

/* ENABLE also mends the triggers of the sources, which a restore or ALTER TABLE may have left unfit. */
static void
set_enabled(Oid viewId, bool enabled)
{
	SegmentEntry *entry = segment_catalog_lookup(viewId);

	if (enabled)
		segment_statement_install_captures(segment_catalog_compiled(viewId, false));
	if (entry->enabled == enabled)
		return;
	entry->enabled = enabled;
	segment_catalog_update(entry);
}

static Oid
run_alter(SegmentStatement *statement)
{
	bool		light = statement->kind == SEGMENT_ALTER_ENABLE || statement->kind == SEGMENT_ALTER_DISABLE ||
	statement->kind == SEGMENT_ALTER_HOOK;
	Oid			viewId = find_own_segment(statement, statement->name,
										  light ? ShareUpdateExclusiveLock : AccessExclusiveLock);

	if (!OidIsValid(viewId))
		return InvalidOid;
	switch (statement->kind)
	{
		case SEGMENT_ALTER_CONDITION:
			segment_statement_alter_condition(statement, viewId);
			break;
		case SEGMENT_ALTER_OPTIONS:
			segment_statement_alter_options(statement, viewId);
			break;
		case SEGMENT_ALTER_RENAME:
			rename_segment(statement);
			break;
		case SEGMENT_ALTER_OWNER:
			change_owner(statement, viewId);
			break;
		case SEGMENT_ALTER_SCHEMA:
			set_schema(statement);
			break;
		case SEGMENT_ALTER_HOOK:
			segment_statement_alter_hook(statement, viewId);
			break;
		default:
			set_enabled(viewId, statement->kind == SEGMENT_ALTER_ENABLE);
			break;
	}
	return viewId;
}

/*
 * DROP SEGMENT is one DROP VIEW of all of them, so that segments which contain
 * each other go together; the sweep does the rest.
 */
static void
run_drop(SegmentStatement *statement)
{
	DropStmt   *drop = makeNode(DropStmt);
	ListCell   *lc;

	foreach(lc, statement->names)
		if (OidIsValid(find_segment(statement, lfirst(lc))))
		drop->objects = lappend(drop->objects, name_list(lfirst(lc)));
	if (drop->objects == NIL)
		return;
	drop->removeType = OBJECT_VIEW;
	drop->behavior = statement->cascade ? DROP_CASCADE : DROP_RESTRICT;
	segment_statement_run_utility((Node *) drop, statement->text);
}

/* Returns the segment if one was named. */
static Oid
run_refresh(SegmentStatement *statement)
{
	List	   *viewIds = NIL;
	ListCell   *lc;

	foreach(lc, statement->names)
		viewIds = list_append_unique_oid(viewIds, find_own_segment(statement, lfirst(lc), NoLock));
	segment_refresh_segments(viewIds);
	return list_length(viewIds) == 1 ? linitial_oid(viewIds) : InvalidOid;
}

static Oid
run_one(SegmentStatement *statement)
{
	Oid			viewId = InvalidOid;

	segment_hook_refuse(statement->tag);
	switch (statement->kind)
	{
		case SEGMENT_CREATE:
			return segment_statement_create(statement);
		case SEGMENT_DROP:
			run_drop(statement);
			break;
		case SEGMENT_REFRESH:
			return run_refresh(statement);
		case SEGMENT_COMMENT:
			viewId = find_segment(statement, statement->name);
			comment(statement);
			break;
		case SEGMENT_CREATE_LINK:
			segment_statement_create_link(statement);
			break;
		case SEGMENT_DROP_LINK:
			segment_statement_drop_link(statement);
			break;
		default:
			return run_alter(statement);
	}
	return viewId;
}

Oid
segment_statement_run(SegmentStatement *statement)
{
	Oid			viewId = run_one(statement);

	/* a segment to build, to build anew, or other deadlines */
	segment_doorbell_ring();
	return viewId;
}

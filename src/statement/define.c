/*-------------------------------------------------------------------------
 *
 * define.c
 *		CREATE SEGMENT, and ALTER SEGMENT of the condition or the options.
 *
 *	condition (raw tree)
 *		=> segment_compile_raw		SELECT .. FROM subject WHERE segment.holds(id, key, ..)
 *		=> analysed, checked		a SegmentCompiled; privileges, cycles
 *		=> the view					CREATE VIEW, or its rule replaced
 *		=> segment.segment			id, pinned settings, options
 *		=> captures					on every source, in the order of their OIDs
 *
 * All of it happens in the caller's transaction; nothing is evaluated here but
 * the smallest key.
 *
 * Locks, in this order: the view (AccessExclusiveLock, when it exists), the
 * subject table and the sources (AccessShareLock, by analysis), the captures of
 * each source (sweep.c), and ShareRowExclusiveLock on a source whose triggers
 * must record more than they do.  Writers wait for the last one only, and only
 * until the transaction ends.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_rewrite.h"
#include "commands/view.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/analyze.h"
#include "rewrite/rewriteSupport.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "capture/capture.h"
#include "catalog/registry.h"
#include "definition/scan.h"
#include "refresh/refresh.h"
#include "statement/statement.h"

/* ------------------------------------------------------------------------
 * Names
 * ------------------------------------------------------------------------ */

/* The subject table named after ON, locked against changes of its shape. */
static Oid
find_subject(const char *text, RangeVar *name)
{
	Oid			relid = RangeVarGetRelid(name, AccessShareLock, true);

	if (!OidIsValid(relid))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation \"%s\" does not exist", segment_statement_name(name)),
				errhint("ON is followed by the subject table, whose rows are segmented."),
				segment_definition_position(text, name->location));
	segment_statement_check_subject(text, relid, name);
	return relid;
}

/* The subject table of the segments combined by AS; they must agree. */
static Oid
find_common_subject(const char *text, List *operands)
{
	Oid			subject = InvalidOid;
	ListCell   *lc;

	foreach(lc, operands)
	{
		RangeVar   *name = lfirst(lc);
		Oid			viewId = RangeVarGetRelid(name, NoLock, true);
		const SegmentCompiled *compiled = OidIsValid(viewId) ? segment_catalog_compiled(viewId, true) : NULL;

		if (!OidIsValid(viewId))
			ereport(ERROR,
					errcode(ERRCODE_UNDEFINED_TABLE),
					errmsg("segment \"%s\" does not exist", segment_statement_name(name)),
					segment_definition_position(text, name->location));
		if (compiled == NULL)
			ereport(ERROR,
					errcode(ERRCODE_WRONG_OBJECT_TYPE),
					errmsg("\"%s\" is not a segment", segment_statement_name(name)),
					errhint("AS combines segments; a condition on a table is written ON table WHERE condition."),
					segment_definition_position(text, name->location));
		if (OidIsValid(subject) && compiled->subject != subject)
			ereport(ERROR,
					errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					errmsg("segment \"%s\" is on table \"%s\", not on \"%s\"", name->relname,
						   get_rel_name(compiled->subject), get_rel_name(subject)),
					errhint("Only segments on the same subject table can be combined."),
					segment_definition_position(text, name->location));
		subject = compiled->subject;
	}
	LockRelationOid(subject, AccessShareLock);
	return subject;
}

static Oid
statement_subject(SegmentStatement *statement)
{
	return statement->table ? find_subject(statement->text, statement->table) :
		find_common_subject(statement->text, statement->operands);
}

/* ------------------------------------------------------------------------
 * Analysis
 * ------------------------------------------------------------------------ */

static Query *
analyse(SelectStmt *select, const char *text)
{
	RawStmt    *raw = makeNode(RawStmt);

	raw->stmt = (Node *) copyObject(select);
	raw->stmt_location = -1;
	return parse_analyze_fixedparams(raw, text, NULL, 0, NULL);
}

/* subject.column AS name */
static ResTarget *
make_target(const char *subject, const char *column, const char *name)
{
	ResTarget  *target = makeNode(ResTarget);
	ColumnRef  *ref = makeNode(ColumnRef);

	ref->fields = list_make2(makeString(pstrdup(subject)), makeString(pstrdup(column)));
	ref->location = -1;
	target->name = pstrdup(name);
	target->val = (Node *) ref;
	target->location = -1;
	return target;
}

/*
 * A redefined view keeps its columns: those of the subject table when it was
 * created, under the names they have in the view.  With extend, columns that
 * the subject table has got since come behind them.
 */
static void
keep_columns(SelectStmt *select, const SegmentCompiled *old, bool extend)
{
	const char *subject = get_rel_name(old->subject);
	List	   *targets = NIL;
	Bitmapset  *known = NULL;
	ListCell   *lc;
	Relation	rel;

	foreach(lc, old->query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);
		AttrNumber	column;

		if (entry->resjunk)
			continue;
		if (!IsA(entry->expr, Var))
			return;
		column = ((Var *) entry->expr)->varattno;
		known = bms_add_member(known, column);

		/*
		 * the view's own name of it: ALTER VIEW .. RENAME COLUMN leaves the
		 * rule as it was
		 */
		targets = lappend(targets, make_target(subject, get_attname(old->subject, column, false),
											   get_attname(old->viewId, entry->resno, false)));
	}
	rel = relation_open(old->subject, AccessShareLock);
	for (int i = 0; extend && i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (!att->attisdropped && !bms_is_member(att->attnum, known))
			targets = lappend(targets, make_target(subject, NameStr(att->attname), NameStr(att->attname)));
	}
	relation_close(rel, NoLock);
	select->targetList = targets;
}

/*
 * Compile a condition for the segment with this id, with every check.
 *
 * old: what the segment is so far, NULL for a new one.
 * Returns the raw query in *select and the analysed one in *query.
 */
static SegmentCompiled *
compile(SegmentStatement *statement, int32 id, Oid subject, Oid owner,
		const SegmentCompiled *old, SelectStmt **select, Query **query)
{
	*select = segment_compile_raw(id, subject, statement->table, &statement->condition);
	if (old)
		keep_columns(*select, old, statement->kind == SEGMENT_CREATE);
	*query = analyse(*select, statement->text);
	return segment_compile_query(copyObject(*query), owner, statement->text);
}

/* What reads the clock in a way that cannot be told ahead needs a bound. */
static void
check_clock(SegmentCompiled *compiled, List *options, const char *text)
{
	ListCell   *lc;

	if (!compiled->opaqueClock)
		return;
	foreach(lc, options)
		if (strncmp(lfirst(lc), "max_staleness=", strlen("max_staleness=")) == 0)
		return;
	segment_definition_push_error_text(text);
	segment_compile_clock(compiled, compiled->condition, text);
	segment_definition_pop_error_text();
}

/* ------------------------------------------------------------------------
 * Effects
 * ------------------------------------------------------------------------ */

static Oid
create_view(const char *text, RangeVar *name, Oid schema, SelectStmt *select, bool replace)
{
	ViewStmt   *view = makeNode(ViewStmt);

	view->view = copyObject(name);
	view->view->schemaname = get_namespace_name(schema);
	view->view->relpersistence = RELPERSISTENCE_PERMANENT;
	view->query = (Node *) select;
	view->replace = replace;
	view->options = list_make1(makeDefElem("security_barrier", (Node *) makeString("true"), -1));
	view->withCheckOption = NO_CHECK_OPTION;
	segment_statement_run_utility((Node *) view, text);
	return get_relname_relid(name->relname, schema);
}

/* The index that makes the key unique, the primary key's if it is one. */
static Oid
key_index(const SegmentCompiled *compiled)
{
	Relation	rel = relation_open(compiled->subject, AccessShareLock);
	Oid			best = InvalidOid;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index index;

		if (!HeapTupleIsValid(tuple))
			continue;
		index = (Form_pg_index) GETSTRUCT(tuple);
		if (index->indisunique && index->indisvalid && index->indimmediate &&
			index->indnkeyatts == 1 && index->indkey.values[0] == compiled->keyAttno &&
			heap_attisnull(tuple, Anum_pg_index_indpred, NULL) &&
			(!OidIsValid(best) || index->indisprimary))
			best = lfirst_oid(lc);
		ReleaseSysCache(tuple);
	}
	relation_close(rel, NoLock);
	return best;
}

/*
 * Without its key a segment means nothing, so the rule of the view depends on
 * the constraint (or index) just as it would for a GROUP BY of the key: it is
 * dropped with CASCADE only, and pg_dump knows the order.
 *
 * XXX A dump does not carry this dependency: in a restored database it is back
 * with the next CREATE OR REPLACE or ALTER of the segment.
 */
static void
depend_on_key(Oid viewId, const SegmentCompiled *compiled)
{
	Oid			index = key_index(compiled);
	Oid			constraint = OidIsValid(index) ? get_index_constraint(index) : InvalidOid;
	ObjectAddress rule;
	ObjectAddress key;

	if (!OidIsValid(index))
		return;
	ObjectAddressSet(rule, RewriteRelationId, get_rewrite_oid(viewId, ViewSelectRuleName, false));
	if (OidIsValid(constraint))
		ObjectAddressSet(key, ConstraintRelationId, constraint);
	else
		ObjectAddressSet(key, RelationRelationId, index);
	recordDependencyOn(&rule, &key, DEPENDENCY_NORMAL);
}

/* The tables that a segment reads itself, in the order in which they are locked. */
static List *
source_tables(const SegmentCompiled *compiled)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, compiled->sources)
		relids = list_append_unique_oid(relids, ((SegmentSource *) lfirst(lc))->relid);
	list_sort(relids, list_oid_cmp);
	return relids;
}

void
segment_statement_install_captures(const SegmentCompiled *compiled)
{
	ListCell   *lc;

	foreach(lc, source_tables(compiled))
	{
		(void) segment_capture_lock(lfirst_oid(lc), ShareLock, true);
		segment_capture_install(lfirst_oid(lc), segment_compile_captures(compiled, lfirst_oid(lc)));
	}
	CommandCounterIncrement();
}

/* What comes after the view has been made, new or anew. */
static void
finish(const SegmentCompiled *compiled, Oid viewId)
{
	depend_on_key(viewId, compiled);
	segment_statement_install_captures(compiled);
	segment_statement_check_keys(compiled);
	segment_compile_notices(compiled);
}

/* ------------------------------------------------------------------------
 * CREATE SEGMENT
 * ------------------------------------------------------------------------ */

/*
 * The schema for a new segment, and the relation that has its name already
 * (locked, and owned by the caller, if it is to be replaced).
 */
static Oid
creation_schema(SegmentStatement *statement, Oid *existing)
{
	Oid			schema = RangeVarGetAndCheckCreationNamespace(statement->name,
															  statement->replace ? AccessExclusiveLock : NoLock,
															  existing);

	if (isAnyTempNamespace(schema) || statement->name->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("a segment cannot be temporary"),
				segment_definition_position(statement->text, statement->name->location));
	return schema;
}

/* Something has the name already.  Returns whether CREATE is to be skipped. */
static bool
skip_existing(SegmentStatement *statement, Oid existing, SegmentEntry *entry)
{
	const char *kind = entry ? "segment" : "relation";

	if (statement->lenient)
	{
		ereport(NOTICE,
				errcode(ERRCODE_DUPLICATE_TABLE),
				errmsg("%s \"%s\" already exists, skipping", kind, statement->name->relname));
		return true;
	}
	if (!statement->replace)
		ereport(ERROR,
				errcode(ERRCODE_DUPLICATE_TABLE),
				errmsg("%s \"%s\" already exists", kind, statement->name->relname),
				entry ? errhint("Use CREATE OR REPLACE SEGMENT, or ALTER SEGMENT.") : 0,
				segment_definition_position(statement->text, statement->name->location));
	if (entry == NULL)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("\"%s\" is not a segment", statement->name->relname),
				errdetail("CREATE OR REPLACE SEGMENT replaces segments only."),
				segment_definition_position(statement->text, statement->name->location));
	return false;
}

static void
register_segment(SegmentEntry *old, int32 id, Oid viewId, List *options)
{
	SegmentEntry entry = {
		.id = id,
		.viewId = viewId,
		.enabled = old ? old->enabled : true,
		.settings = segment_statement_pin_settings(),
		.options = options
	};

	if (old)
		segment_catalog_update(&entry);
	else
		segment_catalog_insert(&entry);
}

/* Other segments may contain this one, so it stays on its table. */
static void
refuse_other_subject(SegmentStatement *statement, const SegmentCompiled *before, Oid subject)
{
	if (subject != before->subject)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				errmsg("segment \"%s\" is on table \"%s\", not on \"%s\"", get_rel_name(before->viewId),
					   get_rel_name(before->subject), get_rel_name(subject)),
				errdetail("The subject table of a segment cannot be changed."),
				errhint("Drop the segment, or create another one."),
				statement->table ? segment_definition_position(statement->text, statement->table->location) : 0);
}

/* Create, or replace what "old" describes. */
static Oid
create_as(SegmentStatement *statement, Oid schema, Oid existing, SegmentEntry *old)
{
	const SegmentCompiled *before = old ? segment_catalog_compiled(existing, false) : NULL;
	int32		id = old ? old->id : segment_catalog_next_id();
	Oid			owner = old ? before->owner : GetUserId();
	List	   *options = segment_statement_merge_options(statement->text, NIL, statement->options);
	int			level = NewGUCNestLevel();
	SegmentCompiled *compiled;
	SelectStmt *select;
	Query	   *query;
	Oid			subject;
	Oid			viewId;

	segment_statement_apply_options(options);
	subject = statement_subject(statement);
	if (old)
		refuse_other_subject(statement, before, subject);
	compiled = compile(statement, id, subject, owner, before, &select, &query);
	segment_statement_check_compiled(compiled, existing, statement->name->relname);
	check_clock(compiled, options, statement->text);
	viewId = create_view(statement->text, statement->name, schema, select, old != NULL);
	register_segment(old, id, viewId, options);
	AtEOXact_GUC(true, level);

	finish(compiled, viewId);
	if (old)
		segment_refresh_narrow(source_tables(before));
	return viewId;
}

Oid
segment_statement_create(SegmentStatement *statement)
{
	Oid			existing;
	Oid			schema = creation_schema(statement, &existing);
	SegmentEntry *old = NULL;

	if (OidIsValid(existing))
	{
		old = segment_catalog_lookup(existing);
		if (skip_existing(statement, existing, old))
			return old ? existing : InvalidOid;
	}
	return create_as(statement, schema, existing, old);
}

/* ------------------------------------------------------------------------
 * ALTER SEGMENT
 * ------------------------------------------------------------------------ */

/*
 * segment_statement_alter_condition
 *		Give a segment another condition (WHERE) or composition (AS).
 *
 * The rule is replaced in place, so ALTER needs no right to create anything.
 * The caller holds AccessExclusiveLock on the view and has checked ownership.
 * Settings are pinned anew, since the new text was written in this session; options stay.
 */
void
segment_statement_alter_condition(SegmentStatement *statement, Oid viewId)
{
	SegmentEntry *entry = segment_catalog_lookup(viewId);
	const SegmentCompiled *before = segment_catalog_compiled(viewId, false);
	int			level = NewGUCNestLevel();
	Oid			subject = before->subject;
	SegmentCompiled *compiled;
	SelectStmt *select;
	Query	   *query;

	LockRelationOid(subject, AccessShareLock);
	if (statement->table)
		subject = find_subject(statement->text, statement->table);
	else if (statement->operands != NIL)
		subject = find_common_subject(statement->text, statement->operands);
	refuse_other_subject(statement, before, subject);
	segment_statement_apply_options(entry->options);
	compiled = compile(statement, entry->id, subject, before->owner, before, &select, &query);
	segment_statement_check_compiled(compiled, viewId, get_rel_name(viewId));
	check_clock(compiled, entry->options, statement->text);
	StoreViewQuery(viewId, query, true);
	CommandCounterIncrement();
	register_segment(entry, entry->id, viewId, entry->options);
	AtEOXact_GUC(true, level);

	finish(compiled, viewId);
	segment_refresh_narrow(source_tables(before));
}

/*
 * segment_statement_alter_options
 *		SET or RESET options; only the setting concerned is pinned anew.
 */
void
segment_statement_alter_options(SegmentStatement *statement, Oid viewId)
{
	SegmentEntry *entry = segment_catalog_lookup(viewId);
	List	   *settings = NIL;
	int			level = NewGUCNestLevel();
	bool		timezone = false;
	bool		bound = false;
	ListCell   *lc;

	entry->options = segment_statement_merge_options(statement->text, entry->options, statement->options);
	segment_statement_apply_options(entry->options);
	foreach(lc, statement->options)
	{
		timezone |= strcmp(((SegmentOption *) lfirst(lc))->name, "timezone") == 0;
		bound |= strcmp(((SegmentOption *) lfirst(lc))->name, "max_staleness") == 0;
	}
	foreach(lc, entry->settings)
	{
		char	   *setting = lfirst(lc);

		if (timezone && strncmp(setting, "TimeZone=", strlen("TimeZone=")) == 0)
			setting = psprintf("TimeZone=%s", GetConfigOption("TimeZone", false, false));
		settings = lappend(settings, setting);
	}
	entry->settings = settings;
	/* lenient: another condition is on its way */
	if (bound && !statement->lenient)
	{
		SegmentCompiled compiled = *segment_catalog_compiled(viewId, false);

		check_clock(&compiled, entry->options, statement->text);
	}
	AtEOXact_GUC(true, level);
	segment_catalog_update(entry);
}

/*-------------------------------------------------------------------------
 *
 * analyze.c
 *		From the query of a segment's view to its sources, touch rules and clock.
 *
 * Walks every level of the query once: notes each table and the columns read
 * of it, refuses what may not be in a definition (only with a text, that is
 * when it is declared), finds the segments it names and whether it reads the
 * clock.  touch.c then finds for each table who is touched by a change to it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/catalog.h"
#include "catalog/pg_aggregate.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "catalog/dependency.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "capture/capture.h"
#include "catalog/registry.h"
#include "compat.h"
#include "compile/clock.h"
#include "compile/compile.h"
#include "compile/link.h"
#include "compile/scope.h"
#include "testing.h"

typedef struct Analysis
{
	SegmentCompiled *compiled;
	const char *text;			/* NULL: trust the query */
	List	   *occurrences;	/* of SegmentOccurrence *, the subject first */
	List	   *functions;		/* OIDs of functions that are not PostgreSQL's
								 * own */
	uint64		rows;			/* a hash of the columns of tables whose rows
								 * are read whole */
} Analysis;

typedef struct WalkContext
{
	Analysis   *analysis;
	SegmentLevel *level;
} WalkContext;

static void walk(Node *node, SegmentLevel *level, Analysis *analysis);
static void walk_qual(Node *node, SegmentLevel *level, Analysis *analysis);
static SegmentLevel *build_level(Query *query, SegmentLevel *parent, Analysis *analysis);

/* Stable functions of pg_catalog whose result depends on nothing but arguments, clock and pinned settings. */
static const char *const stable_functions[] = {
	"age", "anytextcat", "array_in", "array_out", "array_to_json", "array_to_string",
	"cash_in", "cash_out", "concat", "concat_ws", "convert", "convert_from", "convert_to",
	"date", "date_add", "date_cmp_timestamptz", "date_eq_timestamptz", "date_ge_timestamptz",
	"date_gt_timestamptz", "date_in", "date_le_timestamptz", "date_lt_timestamptz",
	"date_ne_timestamptz", "date_out", "date_part", "date_subtract", "date_trunc", "domain_in",
	"enum_first", "enum_in", "enum_last", "enum_out", "enum_range", "extract", "format",
	"generate_series", "in_range", "interval_in", "interval_out", "interval_pl_timestamptz",
	"json_agg", "json_build_array", "json_build_object", "json_object_agg", "json_populate_record",
	"json_to_record", "json_to_tsvector", "jsonb_agg", "jsonb_build_array", "jsonb_build_object",
	"jsonb_object_agg", "jsonb_path_exists_tz", "jsonb_path_match_tz", "jsonb_path_query_array_tz",
	"jsonb_path_query_first_tz", "jsonb_path_query_tz", "jsonb_populate_record", "jsonb_to_record",
	"jsonb_to_tsvector", "length", "make_timestamptz", "money", "multirange_in", "multirange_out",
	"now", "numeric", "overlaps", "phraseto_tsquery", "plainto_tsquery", "quote_literal",
	"quote_nullable", "range_in", "range_out", "record_in", "record_out", "row_to_json", "textanycat",
	"time", "time_in", "timestamp", "timestamp_cmp_timestamptz", "timestamp_eq_timestamptz",
	"timestamp_ge_timestamptz", "timestamp_gt_timestamptz", "timestamp_in", "timestamp_le_timestamptz",
	"timestamp_lt_timestamptz", "timestamp_ne_timestamptz", "timestamp_out", "timestamptz",
	"timestamptz_cmp_date", "timestamptz_cmp_timestamp", "timestamptz_eq_date",
	"timestamptz_eq_timestamp", "timestamptz_ge_date", "timestamptz_ge_timestamp",
	"timestamptz_gt_date", "timestamptz_gt_timestamp", "timestamptz_in", "timestamptz_le_date",
	"timestamptz_le_timestamp", "timestamptz_lt_date", "timestamptz_lt_timestamp",
	"timestamptz_mi_interval", "timestamptz_ne_date", "timestamptz_ne_timestamp", "timestamptz_out",
	"timestamptz_pl_interval", "timetz", "timetz_in", "timezone", "to_char", "to_date", "to_json",
	"to_jsonb", "to_number", "to_timestamp", "to_tsquery", "to_tsvector", "transaction_timestamp",
	"ts_headline", "ts_match_tq", "ts_match_tt", "websearch_to_tsquery", "xml", "xml_in",
	"xml_is_well_formed"
};

static Oid
segment_namespace(void)
{
	return segment_catalog_schema(false);
}

/* Is this a function of ours with that name? */
static bool
is_our_function(Oid funcid, const char *name)
{
	char	   *found;

	if (get_func_namespace(funcid) != segment_namespace())
		return false;
	found = get_func_name(funcid);
	return found != NULL && strcmp(found, name) == 0 &&
		getExtensionOfObject(ProcedureRelationId, funcid) == get_extension_oid("segmentation", true);
}

static bool
is_vetted_name(const char *name)
{
	for (int i = 0; i < lengthof(stable_functions); i++)
		if (strcmp(stable_functions[i], name) == 0)
			return true;
	return false;
}

/*
 * A stable function that is not PostgreSQL's own: an extension's in C is vetted, a
 * user's is not; nor one that returns rows, such as crosstab() and connectby():
 * those read tables.
 */
static bool
is_extension_c_function(Oid funcid)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	Form_pg_proc function;
	bool		good;

	if (!HeapTupleIsValid(tuple))
		return false;
	function = (Form_pg_proc) GETSTRUCT(tuple);
	good = function->prolang == ClanguageId && !function->proretset;
	ReleaseSysCache(tuple);
	return good && OidIsValid(getExtensionOfObject(ProcedureRelationId, funcid));
}

/*
 * A stable function of ours that reads segments, their past or the feed: what it
 * reads is no source of the condition.  in_segment() is one.
 */
static bool
reads_segments(Oid funcid)
{
	return get_func_namespace(funcid) == segment_namespace() && !is_our_function(funcid, "contains") &&
		!is_our_function(funcid, "holds") && !is_our_function(funcid, "bitmap_out") &&
		!is_our_function(funcid, "next_flip");
}

typedef struct FunctionCheck
{
	Analysis   *analysis;
	Node	   *node;
} FunctionCheck;

static bool check_function(Oid funcid, void *arg);

/* The functions that an aggregate of somebody's is made of. */
static void
check_aggregate(Oid funcid, FunctionCheck *check)
{
	HeapTuple	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(funcid));
	Form_pg_aggregate aggregate;
	Oid			parts[8];

	if (!HeapTupleIsValid(tuple))
		return;
	aggregate = (Form_pg_aggregate) GETSTRUCT(tuple);
	parts[0] = aggregate->aggtransfn;
	parts[1] = aggregate->aggfinalfn;
	parts[2] = aggregate->aggcombinefn;
	parts[3] = aggregate->aggserialfn;
	parts[4] = aggregate->aggdeserialfn;
	parts[5] = aggregate->aggmtransfn;
	parts[6] = aggregate->aggminvtransfn;
	parts[7] = aggregate->aggmfinalfn;
	ReleaseSysCache(tuple);
	for (int i = 0; i < lengthof(parts); i++)
		if (parts[i] >= FirstNormalObjectId)
			(void) check_function(parts[i], check);
}

/*
 * The library of a function may have settings that the condition depends on
 * (pg_trgm): they are pinned when it is loaded.
 */
static void
load_library(Oid funcid)
{
	FmgrInfo	info;

	if (get_func_prokind(funcid) == PROKIND_FUNCTION)
		fmgr_info(funcid, &info);
}

/*
 * A function of somebody's, and those that its body is known to call, as that of
 * BEGIN ATOMIC is: the others it answers for itself, like every IMMUTABLE function.
 */
static void
note_function(Oid funcid, Analysis *analysis)
{
	Relation	depend;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	if (funcid < FirstNormalObjectId || list_member_oid(analysis->functions, funcid))
		return;
	check_stack_depth();
	analysis->functions = lappend_oid(analysis->functions, funcid);
	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyInit(&keys[0], Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(ProcedureRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(funcid));
	scan = systable_beginscan(depend, DependDependerIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend row = (Form_pg_depend) GETSTRUCT(tuple);

		if (row->refclassid == ProcedureRelationId)
			note_function(row->refobjid, analysis);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
}

/* Called for every function that a node calls; never stops the walk. */
static bool
check_function(Oid funcid, void *arg)
{
	FunctionCheck *check = arg;
	Analysis   *analysis = check->analysis;
	char		volatility;

	if (funcid >= FirstNormalObjectId)
	{
		note_function(funcid, analysis);
		check_aggregate(funcid, check);
		if (analysis->text != NULL)
			load_library(funcid);
	}
	if (funcid == F_NOW || funcid == F_TRANSACTION_TIMESTAMP ||
		funcid == F_AGE_TIMESTAMP || funcid == F_AGE_TIMESTAMPTZ)
		analysis->compiled->readsClock = true;
	if (analysis->text == NULL)
		return false;

	volatility = func_volatile(funcid);
	if (volatility == PROVOLATILE_IMMUTABLE)
		return false;
	if (volatility == PROVOLATILE_VOLATILE)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				errmsg("function %s is volatile and cannot be used in a segment's condition",
					   format_procedure(funcid)),
				errdetail("Its result could change without any write to a source."),
				funcid == F_CLOCK_TIMESTAMP ? errhint("Use now().") :
				errhint("Use an immutable function, or mark it IMMUTABLE if it depends on its arguments only."),
				segment_compile_position(analysis->text, exprLocation(check->node)));
	if (is_our_function(funcid, "contains"))
		return false;
	if (reads_segments(funcid))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				errmsg("function %s cannot be used in a segment's condition", format_procedure(funcid)),
				errdetail("What it reads is not tracked."),
				errhint("Use in_segment('name') to refer to another segment."),
				segment_compile_position(analysis->text, exprLocation(check->node)));
	if (get_func_namespace(funcid) == PG_CATALOG_NAMESPACE ? !is_vetted_name(get_func_name(funcid)) :
		!is_extension_c_function(funcid))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				errmsg("function %s cannot be used in a segment's condition", format_procedure(funcid)),
				errdetail("It is declared STABLE: its result may depend on the session or on tables that are not tracked."),
				funcid == F_STATEMENT_TIMESTAMP ? errhint("Use now().") :
				errhint("Use an immutable function, or mark it IMMUTABLE if it depends on its arguments only."),
				segment_compile_position(analysis->text, exprLocation(check->node)));
	return false;
}

static void
check_functions(Node *node, Analysis *analysis)
{
	FunctionCheck check = {analysis, node};

	check_functions_in_node(node, check_function, &check);
}

static void
check_sql_value(SQLValueFunction *value, Analysis *analysis)
{
	switch (value->op)
	{
		case SVFOP_CURRENT_DATE:
		case SVFOP_CURRENT_TIME:
		case SVFOP_CURRENT_TIME_N:
		case SVFOP_CURRENT_TIMESTAMP:
		case SVFOP_CURRENT_TIMESTAMP_N:
		case SVFOP_LOCALTIME:
		case SVFOP_LOCALTIME_N:
		case SVFOP_LOCALTIMESTAMP:
		case SVFOP_LOCALTIMESTAMP_N:
			analysis->compiled->readsClock = true;
			break;
		default:
			if (analysis->text != NULL)
				ereport(ERROR,
						errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
						errmsg("the current user, schema or database cannot be used in a segment's condition"),
						errdetail("A segment has the same members for every reader."),
						segment_compile_position(analysis->text, value->location));
	}
}

/* segment.contains(segment, id): what in_segment() stands for. */
static void
note_inner_segment(FuncExpr *call, SegmentLevel *level, Analysis *analysis)
{
	SegmentCompiled *compiled = analysis->compiled;
	Const	   *name = linitial(call->args);
	Var		   *key = (Var *) segment_scope_strip(lsecond(call->args));
	SegmentOccurrence *subject = linitial(analysis->occurrences);
	const SegmentCompiled *inner;
	Oid			viewId;

	if (!IsA(name, Const) || name->constisnull || !IsA(key, Var) ||
		segment_scope_up(level, key->varlevelsup) != subject->level ||
		key->varno != subject->rti || key->varattno != compiled->keyAttno)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				errmsg("segment.contains() cannot be used in a segment's condition"),
				errhint("Use in_segment('name')."),
				segment_compile_position(analysis->text, call->location));
	viewId = DatumGetObjectId(name->constvalue);
	compiled->inner = list_append_unique_oid(compiled->inner, viewId);
	if (analysis->text == NULL)
		return;

	inner = segment_catalog_compiled(viewId, true);
	if (inner == NULL)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("\"%s\" is not a segment", get_rel_name(viewId)),
				segment_compile_position(analysis->text, name->location));
	if (inner->subject != compiled->subject)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				errmsg("segment \"%s\" is on table \"%s\", not on \"%s\"", get_rel_name(viewId),
					   get_rel_name(inner->subject), get_rel_name(compiled->subject)),
				segment_compile_position(analysis->text, name->location));
}

/* A whole row is every column, by its name: as JSON it holds the names too. */
static void
note_row(SegmentOccurrence *occurrence, Analysis *analysis)
{
	Relation	rel = relation_open(occurrence->relid, AccessShareLock);

	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (att->attisdropped)
			continue;
		occurrence->columns = bms_add_member(occurrence->columns, i + 1);
		if (SEGMENT_MUTANT("nameless_rows"))
			continue;
		analysis->rows = hash_combine64(analysis->rows, hash_bytes_extended((const unsigned char *) NameStr(att->attname),
																			strlen(NameStr(att->attname)), att->atttypid));
	}
	relation_close(rel, NoLock);
}

static void
note_var(Var *var, SegmentLevel *level, Analysis *analysis)
{
	SegmentLevel *home = segment_scope_up(level, var->varlevelsup);
	RangeTblEntry *rte = rt_fetch(var->varno, home->query->rtable);
	Node	   *grouped = var->varattno > 0 ? segment_compat_group_expression(rte, var->varattno) : NULL;

	if (grouped != NULL)
		walk(grouped, home, analysis);
	else if (rte->rtekind == RTE_JOIN && var->varattno > 0)
		walk(list_nth(rte->joinaliasvars, var->varattno - 1), home, analysis);
	else if (rte->rtekind == RTE_JOIN)
		walk((Node *) rte->joinaliasvars, home, analysis);
	else if (rte->rtekind == RTE_RELATION && home->occurrences[var->varno - 1] != NULL)
	{
		if (var->varattno < 0 && analysis->text != NULL)
			ereport(ERROR,
					errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
					errmsg("system columns cannot be used in a segment's condition"),
					segment_compile_position(analysis->text, var->location));
		if (var->varattno > 0)
			home->occurrences[var->varno - 1]->columns = bms_add_member(home->occurrences[var->varno - 1]->columns, var->varattno);
		else
			note_row(home->occurrences[var->varno - 1], analysis);
	}
}

static void
note_sublink(SubLink *sublink, SegmentLevel *level, bool positive, Analysis *analysis)
{
	SegmentLevel *child = build_level(castNode(Query, sublink->subselect), level, analysis);

	walk(sublink->testexpr, level, analysis);
	if (sublink->subLinkType == ANY_SUBLINK)
		segment_touch_collect_in(level, child, sublink, positive, analysis->compiled->keyAttno);
}

static bool
walker(Node *node, WalkContext *context)
{
	SegmentLevel *level = context->level;
	Analysis   *analysis = context->analysis;

	if (node == NULL)
		return false;
	check_stack_depth();
	segment_compile_spend();
	switch (nodeTag(node))
	{
		case T_Var:
			note_var((Var *) node, level, analysis);
			return false;
		case T_SubLink:
			note_sublink((SubLink *) node, level, false, analysis);
			return false;
		case T_SQLValueFunction:
			check_sql_value((SQLValueFunction *) node, analysis);
			return false;
		case T_Query:
			elog(ERROR, "unexpected query in the expression of a segment");
			return false;
		case T_Aggref:
			check_functions(node, analysis);
			walk((Node *) ((Aggref *) node)->aggdirectargs, level, analysis);
			walk((Node *) ((Aggref *) node)->args, level, analysis);
			walk_qual((Node *) ((Aggref *) node)->aggfilter, level, analysis);
			return false;
		case T_FuncExpr:
			if (is_our_function(((FuncExpr *) node)->funcid, "contains"))
			{
				/*
				 * the key argument is no column read of the subject: it never
				 * changes
				 */
				note_inner_segment((FuncExpr *) node, level, analysis);
				return false;
			}
			check_functions(node, analysis);
			walk((Node *) segment_scope_arguments((FuncExpr *) node), level, analysis);
			return false;
		default:
			break;
	}
	check_functions(node, analysis);
	return expression_tree_walker(node, walker, (void *) context);
}

static void
walk(Node *node, SegmentLevel *level, Analysis *analysis)
{
	WalkContext context = {analysis, level};

	walker(node, &context);
}

/* A filter: below AND and OR, NULL is as good as false. */
static void
walk_qual(Node *node, SegmentLevel *level, Analysis *analysis)
{
	ListCell   *lc;

	if (node == NULL)
		return;
	check_stack_depth();
	if (IsA(node, List))
		foreach(lc, (List *) node)
			walk_qual(lfirst(lc), level, analysis);
	else if (is_andclause(node) || is_orclause(node))
		foreach(lc, ((BoolExpr *) node)->args)
			walk_qual(lfirst(lc), level, analysis);
	else if (IsA(node, SubLink))
		note_sublink((SubLink *) node, level, true, analysis);
	else
		walk(node, level, analysis);
}

/* The conditions of a join tree. */
static void
walk_jointree(Node *node, SegmentLevel *level, Analysis *analysis)
{
	ListCell   *lc;

	if (node == NULL)
		return;
	check_stack_depth();
	if (IsA(node, FromExpr))
	{
		foreach(lc, ((FromExpr *) node)->fromlist)
			walk_jointree(lfirst(lc), level, analysis);
		walk_qual(((FromExpr *) node)->quals, level, analysis);
	}
	else if (IsA(node, JoinExpr))
	{
		walk_jointree(((JoinExpr *) node)->larg, level, analysis);
		walk_jointree(((JoinExpr *) node)->rarg, level, analysis);
		walk_qual(((JoinExpr *) node)->quals, level, analysis);
	}
}

/* Where in the text a table is named: analysis keeps no location of FROM items, so the nearest known. */
static void
refuse_table(Analysis *analysis, const char *name, const char *kind, const char *hint)
{
	ereport(ERROR,
			errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			errmsg("%s \"%s\" cannot be read by a segment", kind, name),
			errdetail("Writes to it cannot be tracked."),
			errhint("%s", hint));
}

static void
check_table(Oid relid, Analysis *analysis)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	const char *name = RelationGetRelationName(rel);
	const char *plain = "Use an ordinary, permanent table.";

	switch (rel->rd_rel->relkind)
	{
		case RELKIND_RELATION:
			break;
		case RELKIND_PARTITIONED_TABLE:
			refuse_table(analysis, name, "partitioned table", "Partitioned tables are not supported yet.");
			break;
		case RELKIND_FOREIGN_TABLE:
			refuse_table(analysis, name, "foreign table", plain);
			break;
		case RELKIND_VIEW:
			refuse_table(analysis, name, "view", OidIsValid(relid) && segment_catalog_lookup(relid) != NULL ?
						 "Use in_segment() to refer to another segment." : "Write the view's query as a subquery over its tables.");
			break;
		case RELKIND_MATVIEW:
			refuse_table(analysis, name, "materialized view", "Write the view's query as a subquery over its tables.");
			break;
		default:
			refuse_table(analysis, name, "relation", plain);
	}
	if (rel->rd_rel->relispartition)
		refuse_table(analysis, name, "partition", "Partitioned tables are not supported yet.");
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		refuse_table(analysis, name, "temporary table", plain);
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED)
		refuse_table(analysis, name, "unlogged table", "ALTER TABLE ... SET LOGGED makes it a table that survives a crash.");
	if (IsCatalogRelation(rel) || rel->rd_rel->relnamespace == segment_namespace())
		refuse_table(analysis, name, "system table", plain);
	if (rel->rd_rel->relhassubclass && has_subclass(relid) &&
		find_inheritance_children(relid, NoLock) != NIL)
		refuse_table(analysis, name, "inheritance parent", "Tables with inheritance children are not supported.");
	relation_close(rel, NoLock);
}

static SegmentOccurrence *
add_occurrence(SegmentLevel *level, int rti, Analysis *analysis)
{
	SegmentOccurrence *occurrence = palloc0(sizeof(SegmentOccurrence));
	RangeTblEntry *rte = rt_fetch(rti, level->query->rtable);

	if (analysis->text != NULL)
	{
		check_table(rte->relid, analysis);
		if (rte->tablesample != NULL)
			ereport(ERROR,
					errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("TABLESAMPLE cannot be used in a segment's condition"));
	}
	occurrence->level = level;
	occurrence->rti = rti;
	occurrence->relid = rte->relid;
	level->occurrences[rti - 1] = occurrence;
	analysis->occurrences = lappend(analysis->occurrences, occurrence);
	return occurrence;
}

static SegmentLevel *
make_level(Query *query, SegmentLevel *parent)
{
	SegmentLevel *level = palloc0(sizeof(SegmentLevel));

	level->query = query;
	level->parent = parent;
	level->occurrences = palloc0(sizeof(void *) * Max(1, list_length(query->rtable)));
	level->children = palloc0(sizeof(void *) * Max(1, list_length(query->rtable)));
	return level;
}

/* Analyse a subquery of whatever kind. */
static SegmentLevel *
build_level(Query *query, SegmentLevel *parent, Analysis *analysis)
{
	SegmentLevel *level = make_level(query, parent);
	ListCell   *lc;
	int			rti = 0;

	if (analysis->text != NULL && query->rowMarks != NIL)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("FOR UPDATE and FOR SHARE cannot be used in a segment's condition"));

	/* tables first: a subquery in FROM may refer to those beside it */
	foreach(lc, query->rtable)
	{
		rti++;
		if (((RangeTblEntry *) lfirst(lc))->rtekind == RTE_RELATION)
			add_occurrence(level, rti, analysis);
	}
	foreach(lc, query->cteList)
		build_level(castNode(Query, ((CommonTableExpr *) lfirst(lc))->ctequery), level, analysis);
	rti = 0;
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		rti++;
		switch (rte->rtekind)
		{
			case RTE_SUBQUERY:
				level->children[rti - 1] = build_level(rte->subquery, level, analysis);
				break;
			case RTE_FUNCTION:
				walk((Node *) rte->functions, level, analysis);
				break;
			case RTE_TABLEFUNC:
				walk((Node *) rte->tablefunc, level, analysis);
				break;
			case RTE_VALUES:
				walk((Node *) rte->values_lists, level, analysis);
				break;
			default:
				break;
		}
	}
	segment_touch_collect(level);
	walk((Node *) query->targetList, level, analysis);
	walk_jointree((Node *) query->jointree, level, analysis);
	walk_qual(query->havingQual, level, analysis);
	walk((Node *) query->windowClause, level, analysis);
	walk(query->limitOffset, level, analysis);
	walk(query->limitCount, level, analysis);
	return level;
}

static bool
same_steps(List *a, List *b)
{
	ListCell   *lc;
	ListCell   *lc2;

	if (list_length(a) != list_length(b))
		return false;
	forboth(lc, a, lc2, b)
		if (memcmp(lfirst(lc), lfirst(lc2), sizeof(SegmentStep)) != 0)
		return false;
	return true;
}

/* One source per table and way to the subject. */
static void
add_source(SegmentOccurrence *occurrence, Analysis *analysis)
{
	SegmentCompiled *compiled = analysis->compiled;
	SegmentSource *source = palloc0(sizeof(SegmentSource));
	ListCell   *lc;

	source->relid = occurrence->relid;
	source->columns = bms_copy(occurrence->columns);
	if (occurrence->subject)
		source->key = compiled->keyAttno;
	else if (!segment_touch_path(occurrence, compiled->keyAttno, analysis->occurrences,
								 &source->key, &source->nullTouchesAll, &source->steps))
	{
		source->key = 0;
		source->reason = pstrdup("no equality ties its rows to single subjects");
	}
	if (source->key > 0)
		source->columns = bms_add_member(source->columns, source->key);

	foreach(lc, compiled->sources)
	{
		SegmentSource *other = lfirst(lc);

		if (other->relid == source->relid && other->key == source->key &&
			same_steps(other->steps, source->steps))
		{
			other->columns = bms_add_members(other->columns, source->columns);
			other->nullTouchesAll |= source->nullTouchesAll;
			return;
		}
	}
	compiled->sources = lappend(compiled->sources, source);
}

/* The call of segment.holds() at the top of a view's WHERE, or NULL. */
static FuncExpr *
find_holds(Query *query)
{
	Node	   *quals = query->jointree->quals;

	if (query->commandType != CMD_SELECT || list_length(query->jointree->fromlist) != 1 ||
		!IsA(linitial(query->jointree->fromlist), RangeTblRef) ||
		quals == NULL || !IsA(quals, FuncExpr) ||
		list_length(((FuncExpr *) quals)->args) != 3 ||
		!is_our_function(((FuncExpr *) quals)->funcid, "holds"))
		return NULL;
	return (FuncExpr *) quals;
}

/* A number that changes with the stored tree, the code of the functions it calls and the rows it reads whole. */
static uint64
make_fingerprint(const char *tree, Analysis *analysis)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) tree, strlen(tree), analysis->rows);
	ListCell   *lc;

	list_sort(analysis->functions, list_oid_cmp);
	foreach(lc, analysis->functions)
	{
		HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(lfirst_oid(lc)));

		if (!HeapTupleIsValid(tuple))
			continue;
		hash = hash_combine64(hash, (uint64) lfirst_oid(lc) << 32 |
							  HeapTupleHeaderGetRawXmin(tuple->t_data));
		hash = hash_combine64(hash, ItemPointerGetBlockNumber(&tuple->t_self) * (uint64) MaxOffsetNumber +
							  ItemPointerGetOffsetNumber(&tuple->t_self));
		ReleaseSysCache(tuple);
	}
	return hash;
}

SegmentCompiled *
segment_compile_query(Query *query, Oid owner, const char *text)
{
	FuncExpr   *holds = find_holds(query);
	Analysis	analysis = {.text = text};
	SegmentCompiled *compiled;
	RangeTblEntry *rte;
	Const	   *id;
	Var		   *key;
	SegmentLevel *top;
	SegmentOccurrence *subject;
	char	   *tree;
	ListCell   *lc;

	if (holds == NULL && text != NULL)
		ereport(ERROR,
				errcode(ERRCODE_AMBIGUOUS_FUNCTION),
				errmsg("function segment.holds() is not that of extension \"segmentation\""),
				errhint("Drop the functions of that name which somebody has added to schema \"segment\"."));
	if (holds == NULL)
		return NULL;
	id = linitial(holds->args);
	key = (Var *) segment_scope_strip(lsecond(holds->args));
	compiled = palloc0(sizeof(SegmentCompiled));
	analysis.compiled = compiled;
	compiled->owner = owner;
	compiled->query = query;
	compiled->subjectVarno = ((RangeTblRef *) linitial(query->jointree->fromlist))->rtindex;
	rte = rt_fetch(compiled->subjectVarno, query->rtable);
	if (!IsA(id, Const) || id->constisnull || !IsA(key, Var) || rte->rtekind != RTE_RELATION ||
		key->varno != compiled->subjectVarno || key->varattno <= 0)
		return NULL;
	compiled->id = DatumGetInt32(id->constvalue);
	compiled->subject = rte->relid;
	compiled->keyAttno = key->varattno;
	compiled->keyType = key->vartype;
	compiled->condition = lthird(holds->args);

	segment_compile_begin_spending();
	tree = nodeToString(query);
	top = make_level(query, NULL);
	subject = add_occurrence(top, compiled->subjectVarno, &analysis);
	subject->subject = true;
	walk_qual(compiled->condition, top, &analysis);
	foreach(lc, analysis.occurrences)
		add_source(lfirst(lc), &analysis);
	compiled->readsClock |= segment_compile_has_clock(compiled->condition);
	if (compiled->readsClock)
		segment_compile_clock(compiled, compiled->condition, NULL);
	compiled->fingerprint = make_fingerprint(tree, &analysis);
	return compiled;
}

void
segment_compile_notices(const SegmentCompiled *compiled)
{
	ListCell   *lc;

	foreach(lc, compiled->sources)
	{
		SegmentSource *source = lfirst(lc);

		if (source->key == 0)
			ereport(NOTICE,
					errmsg("any change to \"%s\" re-evaluates every subject of this segment",
						   get_rel_name(source->relid)),
					errdetail("In the condition, %s.", source->reason),
					errhint("An aggregate over a linked table, or a subquery with an equality between an integer column of \"%s\" and the subject, touches only the subjects concerned.",
							get_rel_name(source->relid)));
	}
}

List *
segment_compile_captures(const SegmentCompiled *compiled, Oid relid)
{
	List	   *captures = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, compiled->sources)
	{
		SegmentSource *source = lfirst(lc);
		SegmentCapture *capture = NULL;

		if (source->relid != relid)
			continue;
		foreach(lc2, captures)
			if (((SegmentCapture *) lfirst(lc2))->key == source->key)
			capture = lfirst(lc2);
		if (capture == NULL)
		{
			capture = palloc0(sizeof(SegmentCapture));
			capture->key = source->key;
			captures = lappend(captures, capture);
		}
		capture->columns = bms_add_members(capture->columns, source->columns);
		capture->nullTouchesAll |= source->nullTouchesAll;
	}
	return captures;
}

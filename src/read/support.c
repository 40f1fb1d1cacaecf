/*-------------------------------------------------------------------------
 *
 * support.c
 *		SELECT from a segment: from holds(id, key, condition) to a lookup.
 *
 * A segment's view says WHERE segment.holds(id, key, condition).  As it stands
 * that returns the condition, so the view is right whatever happens here.  The
 * planner support function replaces it by segment.probe(handle, key), a lookup
 * in the members, when the condition is the one that this id is registered
 * with.  Then
 *
 *	- the planner is told the share of members, and that a key lookup is cheap;
 *	- for a small segment it may use the index: key = ANY (member ids).
 *
 * A handle holds the segment's id and the user whose right to read the segment
 * counts: in the segment's own view its owner, as for the tables of any view; in
 * a query of the current user, he.  In views of others a call by hand is left as it
 * stands, as they are pulled up and their columns would speak for their owners.
 * Nobody can make a handle: its input function refuses, and there is no cast.  So
 * holds() written by hand gives no more than SELECT on the segment would.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "bitmap/bitmap.h"
#include "catalog/registry.h"
#include "compat.h"
#include "compile/scope.h"
#include "read/read.h"
#include "testing.h"

PGDLLEXPORT Datum segmentation_holds(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_holds_support(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_probe(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_probe_int4(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_probe_int2(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_probe_ids(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_probe_support(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_handle_in(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_handle_out(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_holds);
PG_FUNCTION_INFO_V1(segmentation_holds_support);
PG_FUNCTION_INFO_V1(segmentation_probe);
PG_FUNCTION_INFO_V1(segmentation_probe_int4);
PG_FUNCTION_INFO_V1(segmentation_probe_int2);
PG_FUNCTION_INFO_V1(segmentation_probe_ids);
PG_FUNCTION_INFO_V1(segmentation_probe_support);
PG_FUNCTION_INFO_V1(segmentation_handle_in);
PG_FUNCTION_INFO_V1(segmentation_handle_out);

/* An index condition is offered for at most this many members, and this share of the table. */
#define MAX_INDEX_MEMBERS 10000
#define MAX_INDEX_SHARE 0.02

/* What is assumed of a segment that has no base. */
#define DEFAULT_SHARE 0.1

/* ---- handles ---- */

static Datum
make_handle(int32 id, Oid userId)
{
	return Int64GetDatum((int64) (((uint64) userId << 32) | (uint32) id));
}

static int32
handle_id(Datum handle)
{
	return (int32) (uint64) DatumGetInt64(handle);
}

static Oid
handle_user(Datum handle)
{
	return (Oid) ((uint64) DatumGetInt64(handle) >> 32);
}

Datum
segmentation_handle_in(PG_FUNCTION_ARGS)
{
	ereport(ERROR,
			errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			errmsg("cannot accept a value of type %s", "segment.handle"));
	PG_RETURN_NULL();
}

/* As EXPLAIN shows it: the segment's name. */
Datum
segmentation_handle_out(PG_FUNCTION_ARGS)
{
	Oid			viewId = segment_catalog_view(handle_id(PG_GETARG_DATUM(0)));

	PG_RETURN_DATUM(DirectFunctionCall1(regclassout, ObjectIdGetDatum(viewId)));
}

/* The segment of a handle, its right to be read checked. */
static AclResult
check_handle(Datum handle, Oid viewId)
{
	return pg_class_aclcheck(viewId, OidIsValid(handle_user(handle)) ? handle_user(handle) : GetUserId(), ACL_SELECT);
}

static Oid
open_handle(Datum handle)
{
	Oid			viewId = segment_catalog_view(handle_id(handle));

	if (!OidIsValid(viewId) || get_rel_name(viewId) == NULL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("segment does not exist any more"));
	if (check_handle(handle, viewId) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_VIEW, get_rel_name(viewId));
	return viewId;
}

/* ---- execution ---- */

Datum
segmentation_holds(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(2))
		PG_RETURN_NULL();
	PG_RETURN_BOOL(PG_GETARG_BOOL(2));
}

/* Once per execution: the handle looked up and checked. */
typedef struct Opened
{
	Datum		handle;
	Oid			userId;
	Oid			viewId;
} Opened;

static bool
probe(FunctionCallInfo fcinfo, int64 subject)
{
	Datum		handle = PG_GETARG_DATUM(0);
	Opened	   *opened = fcinfo->flinfo->fn_extra;

	if (opened == NULL || opened->handle != handle || opened->userId != GetUserId())
	{
		opened = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(Opened));
		opened->handle = handle;
		opened->userId = GetUserId();
		opened->viewId = open_handle(handle);
		fcinfo->flinfo->fn_extra = opened;
	}
	return segment_read_contains(opened->viewId, subject);
}

Datum
segmentation_probe(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(probe(fcinfo, PG_GETARG_INT64(1)));
}

Datum
segmentation_probe_int4(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(probe(fcinfo, PG_GETARG_INT32(1)));
}

Datum
segmentation_probe_int2(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(probe(fcinfo, PG_GETARG_INT16(1)));
}

/* The member ids as bigint[], for an index condition. */
Datum
segmentation_probe_ids(PG_FUNCTION_ARGS)
{
	Oid			viewId = open_handle(PG_GETARG_DATUM(0));
	size_t		n;
	int64	   *ids = segment_bitmap_ids(segment_read_members(viewId), &n);
	Datum	   *values = palloc(sizeof(Datum) * Max(n, 1));

	for (size_t i = 0; i < n; i++)
		values[i] = Int64GetDatum(ids[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(values, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* ---- planning ---- */

/*
 * Clear what depends on who runs the query, so that a stored condition and the
 * same one expanded in a query compare equal.
 */
static bool
clear_rights(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
		return false;
	if (IsA(node, Query))
	{
		segment_compat_clear_rights((Query *) node);
		return query_tree_walker((Query *) node, clear_rights, context, QTW_EXAMINE_RTES_BEFORE);
	}
	return expression_tree_walker(node, clear_rights, context);
}

/* Is this the condition that the segment has?  Both have been through constant folding. */
static bool
same_condition(PlannerInfo *root, const SegmentCompiled *compiled, int varno, Node *condition)
{
	Node	   *stored = copyObject(compiled->condition);

	if (compiled->subjectVarno != varno)
		ChangeVarNodes(stored, compiled->subjectVarno, varno, 0);
	stored = segment_compat_expand_generated(stored, varno, compiled->subject);
	stored = eval_const_expressions(root, stored);
	condition = copyObject(condition);
	clear_rights(stored, NULL);
	clear_rights(condition, NULL);
	return equal(stored, condition);
}

static Oid
our_function(const char *name, Oid keyType)
{
	Oid			handle = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("handle"),
										 ObjectIdGetDatum(segment_catalog_schema(false)));
	Oid			types[2] = {handle, keyType};
	Oid			funcid = LookupFuncName(list_make2(makeString("segment"), makeString((char *) name)),
										OidIsValid(keyType) ? 2 : 1, types, false);

	return funcid;
}

static Const *
handle_constant(Datum handle)
{
	Oid			type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("handle"),
									   ObjectIdGetDatum(segment_catalog_schema(false)));

	return makeConst(type, -1, InvalidOid, 8, handle, false, FLOAT8PASSBYVAL);
}

/*
 * In the segment's own view, does row security filter what its owner sees of a
 * source?  Then the condition has the policies in it, and is not the
 * registered one; the lookup refuses, as all other reads do.
 */
static bool
is_forbidden(const SegmentCompiled *compiled, Oid userId)
{
	return userId == compiled->owner && !segment_compile_may_read(compiled);
}

typedef enum Place
{
	PLACE_NONE,					/* not in FROM: EXCLUDED, OLD, NEW */
	PLACE_PLAIN,
	PLACE_NULLABLE				/* an outer join can make NULLs of its columns */
} Place;

/* Where does a table stand in FROM? */
static Place
find_place(Node *node, int varno, bool nullable)
{
	Place		place = PLACE_NONE;
	ListCell   *lc;

	if (node == NULL)
		return PLACE_NONE;
	check_stack_depth();
	if (IsA(node, RangeTblRef) && ((RangeTblRef *) node)->rtindex == varno)
		return nullable ? PLACE_NULLABLE : PLACE_PLAIN;
	if (IsA(node, FromExpr))
	{
		foreach(lc, ((FromExpr *) node)->fromlist)
			place = Max(place, find_place(lfirst(lc), varno, nullable));
	}
	else if (IsA(node, JoinExpr))
	{
		JoinExpr   *join = (JoinExpr *) node;

		place = Max(find_place(join->larg, varno,
							   nullable || join->jointype == JOIN_RIGHT || join->jointype == JOIN_FULL),
					find_place(join->rarg, varno,
							   nullable || join->jointype == JOIN_LEFT || join->jointype == JOIN_FULL));
	}
	return place;
}

/* Does this call stand in the query itself?  Its condition may have been folded. */
static bool
find_call(Node *node, void *context)
{
	FuncExpr   *call = context;

	if (node == NULL || IsA(node, Query))
		return false;
	if (IsA(node, FuncExpr) && ((FuncExpr *) node)->funcid == call->funcid &&
		equal(linitial(((FuncExpr *) node)->args), linitial(call->args)) &&
		equal(segment_scope_strip(lsecond(((FuncExpr *) node)->args)), segment_scope_strip(lsecond(call->args))))
		return true;
	return expression_tree_walker(node, find_call, context);
}

/*
 * The planner does not always show the query that the call stands in, but at times
 * the one around it.
 */
static bool
is_of_query(Query *query, FuncExpr *call)
{
	return query_tree_walker(query, find_call, call,
							 QTW_IGNORE_RT_SUBQUERIES | QTW_IGNORE_CTE_SUBQUERIES);
}

/*
 * Is the condition to be asked of other versions of the row than the snapshot
 * shows?  Of a row that is written or locked: of its newest version when another
 * transaction has changed it meanwhile, and of the one about to be written for
 * WITH CHECK OPTION.  The members are those of the snapshot.
 */
static bool
is_written_or_locked(PlannerInfo *root, int varno)
{
	return root->parse->resultRelation == varno || get_parse_rowmark(root->parse, varno) != NULL;
}

/*
 * holds(id, key, condition) as probe(handle, key), or NULL.  Not for a table
 * under an outer join: of the row of NULLs that it makes, the condition may be
 * true.  (A segment's view there is a query of its own.)  Nor for one with
 * inheritance children, whose rows have keys of their own.
 */
static Node *
simplify_holds(PlannerInfo *root, FuncExpr *call)
{
	Const	   *id = linitial(call->args);
	Var		   *key = (Var *) segment_scope_strip(lsecond(call->args));
	const SegmentCompiled *compiled;
	RangeTblEntry *rte;
	Oid			viewId;
	Oid			userId;

	if (root == NULL || !IsA(id, Const) || id->constisnull || !IsA(key, Var) || key->varlevelsup != 0 ||
		!is_of_query(root->parse, call))
		return NULL;
	viewId = segment_catalog_view(DatumGetInt32(id->constvalue));
	if (!OidIsValid(viewId) || get_rel_name(viewId) == NULL)
		return NULL;
	compiled = segment_catalog_compiled(viewId, true);
	rte = rt_fetch(key->varno, root->parse->rtable);
	if (compiled == NULL || rte->rtekind != RTE_RELATION || rte->relid != compiled->subject)
		return NULL;
	userId = segment_compat_check_as_user(root->parse, rte);
	if (key->varattno != compiled->keyAttno || is_written_or_locked(root, key->varno) ||
		(rte->inh && has_subclass(rte->relid)) ||
		find_place((Node *) root->parse->jointree, key->varno, false) != PLACE_PLAIN ||
		(!same_condition(root, compiled, key->varno, lthird(call->args)) && !is_forbidden(compiled, userId)))
		return NULL;
	if (OidIsValid(userId) && !segment_compat_is_query_of(root, viewId, compiled->query, compiled->subjectVarno, compiled->subject) && !SEGMENT_MUTANT("anybodys_view"))
	{
		if (!segment_compat_is_read_beside(root, viewId))
			return NULL;
		userId = InvalidOid;	/* by his own right, then */
	}

	/*
	 * another definition makes another plan, also where the view is not part
	 * of the query
	 */
	root->glob->relationOids = lappend_oid(root->glob->relationOids, viewId);
	return (Node *) makeFuncExpr(our_function("probe", key->vartype), BOOLOID,
								 list_make2(handle_constant(make_handle(compiled->id, userId)), copyObject(key)),
								 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

Datum
segmentation_holds_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);

	if (IsA(request, SupportRequestSimplify))
	{
		SupportRequestSimplify *simplify = (SupportRequestSimplify *) request;

		PG_RETURN_POINTER(simplify_holds(simplify->root, simplify->fcall));
	}
	PG_RETURN_POINTER(NULL);
}

/* The members of a handle's segment as far as its base says, and the rows of its table. */
static bool
estimate(Node *argument, double *members, double *rows)
{
	SegmentStanding *standing;
	HeapTuple	tuple;
	Oid			viewId;

	if (!IsA(argument, Const) || !ActiveSnapshotSet())
		return false;
	viewId = segment_catalog_view(handle_id(((Const *) argument)->constvalue));
	/* EXPLAIN shows it */
	if (!OidIsValid(viewId) || segment_catalog_compiled(viewId, true) == NULL ||
		check_handle(((Const *) argument)->constvalue, viewId) != ACLCHECK_OK)
		return false;
	standing = segment_read_standing(viewId);
	if (!standing->hasState || standing->state.epoch == 0)
		return false;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(standing->compiled->subject));
	if (!HeapTupleIsValid(tuple))
		return false;
	*rows = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
	ReleaseSysCache(tuple);
	*members = standing->state.size;
	return *rows > 0;
}

static Node *
support_selectivity(SupportRequestSelectivity *request)
{
	double		members;
	double		rows;

	if (!estimate(linitial(request->args), &members, &rows))
		request->selectivity = DEFAULT_SHARE;
	else
		request->selectivity = Min(1.0, members / rows);
	return (Node *) request;
}

/* key = ANY (probe_ids(handle)), exact, for a btree on the key. */
static Node *
support_index_condition(SupportRequestIndexCondition *request)
{
	FuncExpr   *call = (FuncExpr *) request->node;
	ScalarArrayOpExpr *any = makeNode(ScalarArrayOpExpr);
	Node	   *key;
	double		members;
	double		rows;

	if (!IsA(call, FuncExpr) || request->indexarg != 1 || request->opfamily != INTEGER_BTREE_FAM_OID ||
		!estimate(linitial(call->args), &members, &rows) ||
		members > MAX_INDEX_MEMBERS || members > rows * MAX_INDEX_SHARE)
		return NULL;
	key = lsecond(call->args);
	any->opno = OpernameGetOprid(list_make2(makeString("pg_catalog"), makeString("=")), exprType(key), INT8OID);
	any->opfuncid = get_opcode(any->opno);
	any->useOr = true;
	any->args = list_make2(copyObject(key),
						   makeFuncExpr(our_function("probe_ids", InvalidOid), INT8ARRAYOID,
										list_make1(copyObject(linitial(call->args))),
										InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL));
	any->location = -1;
	request->lossy = false;
	return (Node *) list_make1(any);
}

Datum
segmentation_probe_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);

	if (IsA(request, SupportRequestSelectivity))
		PG_RETURN_POINTER(support_selectivity((SupportRequestSelectivity *) request));
	if (IsA(request, SupportRequestIndexCondition))
		PG_RETURN_POINTER(support_index_condition((SupportRequestIndexCondition *) request));
	PG_RETURN_POINTER(NULL);
}

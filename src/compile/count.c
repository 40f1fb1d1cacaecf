/*-------------------------------------------------------------------------
 *
 * count.c
 *		Conditions that only ask whether a subquery has enough rows.
 *
 *		(SELECT count(*) FROM orders WHERE .. AND placed_at > now() - ..) >= k
 *		EXISTS (SELECT .. WHERE .. AND placed_at > now() - ..)			(k = 1)
 *		id IN (SELECT customer_id .. WHERE .. AND placed_at > now() - ..)
 *
 * and what these are the negation of.  Many rows come and go before the answer
 * changes, so its deadline is not that of the first of them.
 *
 * Let the rows be those that obey the conditions that do not read the clock:
 * they change by writes only.  At the clock c a row is counted or not, as the
 * moving conditions say, and f is its flip: it stays so at least as long as the
 * clock is before f.  Let n rows be counted at c.
 *
 *	n >= k	The answer stays yes while at most n - k of the counted rows have
 *			passed their flips: up to the (n - k + 1)-th earliest flip among
 *			them, which is the k-th latest ("the k-th newest row").
 *	n < k	It stays no while fewer than k - n of the rows not counted have
 *			passed theirs: up to the (k - n)-th earliest flip among those.
 *
 * Nothing is said here about how a row flips (it may do so again, or not at all
 * at its f), so this holds for any moving conditions: windows, several of them,
 * dates in the future, months.  A row that never flips counts as flipping at
 * infinity.  The aggregate segment.count_flip(counted, flip, k) (read/count.c)
 * computes it in one pass.
 *
 * "count = k" asks for k and for k + 1.  IN, where NULL matters (NOT IN), asks
 * for one row that is equal, and for one of which that is unknown.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/transam.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "compile/clock.h"
#include "testing.h"

/* ---- what is asked ---- */

static Const *
make_threshold(int64 k)
{
	return makeConst(INT8OID, -1, InvalidOid, 8, Int64GetDatum(k), false, FLOAT8PASSBYVAL);
}

/* The thresholds that "count <strategy> value" asks for; NIL if they are beyond all counts. */
static List *
thresholds_of(int strategy, int64 value)
{
	int64		above;

	if (pg_add_s64_overflow(value, 1, &above))
		return NIL;
	switch (strategy)
	{
		case BTGreaterEqualStrategyNumber:
		case BTLessStrategyNumber:
			return list_make1(make_threshold(value));
		case BTGreaterStrategyNumber:
		case BTLessEqualStrategyNumber:
			return list_make1(make_threshold(above));
		default:				/* = and <> */
			return list_make2(make_threshold(value), make_threshold(above));
	}
}

/* The strategy of a comparison of integers; that of "=" for "<>"; 0: it is none. */
static int
strategy_of(Oid opno)
{
	int			strategy = get_op_opfamily_strategy(opno, INTEGER_BTREE_FAM_OID);
	Oid			negator = get_negator(opno);

	if (strategy == 0 && OidIsValid(negator) &&
		get_op_opfamily_strategy(negator, INTEGER_BTREE_FAM_OID) == BTEqualStrategyNumber)
		return BTEqualStrategyNumber;
	return strategy;
}

static bool
is_users(Oid funcid, void *context)
{
	return funcid >= FirstNormalObjectId;
}

/*
 * Would evaluating this run users' code?  Whoever compiles a segment, the worker
 * or a superuser, does so as himself.
 */
static bool
runs_users_code(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, CoerceToDomain) || check_functions_in_node(node, is_users, context))
		return true;
	return expression_tree_walker(node, runs_users_code, context);
}

/* The value of an integer expression without columns, of PostgreSQL's own functions. */
static bool
constant_of(Node *node, int64 *value)
{
	Const	   *constant;

	if (runs_users_code(node, NULL) || contain_var_clause(node) || checkExprHasSubLink(node) || segment_compile_has_clock(node) ||
		contain_mutable_functions(node))
		return false;
	constant = (Const *) eval_const_expressions(NULL, node);
	if (!IsA(constant, Const) || constant->constisnull)
		return false;
	switch (constant->consttype)
	{
		case INT2OID:
			*value = DatumGetInt16(constant->constvalue);
			return true;
		case INT4OID:
			*value = DatumGetInt32(constant->constvalue);
			return true;
		case INT8OID:
			*value = DatumGetInt64(constant->constvalue);
			return true;
		default:
			return false;
	}
}

/* A comparison of one subquery's count with a constant: the subquery, or NULL. */
static SubLink *
match_comparison(Node *node, List **thresholds)
{
	OpExpr	   *op = (OpExpr *) node;
	int			strategy;
	int64		value;

	if (!IsA(node, OpExpr) || list_length(op->args) != 2 || (strategy = strategy_of(op->opno)) == 0)
		return NULL;
	for (int i = 0; i < 2; i++)
	{
		SubLink    *sublink = list_nth(op->args, i);

		if (IsA(sublink, SubLink) && sublink->subLinkType == EXPR_SUBLINK &&
			constant_of(list_nth(op->args, 1 - i), &value))
		{
			*thresholds = thresholds_of(i == 0 ? strategy : BTMaxStrategyNumber + 1 - strategy, value);
			return *thresholds == NIL ? NULL : sublink;
		}
	}
	return NULL;
}

/* The count() that is all that a query selects, or NULL. */
static Aggref *
count_of(Query *query)
{
	Aggref	   *aggregate;

	if (list_length(query->targetList) != 1)
		return NULL;
	aggregate = (Aggref *) ((TargetEntry *) linitial(query->targetList))->expr;
	if (!IsA(aggregate, Aggref) || (aggregate->aggfnoid != F_COUNT_ && aggregate->aggfnoid != F_COUNT_ANY) ||
		aggregate->agglevelsup != 0 || aggregate->aggdistinct != NIL || segment_compile_has_clock((Node *) aggregate->args))
		return NULL;
	return aggregate;
}

/* Does a query select rows of FROM and WHERE, each as often as it is there? */
static bool
is_plain_query(Query *query)
{
	return query->setOperations == NULL && query->groupClause == NIL && query->groupingSets == NIL &&
		query->havingQual == NULL && !query->hasWindowFuncs && !query->hasTargetSRFs &&
		query->distinctClause == NIL && query->limitCount == NULL && query->limitOffset == NULL &&
		query->cteList == NIL;
}

/* count(x) counts where x is not NULL. */
static List *
not_null(Aggref *aggregate)
{
	NullTest   *test;

	if (aggregate->args == NIL)
		return NIL;
	test = makeNode(NullTest);
	test->arg = copyObject(((TargetEntry *) linitial(aggregate->args))->expr);
	test->nulltesttype = IS_NOT_NULL;
	test->argisrow = false;
	test->location = -1;
	return list_make1(test);
}

SegmentCount *
segment_compile_match_count(Node *node, Node *tie)
{
	SegmentCount *count = palloc0(sizeof(SegmentCount));
	SubLink    *sublink;
	Query	   *query;
	List	   *conditions;
	List	   *still = NIL;
	ListCell   *lc;

	if (IsA(node, SubLink) &&
		(((SubLink *) node)->subLinkType == EXISTS_SUBLINK || (((SubLink *) node)->subLinkType == ANY_SUBLINK && tie != NULL)))
	{
		sublink = (SubLink *) node;
		count->thresholds = list_make1(make_threshold(1));
	}
	else if ((sublink = match_comparison(node, &count->thresholds)) == NULL)
		return NULL;

	query = (Query *) sublink->subselect;
	conditions = list_copy(make_ands_implicit((Expr *) query->jointree->quals));
	if (!is_plain_query(query))
		return NULL;
	if (sublink->subLinkType == EXPR_SUBLINK)
	{
		Aggref	   *aggregate = count_of(query);

		if (aggregate == NULL)
			return NULL;
		conditions = list_concat(conditions, list_copy(make_ands_implicit(aggregate->aggfilter)));
		conditions = list_concat(conditions, not_null(aggregate));
	}
	else if (query->hasAggs)
		return NULL;
	if (tie != NULL)
		conditions = lappend(conditions, tie);

	foreach(lc, conditions)
	{
		if (segment_compile_has_clock(lfirst(lc)))
			count->moving = lappend(count->moving, lfirst(lc));
		else
			still = lappend(still, lfirst(lc));
	}
	query = copyObject(query);
	query->jointree->quals = still == NIL ? NULL : (Node *) make_ands_explicit(copyObject(still));
	query->targetList = NIL;
	query->sortClause = NIL;
	query->hasDistinctOn = false;
	/* FROM is left, which must stand still too */
	if (segment_compile_has_clock((Node *) query))
		return NULL;
	count->query = query;
	return count;
}

/* ---- when the answer changes ---- */

Node *
segment_compile_count_flip(const SegmentCount *count, Node *flip, Const *threshold)
{
	Query	   *query = copyObject(count->query);
	SubLink    *sublink = makeNode(SubLink);
	Aggref	   *aggregate = makeNode(Aggref);
	Oid			types[3] = {BOOLOID, TIMESTAMPTZOID, INT8OID};
	Expr	   *counted = make_ands_explicit(copyObject(count->moving));

	aggregate->aggfnoid = LookupFuncName(list_make2(makeString("segment"), makeString("count_flip")), 3, types, false);
	aggregate->aggtype = TIMESTAMPTZOID;
	aggregate->aggtranstype = InvalidOid;	/* the planner finds it */
	aggregate->aggargtypes = list_make3_oid(BOOLOID, TIMESTAMPTZOID, INT8OID);
	aggregate->args = list_make3(makeTargetEntry(counted, 1, NULL, false),
								 makeTargetEntry((Expr *) flip, 2, NULL, false),
								 makeTargetEntry((Expr *) copyObject(threshold), 3, NULL, false));
	aggregate->aggkind = 'n';
	aggregate->aggno = -1;
	aggregate->aggtransno = -1;
	aggregate->location = -1;

	query->targetList = list_make1(makeTargetEntry((Expr *) aggregate, 1, pstrdup("flip"), false));
	query->hasAggs = true;
	query->hasSubLinks = true;
	sublink->subLinkType = EXPR_SUBLINK;
	sublink->subselect = (Node *) query;
	sublink->location = -1;
	return (Node *) sublink;
}

/*-------------------------------------------------------------------------
 *
 * combine.c
 *		One query that evaluates many segments of a subject table at once.
 *
 * Each condition is taken from its view's query as it stands; all refer to the
 * same one FROM item.  Correlated aggregates
 *
 *		(SELECT agg(..) FILTER (..) FROM orders WHERE orders.customer_id = customers.id)
 *
 * are collected, by source and link column, into one
 *
 *		LEFT JOIN (SELECT customer_id, agg, agg, ... FROM orders GROUP BY customer_id)
 *
 * so that a source is read once however many segments look at it, and PostgreSQL
 * chooses between index and scan by the number of subjects.  So are, for a subset of
 * subjects, EXISTS (...) that link to the subject; and key IN (SELECT link ...) looks
 * at the rows of these subjects only.  What has none of these forms stays a
 * subquery, and may read a source as a whole.  The clock is put in last, everywhere.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/sysattr.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_oper.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "catalog/registry.h"
#include "compat.h"
#include "compile/clock.h"
#include "compile/combine.h"
#include "compile/scope.h"
#include "testing.h"

/* Beyond this many subjects the subset is a bitmap in the query, not an array of ids. */
#define MAX_ARRAY_SUBSET 20000

/* Aggregates that share a pass. */
typedef enum PassKind
{
	PASS_PLAIN,
	PASS_SORTED,				/* they need their input sorted, the others
								 * could not be hashed beside them */
	PASS_SUBQUERY,				/* their rows ask a subquery; its cost would
								 * hide what the ways to read the others' rows
								 * differ by */
	PASS_EXISTS					/* no aggregate: is there such a row? */
} PassKind;

/* One pass over a source: the aggregates grouped by one link column, or an EXISTS. */
typedef struct Pass
{
	Query	   *query;			/* SELECT link, agg, ... GROUP BY link */
	Var		   *link;
	PassKind	kind;
	List	   *rest;			/* of an EXISTS: what its rows have to fulfil */
	int			rti;			/* of the subquery in the combined query */
	int			joinRti;
} Pass;

typedef struct CombineContext
{
	Query	   *query;			/* being built; the subject is its table 1 */
	AttrNumber	keyAttno;
	Oid			keyType;
	const SegmentBitmap *subset;
	Const	   *ids;			/* the subset as a constant: bigint[] or
								 * segment.bitmap */
	bool		plain;			/* every condition as it stands */
	bool		reshaped;
	List	   *groups;			/* of Pass * */
} CombineContext;

/* ---- the subset ---- */

static Const *
make_subset_constant(const SegmentBitmap *subset)
{
	size_t		n;
	int64	   *ids;
	Datum	   *values;
	ArrayType  *array;

	if (segment_bitmap_cardinality(subset) > MAX_ARRAY_SUBSET)
	{
		Oid			type;

		type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("bitmap"),
							   ObjectIdGetDatum(segment_catalog_schema(false)));
		return makeConst(type, -1, InvalidOid, -1, segment_bitmap_to_datum(subset), false, false);
	}
	ids = segment_bitmap_ids(subset, &n);
	values = palloc(sizeof(Datum) * Max(n, 1));
	for (size_t i = 0; i < n; i++)
		values[i] = Int64GetDatum(ids[i]);
	array = construct_array(values, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
	return makeConst(INT8ARRAYOID, -1, InvalidOid, -1, PointerGetDatum(array), false, false);
}

static Expr *
widen(Expr *expr, Oid type)
{
	if (type == INT8OID)
		return expr;
	return (Expr *) makeFuncExpr(type == INT4OID ? F_INT8_INT4 : F_INT8_INT2, INT8OID,
								 list_make1(expr), InvalidOid, InvalidOid, COERCE_IMPLICIT_CAST);
}

/* column op bound, which an index on the column can serve */
static Node *
bound_qual(Var *column, const char *name, int64 bound)
{
	return (Node *) make_opclause(OpernameGetOprid(list_make2(makeString("pg_catalog"), makeString(pstrdup(name))),
												   column->vartype, INT8OID),
								  BOOLOID, false, (Expr *) copyObject(column),
								  (Expr *) makeConst(INT8OID, -1, InvalidOid, 8, Int64GetDatum(bound), false, FLOAT8PASSBYVAL),
								  InvalidOid, InvalidOid);
}

/*
 * column = ANY (ids), or ids @> column.  The latter knows no index, but all ids
 * of one step of a refresh lie in a window.
 */
static Node *
subset_qual(CombineContext *context, Var *column)
{
	Oid			opno;

	if (context->ids->consttype == INT8ARRAYOID)
	{
		ScalarArrayOpExpr *any = makeNode(ScalarArrayOpExpr);

		opno = OpernameGetOprid(list_make2(makeString("pg_catalog"), makeString("=")),
								column->vartype, INT8OID);
		any->opno = opno;
		any->opfuncid = get_opcode(opno);
		any->useOr = true;
		any->args = list_make2(column, context->ids);
		any->location = -1;
		return (Node *) any;
	}
	opno = OpernameGetOprid(list_make2(makeString("segment"), makeString("@>")),
							context->ids->consttype, INT8OID);
	return (Node *) make_ands_explicit(list_make3(
												  bound_qual(column, ">=", segment_bitmap_min(context->subset)),
												  bound_qual(column, "<=", segment_bitmap_max(context->subset)),
												  make_opclause(opno, BOOLOID, false, (Expr *) context->ids,
																widen((Expr *) column, column->vartype), InvalidOid, InvalidOid)));
}

/* ---- aggregates grouped by subject ---- */

/* Does anything in here refer to a level outside the query? */
static bool
refers_outside(Node *node, void *context)
{
	int			depth = *(int *) context;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varlevelsup > depth;
	if (IsA(node, Query))
	{
		int			inner = depth + 1;

		return query_tree_walker((Query *) node, refers_outside, (void *) &inner, 0);
	}
	return expression_tree_walker(node, refers_outside, context);
}

static bool
has_outside(Node *node)
{
	int			depth = 0;

	return refers_outside(node, &depth);
}

/* "link = subject key", either way round, or NULL */
static Var *
link_column(Node *qual, CombineContext *context)
{
	if (!is_opclause(qual) || list_length(((OpExpr *) qual)->args) != 2 ||
		get_op_opfamily_strategy(((OpExpr *) qual)->opno, INTEGER_BTREE_FAM_OID) != BTEqualStrategyNumber)
		return NULL;
	for (int i = 0; i < 2; i++)
	{
		Var		   *local = (Var *) segment_scope_strip(list_nth(((OpExpr *) qual)->args, i));
		Var		   *key = (Var *) segment_scope_strip(list_nth(((OpExpr *) qual)->args, 1 - i));

		if (IsA(local, Var) && local->varlevelsup == 0 && local->varattno > 0 &&
			(local->vartype == INT2OID || local->vartype == INT4OID || local->vartype == INT8OID) &&
			IsA(key, Var) && key->varlevelsup == 1 && key->varno == 1 && key->varattno == context->keyAttno)
			return local;
	}
	return NULL;
}

/* Aggregates of PostgreSQL's own, and that of deadlines: what they are of no rows is known. */
static bool
is_known_aggregate(Aggref *aggregate, bool *zero)
{
	char	   *name = get_func_name(aggregate->aggfnoid);
	bool		ours = strcmp(name, "count_flip") == 0 &&
	get_func_namespace(aggregate->aggfnoid) == segment_catalog_schema(false);

	if ((aggregate->aggfnoid >= FirstNormalObjectId && !ours) || aggregate->agglevelsup != 0 ||
		aggregate->aggkind == AGGKIND_HYPOTHETICAL)
		return false;
	*zero = strcmp(name, "count") == 0 || strcmp(name, "regr_count") == 0;
	return true;
}

/* Only plain tables, inner joins: a FROM that GROUP BY can stand over. */
static bool
is_plain_from(Node *item, Query *query)
{
	if (IsA(item, RangeTblRef))
	{
		RangeTblEntry *rte = rt_fetch(((RangeTblRef *) item)->rtindex, query->rtable);

		return rte->rtekind == RTE_RELATION && rte->tablesample == NULL;
	}
	if (IsA(item, JoinExpr))
		return ((JoinExpr *) item)->jointype == JOIN_INNER &&
			is_plain_from(((JoinExpr *) item)->larg, query) &&
			is_plain_from(((JoinExpr *) item)->rarg, query) &&
			!has_outside(((JoinExpr *) item)->quals);
	return false;
}

/* Rows of its FROM that pass its WHERE, and nothing done with them but in its target list. */
static bool
selects_only(Query *query)
{
	return query->commandType == CMD_SELECT && query->groupClause == NIL && query->groupingSets == NIL &&
		query->havingQual == NULL && query->distinctClause == NIL && query->sortClause == NIL &&
		query->limitCount == NULL && query->limitOffset == NULL && query->cteList == NIL &&
		query->setOperations == NULL && query->rowMarks == NIL && !query->hasWindowFuncs && !query->hasTargetSRFs;
}

static bool
is_plain_query(Query *query)
{
	return selects_only(query) && list_length(query->jointree->fromlist) == 1 &&
		is_plain_from(linitial(query->jointree->fromlist), query);
}

/* The link column of a query's WHERE, or NULL; *rest receives its other conditions (an AND list). */
static Var *
match_link(Query *query, CombineContext *context, List **rest)
{
	Var		   *link = NULL;
	ListCell   *lc;

	*rest = NIL;
	foreach(lc, make_ands_implicit((Expr *) query->jointree->quals))
	{
		Var		   *found = link == NULL ? link_column(lfirst(lc), context) : NULL;

		if (found != NULL)
			link = found;
		else if (has_outside(lfirst(lc)))
			return NULL;
		else
			*rest = lappend(*rest, lfirst(lc));
	}
	return link;
}

/*
 * Is this subquery an aggregate by subject?  Then its link column is returned,
 * and *rest receives the other conditions of its WHERE (an AND list).
 */
static Var *
match_aggregate(SubLink *sublink, CombineContext *context, List **rest, bool *zero)
{
	Query	   *query = (Query *) sublink->subselect;
	TargetEntry *target;

	if (sublink->subLinkType != EXPR_SUBLINK || list_length(query->targetList) != 1 || !is_plain_query(query))
		return NULL;
	target = linitial(query->targetList);
	if (!IsA(target->expr, Aggref) || !is_known_aggregate((Aggref *) target->expr, zero) ||
		has_outside((Node *) target->expr))
		return NULL;
	return match_link(query, context, rest);
}

static bool
same_from(Query *a, Query *b)
{
	ListCell   *lc;
	ListCell   *lc2;

	if (list_length(a->rtable) != list_length(b->rtable) ||
		!equal(a->jointree->fromlist, b->jointree->fromlist))
		return false;
	forboth(lc, a->rtable, lc2, b->rtable)
	{
		RangeTblEntry *x = lfirst(lc);
		RangeTblEntry *y = lfirst(lc2);

		if (x->rtekind != y->rtekind || x->relid != y->relid || x->inh != y->inh)
			return false;
	}
	return true;
}

/* A subquery joined to the left of what is there: its range table entries and join tree node. */
static void
join_group(CombineContext *context, Pass *group)
{
	Query	   *query = context->query;
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	RangeTblEntry *joinRte = makeNode(RangeTblEntry);
	JoinExpr   *join = makeNode(JoinExpr);
	RangeTblRef *ref = makeNode(RangeTblRef);
	Var		   *key = makeVar(1, context->keyAttno, context->keyType, -1, InvalidOid, 0);
	Var		   *link;

	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = group->query;
	rte->eref = makeAlias("source", list_make1(makeString("link")));
	rte->inFromCl = true;
	query->rtable = lappend(query->rtable, rte);
	group->rti = list_length(query->rtable);

	joinRte->rtekind = RTE_JOIN;
	joinRte->jointype = JOIN_LEFT;
	joinRte->eref = makeAlias("join", NIL);
	joinRte->inFromCl = true;
	query->rtable = lappend(query->rtable, joinRte);
	group->joinRti = list_length(query->rtable);

	link = makeVar(group->rti, 1, group->link->vartype, -1, InvalidOid, 0);
	ref->rtindex = group->rti;
	join->jointype = JOIN_LEFT;
	join->larg = linitial(query->jointree->fromlist);
	join->rarg = (Node *) ref;
	join->rtindex = group->joinRti;
	join->quals = (Node *) make_opclause(OpernameGetOprid(list_make2(makeString("pg_catalog"), makeString("=")),
														  key->vartype, link->vartype),
										 BOOLOID, false, (Expr *) key, (Expr *) link, InvalidOid, InvalidOid);
	set_opfuncid((OpExpr *) join->quals);
	query->jointree->fromlist = list_make1(join);
}

static Pass *
make_group(SubLink *sublink, Var *link, CombineContext *context)
{
	Pass	   *group = palloc0(sizeof(Pass));
	Query	   *query = copyObject((Query *) sublink->subselect);
	SortGroupClause *clause = makeNode(SortGroupClause);
	TargetEntry *target;

	group->link = copyObject(link);
	target = makeTargetEntry((Expr *) copyObject(link), 1, pstrdup("link"), false);
	target->ressortgroupref = 1;
	query->targetList = list_make1(target);
	clause->tleSortGroupRef = 1;
	get_sort_group_operators(link->vartype, true, true, false,
							 &clause->sortop, &clause->eqop, NULL, &clause->hashable);
	query->groupClause = list_make1(clause);
	/* rows of nobody might fail where no subject's do */
	query->jointree->quals = context->subset ? subset_qual(context, copyObject(link)) : segment_scope_is_not_null((Node *) copyObject(link));
	query->hasSubLinks = true;
	group->query = query;
	join_group(context, group);
	context->groups = lappend(context->groups, group);
	return group;
}

/* DISTINCT, ORDER BY and WITHIN GROUP sort the rows of each subject. */
static PassKind
kind_of(const Aggref *aggregate)
{
	if (checkExprHasSubLink((Node *) aggregate))
		return PASS_SUBQUERY;
	if (aggregate->aggdistinct != NIL || aggregate->aggorder != NIL || aggregate->aggkind != AGGKIND_NORMAL)
		return PASS_SORTED;
	return PASS_PLAIN;
}

/* What a filter asks for without a subquery: a list of conditions, all of which hold where the filter does. */
static List *
plain_conditions(Expr *filter)
{
	List	   *conditions = NIL;
	ListCell   *lc;

	if (is_andclause(filter))
	{
		foreach(lc, ((BoolExpr *) filter)->args)
			conditions = list_concat(conditions, plain_conditions(lfirst(lc)));
		return conditions;
	}
	return checkExprHasSubLink((Node *) filter) ? NIL : list_make1(copyObject(filter));
}

/*
 * When every aggregate of a pass has a FILTER, only rows that pass one of them
 * matter.  (A subject without any then has no group: it reads as no rows.)
 */
static void
restrict_pass(Pass *pass)
{
	List	   *filters = NIL;
	ListCell   *lc;

	if (pass->kind == PASS_EXISTS)
		return;
	foreach(lc, pass->query->targetList)
	{
		Aggref	   *aggregate = (Aggref *) ((TargetEntry *) lfirst(lc))->expr;
		List	   *conditions;
		Expr	   *filter;

		if (!IsA(aggregate, Aggref))
			continue;
		conditions = aggregate->aggfilter ? plain_conditions(aggregate->aggfilter) : NIL;
		if (conditions == NIL)
			return;
		filter = make_ands_explicit(conditions);
		if (!list_member(filters, filter))
			filters = lappend(filters, filter);
	}
	pass->query->jointree->quals = make_and_qual(pass->query->jointree->quals,
												 (Node *) make_orclause(filters));
}

/* The value of an aggregate, as a column of its group; added there unless an equal one is. */
static Node *
aggregate_column(SubLink *sublink, Var *link, List *rest, bool zero, CombineContext *context)
{
	Query	   *query = (Query *) sublink->subselect;
	Aggref	   *aggregate = copyObject((Aggref *) ((TargetEntry *) linitial(query->targetList))->expr);
	Pass	   *group = NULL;
	TargetEntry *target = NULL;
	ListCell   *lc;
	Var		   *var;

	if (rest != NIL)
		/* rows come through WHERE first */
		aggregate->aggfilter = (Expr *) make_and_qual((Node *) make_ands_explicit(copyObject(rest)),
													  (Node *) aggregate->aggfilter);
	foreach(lc, context->groups)
	{
		Pass	   *candidate = lfirst(lc);

		if (equal(candidate->link, link) && candidate->kind == kind_of(aggregate) &&
			same_from(candidate->query, query))
			group = candidate;
	}
	if (group == NULL)
	{
		group = make_group(sublink, link, context);
		group->kind = kind_of(aggregate);
	}
	segment_compat_merge_rights(group->query, query);
	foreach(lc, group->query->targetList)
		if (equal(((TargetEntry *) lfirst(lc))->expr, aggregate))
		target = lfirst(lc);
	if (target == NULL)
	{
		target = makeTargetEntry((Expr *) aggregate, list_length(group->query->targetList) + 1,
								 pstrdup("value"), false);
		group->query->targetList = lappend(group->query->targetList, target);
		group->query->hasAggs = true;
		/* the planner takes the number of columns from their names */
		lc = list_nth_cell(context->query->rtable, group->rti - 1);
		((RangeTblEntry *) lfirst(lc))->eref->colnames =
			lappend(((RangeTblEntry *) lfirst(lc))->eref->colnames, makeString("value"));
	}

	var = makeVar(group->rti, target->resno, exprType((Node *) aggregate), exprTypmod((Node *) aggregate),
				  exprCollation((Node *) aggregate), 0);
	segment_compat_mark_nullable(var, group->joinRti);
	if (zero)
	{
		CoalesceExpr *coalesce = makeNode(CoalesceExpr);

		coalesce->coalescetype = var->vartype;
		coalesce->args = list_make2(var, makeConst(INT8OID, -1, InvalidOid, 8, Int64GetDatum(0), false, FLOAT8PASSBYVAL));
		coalesce->location = -1;
		return (Node *) coalesce;
	}
	return (Node *) var;
}

/* ---- other subqueries, for a subset of subjects ---- */

/* EXISTS (rows linked to the subject), as a column of a pass; NULL if it is none. */
static Node *
exists_column(SubLink *sublink, CombineContext *context)
{
	Query	   *query = (Query *) sublink->subselect;
	Pass	   *pass = NULL;
	List	   *rest;
	Var		   *link;
	Var		   *var;
	ListCell   *lc;

	if (sublink->subLinkType != EXISTS_SUBLINK || query->hasAggs || !is_plain_query(query))
		return NULL;
	link = match_link(query, context, &rest);
	if (link == NULL)
		return NULL;
	foreach(lc, context->groups)
	{
		Pass	   *candidate = lfirst(lc);

		if (candidate->kind == PASS_EXISTS && equal(candidate->link, link) &&
			(equal(candidate->rest, rest) || SEGMENT_MUTANT("one_exists")) && same_from(candidate->query, query))
			pass = candidate;
	}
	if (pass == NULL)
	{
		pass = make_group(sublink, link, context);
		pass->kind = PASS_EXISTS;
		pass->rest = rest;
		pass->query->jointree->quals = make_and_qual(pass->query->jointree->quals,
													 (Node *) make_ands_explicit(copyObject(rest)));
	}
	segment_compat_merge_rights(pass->query, query);
	var = makeVar(pass->rti, 1, link->vartype, -1, InvalidOid, 0);
	segment_compat_mark_nullable(var, pass->joinRti);
	return segment_scope_is_not_null((Node *) var);
}

/*
 * key IN (SELECT column ...): other keys need not be selected, but NULLs, which
 * make it NULL instead of false.  NULL if the subquery has no such form.
 */
static Node *
narrow_in(SubLink *sublink, CombineContext *context)
{
	Query	   *query = (Query *) sublink->subselect;
	OpExpr	   *test = (OpExpr *) sublink->testexpr;
	NullTest   *missing = makeNode(NullTest);
	Var		   *key;
	Var		   *column;

	if (sublink->subLinkType != ANY_SUBLINK || !is_opclause(test) || list_length(test->args) != 2 ||
		get_op_opfamily_strategy(test->opno, INTEGER_BTREE_FAM_OID) != BTEqualStrategyNumber ||
		query->hasAggs || !selects_only(query) || list_length(query->targetList) != 1)
		return NULL;
	key = (Var *) segment_scope_strip(linitial(test->args));
	column = (Var *) segment_scope_strip((Node *) ((TargetEntry *) linitial(query->targetList))->expr);
	if (!IsA(key, Var) || key->varlevelsup != 0 || key->varno != 1 || key->varattno != context->keyAttno ||
		!IsA(column, Var) || column->varlevelsup != 0 || column->varattno <= 0 ||
		(column->vartype != INT2OID && column->vartype != INT4OID && column->vartype != INT8OID))
		return NULL;
	missing->arg = copyObject((Expr *) column);
	missing->nulltesttype = IS_NULL;
	missing->location = -1;
	sublink = copyObject(sublink);
	query = (Query *) sublink->subselect;
	query->jointree->quals = make_and_qual(query->jointree->quals,
										   (Node *) make_orclause(list_make2(subset_qual(context, copyObject(column)), missing)));
	return (Node *) sublink;
}

static Node *pull_aggregates(Node *node, CombineContext *context);

/*
 * CASE and COALESCE promise not to evaluate what they do not need, and an
 * aggregate that is pulled out is computed for every subject and may fail: only
 * what they evaluate first, and so always, is entered.
 */
static Node *
pull_from_first(Node *node, CombineContext *context)
{
	if (IsA(node, CoalesceExpr))
	{
		CoalesceExpr *coalesce = copyObject((CoalesceExpr *) node);

		linitial(coalesce->args) = pull_aggregates(linitial(coalesce->args), context);
		return (Node *) coalesce;
	}
	else
	{
		CaseExpr   *choice = copyObject((CaseExpr *) node);
		CaseWhen   *first = linitial(choice->args);

		choice->arg = (Expr *) pull_aggregates((Node *) choice->arg, context);
		first->expr = (Expr *) pull_aggregates((Node *) first->expr, context);
		return (Node *) choice;
	}
}

/* Replace the correlated aggregates and such of a condition; subqueries are not entered. */
static Node *
pull_aggregates(Node *node, CombineContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, CaseExpr) || IsA(node, CoalesceExpr))
		return pull_from_first(node, context);
	if (IsA(node, SubLink))
	{
		List	   *rest;
		bool		zero;
		Var		   *link = match_aggregate((SubLink *) node, context, &rest, &zero);

		context->reshaped |= link != NULL;
		if (link != NULL)
			return aggregate_column((SubLink *) node, link, rest, zero, context);
		if (context->subset != NULL)
		{
			Node	   *column = exists_column((SubLink *) node, context);

			if (column == NULL)
				column = narrow_in((SubLink *) node, context);
			context->reshaped |= column != NULL;
			if (column != NULL)
				return column;
		}
	}
	if (IsA(node, Query))
		return node;
	return expression_tree_mutator(node, pull_aggregates, (void *) context);
}

/* ---- the clock ---- */

static Node *
clock_constant(TimestampTz clock)
{
	return (Node *) makeConst(TIMESTAMPTZOID, -1, InvalidOid, 8, TimestampTzGetDatum(clock), false, FLOAT8PASSBYVAL);
}

static Node *
call1(Oid function, Oid type, Node *arg)
{
	return (Node *) makeFuncExpr(function, type, list_make1(arg), InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

/* A cast to a precision, as current_timestamp(2) has it. */
static Node *
round_to(Oid function, Oid type, Node *arg, int32 typmod)
{
	if (typmod < 0)
		return arg;
	return (Node *) makeFuncExpr(function, type,
								 list_make2(arg, makeConst(INT4OID, -1, InvalidOid, 4, Int32GetDatum(typmod), false, true)),
								 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

static Node *
sql_value(SQLValueFunction *value, Node *now)
{
	switch (value->op)
	{
		case SVFOP_CURRENT_DATE:
			return call1(F_DATE_TIMESTAMPTZ, DATEOID, now);
		case SVFOP_CURRENT_TIME:
		case SVFOP_CURRENT_TIME_N:
			return round_to(F_TIMETZ_TIMETZ_INT4, TIMETZOID, call1(F_TIMETZ_TIMESTAMPTZ, TIMETZOID, now), value->typmod);
		case SVFOP_CURRENT_TIMESTAMP:
		case SVFOP_CURRENT_TIMESTAMP_N:
			return round_to(F_TIMESTAMPTZ_TIMESTAMPTZ_INT4, TIMESTAMPTZOID, now, value->typmod);
		case SVFOP_LOCALTIME:
		case SVFOP_LOCALTIME_N:
			return round_to(F_TIME_TIME_INT4, TIMEOID, call1(F_TIME_TIMESTAMPTZ, TIMEOID, now), value->typmod);
		case SVFOP_LOCALTIMESTAMP:
		case SVFOP_LOCALTIMESTAMP_N:
			return round_to(F_TIMESTAMP_TIMESTAMP_INT4, TIMESTAMPOID, call1(F_TIMESTAMP_TIMESTAMPTZ, TIMESTAMPOID, now), value->typmod);
		default:
			return (Node *) value;
	}
}

/*
 * A calculation with the clock that may be done once, now, and not for each row:
 * the query runs under the same settings.  Only where it cannot fail, as a CASE
 * may never come to it.
 */
#define SAFE_YEARS 1000

static bool
is_between(int64 value, int64 bound)
{
	return value > -bound && value < bound;
}

static bool
is_safe_constant(Const *constant)
{
	const int64 span = SAFE_YEARS * INT64CONST(365) * USECS_PER_DAY;
	Interval   *interval;

	if (!IsA(constant, Const) || constant->constisnull)
		return false;
	switch (constant->consttype)
	{
		case TIMESTAMPTZOID:
		case TIMESTAMPOID:
			return is_between(DatumGetTimestampTz(constant->constvalue), span);
		case INTERVALOID:
			interval = DatumGetIntervalP(constant->constvalue);
			return is_between(interval->month, SAFE_YEARS * 12) && is_between(interval->day, SAFE_YEARS * 365) &&
				is_between(interval->time, span);
		default:
			return false;
	}
}

static Node *
calculate(Node *node)
{
	Oid			function;
	List	   *args;
	ListCell   *lc;

	if (IsA(node, OpExpr))
	{
		set_opfuncid((OpExpr *) node);
		function = ((OpExpr *) node)->opfuncid;
		args = ((OpExpr *) node)->args;
	}
	else if (IsA(node, FuncExpr))
	{
		function = ((FuncExpr *) node)->funcid;
		args = ((FuncExpr *) node)->args;
	}
	else
		return node;
	switch (function)
	{
		case F_TIMESTAMPTZ_PL_INTERVAL:
		case F_TIMESTAMPTZ_MI_INTERVAL:
		case F_DATE_TIMESTAMPTZ:
		case F_TIMESTAMP_TIMESTAMPTZ:
		case F_TIMESTAMPTZ_TIMESTAMP:
			break;
		default:
			return node;
	}
	foreach(lc, args)
		if (!is_safe_constant(lfirst(lc)))
		return node;
	/* as the planner would, were the function not merely STABLE */
	return (Node *) evaluate_expr((Expr *) node, exprType(node), exprTypmod(node), exprCollation(node));
}

static Node *
put_clock(Node *node, void *context)
{
	TimestampTz clock = *(TimestampTz *) context;

	if (node == NULL)
		return NULL;
	if (IsA(node, SQLValueFunction))
		return sql_value((SQLValueFunction *) node, clock_constant(clock));
	if (IsA(node, FuncExpr))
	{
		FuncExpr   *call = (FuncExpr *) node;
		Node	   *today;

		switch (call->funcid)
		{
			case F_NOW:
			case F_TRANSACTION_TIMESTAMP:
				return clock_constant(clock);
			case F_AGE_TIMESTAMP:
			case F_AGE_TIMESTAMPTZ:
				/* age(x) is age(current_date, x), with the date as x's type */
				today = call1(F_DATE_TIMESTAMPTZ, DATEOID, clock_constant(clock));
				today = call->funcid == F_AGE_TIMESTAMP ? call1(F_TIMESTAMP_DATE, TIMESTAMPOID, today) :
					call1(F_TIMESTAMPTZ_DATE, TIMESTAMPTZOID, today);
				return (Node *) makeFuncExpr(call->funcid == F_AGE_TIMESTAMP ? F_AGE_TIMESTAMP_TIMESTAMP :
											 F_AGE_TIMESTAMPTZ_TIMESTAMPTZ, INTERVALOID,
											 list_make2(today, put_clock(linitial(call->args), context)),
											 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
			default:
				/* the clock may be in an argument's default */
				if (segment_scope_arguments(call) != call->args)
				{
					call = copyObject(call);
					call->args = segment_scope_arguments(call);
					return expression_tree_mutator((Node *) call, put_clock, context);
				}
				break;
		}
	}
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, put_clock, context, 0);
	return calculate(expression_tree_mutator(node, put_clock, context));
}

Node *
segment_compile_put_clock(Node *expr, TimestampTz clock)
{
	return put_clock(expr, &clock);
}

/* ---- putting it together ---- */

/* One more column: an expression of a segment. */
static void
add_column(CombineContext *context, const SegmentCompiled *segment, Node *expr)
{
	Query	   *query = context->query;

	expr = copyObject(expr);
	ChangeVarNodes(expr, segment->subjectVarno, 1, 0);
	if (!context->plain)
		expr = pull_aggregates(expr, context);
	query->targetList = lappend(query->targetList,
								makeTargetEntry((Expr *) expr, list_length(query->targetList) + 1,
												pstrdup("value"), false));
}

Query *
segment_compile_combine(List *compiled, const SegmentBitmap *subset, TimestampTz clock, bool flips,
						bool *reshaped)
{
	const SegmentCompiled *first = linitial(compiled);
	Query	   *query = makeNode(Query);
	RangeTblRef *ref = makeNode(RangeTblRef);
	CombineContext context = {.query = query,.keyAttno = first->keyAttno,.keyType = first->keyType,.plain = reshaped == NULL};
	Bitmapset  *columns = NULL;
	Var		   *key;
	ListCell   *lc;

	query->commandType = CMD_SELECT;
	query->querySource = QSRC_ORIGINAL;
	query->canSetTag = true;
	query->hasSubLinks = true;
	foreach(lc, compiled)
	{
		const SegmentCompiled *segment = lfirst(lc);
		SegmentSource *own = linitial(segment->sources);
		int			column = -1;

		while ((column = bms_next_member(own->columns, column)) >= 0)
			columns = bms_add_member(columns, column - FirstLowInvalidHeapAttributeNumber);
	}
	segment_compat_set_table(query, first->query, first->subjectVarno, columns);
	ref->rtindex = 1;
	query->jointree = makeFromExpr(list_make1(ref), NULL);

	key = makeVar(1, first->keyAttno, first->keyType, -1, InvalidOid, 0);
	if (subset != NULL)
	{
		context.subset = subset;
		context.ids = make_subset_constant(subset);
		query->jointree->quals = subset_qual(&context, copyObject(key));
	}
	query->targetList = list_make1(makeTargetEntry(widen((Expr *) key, key->vartype), 1, pstrdup("key"), false));
	foreach(lc, compiled)
	{
		const SegmentCompiled *segment = lfirst(lc);

		add_column(&context, segment, segment->condition);
	}
	if (flips)
		foreach(lc, compiled)
	{
		const SegmentCompiled *segment = lfirst(lc);

		add_column(&context, segment, segment_compile_earliest(segment->flips));
	}
	foreach(lc, context.groups)
		restrict_pass(lfirst(lc));
	if (reshaped != NULL)
		*reshaped = context.reshaped;
	return castNode(Query, put_clock((Node *) query, &clock));
}

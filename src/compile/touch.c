/*-------------------------------------------------------------------------
 *
 * touch.c
 *		Who is touched when a row of a source changes.
 *
 * A definition reads a source subject by subject when equalities confine each
 * row to the subjects that it is tied to.  Such a tie is found
 *
 *	- in WHERE and in the ON of inner joins, between two tables of the level or
 *	  from one of the level to one outside (a correlated subquery);
 *	- in the ON of an outer join, only from a table on the nullable side;
 *	- in "x IN (SELECT y ...)", from y to x;
 *	- through the output of a subquery, where the equality could be pushed
 *	  down into it: PostgreSQL's own rules for that (GROUP BY, DISTINCT ON and
 *	  every PARTITION BY must contain the column; no LIMIT, no set operation).
 *
 * Above its WHERE a level may then do what it wants (GROUP BY, windows, LIMIT,
 * ORDER BY): all that it sees are rows of one subject.  Ties chain: a product
 * tied to orders tied to customers.  No tie, no locality: everybody.
 *
 * x NOT IN (..): where NULL and false differ, a NULL in y or in x makes rows
 * matter beyond their ties.  There x must be the subject id itself (never
 * NULL), a NULL y is captured as "everybody", there is no outer join that makes
 * NULLs of its own, and the tie holds for y's own table only.  "Positive" says that NULL and false are the same, because the
 * expression is used as a filter, below AND and OR only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "compile/compile.h"
#include "compile/scope.h"
#include "testing.h"

SegmentLevel *
segment_scope_up(SegmentLevel *level, Index levelsup)
{
	for (; levelsup > 0; levelsup--)
		level = level->parent;
	return level;
}

Node *
segment_scope_strip(Node *node)
{
	for (;;)
	{
		if (node != NULL && IsA(node, RelabelType))
			node = (Node *) ((RelabelType *) node)->arg;
		else if (node != NULL && IsA(node, FuncExpr) &&
				 (((FuncExpr *) node)->funcid == F_INT8_INT4 ||
				  ((FuncExpr *) node)->funcid == F_INT8_INT2 ||
				  ((FuncExpr *) node)->funcid == F_INT4_INT2))
			node = linitial(((FuncExpr *) node)->args);
		else
			return node;
	}
}

Node *
segment_scope_is_not_null(Node *arg)
{
	NullTest   *test = makeNode(NullTest);

	test->arg = (Expr *) arg;
	test->nulltesttype = IS_NOT_NULL;
	test->location = -1;
	return (Node *) test;
}

List *
segment_scope_arguments(FuncExpr *call)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(call->funcid));
	List	   *args = call->args;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", call->funcid);
	if (list_length(args) < ((Form_pg_proc) GETSTRUCT(tuple))->pronargs)
		args = expand_function_arguments(args, false, call->funcresulttype, tuple);
	ReleaseSysCache(tuple);
	return args;
}

bool
segment_touch_can_push_down(Query *query, TargetEntry *tle)
{
	ListCell   *lc;

	if (query->setOperations != NULL || ((query->limitCount != NULL || query->limitOffset != NULL) && !SEGMENT_MUTANT("through_limit")) ||
		query->groupingSets != NIL || query->hasTargetSRFs)
		return false;
	if ((query->groupClause != NIL || query->hasAggs || query->havingQual != NULL) &&
		(tle->ressortgroupref == 0 ||
		 get_sortgroupref_clause_noerr(tle->ressortgroupref, query->groupClause) == NULL))
		return false;
	if (query->hasDistinctOn &&
		(tle->ressortgroupref == 0 ||
		 get_sortgroupref_clause_noerr(tle->ressortgroupref, query->distinctClause) == NULL))
		return false;
	foreach(lc, query->windowClause)
	{
		WindowClause *window = lfirst(lc);

		if (tle->ressortgroupref == 0 ||
			get_sortgroupref_clause_noerr(tle->ressortgroupref, window->partitionClause) == NULL)
			return false;
	}
	return true;
}

/*
 * The column of a table behind an expression of a level; NULL when it is none.
 * Follows join aliases, grouped columns, and the output of subqueries that an
 * equality can be pushed into.
 */
static SegmentOccurrence *
resolve(SegmentLevel *level, Node *node, AttrNumber *column)
{
	Var		   *var;
	SegmentLevel *home;
	RangeTblEntry *rte;
	Node	   *grouped;

	check_stack_depth();
	node = segment_scope_strip(node);
	if (node == NULL || !IsA(node, Var))
		return NULL;
	var = (Var *) node;
	if (var->varattno <= 0)
		return NULL;
	home = segment_scope_up(level, var->varlevelsup);
	rte = rt_fetch(var->varno, home->query->rtable);
	grouped = segment_compat_group_expression(rte, var->varattno);
	if (grouped != NULL)
		return resolve(home, grouped, column);

	switch (rte->rtekind)
	{
		case RTE_RELATION:
			*column = var->varattno;
			return home->occurrences[var->varno - 1];
		case RTE_JOIN:
			return resolve(home, list_nth(rte->joinaliasvars, var->varattno - 1), column);
		case RTE_SUBQUERY:
			{
				SegmentLevel *child = home->children[var->varno - 1];
				TargetEntry *tle = get_tle_by_resno(rte->subquery->targetList, var->varattno);
				Node	   *expr;

				if (child == NULL || tle == NULL || !segment_touch_can_push_down(rte->subquery, tle))
					return NULL;
				expr = segment_scope_strip((Node *) tle->expr);
				if (!IsA(expr, Var) || ((Var *) expr)->varlevelsup > 0)
					return NULL;
				return resolve(child, expr, column);
			}
		default:
			return NULL;
	}
}

static bool
is_integer_equality(Oid opno)
{
	return get_op_opfamily_strategy(opno, INTEGER_BTREE_FAM_OID) == BTEqualStrategyNumber;
}

static void
add_tie(SegmentOccurrence *from, AttrNumber fromColumn, SegmentOccurrence *to, AttrNumber toColumn,
		bool nullTouchesAll, bool firstOnly)
{
	SegmentTie *tie;

	if (from == NULL || to == NULL || from == to || from->subject)
		return;
	tie = palloc0(sizeof(SegmentTie));
	tie->from = from;
	tie->fromColumn = fromColumn;
	tie->to = to;
	tie->toColumn = toColumn;
	tie->nullTouchesAll = nullTouchesAll;
	tie->firstOnly = firstOnly;
	from->ties = lappend(from->ties, tie);
}

/* The range table indexes below a join tree node. */
static void
collect_rtis(Node *node, Bitmapset **rtis)
{
	ListCell   *lc;

	if (node == NULL)
		return;
	if (IsA(node, RangeTblRef))
		*rtis = bms_add_member(*rtis, ((RangeTblRef *) node)->rtindex);
	else if (IsA(node, FromExpr))
		foreach(lc, ((FromExpr *) node)->fromlist)
			collect_rtis(lfirst(lc), rtis);
	else if (IsA(node, JoinExpr))
	{
		collect_rtis(((JoinExpr *) node)->larg, rtis);
		collect_rtis(((JoinExpr *) node)->rarg, rtis);
	}
}

/* The table of this level (not of one outside) that an operand belongs to: its range table index, or 0. */
static int
local_rti(SegmentLevel *level, Node *node)
{
	Var		   *var = (Var *) segment_scope_strip(node);
	RangeTblEntry *rte;
	Node	   *grouped;

	if (var == NULL || !IsA(var, Var) || var->varlevelsup > 0 || var->varattno <= 0)
		return 0;
	rte = rt_fetch(var->varno, level->query->rtable);
	grouped = segment_compat_group_expression(rte, var->varattno);
	if (grouped != NULL)
		return local_rti(level, grouped);
	if (rte->rtekind == RTE_JOIN)
		return local_rti(level, list_nth(rte->joinaliasvars, var->varattno - 1));
	return var->varno;
}

/*
 * Ties from one condition.  "confined" are the range table indexes whose rows
 * it confines; NULL means all of the level.
 */
static void
ties_from_qual(SegmentLevel *level, Node *qual, Bitmapset *confined)
{
	ListCell   *lc;

	if (qual == NULL)
		return;
	if (IsA(qual, List))
	{
		foreach(lc, (List *) qual)
			ties_from_qual(level, lfirst(lc), confined);
	}
	else if (is_andclause(qual))
	{
		foreach(lc, ((BoolExpr *) qual)->args)
			ties_from_qual(level, lfirst(lc), confined);
	}
	else if (is_opclause(qual) && list_length(((OpExpr *) qual)->args) == 2 &&
			 is_integer_equality(((OpExpr *) qual)->opno))
	{
		Node	   *operand[2] = {linitial(((OpExpr *) qual)->args), lsecond(((OpExpr *) qual)->args)};
		AttrNumber	column[2];
		SegmentOccurrence *occurrence[2];

		for (int i = 0; i < 2; i++)
			occurrence[i] = resolve(level, operand[i], &column[i]);
		for (int i = 0; i < 2; i++)
		{
			int			rti = local_rti(level, operand[i]);

			if (rti > 0 && (confined == NULL || bms_is_member(rti, confined)))
				add_tie(occurrence[i], column[i], occurrence[1 - i], column[1 - i], false, false);
		}
	}
}

static void
ties_from_jointree(SegmentLevel *level, Node *node)
{
	ListCell   *lc;

	check_stack_depth();
	if (node == NULL)
		return;
	if (IsA(node, FromExpr))
	{
		foreach(lc, ((FromExpr *) node)->fromlist)
			ties_from_jointree(level, lfirst(lc));
		ties_from_qual(level, ((FromExpr *) node)->quals, NULL);
	}
	else if (IsA(node, JoinExpr))
	{
		JoinExpr   *join = (JoinExpr *) node;
		Bitmapset  *nullable = NULL;

		ties_from_jointree(level, join->larg);
		ties_from_jointree(level, join->rarg);
		switch (join->jointype)
		{
			case JOIN_INNER:
				ties_from_qual(level, join->quals, NULL);
				break;
			case JOIN_LEFT:
			case JOIN_RIGHT:
				collect_rtis(join->jointype == JOIN_LEFT ? join->rarg : join->larg, &nullable);
				ties_from_qual(level, join->quals, nullable);
				break;
			default:
				break;
		}
	}
}

void
segment_touch_collect(SegmentLevel *level)
{
	ties_from_jointree(level, (Node *) level->query->jointree);
}

/* Can a join tree make up rows with NULLs in them? */
static bool
has_outer_join(Node *node)
{
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (IsA(node, FromExpr))
	{
		foreach(lc, ((FromExpr *) node)->fromlist)
			if (has_outer_join(lfirst(lc)))
			return true;
		return false;
	}
	return IsA(node, JoinExpr) &&
		(((JoinExpr *) node)->jointype != JOIN_INNER ||
		 has_outer_join(((JoinExpr *) node)->larg) || has_outer_join(((JoinExpr *) node)->rarg));
}

void
segment_touch_collect_in(SegmentLevel *level, SegmentLevel *child, SubLink *sublink,
						 bool positive, AttrNumber subjectKey)
{
	List	   *tests = NIL;
	ListCell   *lc;

	if (is_andclause(sublink->testexpr))
		tests = ((BoolExpr *) sublink->testexpr)->args;
	else
		tests = list_make1(sublink->testexpr);

	/*
	 * (a, b) NOT IN (..): which NULL decides depends on the other column; and
	 * an outer join makes NULLs
	 */
	if (!positive && (list_length(tests) > 1 || has_outer_join((Node *) child->query->jointree)))
		return;

	foreach(lc, tests)
	{
		OpExpr	   *test = lfirst(lc);
		Param	   *output;
		TargetEntry *tle;
		SegmentOccurrence *inner;
		SegmentOccurrence *outer;
		AttrNumber	innerColumn;
		AttrNumber	outerColumn;
		Node	   *expr;

		if (!is_opclause(test) || list_length(test->args) != 2 || !is_integer_equality(test->opno))
			continue;
		output = (Param *) segment_scope_strip(lsecond(test->args));
		if (!IsA(output, Param) || output->paramkind != PARAM_SUBLINK)
			continue;
		tle = get_tle_by_resno(child->query->targetList, output->paramid);
		if (tle == NULL || !segment_touch_can_push_down(child->query, tle))
			continue;
		expr = segment_scope_strip((Node *) tle->expr);
		if (!IsA(expr, Var) || ((Var *) expr)->varlevelsup > 0)
			continue;
		inner = resolve(child, expr, &innerColumn);
		outer = resolve(level, linitial(test->args), &outerColumn);
		if (inner == NULL || outer == NULL)
			continue;
		if (positive)
			add_tie(inner, innerColumn, outer, outerColumn, false, false);
		else if (outer->subject && outerColumn == subjectKey && inner->level == child)
			add_tie(inner, innerColumn, outer, outerColumn, true, true);
	}
}

bool
segment_touch_path(SegmentOccurrence *occurrence, AttrNumber subjectKey, List *all,
				   AttrNumber *key, bool *nullTouchesAll, List **steps)
{
	List	   *queue = list_make1(occurrence);
	SegmentOccurrence *end = NULL;
	SegmentTie *tie;
	AttrNumber	next;
	ListCell   *lc;

	/* breadth first, so that the way found is the shortest */
	foreach(lc, all)
	{
		((SegmentOccurrence *) lfirst(lc))->visited = false;
		((SegmentOccurrence *) lfirst(lc))->via = NULL;
	}
	occurrence->visited = true;
	while (queue != NIL && end == NULL)
	{
		SegmentOccurrence *at = linitial(queue);

		queue = list_delete_first(queue);
		foreach(lc, at->ties)
		{
			tie = lfirst(lc);
			if (tie->to->visited || (tie->firstOnly && at != occurrence))
				continue;
			tie->to->visited = true;
			tie->to->via = tie;
			if (tie->to->subject)
			{
				end = tie->to;
				break;
			}
			queue = lappend(queue, tie->to);
		}
	}
	if (end == NULL)
		return false;

	/*
	 * walk back from the subject: each tie ends where the next one, or the
	 * subject id, begins
	 */
	*steps = NIL;
	next = subjectKey;
	for (tie = end->via;; tie = tie->from->via)
	{
		if (tie->toColumn != next)
		{
			SegmentStep *step = palloc(sizeof(SegmentStep));

			step->relid = tie->to->relid;
			step->match = tie->toColumn;
			step->next = next;
			*steps = lcons(step, *steps);
		}
		next = tie->fromColumn;
		if (tie->from == occurrence)
			break;
	}
	*key = tie->fromColumn;
	*nullTouchesAll = tie->nullTouchesAll;
	return true;
}

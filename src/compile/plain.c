/*-------------------------------------------------------------------------
 *
 * plain.c
 *		The plain form of a condition, which the time analysis reads.
 *
 * It means the same as the condition, with less to look out for:
 *
 *	- arguments that a call leaves to their defaults are written out;
 *	- CASE x WHEN y THEN .. is CASE WHEN x = y THEN ..;
 *	- grouped columns are the expressions behind them (PostgreSQL 18 has them apart);
 *	- WITH queries that read the clock are subqueries in FROM, one for each
 *	  reference.  Recursive ones stay.
 *
 * Only the analysis and what it makes (deadlines) are of this form; the
 * condition itself is evaluated as it was written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteManip.h"

#include "compat.h"
#include "compile/clock.h"
#include "compile/scope.h"

/* So many nodes may be looked at for one condition: CASE and WITH inside each other double what they hold. */
#define MAX_NODES 1000000

static int	spent = 0;

static Node *make_plain(Node *node, void *context);

void
segment_compile_begin_spending(void)
{
	spent = 0;
}

void
segment_compile_spend(void)
{
	CHECK_FOR_INTERRUPTS();
	if (++spent > MAX_NODES)
		ereport(ERROR,
				errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
				errmsg("the condition of the segment is too complex"),
				errhint("CASE and WITH that stand in one another double with each level."));
}

/* ---- CASE x WHEN ---- */

/* The operand for the place that stands for it; those of a CASE or an array cast inside are theirs. */
static Node *
put_operand(Node *node, void *operand)
{
	if (node == NULL)
		return NULL;
	segment_compile_spend();
	if (IsA(node, CaseTestExpr))
		return copyObject((Node *) operand);
	if (IsA(node, CaseExpr) && ((CaseExpr *) node)->arg != NULL)
	{
		CaseExpr   *inner = copyObject((CaseExpr *) node);

		inner->arg = (Expr *) put_operand((Node *) inner->arg, operand);
		return (Node *) inner;
	}
	if (IsA(node, ArrayCoerceExpr))
	{
		ArrayCoerceExpr *inner = copyObject((ArrayCoerceExpr *) node);

		inner->arg = (Expr *) put_operand((Node *) inner->arg, operand);
		return (Node *) inner;
	}
	return expression_tree_mutator(node, put_operand, operand);
}

static Node *
plain_case(CaseExpr *choice)
{
	ListCell   *lc;

	choice = copyObject(choice);
	foreach(lc, choice->args)
	{
		CaseWhen   *when = lfirst(lc);

		when->expr = (Expr *) put_operand((Node *) when->expr, choice->arg);
	}
	choice->arg = NULL;
	return make_plain((Node *) choice, NULL);
}

/* ---- WITH ---- */

typedef struct InlineContext
{
	CommonTableExpr *cte;
	int			depth;			/* levels up to the query that has it */
} InlineContext;

/* Put a WITH query in the place of each reference to it; changes the tree. */
static bool
inline_cte(Node *node, InlineContext *context)
{
	if (node == NULL)
		return false;
	segment_compile_spend();
	if (IsA(node, Query))
	{
		bool		result;

		context->depth++;
		result = query_tree_walker((Query *) node, inline_cte, (void *) context, QTW_EXAMINE_RTES_AFTER);
		context->depth--;
		return result;
	}
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind != RTE_CTE || rte->ctelevelsup != context->depth || strcmp(rte->ctename, context->cte->ctename) != 0)
			return false;
		rte->rtekind = RTE_SUBQUERY;
		rte->subquery = copyObject(castNode(Query, context->cte->ctequery));
		IncrementVarSublevelsUp((Node *) rte->subquery, context->depth, 1);
		rte->security_barrier = false;
		rte->ctename = NULL;
		rte->ctelevelsup = 0;
		rte->self_reference = false;
		rte->coltypes = rte->coltypmods = rte->colcollations = NIL;
		return false;
	}
	return expression_tree_walker(node, inline_cte, (void *) context);
}

/* Take the WITH queries of this level apart, if it or any of them reads the clock. */
static void
inline_ctes(Query *query)
{
	ListCell   *lc;

	if (query->cteList == NIL || !segment_compile_has_clock((Node *) query))
		return;
	foreach(lc, query->cteList)
	{
		CommonTableExpr *cte = lfirst(lc);

		if (cte->cterecursive || castNode(Query, cte->ctequery)->commandType != CMD_SELECT)
			return;
	}
	foreach(lc, query->cteList)
	{
		/*
		 * the walk of the query itself, later WITH queries included, counts
		 * it
		 */
		InlineContext context = {lfirst(lc), -1};

		(void) inline_cte((Node *) query, &context);
	}
	query->cteList = NIL;
}

/* ---- the walk ---- */

static Node *
make_plain(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	check_stack_depth();
	segment_compile_spend();
	if (IsA(node, CaseExpr) && ((CaseExpr *) node)->arg != NULL)
		return plain_case((CaseExpr *) node);
	if (IsA(node, FuncExpr))
	{
		FuncExpr   *call = copyObject((FuncExpr *) node);

		call->args = segment_scope_arguments(call);
		return expression_tree_mutator((Node *) call, make_plain, context);
	}
	if (IsA(node, Query))
	{
		Query	   *query = query_tree_mutator((Query *) node, make_plain, context, 0);

		query->targetList = (List *) segment_compat_flatten_groups(query, (Node *) query->targetList);
		query->havingQual = segment_compat_flatten_groups(query, query->havingQual);
		segment_compat_drop_groups(query);
		inline_ctes(query);
		return (Node *) query;
	}
	return expression_tree_mutator(node, make_plain, context);
}

Node *
segment_compile_plain(Node *node)
{
	return make_plain(node, NULL);
}

/*-------------------------------------------------------------------------
 *
 * print.c
 *		A compiled condition as definition text.
 *
 * PostgreSQL's deparser does the work.  What stands for an aggregate or for
 * in_segment() is replaced by a numbered parameter first, printed by itself,
 * and put back into the text.  An aggregate is printed in its short form only
 * if that form would be compiled to the same query today (its link still
 * exists, and is the only one); else as the subquery that it is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

#include "catalog/registry.h"
#include "compile/compile.h"
#include "compile/link.h"
#include "compile/scope.h"

typedef struct PrintContext
{
	const SegmentCompiled *compiled;
	RangeTblEntry *subject;
	List	   *texts;			/* of char *, for $1, $2, ... */
} PrintContext;

/* Print one expression over these tables, all of its column references at level 0. */
static char *
print_expression(List *rtable, Node *expr)
{
	Query	   *query = makeNode(Query);
	char	   *text;

	query->commandType = CMD_SELECT;
	query->rtable = rtable;
	query->jointree = makeFromExpr(NIL, NULL);
	query->targetList = list_make1(makeTargetEntry((Expr *) expr, 1, NULL, false));
	text = pg_get_querydef(query, false);
	while (*text == ' ')
		text++;
	Assert(strncmp(text, "SELECT ", 7) == 0);
	return text + 7;
}

/* Put the texts back for $1, $2, ..., outside quotes. */
static char *
substitute(const char *text, List *texts)
{
	StringInfoData buf;
	char		quote = '\0';

	initStringInfo(&buf);
	while (*text)
	{
		if (quote == '\0' && *text == '$' && text[1] >= '1' && text[1] <= '9')
		{
			char	   *end;
			long		n = strtol(text + 1, &end, 10);

			appendStringInfoString(&buf, list_nth(texts, n - 1));
			text = end;
			continue;
		}
		if (quote == '\0' && (*text == '\'' || *text == '"'))
			quote = *text;
		else if (*text == quote)
			quote = '\0';
		appendStringInfoChar(&buf, *text++);
	}
	return buf.data;
}

/* References to the subject, outside by one level, become references to a table of this level. */
typedef struct PullContext
{
	int			depth;
	Index		outer;			/* its range table index outside */
	Index		rti;			/* and inside */
} PullContext;

static Node *
pull_subject(Node *node, PullContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && ((Var *) node)->varlevelsup == context->depth + 1)
	{
		Var		   *var = copyObject((Var *) node);

		var->varlevelsup--;
		if (var->varno == context->outer)
			var->varno = var->varnosyn = context->rti;	/* the deparser goes by
														 * varnosyn */
		return (Node *) var;
	}
	if (IsA(node, Query))
	{
		Query	   *query;

		context->depth++;
		query = query_tree_mutator((Query *) node, pull_subject, (void *) context, 0);
		context->depth--;
		return (Node *) query;
	}
	return expression_tree_mutator(node, pull_subject, (void *) context);
}

/* Is "left = right" the equality of this hop?  The subject stands one level up. */
static bool
is_hop(Node *node, SegmentHop *hop, List *rtable, PrintContext *context)
{
	Var		   *operand[2];
	Oid			relid[2];

	if (node == NULL || !IsA(node, OpExpr) || list_length(((OpExpr *) node)->args) != 2)
		return false;
	for (int i = 0; i < 2; i++)
	{
		operand[i] = (Var *) segment_scope_strip(list_nth(((OpExpr *) node)->args, i));
		if (!IsA(operand[i], Var) || operand[i]->varlevelsup > 1)
			return false;
		if (operand[i]->varlevelsup == 1)
			relid[i] = operand[i]->varno == context->compiled->subjectVarno ? context->compiled->subject : InvalidOid;
		else
			relid[i] = rt_fetch(operand[i]->varno, rtable)->relid;
	}
	return relid[0] == hop->fromRel && operand[0]->varattno == hop->fromColumn &&
		relid[1] == hop->toRel && operand[1]->varattno == hop->toColumn;
}

/* Does FROM item follow the path from its second-last hop down to the source? */
static bool
follows_path(Node *item, List *path, int hops, List *rtable, PrintContext *context)
{
	if (hops == 0)
		return IsA(item, RangeTblRef) &&
			rt_fetch(((RangeTblRef *) item)->rtindex, rtable)->relid == ((SegmentHop *) linitial(path))->fromRel;
	return IsA(item, JoinExpr) && ((JoinExpr *) item)->jointype == JOIN_INNER &&
		is_hop(((JoinExpr *) item)->quals, list_nth(path, hops - 1), rtable, context) &&
		follows_path(((JoinExpr *) item)->larg, path, hops - 1, rtable, context);
}

/* The source of a FROM item made by raw.c: its leftmost table. */
static Oid
leftmost_table(Node *item, List *rtable)
{
	while (IsA(item, JoinExpr))
		item = ((JoinExpr *) item)->larg;
	if (!IsA(item, RangeTblRef) || rt_fetch(((RangeTblRef *) item)->rtindex, rtable)->rtekind != RTE_RELATION)
		return InvalidOid;
	return rt_fetch(((RangeTblRef *) item)->rtindex, rtable)->relid;
}

/*
 * The tables of a subquery and then the subject, at their places but without
 * the joins: with no FROM the deparser has nothing to name their columns by,
 * and an aggregate refers to tables only.
 */
static List *
tables_of(Query *query, PrintContext *context)
{
	List	   *rtable = NIL;
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (rte->rtekind == RTE_JOIN)
		{
			rte = makeNode(RangeTblEntry);
			rte->rtekind = RTE_RESULT;
			rte->eref = makeAlias("join", NIL);
		}
		rtable = lappend(rtable, rte);
	}
	return lappend(rtable, context->subject);
}

/* count(*) must name its table somewhere: count(orders), unless that is a column's name. */
static char *
print_count(Query *query, Aggref *aggregate, Oid source, PrintContext *context)
{
	const char *name = get_rel_name(source);
	bool		column = get_attnum(source, name) > 0 || get_attnum(context->compiled->subject, name) > 0;
	Param	   *param = makeNode(Param);
	char	   *text;

	param->paramkind = PARAM_EXTERN;
	param->paramid = 1;
	param->paramtype = RECORDOID;
	param->paramtypmod = -1;
	param->location = -1;
	aggregate->args = list_make1(makeTargetEntry((Expr *) param, 1, NULL, false));
	aggregate->aggstar = false;
	text = print_expression(tables_of(query, context), (Node *) aggregate);
	return substitute(text, list_make1(psprintf("%s%s", quote_identifier(name), column ? ".*" : "")));
}

/* The aggregate that a subquery stands for, as text; NULL if it stands for none. */
static char *
print_aggregate(SubLink *sublink, PrintContext *context)
{
	Query	   *query = (Query *) sublink->subselect;
	TargetEntry *target = list_length(query->targetList) == 1 ? linitial(query->targetList) : NULL;
	PullContext pull = {0, context->compiled->subjectVarno, list_length(query->rtable) + 1};
	List	   *path;
	Oid			source;
	Aggref	   *aggregate;
	ListCell   *lc;

	if (sublink->subLinkType != EXPR_SUBLINK || target == NULL || !IsA(target->expr, Aggref) ||
		query->groupClause != NIL || query->havingQual != NULL || query->distinctClause != NIL ||
		query->sortClause != NIL || query->limitCount != NULL || query->limitOffset != NULL ||
		query->cteList != NIL || query->setOperations != NULL || query->hasWindowFuncs ||
		list_length(query->jointree->fromlist) != 1)
		return NULL;
	source = leftmost_table(linitial(query->jointree->fromlist), query->rtable);
	if (!OidIsValid(source) || source == context->compiled->subject)
		return NULL;
	/* written by hand, with names of its own */
	foreach(lc, query->rtable)
		if (((RangeTblEntry *) lfirst(lc))->alias != NULL)
		return NULL;
	path = segment_compile_link_if_any(source, context->compiled->subject);
	if (path == NIL || !is_hop(query->jointree->quals, llast(path), query->rtable, context) ||
		!follows_path(linitial(query->jointree->fromlist), path, list_length(path) - 1, query->rtable, context))
		return NULL;

	aggregate = castNode(Aggref, pull_subject(copyObject((Node *) target->expr), &pull));
	if (aggregate->aggstar)
		return print_count(query, aggregate, source, context);
	return print_expression(tables_of(query, context), (Node *) aggregate);
}

/* segment.contains('x'::regclass, key) as in_segment('x'). */
static char *
print_in_segment(FuncExpr *call)
{
	Oid			viewId = DatumGetObjectId(((Const *) linitial(call->args))->constvalue);
	char	   *name = DatumGetCString(DirectFunctionCall1(regclassout, ObjectIdGetDatum(viewId)));

	return psprintf("in_segment(%s)", quote_literal_cstr(name));
}

static Node *
placeholder(Node *node, char *text, PrintContext *context)
{
	Param	   *param = makeNode(Param);

	context->texts = lappend(context->texts, text);
	param->paramkind = PARAM_EXTERN;
	param->paramid = list_length(context->texts);
	param->paramtype = exprType(node);
	param->paramtypmod = exprTypmod(node);
	param->paramcollid = exprCollation(node);
	param->location = -1;
	return (Node *) param;
}

static Node *
replace(Node *node, PrintContext *context)
{
	char	   *text;

	if (node == NULL)
		return NULL;
	if (IsA(node, SubLink) && (text = print_aggregate((SubLink *) node, context)) != NULL)
		return placeholder(node, text, context);
	if (IsA(node, FuncExpr) && list_length(((FuncExpr *) node)->args) == 2 &&
		IsA(linitial(((FuncExpr *) node)->args), Const) &&
		get_func_namespace(((FuncExpr *) node)->funcid) == segment_catalog_schema(true) &&
		strcmp(get_func_name(((FuncExpr *) node)->funcid), "contains") == 0)
		return placeholder(node, print_in_segment((FuncExpr *) node), context);
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, replace, (void *) context, 0);
	return expression_tree_mutator(node, replace, (void *) context);
}

char *
segment_compile_print_condition(const SegmentCompiled *compiled)
{
	return segment_compile_print_part(compiled, compiled->condition);
}

char *
segment_compile_print_part(const SegmentCompiled *compiled, Node *part)
{
	PrintContext context = {.compiled = compiled};
	Node	   *expr;
	char	   *text;

	context.subject = copyObject(rt_fetch(compiled->subjectVarno, compiled->query->rtable));
	expr = replace(copyObject(part), &context);
	ChangeVarNodes(expr, compiled->subjectVarno, 1, 0);
	text = print_expression(list_make1(context.subject), expr);
	return substitute(text, context.texts);
}

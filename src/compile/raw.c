/*-------------------------------------------------------------------------
 *
 * raw.c
 *		From a condition as written to the raw query of the segment's view.
 *
 * Works on raw parse trees, before any analysis, because the language differs
 * from SQL in two places only:
 *
 *	sum(orders.amount) FILTER (WHERE ..)	an aggregate over a linked table; it
 *		becomes (SELECT sum(amount) FILTER (WHERE ..) FROM orders
 *				 WHERE orders.customer_id = customers.id)
 *	in_segment('churned')	becomes segment.contains('churned', customers.id)
 *
 * Everything else is left to PostgreSQL's own analysis.  Aggregates are
 * replaced outside subqueries only; inside a subquery SQL's own rules hold.
 * The node kinds that may stand outside subqueries are a whitelist (mutate).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parse_coerce.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "catalog/registry.h"
#include "compat.h"
#include "compile/clock.h"
#include "compile/compile.h"
#include "compile/link.h"

typedef struct RawContext
{
	Oid			subject;
	const char *subjectName;	/* as conditions refer to it */
	const char *keyName;
	const char *text;			/* for positions */
} RawContext;

/* What the column references of one aggregate name. */
typedef struct AggregateNames
{
	RawContext *raw;
	List	   *tables;			/* relation OIDs, each once, without the
								 * subject */
	List	   *locations;		/* of their first mention */
	List	   *bare;			/* ColumnRef * with one name that is no column
								 * of the subject */
	List	   *refs;			/* every ColumnRef *, for qualifying */
} AggregateNames;

static Node *mutate(Node *node, RawContext *raw);

static List *
mutate_list(List *list, RawContext *raw)
{
	ListCell   *lc;

	foreach(lc, list)
		lfirst(lc) = mutate(lfirst(lc), raw);
	return list;
}

static bool
has_column(Oid relid, const char *name)
{
	return get_attnum(relid, name) > 0;
}

static Oid
find_table(const char *schema, const char *name)
{
	return RangeVarGetRelid(makeRangeVar((char *) schema, (char *) name, -1), NoLock, true);
}

static void
add_table(AggregateNames *names, Oid relid, int location)
{
	if (relid == names->raw->subject || list_member_oid(names->tables, relid))
		return;
	names->tables = lappend_oid(names->tables, relid);
	names->locations = lappend_int(names->locations, location);
}

/* Collect column references, those inside subqueries left out. */
static bool
collect_names(Node *node, AggregateNames *names)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink))
		return collect_names(((SubLink *) node)->testexpr, names);
	if (IsA(node, ColumnRef))
	{
		ColumnRef  *ref = (ColumnRef *) node;
		Node	   *last = llast(ref->fields);
		int			n = list_length(ref->fields);
		Oid			relid;

		names->refs = lappend(names->refs, ref);
		if (n == 1 && IsA(last, String))
		{
			if (!has_column(names->raw->subject, strVal(last)))
				names->bare = lappend(names->bare, ref);
			return false;
		}
		if (n == 2)
		{
			const char *table = strVal(linitial(ref->fields));

			if (strcmp(table, names->raw->subjectName) == 0)
				return false;
			relid = find_table(NULL, table);
			if (!OidIsValid(relid))
				ereport(ERROR,
						errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("table \"%s\" does not exist", table),
						segment_compile_position(names->raw->text, ref->location));
			add_table(names, relid, ref->location);
		}
		else if (n == 3)
		{
			const char *schema = strVal(linitial(ref->fields));
			const char *table = strVal(lsecond(ref->fields));

			relid = find_table(schema, table);
			if (!OidIsValid(relid))
				ereport(ERROR,
						errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("table \"%s.%s\" does not exist", schema, table),
						segment_compile_position(names->raw->text, ref->location));
			add_table(names, relid, ref->location);
			/* the FROM item that we make is known by the table's bare name */
			ref->fields = list_make2(lsecond(ref->fields), last);
		}
		return false;
	}
	return raw_expression_tree_walker(node, collect_names, (void *) names);
}

/* Is this call that of an aggregate?  Decided by the catalog, as there is no syntax that says so. */
static bool
is_aggregate(FuncCall *call)
{
	FuncCandidateList candidate;

	if (call->over != NULL)
		return false;
	if (call->agg_star || call->agg_within_group)
		return true;
	for (candidate = segment_compat_candidates(call->funcname, list_length(call->args)); candidate != NULL;
		 candidate = candidate->next)
	{
		if (get_func_prokind(candidate->oid) == PROKIND_AGGREGATE)
			return true;
	}
	return false;
}

/* Does "path" pass through every one of these tables? */
static bool
path_covers(Oid source, List *path, List *tables)
{
	ListCell   *lc;

	foreach(lc, tables)
	{
		Oid			table = lfirst_oid(lc);
		ListCell   *lc2;
		bool		found = table == source;

		foreach(lc2, path)
			found |= ((SegmentHop *) lfirst(lc2))->fromRel == table;
		if (!found)
			return false;
	}
	return true;
}

/*
 * The source of an aggregate: of the tables that it names, the one whose link
 * to the subject passes through all others.  *path receives that link.
 */
static Oid
choose_source(FuncCall *call, AggregateNames *names, List **path)
{
	RawContext *raw = names->raw;
	ListCell   *lc;
	ListCell   *lc2;

	/*
	 * count(orders): a bare name is a table unless it is a column of a table
	 * named otherwise
	 */
	foreach(lc, names->bare)
	{
		ColumnRef  *ref = lfirst(lc);
		const char *name = strVal(linitial(ref->fields));
		Oid			relid = find_table(NULL, name);
		bool		column = false;

		foreach(lc2, names->tables)
			column |= has_column(lfirst_oid(lc2), name);
		if (OidIsValid(relid) && !column)
			add_table(names, relid, ref->location);
	}
	if (names->tables == NIL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("aggregate %s() names no table", NameListToString(call->funcname)),
				errdetail("An aggregate in a segment's condition runs over the rows of a linked table, which its arguments or its FILTER must name."),
				errhint("Write %s(table.column), count(table), or a subquery.", NameListToString(call->funcname)),
				segment_compile_position(raw->text, call->location));

	forboth(lc, names->tables, lc2, names->locations)
	{
		/* an unlinked table among several is reported as such */
		List	   *found = segment_compile_link(lfirst_oid(lc), raw->subject, raw->text, lfirst_int(lc2));

		if (list_length(names->tables) > 1 && !path_covers(lfirst_oid(lc), found, names->tables))
			continue;
		*path = found;
		return lfirst_oid(lc);
	}
	ereport(ERROR,
			errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
			errmsg("aggregate %s() names unrelated tables \"%s\" and \"%s\"",
				   NameListToString(call->funcname),
				   get_rel_name(linitial_oid(names->tables)), get_rel_name(lsecond_oid(names->tables))),
			errdetail("Its source is one linked table; only the tables on the way to the subject may be named beside it."),
			errhint("Use two aggregates, or a subquery."),
			segment_compile_position(raw->text, lsecond_int(names->locations)));
}

static Node *
column_ref(const char *table, const char *column)
{
	ColumnRef  *ref = makeNode(ColumnRef);

	ref->fields = list_make2(makeString(pstrdup(table)), makeString(pstrdup(column)));
	ref->location = -1;
	return (Node *) ref;
}

static RangeVar *
range_var(Oid relid)
{
	return makeRangeVar(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid), -1);
}

/* The operator of a hop: PostgreSQL's own where both types are built in. */
static List *
equals_name(SegmentHop *hop)
{
	Oid			left = get_atttype(hop->fromRel, hop->fromColumn);
	Oid			right = get_atttype(hop->toRel, hop->toColumn);

	if (left < FirstGenbkiObjectId && right < FirstGenbkiObjectId)
		return list_make2(makeString("pg_catalog"), makeString("="));
	return list_make1(makeString("="));
}

static Node *
hop_qual(SegmentHop *hop)
{
	return (Node *) makeA_Expr(AEXPR_OP, equals_name(hop),
							   column_ref(get_rel_name(hop->fromRel), get_attname(hop->fromRel, hop->fromColumn, false)),
							   column_ref(get_rel_name(hop->toRel), get_attname(hop->toRel, hop->toColumn, false)),
							   -1);
}

/* FROM source JOIN .. ON .. along the path, the last hop left for WHERE. */
static Node *
from_item(Oid source, List *path)
{
	Node	   *item = (Node *) range_var(source);
	ListCell   *lc;

	foreach(lc, path)
	{
		SegmentHop *hop = lfirst(lc);
		JoinExpr   *join;

		if (lnext(path, lc) == NULL)
			break;
		join = makeNode(JoinExpr);
		join->jointype = JOIN_INNER;
		join->larg = item;
		join->rarg = (Node *) range_var(hop->toRel);
		join->quals = hop_qual(hop);
		item = (Node *) join;
	}
	return item;
}

/*
 * The subquery that an aggregate becomes names its tables, and the subject
 * outside, without their schemas: two of one name would be taken for each other.
 */
static void
check_same_names(List *path, RawContext *raw, int location)
{
	ListCell   *lc;

	foreach(lc, path)
	{
		Oid			relid = ((SegmentHop *) lfirst(lc))->fromRel;

		if (strcmp(get_rel_name(relid), raw->subjectName) == 0)
			ereport(ERROR,
					errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("an aggregate cannot read table \"%s.%s\", which has the name of the subject table",
						   get_namespace_name(get_rel_namespace(relid)), raw->subjectName),
					errhint("Write a subquery, with an alias for that table."),
					segment_compile_position(raw->text, location));
	}
}

/* Names resolve inside first: a bare column of the source must not be ambiguous with a table on the way. */
static void
qualify_names(AggregateNames *names, Oid source)
{
	ListCell   *lc;

	foreach(lc, names->refs)
	{
		ColumnRef  *ref = lfirst(lc);

		if (list_length(ref->fields) == 1 && IsA(linitial(ref->fields), String) &&
			has_column(source, strVal(linitial(ref->fields))))
			ref->fields = lcons(makeString(get_rel_name(source)), ref->fields);
	}
}

/* count(orders) and count(orders.*) count rows, whatever is in them. */
static void
count_rows(FuncCall *call, Oid source)
{
	ColumnRef  *ref;
	Node	   *last;
	bool		row;

	if (strcmp(strVal(llast(call->funcname)), "count") != 0 || list_length(call->args) != 1 ||
		call->agg_distinct || !IsA(linitial(call->args), ColumnRef))
		return;
	ref = linitial(call->args);
	last = llast(ref->fields);
	if (list_length(ref->fields) == 1)
		row = IsA(last, String) && strcmp(strVal(last), get_rel_name(source)) == 0 &&
			!has_column(source, strVal(last));
	else
		row = IsA(last, A_Star) && strcmp(strVal(linitial(ref->fields)), get_rel_name(source)) == 0;
	if (row)
	{
		call->args = NIL;
		call->agg_star = true;
	}
}

static Node *
mutate_aggregate(FuncCall *call, RawContext *raw)
{
	AggregateNames names = {.raw = raw};
	List	   *path;
	Oid			source;
	SelectStmt *select = makeNode(SelectStmt);
	SubLink    *sublink = makeNode(SubLink);
	ResTarget  *target = makeNode(ResTarget);

	collect_names((Node *) call->args, &names);
	collect_names((Node *) call->agg_order, &names);
	collect_names(call->agg_filter, &names);
	source = choose_source(call, &names, &path);
	check_same_names(path, raw, call->location);
	qualify_names(&names, source);
	count_rows(call, source);

	target->val = (Node *) call;
	target->location = -1;
	select->targetList = list_make1(target);
	select->fromClause = list_make1(from_item(source, path));
	select->whereClause = hop_qual(llast(path));
	sublink->subLinkType = EXPR_SUBLINK;
	sublink->subselect = (Node *) select;
	sublink->location = call->location;
	return (Node *) sublink;
}

/* in_segment('name') -> segment.contains('name'::regclass, subject.key), in place. */
static void
rewrite_in_segment(FuncCall *call, RawContext *raw)
{
	A_Const    *name = NULL;
	TypeCast   *cast = makeNode(TypeCast);

	if (list_length(call->args) == 1 && IsA(linitial(call->args), A_Const))
		name = linitial(call->args);
	if (name == NULL || !segment_compat_is_string(name))
		ereport(ERROR,
				errcode(ERRCODE_SYNTAX_ERROR),
				errmsg("in_segment() takes the name of a segment as a literal"),
				errhint("Write in_segment('name') or in_segment('schema.name')."),
				segment_compile_position(raw->text, call->location));
	cast->arg = (Node *) name;
	cast->typeName = makeTypeNameFromNameList(list_make2(makeString("pg_catalog"), makeString("regclass")));
	cast->location = name->location;
	call->funcname = list_make2(makeString("segment"), makeString("contains"));
	call->args = list_make2(cast, column_ref(raw->subjectName, raw->keyName));
}

/* Finds in_segment() everywhere, subqueries included. */
static bool
find_in_segment(Node *node, RawContext *raw)
{
	if (node == NULL)
		return false;
	if (IsA(node, FuncCall))
	{
		FuncCall   *call = (FuncCall *) node;

		if (strcmp(strVal(llast(call->funcname)), "in_segment") == 0 &&
			(list_length(call->funcname) == 1 || strcmp(strVal(linitial(call->funcname)), "segment") == 0))
			rewrite_in_segment(call, raw);
	}
	return raw_expression_tree_walker(node, find_in_segment, (void *) raw);
}

/*
 * Replace the aggregates of an expression.  The switch is the whitelist of
 * what may stand in a condition outside a subquery.
 */
static Node *
mutate(Node *node, RawContext *raw)
{
	if (node == NULL)
		return NULL;
	check_stack_depth();

	switch (nodeTag(node))
	{
		case T_List:
			return (Node *) mutate_list((List *) node, raw);
		case T_ColumnRef:
		case T_A_Const:
		case T_ParamRef:
		case T_SQLValueFunction:
			return node;
		case T_A_Expr:
			((A_Expr *) node)->lexpr = mutate(((A_Expr *) node)->lexpr, raw);
			((A_Expr *) node)->rexpr = mutate(((A_Expr *) node)->rexpr, raw);
			return node;
		case T_BoolExpr:
			mutate_list(((BoolExpr *) node)->args, raw);
			return node;
		case T_FuncCall:
			if (is_aggregate((FuncCall *) node))
				return mutate_aggregate((FuncCall *) node, raw);
			mutate_list(((FuncCall *) node)->args, raw);
			return node;
		case T_NamedArgExpr:
			((NamedArgExpr *) node)->arg = (Expr *) mutate((Node *) ((NamedArgExpr *) node)->arg, raw);
			return node;
		case T_TypeCast:
			((TypeCast *) node)->arg = mutate(((TypeCast *) node)->arg, raw);
			return node;
		case T_CollateClause:
			((CollateClause *) node)->arg = mutate(((CollateClause *) node)->arg, raw);
			return node;
		case T_CaseExpr:
			((CaseExpr *) node)->arg = (Expr *) mutate((Node *) ((CaseExpr *) node)->arg, raw);
			mutate_list(((CaseExpr *) node)->args, raw);
			((CaseExpr *) node)->defresult = (Expr *) mutate((Node *) ((CaseExpr *) node)->defresult, raw);
			return node;
		case T_CaseWhen:
			((CaseWhen *) node)->expr = (Expr *) mutate((Node *) ((CaseWhen *) node)->expr, raw);
			((CaseWhen *) node)->result = (Expr *) mutate((Node *) ((CaseWhen *) node)->result, raw);
			return node;
		case T_CoalesceExpr:
			mutate_list(((CoalesceExpr *) node)->args, raw);
			return node;
		case T_MinMaxExpr:
			mutate_list(((MinMaxExpr *) node)->args, raw);
			return node;
		case T_NullTest:
			((NullTest *) node)->arg = (Expr *) mutate((Node *) ((NullTest *) node)->arg, raw);
			return node;
		case T_BooleanTest:
			((BooleanTest *) node)->arg = (Expr *) mutate((Node *) ((BooleanTest *) node)->arg, raw);
			return node;
		case T_A_ArrayExpr:
			mutate_list(((A_ArrayExpr *) node)->elements, raw);
			return node;
		case T_RowExpr:
			mutate_list(((RowExpr *) node)->args, raw);
			return node;
		case T_A_Indirection:
			((A_Indirection *) node)->arg = mutate(((A_Indirection *) node)->arg, raw);
			mutate_list(((A_Indirection *) node)->indirection, raw);
			return node;
		case T_A_Indices:
			((A_Indices *) node)->lidx = mutate(((A_Indices *) node)->lidx, raw);
			((A_Indices *) node)->uidx = mutate(((A_Indices *) node)->uidx, raw);
			return node;
		case T_String:
			return node;
		case T_SubLink:
			((SubLink *) node)->testexpr = mutate(((SubLink *) node)->testexpr, raw);
			return node;
		default:
			if (segment_compat_is_json_expression(node))
				return node;
			ereport(ERROR,
					errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("this kind of expression cannot be used in a segment's condition"),
					errhint("Rewrite it with operators, functions, CASE or a subquery."),
					segment_compile_position(raw->text, exprLocation(node)));
	}
}

/* Literals with words that PostgreSQL replaces by the time of parsing, which would freeze them in the definition. */
static bool
collect_moving_dates(Node *node, List **locations)
{
	if (node == NULL)
		return false;
	if (IsA(node, A_Const))
	{
		A_Const    *constant = (A_Const *) node;

		if (segment_compat_is_string(constant) && segment_compile_is_moving(segment_compat_string(constant)))
			*locations = lappend_int(*locations, constant->location);
		return false;
	}
	return raw_expression_tree_walker(node, collect_moving_dates, (void *) locations);
}

typedef struct MovingDates
{
	List	   *locations;
	const char *text;
} MovingDates;

/* Refuse a literal such as 'today' where analysis made a date or time of it, or something that holds them. */
static bool
check_moving_dates(Node *node, MovingDates *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Const))
	{
		Const	   *constant = (Const *) node;

		if (segment_compile_takes_words(constant->consttype) &&
			list_member_int(context->locations, constant->location))
			ereport(ERROR,
					errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("a literal such as 'now' or 'today' cannot be used in a segment's condition"),
					errdetail("It would be frozen at the moment of creation."),
					errhint("Use now() or current_date."),
					segment_compile_position(context->text, constant->location));
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, check_moving_dates, (void *) context, 0);
	return expression_tree_walker(node, check_moving_dates, (void *) context);
}

/* SELECT subject.* FROM subject WHERE qual */
static SelectStmt *
make_select(RawContext *raw, Node *qual)
{
	SelectStmt *select = makeNode(SelectStmt);
	ResTarget  *target = makeNode(ResTarget);
	ColumnRef  *star = makeNode(ColumnRef);

	star->fields = list_make2(makeString(pstrdup(raw->subjectName)), makeNode(A_Star));
	star->location = -1;
	target->val = (Node *) star;
	target->location = -1;
	select->targetList = list_make1(target);
	select->fromClause = list_make1(range_var(raw->subject));
	select->whereClause = qual;
	return select;
}

/*
 * Analyse WHERE condition by itself first, so that what SQL refuses there is
 * refused in SQL's own words and not in those of a function call.
 */
static void
check_condition(RawContext *raw, Node *condition)
{
	MovingDates dates = {.text = raw->text};
	RawStmt    *stmt = makeNode(RawStmt);
	Query	   *query;

	collect_moving_dates(condition, &dates.locations);
	stmt->stmt = (Node *) make_select(raw, copyObject(condition));
	query = parse_analyze_fixedparams(stmt, raw->text, NULL, 0, NULL);
	if (dates.locations != NIL)
		check_moving_dates((Node *) query, &dates);
}

SelectStmt *
segment_compile_raw(int32 id, Oid subject, RangeVar *subjectName, const SegmentCondition *condition)
{
	RawContext	raw = {
		.subject = subject,
		.subjectName = get_rel_name(subject),
		.text = condition->text
	};
	Node	   *expr = copyObject(condition->raw);
	FuncCall   *holds;

	raw.keyName = get_attname(subject,
							  segment_compile_key(subject, raw.text, subjectName ? subjectName->location : -1),
							  false);
	find_in_segment(expr, &raw);
	expr = mutate(expr, &raw);
	check_condition(&raw, expr);

	holds = makeFuncCall(list_make2(makeString("segment"), makeString("holds")),
						 list_make3(segment_compat_int_const(id, -1),
									column_ref(raw.subjectName, raw.keyName),
									expr),
						 COERCE_EXPLICIT_CALL, -1);
	return make_select(&raw, (Node *) holds);
}

SegmentCompiled *
segment_compile_definition(const SegmentDefinitionText *definition)
{
	RawStmt    *raw = makeNode(RawStmt);
	SegmentCompiled *compiled;
	Oid			subject;

	segment_definition_push_error_text(definition->condition.text);
	subject = RangeVarGetRelid(definition->subject, AccessShareLock, false);
	raw->stmt = (Node *) segment_compile_raw(0, subject, definition->subject, &definition->condition);
	compiled = segment_compile_query(parse_analyze_fixedparams(raw, definition->condition.text, NULL, 0, NULL),
									 GetUserId(), definition->condition.text);
	segment_definition_pop_error_text();
	return compiled;
}

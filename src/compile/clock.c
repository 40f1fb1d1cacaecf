/*-------------------------------------------------------------------------
 *
 * clock.c
 *		How a condition depends on the clock.
 *
 * Each place where the clock is read falls into one of three lists:
 *
 *	1. A comparison of a value of the row with the clock plus or minus an
 *	   interval: flips.  Its next change is known for each row by
 *	   segment.next_flip(value, shift, form, clock); for rows of a subquery it
 *	   is the minimum over them,
 *
 *		(SELECT min(next_flip(..)) FROM orders WHERE orders.customer_id = customers.id)
 *
 *	   over a superset of the rows that the subquery looks at: what itself
 *	   depends on the clock is left out of WHERE, and everything above WHERE is.
 *	   Where only the number of rows is asked for, it is later: see count.c.
 *	2. An expression of the clock alone that steps at known instants (midnights,
 *	   hours): instants.  Everybody may change then, and only then.
 *	3. Anything else: refused, or bounded by max_staleness.
 *
 * The clock may be read directly by now(), current_date and the like, by age(x),
 * which is age(current_date, x), or hidden in a conversion (moving.c).  All this
 * is read off the plain form of a condition (plain.c).
 *
 * CASE and COALESCE promise not to evaluate what they do not need.  A deadline
 * found inside of one keeps that promise: it is asked for only where the
 * comparison is.  If it is not at this clock, it does not matter before a
 * condition in front of it changes, which has deadlines of its own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/formatting.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "compat.h"
#include "compile/clock.h"
#include "compile/compile.h"
#include "compile/link.h"
#include "compile/scope.h"
#include "read/flip.h"
#include "testing.h"

/* What stands before a branch of CASE or COALESCE, at the same query level. */
typedef struct Guard
{
	List	   *passed;			/* conditions that must not be true */
	Node	   *taken;			/* the one that must be; NULL: none */
	struct Guard *outer;
} Guard;

/* A query that encloses what is looked at, the outermost first. */
typedef struct Frame
{
	Query	   *query;
	Node	   *tie;			/* "x IN (SELECT y": y = x, as a condition of
								 * this level; or NULL */
	bool		hoisted;		/* a subquery in FROM that stands for the
								 * level around it */
	Guard	   *guard;			/* of the place that the query stands in */
	struct Frame *outer;		/* NULL: the subject's own level is next */
} Frame;

typedef struct ClockContext
{
	SegmentCompiled *compiled;
	const char *text;
	bool		positive;		/* false and NULL are the same: below WHERE */
	Guard	   *guard;			/* of the place looked at; NULL: none */
} ClockContext;

static void visit(Node *node, Frame *frame, ClockContext *context);
static void visit_query(Query *query, Frame *frame, ClockContext *context);

/* ---- what reads the clock ---- */

static bool
is_clock_function(Oid funcid)
{
	return funcid == F_NOW || funcid == F_TRANSACTION_TIMESTAMP;
}

static bool
is_age_of_today(Oid funcid)
{
	return funcid == F_AGE_TIMESTAMP || funcid == F_AGE_TIMESTAMPTZ;
}

/* Does it depend on a row: columns, subqueries, aggregates? */
static bool
has_row_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var) || IsA(node, SubLink) || IsA(node, Aggref) || IsA(node, WindowFunc) || IsA(node, Param))
		return true;
	return expression_tree_walker(node, has_row_walker, context);
}

static bool
has_row(Node *node)
{
	return has_row_walker(node, NULL);
}

/* Refuse, or note that only max_staleness can bound this. */
static void
refuse_at(int location, ClockContext *context)
{
	context->compiled->opaqueClock = true;
	if (context->text != NULL)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("the clock is used in a way whose next change cannot be told"),
				errhint("Compare a column with now() plus or minus an interval, or use current_date, date_trunc() or extract() of now(); or accept a bound WITH (max_staleness = '15 min')."),
				segment_compile_position(context->text, location));
}

static void
refuse(Node *node, ClockContext *context)
{
	refuse_at(exprLocation(node), context);
}

/* The same for what reads the clock without saying so. */
static void
refuse_hidden(Node *node, const char *detail, ClockContext *context)
{
	context->compiled->opaqueClock = true;
	if (context->text != NULL)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("a conversion to a date or time reads the clock"),
				errdetail("%s", detail),
				errhint("Use a column of that type, or to_date() and to_timestamp() with a format; or accept a bound WITH (max_staleness = '15 min')."),
				segment_compile_position(context->text, exprLocation(node)));
}

Node *
segment_compile_earliest(List *flips)
{
	MinMaxExpr *least;

	if (flips == NIL)
		return (Node *) makeNullConst(TIMESTAMPTZOID, -1, InvalidOid);
	if (list_length(flips) == 1)
		return linitial(flips);
	least = makeNode(MinMaxExpr);
	least->minmaxtype = TIMESTAMPTZOID;
	least->op = IS_LEAST;
	least->args = flips;
	least->location = -1;
	return (Node *) least;
}

/* ---- list 1: comparisons with the clock plus an interval ---- */

/* The clock's side of a comparison, taken apart. */
typedef struct ClockSide
{
	int			form;			/* SEGMENT_FLIP_* */
	Oid			type;			/* of the whole */
	Node	   *shift;			/* interval added; NULL: none */
	bool		cast;			/* a cast after the shift: no further shift */
} ClockSide;

static Node *
negate(Node *interval)
{
	return (Node *) makeFuncExpr(F_INTERVAL_UM, INTERVALOID, list_make1(interval), InvalidOid, InvalidOid,
								 COERCE_EXPLICIT_CALL);
}

static Node *
interval_zero(void)
{
	Interval   *zero = palloc0(sizeof(Interval));

	return (Node *) makeConst(INTERVALOID, -1, InvalidOid, sizeof(Interval), IntervalPGetDatum(zero), false, false);
}

/* n days as an interval */
static Node *
interval_days(Node *n)
{
	List	   *args = NIL;
	Const	   *zero = makeConst(INT4OID, -1, InvalidOid, 4, Int32GetDatum(0), false, true);

	/* make_interval(years, months, weeks, days, hours, mins, secs) */
	for (int i = 0; i < 6; i++)
		args = lappend(args, i == 3 ? n : (Node *) copyObject(zero));
	args = lappend(args, makeConst(FLOAT8OID, -1, InvalidOid, 8, Float8GetDatum(0.0), false, FLOAT8PASSBYVAL));
	return (Node *) makeFuncExpr(F_MAKE_INTERVAL, INTERVALOID, args, InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

static Oid
called_function(Node *node, List **args)
{
	if (IsA(node, FuncExpr))
	{
		*args = ((FuncExpr *) node)->args;
		return ((FuncExpr *) node)->funcid;
	}
	if (IsA(node, OpExpr))
	{
		*args = ((OpExpr *) node)->args;
		return get_opcode(((OpExpr *) node)->opno);
	}
	return InvalidOid;
}

/* Take the clock's side apart; false if it has another form. */
static bool
take_apart(Node *node, ClockSide *side)
{
	List	   *args = NIL;
	Oid			function;
	Node	   *clock;
	Node	   *shift;
	bool		subtract = false;
	bool		swapped = false;
	bool		days = false;

	check_stack_depth();
	while (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	if (IsA(node, SQLValueFunction))
	{
		side->shift = NULL;
		side->cast = false;
		side->type = ((SQLValueFunction *) node)->type;
		switch (((SQLValueFunction *) node)->op)
		{
			case SVFOP_CURRENT_DATE:
				side->form = SEGMENT_FLIP_DATE;
				return true;
			case SVFOP_CURRENT_TIMESTAMP:
				side->form = SEGMENT_FLIP_NOW;
				return true;
			case SVFOP_LOCALTIMESTAMP:
				side->form = SEGMENT_FLIP_LOCAL;
				return true;
			default:
				return false;
		}
	}
	function = called_function(node, &args);
	if (is_clock_function(function))
	{
		*side = (ClockSide)
		{
			SEGMENT_FLIP_NOW, TIMESTAMPTZOID, NULL, false
		};
		return true;
	}

	switch (function)
	{
			/* casts */
		case F_TIMESTAMP_TIMESTAMPTZ:
			if (!take_apart(linitial(args), side) || side->type != TIMESTAMPTZOID ||
				(side->form == SEGMENT_FLIP_LOCAL && side->shift != NULL))
				return false;
			if (side->form == SEGMENT_FLIP_NOW && side->shift == NULL)
				side->form = SEGMENT_FLIP_LOCAL;
			else
				side->cast = true;
			side->type = TIMESTAMPOID;
			return true;
		case F_TIMESTAMPTZ_TIMESTAMP:
		case F_TIMESTAMPTZ_DATE:
			if (!take_apart(linitial(args), side))
				return false;
			side->type = TIMESTAMPTZOID;
			side->cast = true;
			return side->form != SEGMENT_FLIP_NOW;
		case F_TIMESTAMP_DATE:
			if (!take_apart(linitial(args), side) || side->shift != NULL)
				return false;
			side->type = TIMESTAMPOID;
			return true;
		case F_DATE_TIMESTAMPTZ:
		case F_DATE_TIMESTAMP:

			/*
			 * the date of a shifted instant steps at other times than
			 * midnight
			 */
			if (!take_apart(linitial(args), side) || side->shift != NULL)
				return false;
			side->form = SEGMENT_FLIP_DATE;
			side->type = DATEOID;
			return true;

			/* additions */
		case F_TIMESTAMPTZ_PL_INTERVAL:
		case F_TIMESTAMP_PL_INTERVAL:
		case F_DATE_PL_INTERVAL:
			break;
		case F_TIMESTAMPTZ_MI_INTERVAL:
		case F_TIMESTAMP_MI_INTERVAL:
		case F_DATE_MI_INTERVAL:
			subtract = true;
			break;
		case F_INTERVAL_PL_TIMESTAMPTZ:
		case F_INTERVAL_PL_TIMESTAMP:
		case F_INTERVAL_PL_DATE:
			swapped = true;
			break;
		case F_DATE_PLI:
			days = true;
			break;
		case F_DATE_MII:
			days = subtract = true;
			break;
		case F_INTEGER_PL_DATE:
			days = swapped = true;
			break;
		default:
			return false;
	}
	clock = swapped ? lsecond(args) : linitial(args);
	shift = swapped ? linitial(args) : lsecond(args);
	if (segment_compile_has_clock(shift) || !take_apart(clock, side) || side->shift != NULL || side->cast)
		return false;
	if (side->form == SEGMENT_FLIP_DATE && side->type == TIMESTAMPTZOID)
		return false;			/* midnight as an instant, then shifted in its
								 * own way */
	side->shift = copyObject(shift);
	if (days)
		side->shift = interval_days(side->shift);
	if (subtract)
		side->shift = negate(side->shift);
	side->type = exprType(node);
	return true;
}

static bool
is_datetime(Oid type)
{
	return type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID;
}

/* x as an instant, or as a local timestamp */
static Node *
as_type(Node *x, Oid type)
{
	Oid			from = exprType(x);
	Oid			function;

	if (from == type)
		return x;
	if (type == TIMESTAMPTZOID)
		function = from == DATEOID ? F_TIMESTAMPTZ_DATE : F_TIMESTAMPTZ_TIMESTAMP;
	else
		function = F_TIMESTAMP_DATE;
	return (Node *) makeFuncExpr(function, type, list_make1(x), InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

static Oid
our_function(const char *name, int nargs, const Oid *types)
{
	return LookupFuncName(list_make2(makeString("segment"), makeString((char *) name)), nargs, types, false);
}

/* segment.next_flip(x, shift, form, now()) */
static Node *
flip_expression(Node *x, const ClockSide *side)
{
	Oid			axis = exprType(x) == TIMESTAMPTZOID || side->type == TIMESTAMPTZOID ? TIMESTAMPTZOID : TIMESTAMPOID;
	Oid			types[4] = {axis, INTERVALOID, INT4OID, TIMESTAMPTZOID};

	return (Node *) makeFuncExpr(our_function("next_flip", 4, types), TIMESTAMPTZOID,
								 list_make4(as_type(copyObject(x), axis),
											side->shift ? copyObject(side->shift) : interval_zero(),
											makeConst(INT4OID, -1, InvalidOid, 4, Int32GetDatum(side->form), false, true),
											makeFuncExpr(F_NOW, TIMESTAMPTZOID, NIL, InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL)),
								 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

/* x moved by the length of an interval as comparisons of intervals see it */
static Node *
shifted(Node *x, Node *span, int sign)
{
	Oid			type = exprType(x);
	Oid			types[3];

	if (type == DATEOID)
		x = as_type(x, type = TIMESTAMPOID);
	types[0] = type;
	types[1] = INTERVALOID;
	types[2] = INT4OID;
	return (Node *) makeFuncExpr(our_function("shift", 3, types), type,
								 list_make3(copyObject(x), copyObject(span),
											makeConst(INT4OID, -1, InvalidOid, 4, Int32GetDatum(sign), false, true)),
								 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

/* Is this one of the six comparisons of a type's order, also with the types beside it? */
static bool
compares(Oid opno, Oid type)
{
	Oid			opfamily = lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
	Oid			negator = get_negator(opno);

	return op_in_opfamily(opno, opfamily) || (OidIsValid(negator) && op_in_opfamily(negator, opfamily));
}

/*
 * May what is compared with the clock read it too?  It may in a subquery or an
 * aggregate's FILTER: what changes it is a change of its own, at which the flip is
 * computed anew.  Two clocks are rather an expression of the clock alone.
 */
static bool
may_be_compared(Node *x)
{
	return !segment_compile_has_clock(x) || has_row(x);
}

/* (clock - x) compared with a span, or (x - clock): the flip, with *other = x; or NULL */
static Node *
flip_of_difference(Node *difference, Node *span, Node **other)
{
	List	   *args = NIL;
	Oid			function = called_function(difference, &args);
	ClockSide	side;
	Node	   *x;
	int			sign;

	if (function != F_TIMESTAMPTZ_MI && function != F_TIMESTAMP_MI && function != F_DATE_MI)
		return NULL;
	if (segment_compile_has_clock(span))
		return NULL;
	if (may_be_compared(lsecond(args)) && take_apart(linitial(args), &side))
	{
		x = lsecond(args);
		sign = 1;				/* clock - x > span: clock > x + span */
	}
	else if (may_be_compared(linitial(args)) && take_apart(lsecond(args), &side))
	{
		x = linitial(args);
		sign = -1;				/* x - clock > span: clock < x - span */
	}
	else
		return NULL;
	*other = x;
	if (function == F_DATE_MI)
		span = interval_days(copyObject(span));
	x = shifted(x, span, sign);
	return flip_expression(x, &side);
}

/*
 * The clock compared with x: not when it has become a local time only after
 * it was moved, and x makes an instant of that again.  In the night that has an
 * hour twice this is another instant.
 */
static bool
take_clock(Node *clock, Node *x, ClockSide *side)
{
	return may_be_compared(x) && take_apart(clock, side) &&
		!(side->form == SEGMENT_FLIP_NOW && side->cast && exprType(x) == TIMESTAMPTZOID && side->type == TIMESTAMPOID);
}

/* The flip of a comparison, at its own level, with *other = what is compared with the clock; NULL if it is not of list 1. */
static Node *
flip_of(OpExpr *op, Node **other)
{
	Node	   *left;
	Node	   *right;
	ClockSide	side;

	if (list_length(op->args) != 2)
		return NULL;
	left = linitial(op->args);
	right = lsecond(op->args);
	if (is_datetime(exprType(left)) && is_datetime(exprType(right)) &&
		compares(op->opno, TIMESTAMPTZOID))
	{
		if (take_clock(right, left, &side))
			return flip_expression(*other = left, &side);
		if (take_clock(left, right, &side))
			return flip_expression(*other = right, &side);
		return NULL;
	}
	if (compares(op->opno, INTERVALOID) ||
		(exprType(left) == INT4OID && exprType(right) == INT4OID && compares(op->opno, INT4OID)))
	{
		Node	   *flip = flip_of_difference(left, right, other);

		return flip ? flip : flip_of_difference(right, left, other);
	}
	return NULL;
}

/* ---- from the level of a comparison out to the subject ---- */

typedef struct ExtremesContext
{
	Aggref	   *aggregate;		/* the one found */
	bool		failed;
} ExtremesContext;

/*
 * min() and max() of a column are a value of some row: look at every row's.  Two
 * of them may be of two rows.
 */
static Node *
open_extremes(Node *node, ExtremesContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup == 0)
	{
		Aggref	   *aggregate = (Aggref *) node;
		const char *name = get_func_name(aggregate->aggfnoid);

		if (context->aggregate == NULL)
			context->aggregate = aggregate;
		if (equal(context->aggregate, aggregate) &&
			get_func_namespace(aggregate->aggfnoid) == PG_CATALOG_NAMESPACE && name != NULL &&
			(strcmp(name, "min") == 0 || strcmp(name, "max") == 0))
			return (Node *) ((TargetEntry *) linitial(aggregate->args))->expr;
		context->failed = true;
		return node;
	}
	if (IsA(node, WindowFunc))
	{
		context->failed = true;
		return node;
	}
	if (IsA(node, Query))
		return node;
	return expression_tree_mutator(node, open_extremes, (void *) context);
}

/* AND lists without what reads the clock. */
static Node *
without_clock(Node *quals)
{
	List	   *kept = NIL;
	ListCell   *lc;

	foreach(lc, make_ands_implicit((Expr *) quals))
		if (!segment_compile_has_clock(lfirst(lc)))
		kept = lappend(kept, lfirst(lc));
	return kept == NIL ? NULL : (Node *) make_ands_explicit(kept);
}

/* The same for a join tree; fails where leaving out would lose rows: of the nullable side of an outer join, too. */
static bool
strip_jointree(Node *node, bool nullable)
{
	ListCell   *lc;

	if (IsA(node, FromExpr))
	{
		foreach(lc, ((FromExpr *) node)->fromlist)
			if (!strip_jointree(lfirst(lc), nullable))
			return false;
		((FromExpr *) node)->quals = without_clock(((FromExpr *) node)->quals);
	}
	else if (IsA(node, JoinExpr))
	{
		JoinExpr   *join = (JoinExpr *) node;

		if (!strip_jointree(join->larg, nullable || join->jointype == JOIN_RIGHT || join->jointype == JOIN_FULL) ||
			!strip_jointree(join->rarg, nullable || join->jointype == JOIN_LEFT || join->jointype == JOIN_FULL))
			return false;
		if (!segment_compile_has_clock(join->quals))
			return true;
		if (nullable || join->jointype != JOIN_INNER)
			return false;
		join->quals = without_clock(join->quals);
		if (join->quals == NULL)
			join->quals = makeBoolConst(true, false);
	}
	return true;
}

static Aggref *
min_of(Node *expr)
{
	Aggref	   *aggregate = makeNode(Aggref);
	Oid			types[1] = {TIMESTAMPTZOID};

	aggregate->aggfnoid = LookupFuncName(list_make2(makeString("pg_catalog"), makeString("min")), 1, types, false);
	aggregate->aggtype = TIMESTAMPTZOID;
	aggregate->aggtranstype = InvalidOid;	/* the planner finds it */
	aggregate->aggargtypes = list_make1_oid(TIMESTAMPTZOID);
	aggregate->args = list_make1(makeTargetEntry((Expr *) expr, 1, NULL, false));
	aggregate->aggkind = 'n';
	aggregate->aggno = -1;
	aggregate->aggtransno = -1;
	aggregate->location = -1;
	return aggregate;
}

/* min() and max() are NULL where no row passes their FILTER, or there is none. */
static Node *
null_aggregates(Node *node, void *context)
{
	if (node == NULL || IsA(node, Query))
		return node;
	if (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup == 0)
		return (Node *) makeNullConst(((Aggref *) node)->aggtype, -1, ((Aggref *) node)->aggcollid);
	return expression_tree_mutator(node, null_aggregates, context);
}

static Node *
scalar_subquery(Query *query)
{
	SubLink    *sublink = makeNode(SubLink);

	query->hasSubLinks = true;
	sublink->subLinkType = EXPR_SUBLINK;
	sublink->subselect = (Node *) query;
	sublink->location = -1;
	return (Node *) sublink;
}

/* (SELECT expr) */
static Node *
select_only(Node *expr)
{
	Query	   *query = makeNode(Query);

	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->jointree = makeFromExpr(NIL, NULL);
	query->targetList = list_make1(makeTargetEntry((Expr *) expr, 1, pstrdup("flip"), false));
	return scalar_subquery(query);
}

/*
 * (SELECT min(expr) FROM .. WHERE ..) over the rows of a level, clock left out; NULL if it cannot be.
 *
 * Above aggregates without GROUP BY there is a row even where there is none
 * below: its flip is looked at as well.
 */
static Node *
minimum_over(Frame *frame, Node *expr)
{
	Query	   *query = copyObject(frame->query);
	ExtremesContext extremes = {NULL, false};
	bool		always = (query->hasAggs || query->havingQual != NULL) && query->groupClause == NIL;
	Node	   *nothing;
	Node	   *minimum;
	ListCell   *lc;

	expr = segment_compat_flatten_groups(query, expr);
	nothing = null_aggregates(expr, NULL);
	expr = open_extremes(expr, &extremes);
	if (extremes.aggregate != NULL)
		expr = segment_compile_earliest(list_make2(expr, copyObject(nothing)));
	if (extremes.failed || contain_aggs_of_level(expr, 0) || query->setOperations != NULL || !strip_jointree((Node *) query->jointree, false))
		return NULL;

	/*
	 * what stands in FROM and reads the clock has changes of its own, at
	 * which this is computed anew
	 */
	foreach(lc, query->cteList)
		if (segment_compile_has_clock(((CommonTableExpr *) lfirst(lc))->ctequery))
		return NULL;
	if (frame->tie != NULL)
		query->jointree->quals = make_and_qual(query->jointree->quals,
											   segment_compat_flatten_groups(query, copyObject(frame->tie)));
	segment_compat_drop_groups(query);

	query->targetList = list_make1(makeTargetEntry((Expr *) min_of(expr), 1, pstrdup("flip"), false));
	query->hasAggs = true;
	query->hasWindowFuncs = false;
	query->hasDistinctOn = false;
	query->hasTargetSRFs = false;
	query->groupClause = NIL;
	query->groupingSets = NIL;
	query->havingQual = NULL;
	query->windowClause = NIL;
	query->distinctClause = NIL;
	query->sortClause = NIL;
	query->limitOffset = NULL;
	query->limitCount = NULL;
	minimum = scalar_subquery(query);
	/* what has columns of the level is looked at below the aggregates */
	if (always && !contain_vars_of_level(nothing, 0) && !SEGMENT_MUTANT("only_rows"))
		minimum = segment_compile_earliest(list_make2(minimum, select_only(nothing)));
	return minimum;
}

/* Does anything in a query refer to the level right around it? */
static bool
refers_around(Node *node, void *context)
{
	int			depth = *(int *) context;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varlevelsup == depth;
	if (IsA(node, Query))
	{
		int			inner = depth + 1;

		return query_tree_walker((Query *) node, refers_around, (void *) &inner, 0);
	}
	return expression_tree_walker(node, refers_around, context);
}

static bool
has_aggregate_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Aggref) || IsA(node, WindowFunc))
		return true;
	return expression_tree_walker(node, has_aggregate_walker, context);
}

static void
add_when(CaseExpr *choice, Node *condition, Node *result)
{
	CaseWhen   *when = makeNode(CaseWhen);

	when->expr = (Expr *) copyObject(condition);
	when->result = (Expr *) result;
	when->location = -1;
	choice->args = lappend(choice->args, when);
}

/*
 * The flip where its place is reached, else NULL.  A guard of aggregates stays
 * out, as flips are computed of rows: without it the flip is only asked for more
 * often.
 */
static Node *
guarded(Node *flip, const Guard *guard)
{
	CaseExpr   *choice;
	ListCell   *lc;

	if (guard == NULL)
		return flip;
	if (has_aggregate_walker((Node *) guard->passed, NULL) || has_aggregate_walker(guard->taken, NULL))
		return guarded(flip, guard->outer);
	choice = makeNode(CaseExpr);
	choice->casetype = TIMESTAMPTZOID;
	choice->location = -1;
	foreach(lc, guard->passed)
		add_when(choice, lfirst(lc), (Node *) makeNullConst(TIMESTAMPTZOID, -1, InvalidOid));
	if (guard->taken != NULL)
		add_when(choice, guard->taken, flip);
	choice->defresult = guard->taken != NULL ? (Expr *) makeNullConst(TIMESTAMPTZOID, -1, InvalidOid) : (Expr *) flip;
	return guarded((Node *) choice, guard->outer);
}

/*
 * Take a flip found at a level out to the subject's; false when it cannot be.
 *
 * A subquery in FROM is looked at from outside the level that it stands in, whose
 * rows are those that it has now; and so on, while that one stands in FROM too.
 */
static bool
add_flip(Node *flip, Frame *frame, const Guard *guard, SegmentCompiled *compiled)
{
	flip = guarded(flip, guard);
	for (; frame != NULL; frame = frame->outer)
	{
		flip = minimum_over(frame, flip);
		if (flip == NULL)
			return false;
		while (frame->hoisted)
		{
			int			depth = 0;

			if (refers_around(flip, &depth))
				return false;
			frame = frame->outer;
			if (frame == NULL)
				return false;	/* FROM of the view itself is the subject */
			IncrementVarSublevelsUp(flip, -1, 1);
		}
		flip = guarded(flip, frame->guard);
	}
	compiled->flips = lappend(compiled->flips, flip);
	return true;
}

/* ---- list 2: expressions of the clock alone ---- */

static SegmentGrain
finer(SegmentGrain a, SegmentGrain b)
{
	return a > b ? a : b;
}

/* The grain of a field of date_trunc() or extract(); false: too fine, or unknown. */
static bool
field_grain(Node *node, SegmentGrain *grain)
{
	static const struct
	{
		const char *name;
		SegmentGrain grain;
	}			fields[] = {
		{"millennium", GRAIN_DAY}, {"century", GRAIN_DAY}, {"decade", GRAIN_DAY}, {"year", GRAIN_DAY},
		{"isoyear", GRAIN_DAY}, {"quarter", GRAIN_DAY}, {"month", GRAIN_DAY}, {"week", GRAIN_DAY},
		{"day", GRAIN_DAY}, {"dow", GRAIN_DAY}, {"isodow", GRAIN_DAY}, {"doy", GRAIN_DAY},
		{"hour", GRAIN_QUARTER}, {"timezone", GRAIN_QUARTER}, {"timezone_hour", GRAIN_QUARTER},
		{"timezone_minute", GRAIN_QUARTER}, {"minute", GRAIN_MINUTE}
	};
	text	   *value;
	char	   *field;

	if (!IsA(node, Const) || ((Const *) node)->constisnull || ((Const *) node)->consttype != TEXTOID)
		return false;
	value = DatumGetTextPP(((Const *) node)->constvalue);
	field = asc_tolower(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	for (int i = 0; i < lengthof(fields); i++)
		if (strcmp(field, fields[i].name) == 0)
		{
			*grain = fields[i].grain;
			return true;
		}
	return false;
}

/* Is this a zone whose offset is a multiple of 15 minutes, as those of all countries are since 1972? */
static bool
has_whole_quarters(Node *zone)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!IsA(zone, Const) || ((Const *) zone)->constisnull)
		return false;
	return (DatumGetTimestamp(DirectFunctionCall2(timestamptz_zone, ((Const *) zone)->constvalue, TimestampTzGetDatum(now))) - now) %
		(15 * USECS_PER_MINUTE) == 0;
}

/* The grain of whole fields of a moment: that of the field, or finer if the moment is shifted by less. */
static bool
moment_grain(Node *node, SegmentGrain *grain)
{
	List	   *args = NIL;
	Oid			function;
	Node	   *shift;

	check_stack_depth();
	while (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	if (IsA(node, SQLValueFunction))
	{
		SQLValueFunctionOp op = ((SQLValueFunction *) node)->op;

		*grain = GRAIN_DAY;
		return op == SVFOP_CURRENT_DATE || op == SVFOP_CURRENT_TIMESTAMP || op == SVFOP_LOCALTIMESTAMP;
	}
	function = called_function(node, &args);
	switch (function)
	{
		case F_NOW:
		case F_TRANSACTION_TIMESTAMP:
			*grain = GRAIN_DAY;
			return true;
		case F_TIMESTAMP_TIMESTAMPTZ:
		case F_TIMESTAMPTZ_TIMESTAMP:
		case F_TIMESTAMP_DATE:
		case F_TIMESTAMPTZ_DATE:
			return moment_grain(linitial(args), grain);
		case F_TIMEZONE_TEXT_TIMESTAMPTZ:
		case F_TIMEZONE_TEXT_TIMESTAMP:
			/* midnight of another zone: at a quarter of an hour of ours */
			if (!has_whole_quarters(linitial(args)) || !moment_grain(lsecond(args), grain))
				return false;
			*grain = finer(*grain, GRAIN_QUARTER);
			return true;
		case F_TIMESTAMPTZ_PL_INTERVAL:
		case F_TIMESTAMPTZ_MI_INTERVAL:
		case F_TIMESTAMP_PL_INTERVAL:
		case F_TIMESTAMP_MI_INTERVAL:
			shift = lsecond(args);
			if (!IsA(shift, Const) || ((Const *) shift)->constisnull || !moment_grain(linitial(args), grain))
				return false;
			{
				int64		time = DatumGetIntervalP(((Const *) shift)->constvalue)->time;

				if (time % USECS_PER_MINUTE != 0)
					return false;
				if (DatumGetIntervalP(((Const *) shift)->constvalue)->day != 0 ||
					DatumGetIntervalP(((Const *) shift)->constvalue)->month != 0)
					*grain = finer(*grain, GRAIN_EVENING);
				if (time % (15 * USECS_PER_MINUTE) != 0)
					*grain = finer(*grain, GRAIN_MINUTE);
				else if (time != 0)
					*grain = finer(*grain, GRAIN_QUARTER);
			}
			return true;
		default:
			return false;
	}
}

/* What the value of an expression is made of. */
static List *
parts_of(Node *node)
{
	List	   *args = NIL;

	switch (nodeTag(node))
	{
		case T_RelabelType:
			return list_make1(((RelabelType *) node)->arg);
		case T_CoerceViaIO:
			return list_make1(((CoerceViaIO *) node)->arg);
		case T_MinMaxExpr:
			return ((MinMaxExpr *) node)->args;
		case T_CoalesceExpr:
			return ((CoalesceExpr *) node)->args;
		case T_DistinctExpr:
			return ((DistinctExpr *) node)->args;
		case T_ScalarArrayOpExpr:
			return ((ScalarArrayOpExpr *) node)->args;
		case T_ArrayExpr:
			return ((ArrayExpr *) node)->elements;
		default:
			(void) called_function(node, &args);
			return args;
	}
}

/* The grain of an expression of the clock alone; false: it moves all the time. */
static bool
find_grain(Node *node, SegmentGrain *grain)
{
	List	   *args = NIL;
	Oid			function;
	SegmentGrain inner;
	bool		found = false;
	ListCell   *lc;

	check_stack_depth();
	if (IsA(node, SQLValueFunction))
	{
		*grain = GRAIN_DAY;
		return ((SQLValueFunction *) node)->op == SVFOP_CURRENT_DATE;
	}
	function = called_function(node, &args);
	switch (function)
	{
		case F_NOW:
		case F_TRANSACTION_TIMESTAMP:
			return false;
		case F_DATE_TIMESTAMPTZ:
		case F_DATE_TIMESTAMP:
			return moment_grain(linitial(args), grain);
		case F_DATE_TRUNC_TEXT_TIMESTAMP:
		case F_DATE_TRUNC_TEXT_TIMESTAMPTZ:
		case F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT:
		case F_EXTRACT_TEXT_TIMESTAMP:
		case F_EXTRACT_TEXT_TIMESTAMPTZ:
		case F_DATE_PART_TEXT_TIMESTAMP:
		case F_DATE_PART_TEXT_TIMESTAMPTZ:
			if (!field_grain(linitial(args), grain) ||
				(function == F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT && !has_whole_quarters(lthird(args))))
				return false;
			if (!moment_grain(lsecond(args), &inner))
				return find_grain(lsecond(args), grain);
			*grain = finer(*grain, inner);
			if (function == F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT)
				*grain = finer(*grain, GRAIN_QUARTER);
			return true;
		default:
			break;
	}

	/* anything else steps when what it is made of does */
	*grain = GRAIN_DAY;
	foreach(lc, parts_of(node))
	{
		if (!segment_compile_has_clock(lfirst(lc)))
			continue;
		if (!find_grain(lfirst(lc), &inner))
			return false;
		*grain = finer(*grain, inner);
		found = true;
	}
	return found;
}

static void
add_instant(Node *expr, SegmentGrain grain, SegmentCompiled *compiled)
{
	SegmentInstant *instant;
	ListCell   *lc;

	foreach(lc, compiled->instants)
		if (equal(((SegmentInstant *) lfirst(lc))->expr, expr))
		return;
	instant = palloc(sizeof(SegmentInstant));
	instant->expr = copyObject(expr);
	instant->grain = grain;
	compiled->instants = lappend(compiled->instants, instant);
}

static void
add_today(SegmentCompiled *compiled)
{
	SQLValueFunction *today = makeNode(SQLValueFunction);

	today->op = SVFOP_CURRENT_DATE;
	today->type = DATEOID;
	today->typmod = -1;
	today->location = -1;
	add_instant((Node *) today, GRAIN_DAY, compiled);
}

/* ---- the walk ---- */

typedef struct VisitContext
{
	Frame	   *frame;
	ClockContext *context;
} VisitContext;

static bool
visit_child(Node *node, VisitContext *visiting)
{
	if (node != NULL)
		visit(node, visiting->frame, visiting->context);
	return false;
}

/*
 * "operand IN (SELECT output": output = operand, as seen from inside; NULL if it
 * says nothing.  Where NULL is not the same as false, as in NOT IN, rows with a
 * NULL output count for everybody.
 */
static Node *
tie_of(SubLink *sublink, bool positive)
{
	Node	   *tie;
	BooleanTest *test_null;
	Query	   *query = (Query *) sublink->subselect;
	OpExpr	   *test = (OpExpr *) sublink->testexpr;
	Node	   *outer;
	Node	   *inner;
	TargetEntry *target;

	if (sublink->subLinkType != ANY_SUBLINK || !is_opclause(test) || segment_compile_has_clock((Node *) test) || list_length(test->args) != 2 ||
		!IsA(lsecond(test->args), Param) || list_length(query->targetList) < 1 ||
		!op_mergejoinable(test->opno, exprType(linitial(test->args))))
		return NULL;
	target = get_tle_by_resno(query->targetList, ((Param *) lsecond(test->args))->paramid);
	if (target == NULL || !IsA(target->expr, Var) || ((Var *) target->expr)->varlevelsup != 0 ||
		!segment_touch_can_push_down(query, target))
		return NULL;
	inner = copyObject((Node *) target->expr);
	outer = copyObject(linitial(test->args));
	IncrementVarSublevelsUp(outer, 1, 0);
	tie = (Node *) make_opclause(test->opno, BOOLOID, false, (Expr *) outer, (Expr *) inner,
								 InvalidOid, test->inputcollid);
	if (positive)
		return tie;
	test_null = makeNode(BooleanTest);
	test_null->arg = (Expr *) tie;
	test_null->booltesttype = IS_NOT_FALSE;
	test_null->location = -1;
	return (Node *) test_null;
}

/* The comparison of IN, ANY and ALL as seen from inside: outputs for parameters. */
static Node *
put_outputs(Node *node, Query *query)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_SUBLINK)
	{
		TargetEntry *target = get_tle_by_resno(query->targetList, ((Param *) node)->paramid);

		Assert(target != NULL);
		return (Node *) copyObject(target->expr);
	}
	return expression_tree_mutator(node, put_outputs, (void *) query);
}

static void
visit_sublink(SubLink *sublink, Frame *frame, ClockContext *context)
{
	Frame		inner = {.query = (Query *) sublink->subselect,.tie = tie_of(sublink, context->positive),
	.guard = context->guard,.outer = frame};
	bool		positive = context->positive;

	context->guard = NULL;
	if (segment_compile_has_clock(sublink->testexpr))
	{
		Node	   *test = copyObject(sublink->testexpr);

		/* the outputs' levels are the inner ones already */
		IncrementVarSublevelsUp(test, 1, 0);
		context->positive = false;
		visit(put_outputs(test, inner.query), &inner, context);
	}
	visit_query(inner.query, &inner, context);
	context->positive = positive;
	context->guard = inner.guard;
}

/* Everything in a query but its own FROM items' queries is at the level of the frame. */
static void
visit_query(Query *query, Frame *frame, ClockContext *context)
{
	VisitContext visiting = {frame, context};
	ListCell   *lc;

	check_stack_depth();
	if (!segment_compile_has_clock((Node *) query))
		return;
	foreach(lc, query->cteList)
		if (segment_compile_has_clock(((CommonTableExpr *) lfirst(lc))->ctequery))
		refuse_at(((CommonTableExpr *) lfirst(lc))->location, context);
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (rte->rtekind == RTE_SUBQUERY && segment_compile_has_clock((Node *) rte->subquery))
		{
			Frame		inner = {.query = rte->subquery,.hoisted = true,.outer = frame};

			/* FROM is reached before any guard of its level */
			visit_query(rte->subquery, &inner, context);
		}
		else if (rte->rtekind == RTE_FUNCTION)
			visit((Node *) rte->functions, frame, context);
		else if (rte->rtekind == RTE_VALUES)
			visit((Node *) rte->values_lists, frame, context);
		else if (rte->rtekind == RTE_TABLEFUNC)
			visit((Node *) rte->tablefunc, frame, context);
	}

	/*
	 * the rows above are not those below: totals, with NULL for what is not
	 * grouped by, even of no row
	 */
	if (query->groupingSets != NIL && segment_compile_has_clock(query->havingQual))
		refuse(query->havingQual, context);
	if (query->groupingSets != NIL && segment_compile_has_clock((Node *) query->targetList))
		refuse((Node *) query->targetList, context);
	context->positive = false;
	(void) query_tree_walker(query, visit_child, (void *) &visiting,
							 QTW_IGNORE_RT_SUBQUERIES | QTW_IGNORE_CTE_SUBQUERIES | QTW_IGNORE_RANGE_TABLE);
}

/* Does a node have a value that may step, or only hold nodes that have? */
static bool
is_expression(Node *node)
{
	switch (nodeTag(node))
	{
		case T_SQLValueFunction:
		case T_FuncExpr:
		case T_OpExpr:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_MinMaxExpr:
		case T_CoalesceExpr:
		case T_DistinctExpr:
		case T_ScalarArrayOpExpr:
		case T_ArrayExpr:
			return true;
		default:
			return false;
	}
}

/* Visit a node that is reached where these conditions are not true, and that one is. */
static void
visit_guarded(Node *node, List *passed, Node *taken, Frame *frame, ClockContext *context)
{
	Guard		guard = {passed, taken, context->guard};

	if (passed != NIL || taken != NULL)
		context->guard = &guard;
	visit(node, frame, context);
	context->guard = guard.outer;
}

static void
visit_case(CaseExpr *choice, Frame *frame, ClockContext *context)
{
	List	   *passed = NIL;
	ListCell   *lc;

	context->positive = false;
	foreach(lc, choice->args)
	{
		CaseWhen   *when = lfirst(lc);

		visit_guarded((Node *) when->expr, passed, NULL, frame, context);
		visit_guarded((Node *) when->result, passed, (Node *) when->expr, frame, context);
		passed = lappend(list_copy(passed), when->expr);
	}
	visit_guarded((Node *) choice->defresult, passed, NULL, frame, context);
}

static void
visit_coalesce(CoalesceExpr *choice, Frame *frame, ClockContext *context)
{
	List	   *passed = NIL;
	ListCell   *lc;

	context->positive = false;
	foreach(lc, choice->args)
	{
		visit_guarded(lfirst(lc), passed, NULL, frame, context);
		passed = lappend(list_copy(passed), segment_scope_is_not_null(lfirst(lc)));
	}
}

/*
 * Where only the number of rows matters: false if that is not all that the node
 * asks.  The moving conditions are looked at as if their level were the
 * subject's, so their flips are those of one row.
 */
static bool
visit_count(Node *node, Node *tie, Frame *frame, ClockContext *context)
{
	SegmentCount *count = segment_compile_match_count(node, tie);
	SegmentCompiled row = {0};
	ClockContext inner = {.compiled = &row,.text = context->text,.positive = true};
	List	   *flips = NIL;
	ListCell   *lc;

	if (count == NULL)
		return false;
	foreach(lc, count->moving)
		visit(lfirst(lc), NULL, &inner);
	foreach(lc, count->thresholds)
		if (row.flips != NIL)
		flips = lappend(flips, segment_compile_count_flip(count, segment_compile_earliest(copyObject(row.flips)), lfirst(lc)));
	foreach(lc, flips)
		if (!add_flip(lfirst(lc), frame, context->guard, context->compiled))
		return false;
	foreach(lc, row.instants)
		add_instant(((SegmentInstant *) lfirst(lc))->expr, ((SegmentInstant *) lfirst(lc))->grain, context->compiled);
	context->compiled->opaqueClock |= row.opaqueClock;
	return true;
}

static Node *
is_unknown(Node *tie)
{
	BooleanTest *test = makeNode(BooleanTest);

	test->arg = (Expr *) tie;
	test->booltesttype = IS_UNKNOWN;
	test->location = -1;
	return (Node *) test;
}

/* The same for IN; where NULL is not as good as false, two such questions. */
static bool
visit_in(SubLink *sublink, Frame *frame, ClockContext *context)
{
	Node	   *tie = tie_of(sublink, true);

	return tie != NULL && visit_count((Node *) sublink, tie, frame, context) &&
		(context->positive || visit_count((Node *) sublink, is_unknown(copyObject(tie)), frame, context));
}

static void
visit_below(Node *node, Frame *frame, ClockContext *context)
{
	VisitContext visiting = {frame, context};
	SegmentGrain grain;
	const char *hidden = segment_compile_hidden_clock(node);

	if (hidden != NULL)
	{
		refuse_hidden(node, hidden, context);
		(void) expression_tree_walker(node, visit_child, (void *) &visiting);
		return;
	}
	if (IsA(node, CaseExpr))
	{
		visit_case((CaseExpr *) node, frame, context);
		return;
	}
	if (IsA(node, CoalesceExpr) && has_row(node))
	{
		visit_coalesce((CoalesceExpr *) node, frame, context);
		return;
	}
	if (visit_count(node, NULL, frame, context))
		return;
	if (IsA(node, SubLink))
	{
		if (visit_in((SubLink *) node, frame, context))
			return;
		visit_sublink((SubLink *) node, frame, context);
		return;
	}
	if (IsA(node, FromExpr) || IsA(node, JoinExpr))
		context->positive = true;
	else if (!IsA(node, List) && !(IsA(node, BoolExpr) && ((BoolExpr *) node)->boolop != NOT_EXPR))
		context->positive = false;
	if (IsA(node, OpExpr))
	{
		Node	   *other;
		Node	   *flip = flip_of((OpExpr *) node, &other);

		if (flip != NULL)
		{
			if (!add_flip(flip, frame, context->guard, context->compiled))
				refuse(node, context);
			visit(other, frame, context);
			return;
		}
	}
	if (IsA(node, FuncExpr) && is_age_of_today(((FuncExpr *) node)->funcid))
	{
		add_today(context->compiled);
		visit(linitial(((FuncExpr *) node)->args), frame, context);
		return;
	}
	if (is_expression(node) && !has_row(node) && !expression_returns_set(node))
	{
		if (find_grain(node, &grain))
			add_instant(node, grain, context->compiled);
		else
			refuse(node, context);
		return;
	}
	(void) expression_tree_walker(node, visit_child, (void *) &visiting);
}

static void
visit(Node *node, Frame *frame, ClockContext *context)
{
	bool		positive = context->positive;

	check_stack_depth();
	if (node == NULL || !segment_compile_has_clock(node))
		return;
	visit_below(node, frame, context);
	context->positive = positive;
}

void
segment_compile_clock(SegmentCompiled *compiled, Node *part, const char *text)
{
	ClockContext context = {.compiled = compiled,.text = text,.positive = true};

	compiled->flips = NIL;
	compiled->instants = NIL;
	compiled->opaqueClock = false;
	segment_compile_begin_spending();
	visit(segment_compile_plain(part), NULL, &context);
}

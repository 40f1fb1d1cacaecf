/*-------------------------------------------------------------------------
 *
 * moving.c
 *		What reads the clock: openly, or hidden in a conversion.
 *
 * Openly: now(), current_date and the like, age(x).  Hidden: the input functions
 * of dates and times take 'now' and 'today', so a text that is cast to one of
 * them at run time may; and a time with time zone, also one within a jsonpath,
 * gets the offset that a zone has today.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "compat.h"
#include "compile/clock.h"

/* Words that the input functions replace by the time at which they are called. */
static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};

bool
segment_compile_is_moving(const char *text)
{
	for (const char *at = text; *at; at++)
	{
		if (at > text && isalpha((unsigned char) at[-1]))
			continue;
		for (int i = 0; i < lengthof(words); i++)
		{
			size_t		n = strlen(words[i]);

			if (pg_strncasecmp(at, words[i], n) == 0 && !isalpha((unsigned char) at[n]))
				return true;
		}
	}
	return false;
}

static bool
row_takes_words(Oid type)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(type, -1);
	bool		found = false;

	for (int i = 0; i < desc->natts && !found; i++)
		found = !TupleDescAttr(desc, i)->attisdropped && segment_compile_takes_words(TupleDescAttr(desc, i)->atttypid);
	ReleaseTupleDesc(desc);
	return found;
}

bool
segment_compile_takes_words(Oid type)
{
	Oid			element;

	check_stack_depth();
	type = getBaseType(type);
	switch (type)
	{
		case DATEOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return true;
		default:
			break;
	}
	if (OidIsValid(element = get_element_type(type)) || OidIsValid(element = get_range_subtype(type)) ||
		OidIsValid(element = get_multirange_range(type)))
		return segment_compile_takes_words(element);
	return get_typtype(type) == TYPTYPE_COMPOSITE && row_takes_words(type);
}

/* May a value of this type, written as text, be any text? */
static bool
is_textual(Oid type)
{
	switch (TypeCategory(getBaseType(type)))
	{
		case TYPCATEGORY_BOOLEAN:
		case TYPCATEGORY_NUMERIC:
		case TYPCATEGORY_DATETIME:
		case TYPCATEGORY_TIMESPAN:
		case TYPCATEGORY_NETWORK:
		case TYPCATEGORY_GEOMETRIC:
		case TYPCATEGORY_BITSTRING:
			return false;
		default:
			return true;
	}
}

/* A cast by way of text: of a constant without such a word it is harmless, but for the zone's offset. */
static bool
is_moving_cast(Node *arg, Oid type)
{
	/* the text of a number or an instant is not any text */
	while (IsA(arg, CoerceViaIO) && getBaseType(((CoerceViaIO *) arg)->resulttype) == TEXTOID)
		arg = (Node *) ((CoerceViaIO *) arg)->arg;
	if (!segment_compile_takes_words(type) || !is_textual(exprType(arg)))
		return false;
	if (IsA(arg, Const) && !((Const *) arg)->constisnull && getBaseType(type) != TIMETZOID &&
		getBaseType(((Const *) arg)->consttype) == TEXTOID)
		return segment_compile_is_moving(TextDatumGetCString(((Const *) arg)->constvalue));
	return true;
}

static bool
is_input_function(Oid funcid)
{
	switch (funcid)
	{
		case F_DATE_IN:
		case F_TIME_IN:
		case F_TIMETZ_IN:
		case F_TIMESTAMP_IN:
		case F_TIMESTAMPTZ_IN:
		case F_ARRAY_IN:
		case F_RANGE_IN:
		case F_MULTIRANGE_IN:
		case F_RECORD_IN:
		case F_DOMAIN_IN:
			return true;
		default:
			return false;
	}
}

/* Does a function make a value with a time zone of one without, by the offset of today? */
static bool
is_of_todays_offset(FuncExpr *call)
{
	const char *name;

	if (call->funcid == F_TIMETZ_TIME)
		return true;
	if (call->funcresulttype != TIMETZOID || call->args == NIL || exprType(linitial(call->args)) == INTERVALOID ||
		get_func_namespace(call->funcid) != PG_CATALOG_NAMESPACE)
		return false;
	name = get_func_name(call->funcid);
	return name != NULL && strcmp(name, "timezone") == 0;
}

/* A jsonpath that compares times of day with and without a zone. */
static bool
is_jsonpath_with_zone(Oid funcid)
{
	const char *name = get_func_namespace(funcid) == PG_CATALOG_NAMESPACE ? get_func_name(funcid) : NULL;

	return name != NULL && strncmp(name, "jsonb_path_", 11) == 0 && strcmp(name + strlen(name) - 3, "_tz") == 0;
}

/* Does a function make rows of JSON, with columns of their own types? */
static bool
is_of_json(Node *call)
{
	Oid			funcid = IsA(call, FuncExpr) ? ((FuncExpr *) call)->funcid : InvalidOid;
	const char *name = OidIsValid(funcid) ? get_func_name(funcid) : NULL;

	return name != NULL && strncmp(name, "json", 4) == 0 && get_func_namespace(funcid) == PG_CATALOG_NAMESPACE;
}

static bool
any_takes_words(List *types)
{
	ListCell   *lc;

	foreach(lc, types)
		if (segment_compile_takes_words(lfirst_oid(lc)))
		return true;
	return false;
}

const char *
segment_compile_hidden_clock(Node *node)
{
	const char *text = "Text that is made a date or time when the condition runs may be 'now' or 'today'.";
	const char *offset = "A time with time zone gets the offset that the zone has on that day.";

	if (segment_compat_is_json_of_zone(node))
		return offset;

	switch (nodeTag(node))
	{
		case T_CoerceViaIO:
			return is_moving_cast((Node *) ((CoerceViaIO *) node)->arg, ((CoerceViaIO *) node)->resulttype) ? text : NULL;
		case T_FuncExpr:
			{
				FuncExpr   *call = (FuncExpr *) node;

				if (is_of_todays_offset(call) || is_jsonpath_with_zone(call->funcid))
					return offset;
				if (is_input_function(call->funcid))
					return text;
				if (call->funcresulttype != RECORDOID && type_is_rowtype(call->funcresulttype) && is_of_json(node))
					return segment_compile_takes_words(call->funcresulttype) ? text : NULL;
				return NULL;
			}
		case T_RangeTblFunction:
			return is_of_json(((RangeTblFunction *) node)->funcexpr) &&
				any_takes_words(((RangeTblFunction *) node)->funccoltypes) ? text : NULL;
		case T_TableFunc:
			return any_takes_words(((TableFunc *) node)->coltypes) ? text : NULL;
		default:
			return segment_compat_is_json_value(node) && segment_compile_takes_words(exprType(node)) ? text : NULL;
	}
}

static bool
is_clock(Node *node)
{
	if (IsA(node, SQLValueFunction))
		return true;			/* those that are no clock have been refused */
	if (!IsA(node, FuncExpr))
		return false;
	switch (((FuncExpr *) node)->funcid)
	{
		case F_NOW:
		case F_TRANSACTION_TIMESTAMP:
		case F_AGE_TIMESTAMP:
		case F_AGE_TIMESTAMPTZ:
			return true;
		default:
			return false;
	}
}

static bool
has_clock_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (is_clock(node) || segment_compile_hidden_clock(node) != NULL)
		return true;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, has_clock_walker, context, 0);
	return expression_tree_walker(node, has_clock_walker, context);
}

bool
segment_compile_has_clock(Node *node)
{
	return has_clock_walker(node, NULL);
}

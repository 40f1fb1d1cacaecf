/*-------------------------------------------------------------------------
 *
 * definition.c
 *		The type segment.definition.
 *
 * A value is the text "ON table WHERE condition" with the table's name quoted
 * as needed and the condition as it was written, stored like text.  Functions
 * parse it when they need the tree; the grammar takes microseconds.
 *
 * The operators are those of sets of members.  A subject is a member when the
 * condition is TRUE, so "without" and "complement" say IS NOT TRUE and not
 * NOT: a subject whose condition is NULL is in the complement.
 *
 * XXX A condition with a backslash in a plain string is read with the
 * standard_conforming_strings of the session, as any SQL text is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compile/compile.h"
#include "definition/definition.h"

PGDLLEXPORT Datum segmentation_definition_in(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_definition_out(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_definition_recv(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_definition_send(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_definition_and(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_definition_or(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_definition_without(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_definition_complement(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_definition_eq(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_definition_ne(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_definition_hash(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_subject_table(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_condition(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_sources(PG_FUNCTION_ARGS);

static char *
print_name(const RangeVar *name)
{
	StringInfoData buf;

	initStringInfo(&buf);
	if (name->catalogname)
		appendStringInfo(&buf, "%s.", quote_identifier(name->catalogname));
	if (name->schemaname)
		appendStringInfo(&buf, "%s.", quote_identifier(name->schemaname));
	appendStringInfoString(&buf, quote_identifier(name->relname));
	return buf.data;
}

Datum
segment_definition_make(RangeVar *subject, const char *condition)
{
	return CStringGetTextDatum(psprintf("ON %s WHERE %s", print_name(subject), condition));
}

static char *
condition_text(const SegmentDefinitionText *definition)
{
	return pnstrdup(definition->condition.text + definition->condition.start,
					definition->condition.end - definition->condition.start);
}

/* The value of an argument, parsed. */
static SegmentDefinitionText
parse_datum(Datum datum)
{
	return segment_definition_parse(TextDatumGetCString(datum));
}

static Datum
definition_from_text(const char *string)
{
	SegmentDefinitionText definition = segment_definition_parse(string);

	return segment_definition_make(definition.subject, condition_text(&definition));
}

PG_FUNCTION_INFO_V1(segmentation_definition_in);
Datum
segmentation_definition_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(definition_from_text(PG_GETARG_CSTRING(0)));
}

PG_FUNCTION_INFO_V1(segmentation_definition_out);
Datum
segmentation_definition_out(PG_FUNCTION_ARGS)
{
	PG_RETURN_CSTRING(TextDatumGetCString(PG_GETARG_DATUM(0)));
}

PG_FUNCTION_INFO_V1(segmentation_definition_recv);
Datum
segmentation_definition_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int			nbytes;

	PG_RETURN_DATUM(definition_from_text(pq_getmsgtext(buf, buf->len - buf->cursor, &nbytes)));
}

PG_FUNCTION_INFO_V1(segmentation_definition_send);
Datum
segmentation_definition_send(PG_FUNCTION_ARGS)
{
	char	   *string = TextDatumGetCString(PG_GETARG_DATUM(0));
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendtext(&buf, string, strlen(string));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* Do two names mean one table: as written, or, if both exist, now? */
static bool
same_subject(RangeVar *a, RangeVar *b)
{
	Oid			relid;

	if (equal(a, b))
		return true;
	relid = RangeVarGetRelid(a, NoLock, true);
	return OidIsValid(relid) && relid == RangeVarGetRelid(b, NoLock, true);
}

/* format has two %s: the conditions, in brackets of the format's own. */
static Datum
combine(Datum left, Datum right, const char *format)
{
	SegmentDefinitionText a = parse_datum(left);
	SegmentDefinitionText b = parse_datum(right);

	if (!same_subject(a.subject, b.subject))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("definitions on different subject tables cannot be combined"),
				errdetail("One is on %s, the other on %s.",
						  print_name(a.subject), print_name(b.subject)));
	return segment_definition_make(a.subject,
								   psprintf(format, condition_text(&a), condition_text(&b)));
}

PG_FUNCTION_INFO_V1(segmentation_definition_and);
Datum
segmentation_definition_and(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(combine(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), "(%s) AND (%s)"));
}

PG_FUNCTION_INFO_V1(segmentation_definition_or);
Datum
segmentation_definition_or(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(combine(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), "(%s) OR (%s)"));
}

PG_FUNCTION_INFO_V1(segmentation_definition_without);
Datum
segmentation_definition_without(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(combine(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), "(%s) AND ((%s) IS NOT TRUE)"));
}

PG_FUNCTION_INFO_V1(segmentation_definition_complement);
Datum
segmentation_definition_complement(PG_FUNCTION_ARGS)
{
	SegmentDefinitionText definition = parse_datum(PG_GETARG_DATUM(0));

	PG_RETURN_DATUM(segment_definition_make(definition.subject,
											psprintf("(%s) IS NOT TRUE", condition_text(&definition))));
}

/* Equal parse trees; equal() does not look at locations. */
static bool
definitions_equal(Datum left, Datum right)
{
	char	   *textA = TextDatumGetCString(left);
	char	   *textB = TextDatumGetCString(right);
	SegmentDefinitionText a;
	SegmentDefinitionText b;

	if (strcmp(textA, textB) == 0)
		return true;
	a = segment_definition_parse(textA);
	b = segment_definition_parse(textB);
	return equal(a.subject, b.subject) && equal(a.condition.raw, b.condition.raw);
}

PG_FUNCTION_INFO_V1(segmentation_definition_eq);
Datum
segmentation_definition_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(definitions_equal(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)));
}

PG_FUNCTION_INFO_V1(segmentation_definition_ne);
Datum
segmentation_definition_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!definitions_equal(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)));
}

static uint32
hash_string_value(const char *string)
{
	return DatumGetUInt32(hash_any((const unsigned char *) string, strlen(string)));
}

/* Mix in the names of the columns, in the order of the tree: what equal() compares too. */
static bool
hash_walker(Node *node, uint32 *hash)
{
	ListCell   *lc;

	if (node == NULL)
		return false;
	check_stack_depth();
	if (!IsA(node, ColumnRef))
		return raw_expression_tree_walker(node, hash_walker, (void *) hash);
	foreach(lc, ((ColumnRef *) node)->fields)
		if (IsA(lfirst(lc), String))
		*hash = hash_combine(*hash, hash_string_value(strVal(lfirst(lc))));
	return false;
}

/*
 * The hash is of the subject's name, the names of the columns and the kind of
 * the top node: few, but certainly the same in equal trees.
 */
PG_FUNCTION_INFO_V1(segmentation_definition_hash);
Datum
segmentation_definition_hash(PG_FUNCTION_ARGS)
{
	SegmentDefinitionText definition = parse_datum(PG_GETARG_DATUM(0));
	uint32		hash = hash_string_value(definition.subject->relname);

	hash = hash_combine(hash, (uint32) nodeTag(definition.condition.raw));
	hash_walker(definition.condition.raw, &hash);
	PG_RETURN_INT32((int32) hash);
}

PG_FUNCTION_INFO_V1(segmentation_subject_table);
Datum
segmentation_subject_table(PG_FUNCTION_ARGS)
{
	PG_RETURN_OID(RangeVarGetRelid(parse_datum(PG_GETARG_DATUM(0)).subject, NoLock, false));
}

PG_FUNCTION_INFO_V1(segmentation_condition);
Datum
segmentation_condition(PG_FUNCTION_ARGS)
{
	SegmentDefinitionText definition = parse_datum(PG_GETARG_DATUM(0));

	PG_RETURN_TEXT_P(cstring_to_text(condition_text(&definition)));
}

/*
 * segmentation_sources
 *		The tables that a definition reads, each once, the subject table first.
 *
 * The definition is analysed as if a segment were created from it by the
 * caller, and refused for the same reasons.
 */
PG_FUNCTION_INFO_V1(segmentation_sources);
Datum
segmentation_sources(PG_FUNCTION_ARGS)
{
	SegmentDefinitionText definition = parse_datum(PG_GETARG_DATUM(0));
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SegmentCompiled *compiled;
	List	   *seen = NIL;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	compiled = segment_compile_definition(&definition);

	foreach(lc, compiled->sources)
	{
		Datum		value = ObjectIdGetDatum(((SegmentSource *) lfirst(lc))->relid);
		bool		isnull = false;

		if (list_member_oid(seen, DatumGetObjectId(value)))
			continue;
		seen = lappend_oid(seen, DatumGetObjectId(value));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}

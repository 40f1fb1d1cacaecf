/*-------------------------------------------------------------------------
 *
 * language.c
 *		The ways in: DO LANGUAGE segment, segment.execute(), and functions.
 *
 * A text is parsed as a whole before anything is done, so that a mistake in the
 * last statement does nothing.  Statements then run one after the other in the
 * caller's transaction, each seeing what those before it did.
 *
 * The functions build the same SegmentStatement from their arguments: bind
 * parameters instead of quoting.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/proclang.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

#include "definition/scan.h"
#include "statement/statement.h"

PGDLLEXPORT Datum segmentation_language_handler(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_language_inline(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_language_validator(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_execute(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_create_segment(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_alter_segment(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_drop_segment(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_refresh(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_link(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_unlink(PG_FUNCTION_ARGS);

/*
 * Run one statement so that the next one sees what it did.  What it allocates
 * is freed with it: a block may have thousands.
 */
static Oid
run(SegmentStatement *statement)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "segment statement",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Oid			viewId;

	PreventCommandIfReadOnly(statement->tag);
	PushActiveSnapshot(GetTransactionSnapshot());
	segment_definition_push_error_text(statement->text);
	viewId = segment_statement_run(statement);
	segment_definition_pop_error_text();
	PopActiveSnapshot();
	CommandCounterIncrement();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return viewId;
}

static List *
parse(const char *text)
{
	List	   *statements;

	segment_definition_push_error_text(text);
	statements = segment_statement_parse(text);
	segment_definition_pop_error_text();
	return statements;
}

/* ------------------------------------------------------------------------
 * The language
 * ------------------------------------------------------------------------ */

static void
refuse_functions(void)
{
	ereport(ERROR,
			errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			errmsg("functions cannot be written in language \"segment\""),
			errhint("Use DO LANGUAGE segment $$ ... $$, or call segment.execute(text) from a function in another language."));
}

PG_FUNCTION_INFO_V1(segmentation_language_handler);
Datum
segmentation_language_handler(PG_FUNCTION_ARGS)
{
	refuse_functions();
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(segmentation_language_validator);
Datum
segmentation_language_validator(PG_FUNCTION_ARGS)
{
	refuse_functions();
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(segmentation_language_inline);
Datum
segmentation_language_inline(PG_FUNCTION_ARGS)
{
	InlineCodeBlock *block = castNode(InlineCodeBlock, DatumGetPointer(PG_GETARG_DATUM(0)));
	ListCell   *lc;

	foreach(lc, parse(block->source_text))
	{
		CHECK_FOR_INTERRUPTS();
		run(lfirst(lc));
	}
	PG_RETURN_VOID();
}

/*
 * segmentation_execute
 *		Run the statements of a text; a row for each: command tag, segment.
 */
PG_FUNCTION_INFO_V1(segmentation_execute);
Datum
segmentation_execute(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *string = text_to_cstring(PG_GETARG_TEXT_PP(0));
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, parse(string))
	{
		SegmentStatement *statement = lfirst(lc);
		Oid			viewId;
		Datum		values[2];
		bool		nulls[2] = {0};

		CHECK_FOR_INTERRUPTS();
		viewId = run(statement);
		values[0] = CStringGetTextDatum(statement->tag);
		values[1] = ObjectIdGetDatum(viewId);
		nulls[1] = !OidIsValid(viewId);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* ------------------------------------------------------------------------
 * Typed functions
 * ------------------------------------------------------------------------ */

static SegmentStatement *
make_statement(SegmentStatementKind kind, const char *tag, const char *text)
{
	SegmentStatement *statement = palloc0(sizeof(SegmentStatement));

	statement->kind = kind;
	statement->tag = tag;
	statement->text = text;
	statement->stringLocation = statement->keyLocation = -1;
	return statement;
}

/* The name of an existing relation. */
static RangeVar *
relation_name(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name == NULL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation with OID %u does not exist", relid));
	return makeRangeVar(get_namespace_name(get_rel_namespace(relid)), name, -1);
}

/* A scalar as text; NULL for null. */
static char *
scalar_text(const char *name, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return NULL;
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			ereport(ERROR,
					errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("option \"%s\" must be a string, a number, a boolean or null", name));
	}
}

/* The members of a JSON object: list of SegmentOption *. */
static List *
options_from_jsonb(Jsonb *jsonb)
{
	List	   *options = NIL;
	JsonbIterator *iterator = JsonbIteratorInit(&jsonb->root);
	JsonbValue	value;
	JsonbIteratorToken token = JsonbIteratorNext(&iterator, &value, true);

	if (token != WJB_BEGIN_OBJECT)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("options must be a JSON object"),
				errhint("Write, for example, '{\"timezone\": \"Europe/Warsaw\"}'."));
	while ((token = JsonbIteratorNext(&iterator, &value, true)) == WJB_KEY)
	{
		SegmentOption *option = palloc0(sizeof(SegmentOption));

		option->name = pnstrdup(value.val.string.val, value.val.string.len);
		option->location = -1;
		JsonbIteratorNext(&iterator, &value, true);
		option->value = scalar_text(option->name, &value);
		options = lappend(options, option);
	}
	return options;
}

/*
 * Take a boolean out of the options: -1 if it is not among them.
 */
static int
take_boolean(List **options, const char *name)
{
	ListCell   *lc;

	foreach(lc, *options)
	{
		SegmentOption *option = lfirst(lc);
		bool		value;

		if (strcmp(option->name, name) != 0)
			continue;
		if (option->value == NULL || !parse_bool(option->value, &value))
			ereport(ERROR,
					errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("option \"%s\" must be true or false", name));
		*options = list_delete_ptr(*options, option);
		return value;
	}
	return -1;
}

/* Table and condition of a statement from a definition. */
static void
set_definition(SegmentStatement *statement, const char *text)
{
	SegmentDefinitionText definition = segment_definition_parse(text);

	statement->text = text;
	statement->table = definition.subject;
	statement->condition = definition.condition;
}

/*
 * segmentation_create_segment
 *		create_segment(name text, definition, options jsonb) -> regclass
 *
 * Options besides those of WITH: or_replace, if_not_exists; NULL: none.
 */
PG_FUNCTION_INFO_V1(segmentation_create_segment);
Datum
segmentation_create_segment(PG_FUNCTION_ARGS)
{
	SegmentStatement *statement = make_statement(SEGMENT_CREATE, "CREATE SEGMENT", NULL);
	Oid			viewId;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("name and definition of a segment must not be null"));
	statement->name = makeRangeVarFromNameList(textToQualifiedNameList(PG_GETARG_TEXT_PP(0)));
	statement->name->location = -1;
	set_definition(statement, TextDatumGetCString(PG_GETARG_DATUM(1)));
	if (!PG_ARGISNULL(2))
		statement->options = options_from_jsonb(PG_GETARG_JSONB_P(2));
	statement->replace = take_boolean(&statement->options, "or_replace") == true;
	statement->lenient = take_boolean(&statement->options, "if_not_exists") == true;
	if (statement->replace && statement->lenient)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("or_replace and if_not_exists exclude each other"));
	viewId = run(statement);
	if (!OidIsValid(viewId))
		PG_RETURN_NULL();
	PG_RETURN_OID(viewId);
}

/*
 * segmentation_alter_segment
 *		alter_segment(segment regclass, definition, options jsonb) -> regclass
 *
 * A NULL definition leaves the condition.  Options besides those of SET:
 * enabled; null resets an option.
 */
PG_FUNCTION_INFO_V1(segmentation_alter_segment);
Datum
segmentation_alter_segment(PG_FUNCTION_ARGS)
{
	Oid			viewId;
	List	   *options = NIL;
	int			enabled;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	viewId = PG_GETARG_OID(0);
	if (!PG_ARGISNULL(2))
		options = options_from_jsonb(PG_GETARG_JSONB_P(2));
	enabled = take_boolean(&options, "enabled");

	if (options != NIL)
	{
		SegmentStatement *statement = make_statement(SEGMENT_ALTER_OPTIONS, "ALTER SEGMENT", "");

		statement->name = relation_name(viewId);
		statement->options = options;
		statement->lenient = !PG_ARGISNULL(1);
		run(statement);
	}
	if (!PG_ARGISNULL(1))
	{
		SegmentStatement *statement = make_statement(SEGMENT_ALTER_CONDITION, "ALTER SEGMENT", "");

		statement->name = relation_name(viewId);
		set_definition(statement, TextDatumGetCString(PG_GETARG_DATUM(1)));
		run(statement);
	}
	if (enabled >= 0)
	{
		SegmentStatement *statement =
		make_statement(enabled ? SEGMENT_ALTER_ENABLE : SEGMENT_ALTER_DISABLE, "ALTER SEGMENT", "");

		statement->name = relation_name(viewId);
		run(statement);
	}
	PG_RETURN_OID(viewId);
}

/* drop_segment(segment regclass, cascade boolean) */
PG_FUNCTION_INFO_V1(segmentation_drop_segment);
Datum
segmentation_drop_segment(PG_FUNCTION_ARGS)
{
	SegmentStatement *statement = make_statement(SEGMENT_DROP, "DROP SEGMENT", "");

	statement->names = list_make1(relation_name(PG_GETARG_OID(0)));
	statement->cascade = PG_GETARG_BOOL(1);
	run(statement);
	PG_RETURN_VOID();
}

/* refresh(segment regclass): NULL refreshes all that the caller may refresh */
PG_FUNCTION_INFO_V1(segmentation_refresh);
Datum
segmentation_refresh(PG_FUNCTION_ARGS)
{
	SegmentStatement *statement = make_statement(SEGMENT_REFRESH, "REFRESH SEGMENT", "");

	if (!PG_ARGISNULL(0))
		statement->names = list_make1(relation_name(PG_GETARG_OID(0)));
	run(statement);
	PG_RETURN_VOID();
}

/* link(source regclass, column name, subject regclass, key name) */
PG_FUNCTION_INFO_V1(segmentation_link);
Datum
segmentation_link(PG_FUNCTION_ARGS)
{
	SegmentStatement *statement = make_statement(SEGMENT_CREATE_LINK, "CREATE LINK", "");

	for (int i = 0; i < 3; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					errmsg("source, column and subject of a link must not be null"));
	statement->name = relation_name(PG_GETARG_OID(0));
	statement->string = pstrdup(NameStr(*PG_GETARG_NAME(1)));
	statement->table = relation_name(PG_GETARG_OID(2));
	if (!PG_ARGISNULL(3))
		statement->key = pstrdup(NameStr(*PG_GETARG_NAME(3)));
	run(statement);
	PG_RETURN_VOID();
}

/* unlink(source regclass, subject regclass) */
PG_FUNCTION_INFO_V1(segmentation_unlink);
Datum
segmentation_unlink(PG_FUNCTION_ARGS)
{
	SegmentStatement *statement = make_statement(SEGMENT_DROP_LINK, "DROP LINK", "");

	statement->name = relation_name(PG_GETARG_OID(0));
	statement->table = relation_name(PG_GETARG_OID(1));
	run(statement);
	PG_RETURN_VOID();
}

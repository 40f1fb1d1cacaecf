/*-------------------------------------------------------------------------
 *
 * settings.c
 *		Options of a segment, and the settings that are pinned when it is created.
 *
 * The meaning of a condition depends on settings: what '2024-01-01' is as an
 * instant, how long a day is, what a name resolves to inside a function.  They
 * are recorded when the segment is created, as "name=value", and are in force
 * whenever it is evaluated, whoever reads it.
 *
 * Constants have been converted by then: a changed time zone moves the days of
 * "interval '1 day'", not an instant that was written as a constant.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "definition/scan.h"
#include "statement/statement.h"

/* Settings that change what an expression means, besides search_path. */
static const char *const pinned_settings[] = {
	"TimeZone",
	"timezone_abbreviations",
	"DateStyle",
	"IntervalStyle",
	"default_text_search_config",
	"transform_null_equals",
	"standard_conforming_strings",
	"backslash_quote",
	"quote_all_identifiers",
	"segmentation.bitmap_output",
	"lc_monetary",
	"lc_numeric",
	"lc_time",
	"array_nulls",
	"bytea_output",
	"extra_float_digits",
	"xmlbinary",
	"xmloption",
	"gin_fuzzy_search_limit",
	/* of contrib/pg_trgm, when it is loaded: what % and its kin mean */
	"pg_trgm.similarity_threshold",
	"pg_trgm.word_similarity_threshold",
	"pg_trgm.strict_word_similarity_threshold"
};

/* The longest max_staleness. */
#define MAX_YEARS 100

typedef struct OptionErrorContext
{
	const char *text;
	const SegmentOption *option;
} OptionErrorContext;

/* An error in a value is at its option, unless something inside knows better. */
static void
option_error_callback(void *arg)
{
	OptionErrorContext *context = arg;

	if (geterrposition() <= 0 && getinternalerrposition() <= 0 && context->option->location >= 0)
		segment_definition_position(context->text, context->option->location);
}

/* Set within the current GUC nest level. */
static void
set_setting(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* A valid time zone, as PostgreSQL writes it. */
static char *
check_timezone(const char *value)
{
	int			level = NewGUCNestLevel();
	char	   *result;

	set_setting("TimeZone", value);
	result = pstrdup(GetConfigOption("TimeZone", false, false));
	AtEOXact_GUC(true, level);
	return result;
}

/* A positive interval that can be added to any instant that a clock may show, in the default style. */
static char *
check_interval(const char *name, const char *value)
{
	int			level = NewGUCNestLevel();
	char	   *result;
	Interval   *interval = DatumGetIntervalP(DirectFunctionCall3(interval_in,
																 CStringGetDatum(value),
																 ObjectIdGetDatum(InvalidOid),
																 Int32GetDatum(-1)));

	if (interval->month < 0 || interval->day < 0 || interval->time < 0 ||
		(interval->month == 0 && interval->day == 0 && interval->time == 0))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("%s must be a positive interval", name));
	if (interval->month / 12.0 + interval->day / DAYS_PER_YEAR + interval->time / (DAYS_PER_YEAR * USECS_PER_DAY) > MAX_YEARS)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("%s may be %d years at most", name, MAX_YEARS));
	set_setting("IntervalStyle", "postgres");
	result = DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(interval)));
	AtEOXact_GUC(true, level);
	return result;
}

/* on or off, whatever way a boolean is written. */
static char *
check_boolean(const char *name, const char *value)
{
	bool		on;

	if (!parse_bool(value, &on))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("%s must be on or off", name));
	return pstrdup(on ? "on" : "off");
}

/* Does "name=value" carry this name? */
static bool
has_name(const char *assignment, const char *name)
{
	size_t		n = strlen(name);

	return strncmp(assignment, name, n) == 0 && assignment[n] == '=';
}

static List *
remove_option(List *options, const char *name)
{
	List	   *rest = NIL;
	ListCell   *lc;

	foreach(lc, options)
		if (!has_name(lfirst(lc), name))
		rest = lappend(rest, lfirst(lc));
	return rest;
}

static char *
check_option(const SegmentOption *option)
{
	if (strcmp(option->name, "timezone") == 0)
		return option->value ? check_timezone(option->value) : NULL;
	if (strcmp(option->name, "max_staleness") == 0)
		return option->value ? check_interval("max_staleness", option->value) : NULL;
	if (strcmp(option->name, "auto_refresh") == 0)
		return option->value ? check_boolean("auto_refresh", option->value) : NULL;
	ereport(ERROR,
			errcode(ERRCODE_UNDEFINED_PARAMETER),
			errmsg("unrecognized segment option \"%s\"", option->name),
			errhint("Options are timezone, max_staleness and auto_refresh."));
}

static void
check_duplicates(const char *text, List *given)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, given)
	{
		SegmentOption *option = lfirst(lc);

		foreach(lc2, given)
		{
			SegmentOption *other = lfirst(lc2);

			if (other == option)
				break;
			if (strcmp(other->name, option->name) == 0)
				ereport(ERROR,
						errcode(ERRCODE_SYNTAX_ERROR),
						errmsg("option \"%s\" is given twice", option->name),
						segment_definition_position(text, option->location));
		}
	}
}

/*
 * segment_statement_merge_options
 *		Change stored options ("name=value" char *) by those given (SegmentOption *).
 *
 * Every given value is checked and written in its canonical form.
 */
List *
segment_statement_merge_options(const char *text, List *stored, List *given)
{
	ListCell   *lc;

	check_duplicates(text, given);
	foreach(lc, given)
	{
		SegmentOption *option = lfirst(lc);
		OptionErrorContext context = {text, option};
		ErrorContextCallback callback;
		char	   *value;

		callback.callback = option_error_callback;
		callback.arg = &context;
		callback.previous = error_context_stack;
		error_context_stack = &callback;
		value = check_option(option);
		error_context_stack = callback.previous;

		stored = remove_option(stored, option->name);
		if (value)
			stored = lappend(stored, psprintf("%s=%s", option->name, value));
	}
	return stored;
}

/*
 * Put the options that are settings in force, in the caller's GUC nest level,
 * so that a condition is analysed as it will be evaluated.
 */
void
segment_statement_apply_options(List *stored)
{
	ListCell   *lc;

	foreach(lc, stored)
		if (has_name(lfirst(lc), "timezone"))
		set_setting("TimeZone", strchr(lfirst(lc), '=') + 1);
}

/*
 * The search_path as it resolves now: no "$user", no schema that does not
 * exist, temporary objects last.
 */
static char *
resolved_search_path(void)
{
	StringInfoData buf;
	List	   *path = fetch_search_path(false);
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, path)
	{
		char	   *name = isAnyTempNamespace(lfirst_oid(lc)) ? NULL : get_namespace_name(lfirst_oid(lc));

		if (name)
			appendStringInfo(&buf, "%s, ", quote_identifier(name));
	}
	appendStringInfoString(&buf, "pg_temp");
	return buf.data;
}

/* The settings in force now that a condition's meaning depends on: "name=value" char *. */
List *
segment_statement_pin_settings(void)
{
	List	   *settings = list_make1(psprintf("search_path=%s", resolved_search_path()));

	for (int i = 0; i < lengthof(pinned_settings); i++)
	{
		const char *value = GetConfigOption(pinned_settings[i], true, false);

		if (value)
			settings = lappend(settings, psprintf("%s=%s", pinned_settings[i], value));
	}
	return settings;
}

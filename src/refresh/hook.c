/*-------------------------------------------------------------------------
 *
 * hook.c
 *		Functions called when members enter or leave.
 *
 * A hook runs at the end of the refresh of a subject table, in its transaction:
 * base, epoch and feed are written and visible, so that a segment read in a
 * hook is exact, and what the hook writes is there if and only if the refresh
 * is.  What it writes to a source is pending for the next refresh, because a
 * refresh's own transaction counts as not visible in its epoch.
 *
 * It runs as the owner of the segment, in a security-restricted operation, under
 * the settings pinned at the creation of the segment (search_path among them).
 * So whoever refreshes lends it nothing: no rights, no role to go back to, no
 * temporary tables, no triggers that fire later as somebody else.  A hook that
 * another owner has set is not run: what he named would get the rights of the
 * new one.
 *
 * Each call is a subtransaction.  An error undoes what the hook did, and marks
 * the hook; segment, base and feed are as they were.  So does a call that takes
 * longer than segmentation.hook_timeout.  A cancel is no error of the hook.  Statements about segments are refused in a hook: they take locks
 * that come before the refresh lock.
 *
 * Hooks are kept by name, for dumps, and looked up at each call.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "attempt.h"
#include "catalog/change.h"
#include "catalog/query.h"
#include "catalog/registry.h"
#include "guc.h"
#include "read/read.h"
#include "refresh/hook.h"

typedef struct Hook
{
	int32		id;
	char		event;
	Oid			owner;			/* who set it */
	char	   *call;			/* "schema"."function" */
	List	   *arguments;		/* of char * */
	bool		failing;		/* the last call failed */
	Datum		ids;			/* segment.bitmap: who entered or left */
} Hook;

static bool running = false;

void
segment_hook_refuse(const char *what)
{
	if (running)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("cannot %s in a hook of a segment", what),
				errhint("Write to a table of your own, and do it from there."));
	/* a function in a condition, which a refresh may be evaluating */
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("cannot %s within a security-restricted operation", what));
}

/* ---- rows of segment.hook ---- */

void
segment_hook_set(int32 id, char event, Oid owner, Oid function, List *arguments)
{
	char	   *schema = get_namespace_name(get_func_namespace(function));
	SegmentQueryGuard guard;
	SegmentQuery query = {0};

	segment_query_add(&query, INT4OID, Int32GetDatum(id));
	segment_query_add(&query, CHAROID, CharGetDatum(event));
	segment_query_add(&query, REGROLEOID, ObjectIdGetDatum(owner));
	segment_query_add(&query, TEXTOID, CStringGetTextDatum(schema));
	segment_query_add(&query, TEXTOID, CStringGetTextDatum(get_func_name(function)));
	segment_query_add(&query, TEXTARRAYOID, segment_catalog_strings_to_array(arguments));
	segment_query_begin(&guard);
	segment_query_run(&query,
					  "INSERT INTO segment.hook (id, event, owner, schema, function, arguments) VALUES ($1, $2, $3, $4, $5, $6)"
					  " ON CONFLICT (id, event) DO UPDATE SET owner = excluded.owner, schema = excluded.schema,"
					  " function = excluded.function, arguments = excluded.arguments,"
					  " failures = 0, failed_at = NULL, message = NULL", false);
	segment_query_end(&guard);
}

void
segment_hook_remove(int32 id, char event)
{
	SegmentQueryGuard guard;
	SegmentQuery query = {0};

	segment_query_add(&query, INT4OID, Int32GetDatum(id));
	segment_query_add(&query, CHAROID, CharGetDatum(event));
	segment_query_begin(&guard);
	segment_query_run(&query, "DELETE FROM segment.hook WHERE id = $1 AND event = $2", false);
	segment_query_end(&guard);
}

/* Row "row" of the query in load_hooks(), in the current context. */
static Hook *
make_hook(uint64 row)
{
	Hook	   *hook = palloc(sizeof(Hook));
	bool		isnull;

	hook->id = DatumGetInt32(segment_query_value(row, 1, &isnull));
	hook->event = DatumGetChar(segment_query_value(row, 2, &isnull));
	hook->owner = DatumGetObjectId(segment_query_value(row, 3, &isnull));
	hook->call = quote_qualified_identifier(NameStr(*DatumGetName(segment_query_value(row, 4, &isnull))),
											NameStr(*DatumGetName(segment_query_value(row, 5, &isnull))));
	hook->arguments = segment_catalog_array_to_strings(segment_query_value(row, 6, &isnull));
	hook->failing = DatumGetBool(segment_query_value(row, 7, &isnull));
	hook->ids = PointerGetDatum(PG_DETOAST_DATUM_COPY(segment_query_value(row, 8, &isnull)));
	return hook;
}

/* The numbers of these changes, as bigint[]. */
static Datum
numbers_of(List *changes)
{
	Datum	   *numbers = palloc(sizeof(Datum) * list_length(changes));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, changes)
		numbers[n++] = Int64GetDatum(((SegmentChange *) lfirst(lc))->number);
	return PointerGetDatum(construct_array(numbers, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* The hooks that these changes have somebody for: list of Hook *. */
static List *
load_hooks(List *changes)
{
	MemoryContext context = CurrentMemoryContext;
	SegmentQueryGuard guard;
	SegmentQuery query = {0};
	List	   *hooks = NIL;
	uint64		rows;

	segment_query_add(&query, INT8ARRAYOID, numbers_of(changes));
	segment_query_begin(&guard);
	rows = segment_query_run(&query,
							 "SELECT h.id, h.event, h.owner, h.schema, h.function, h.arguments, h.message IS NOT NULL, i.ids"
							 " FROM segment.hook h JOIN segment.change c ON c.id = h.id AND c.number = ANY ($1),"
							 " LATERAL (SELECT CASE h.event WHEN 'e' THEN c.entered ELSE c.exited END AS ids) i"
							 " WHERE NOT segment.is_empty(i.ids) ORDER BY h.id, h.event", false);
	for (uint64 i = 0; i < rows; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		hooks = lappend(hooks, make_hook(i));
		MemoryContextSwitchTo(old);
	}
	segment_query_end(&guard);
	return hooks;
}

/*
 * Note how a call went: message NULL is well.  A hook that is being altered
 * right now is left alone, rather than waited for.
 */
static void
mark(const Hook *hook, const char *message)
{
	SegmentQueryGuard guard;
	SegmentQuery query = {0};

	segment_query_add(&query, INT4OID, Int32GetDatum(hook->id));
	segment_query_add(&query, CHAROID, CharGetDatum(hook->event));
	if (message != NULL)
		segment_query_add(&query, TEXTOID, CStringGetTextDatum(message));
	else
		segment_query_add_null(&query, TEXTOID);
	segment_query_begin(&guard);
	segment_query_run(&query,
					  "UPDATE segment.hook SET message = $3, failures = failures + ($3 IS NOT NULL)::integer,"
					  " failed_at = CASE WHEN $3 IS NULL THEN failed_at ELSE clock_timestamp() END"
					  " WHERE ctid = ANY (ARRAY(SELECT ctid FROM segment.hook WHERE id = $1 AND event = $2 FOR UPDATE SKIP LOCKED))",
					  false);
	segment_query_end(&guard);
}

/* ---- calls ---- */

typedef struct Call
{
	const Hook *hook;
	Oid			owner;
	const SegmentEntry *entry;
} Call;

static void
call(void *arg)
{
	const Call *this = arg;
	const Hook *hook = this->hook;
	int			n = 1 + list_length(hook->arguments);
	Oid		   *types = palloc(sizeof(Oid) * n);
	Datum	   *values = palloc(sizeof(Datum) * n);
	StringInfoData sql;
	SegmentGuard guard;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s(", hook->call);
	for (int i = 0; i < n; i++)
	{
		types[i] = i == 0 ? segment_query_bitmap_type() : TEXTOID;
		values[i] = i == 0 ? hook->ids : CStringGetTextDatum(list_nth(hook->arguments, i - 1));
		appendStringInfo(&sql, "%s$%d", i == 0 ? "" : ", ", i + 1);
	}
	appendStringInfoChar(&sql, ')');

	segment_read_become(&guard, this->owner, this->entry);
	/* the policies on what it writes are its own business */
	(void) set_config_option("row_security", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);

	/*
	 * that of the worker is for locks of a refresh: a hook cannot be tried
	 * again
	 */
	if (MyBgworkerEntry != NULL)
		(void) set_config_option("lock_timeout", "0", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(sql.data, n, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "hook could not be called");
	SPI_finish();
	segment_read_return(&guard);
}

/* Returns the message of its error, NULL if all went well. */
static char *
try_call(const Hook *hook, Oid owner, const SegmentEntry *entry)
{
	Call		this = {.hook = hook,.owner = owner,.entry = entry};
	ErrorData  *error;
	bool		outer = running;

	running = true;
	PG_TRY();
	{
		error = segment_attempt_within(segment_guc_hook_timeout, "segmentation.hook_timeout", call, &this);
	}
	PG_FINALLY();
	{
		running = outer;
	}
	PG_END_TRY();
	return error == NULL ? NULL : error->message;
}

static void
run(const Hook *hook)
{
	Oid			viewId = segment_catalog_view(hook->id);
	Oid			owner = segment_catalog_owner(viewId);
	char	   *message;

	/* a hook before this one may have dropped it */
	if (!OidIsValid(owner))
		return;
	if (owner != hook->owner)
		message = "the segment has got another owner since the hook was set";
	else
		message = try_call(hook, owner, segment_catalog_lookup(viewId));
	if (message != NULL || hook->failing)
		mark(hook, message);
	if (message != NULL)
		ereport(WARNING,
				errmsg("hook %s of segment \"%s\" failed", hook->call, get_rel_name(viewId)),
				errdetail("%s", message));
}

void
segment_hook_run(List *changes)
{
	ListCell   *lc;

	foreach(lc, load_hooks(changes))
	{
		CHECK_FOR_INTERRUPTS();
		run(lfirst(lc));
	}
}

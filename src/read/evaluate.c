/*-------------------------------------------------------------------------
 *
 * evaluate.c
 *		Run conditions as their owner, and collect who they hold for.
 *
 * The user is switched, and the settings pinned at creation are put in force,
 * before anything of the definition is rewritten, planned or executed; errors
 * undo both with the (sub)transaction.  row_security is off: a policy that
 * applies to the owner is an error, never a filter.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "attempt.h"
#include "compat.h"
#include "compile/combine.h"
#include "read/read.h"
#include "testing.h"

/* Receives (key, member, member, ...) and adds the key to the set of each true member. */
typedef struct Receiver
{
	DestReceiver pub;
	SegmentBuilder **builders;
	SegmentDeadlines *deadlines;	/* NULL: no such columns */
	size_t	   *before;			/* how many each had */
	int			n;
	MemoryContext context;		/* of the sets and deadlines */
} Receiver;

static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	Receiver   *receiver = (Receiver *) self;
	MemoryContext old;
	int64		key;

	slot_getallattrs(slot);
	key = DatumGetInt64(slot->tts_values[0]);
	if (slot->tts_isnull[0])
		return true;
	old = MemoryContextSwitchTo(receiver->context);
	for (int i = 0; i < receiver->n; i++)
	{
		if (slot->tts_isnull[i + 1] || !DatumGetBool(slot->tts_values[i + 1]))
			continue;
		if (key < 0)
			ereport(ERROR,
					errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					errmsg("subject id " INT64_FORMAT " is negative", key),
					errdetail("Subject ids of segments are 0 to 9223372036854775807."));
		segment_builder_add_id(receiver->builders[i], key);
	}
	if (receiver->deadlines != NULL && key >= 0)
		for (int i = 0; i < receiver->n; i++)
			if (!slot->tts_isnull[receiver->n + i + 1])
				segment_deadline_add(&receiver->deadlines[i], key,
									 DatumGetTimestampTz(slot->tts_values[receiver->n + i + 1]));
	MemoryContextSwitchTo(old);
	return true;
}

/* At the beginning, and again when the first try has failed halfway. */
static void
receive_anew(DestReceiver *self, int operation, TupleDesc desc)
{
	Receiver   *receiver = (Receiver *) self;
	MemoryContext old = MemoryContextSwitchTo(receiver->context);

	for (int i = 0; i < receiver->n; i++)
	{
		receiver->builders[i] = segment_builder_create();
		if (receiver->deadlines != NULL)
			receiver->deadlines[i].n = receiver->before[i];
	}
	MemoryContextSwitchTo(old);
}

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
receiver_noop(DestReceiver *self)
{
}

static void
apply_setting(const char *setting)
{
	char	   *name = pstrdup(setting);
	char	   *value = strchr(name, '=');

	if (value == NULL)
		elog(ERROR, "malformed pinned setting \"%s\"", setting);
	*value++ = '\0';
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

void
segment_read_become(SegmentGuard *guard, Oid owner, const SegmentEntry *entry)
{
	ListCell   *lc;

	GetUserIdAndSecContext(&guard->userId, &guard->context);
	SetUserIdAndSecContext(owner, guard->context | SECURITY_RESTRICTED_OPERATION);
	guard->owner = owner;
	guard->nestLevel = NewGUCNestLevel();
	apply_setting("row_security=off");
	if (entry == NULL)
		return;
	apply_setting("search_path=pg_catalog, pg_temp");
	foreach(lc, entry->settings)
		if (!SEGMENT_MUTANT("session_zone") || strncmp(lfirst(lc), "TimeZone=", 9) != 0)
		apply_setting(lfirst(lc));
}

void
segment_read_return(SegmentGuard *guard)
{
	AtEOXact_GUC(false, guard->nestLevel);
	SetUserIdAndSecContext(guard->userId, guard->context);
}

/* Plan and run one query under the active snapshot. */
static void
run(Query *query, DestReceiver *dest)
{
	List	   *rewritten;
	PlannedStmt *plan;
	QueryDesc  *desc;

	AcquireRewriteLocks(query, true, false);
	rewritten = QueryRewrite(query);
	Assert(list_length(rewritten) == 1);
	plan = pg_plan_query(linitial_node(Query, rewritten), "", CURSOR_OPT_PARALLEL_OK, NULL);
	desc = CreateQueryDesc(plan, "segment evaluation", GetActiveSnapshot(), InvalidSnapshot,
						   dest, NULL, NULL, 0);
	segment_compat_run(desc);
	FreeQueryDesc(desc);
}

static void
name_segments(void *arg)
{
	List	   *compiled = arg;
	const SegmentCompiled *first = linitial(compiled);

	if (list_length(compiled) == 1 && OidIsValid(first->viewId))
		errcontext("evaluation of segment \"%s\"", get_rel_name(first->viewId));
}

typedef struct Run
{
	Query	   *query;
	DestReceiver *dest;
} Run;

static void
run_query(void *arg)
{
	Run		   *this = arg;

	run(this->query, this->dest);
}

/*
 * The quick query looks at rows that plain SQL may leave alone.  When it fails on
 * one, the condition is evaluated as it stands, which is slow, and right: what
 * fails then would fail in plain SQL.  Of several conditions only one is to blame,
 * which the caller finds by asking for each.
 */
static void
run_combined(List *compiled, const SegmentBitmap *subset, TimestampTz clock, bool flips, DestReceiver *dest)
{
	bool		reshaped;
	Run			quick = {segment_compile_combine(compiled, subset, clock, flips, &reshaped), dest};
	ErrorData  *error;

	/* there are no subtransactions in parallel mode */
	if (!reshaped || list_length(compiled) > 1 || IsInParallelMode())
	{
		run(quick.query, dest);
		return;
	}
	error = segment_attempt(run_query, &quick);
	if (error == NULL)
		return;
	if (segment_attempt_is_passing(error) || SEGMENT_MUTANT("no_retry"))
		ReThrowError(error);
	run(segment_compile_combine(compiled, subset, clock, flips, NULL), dest);
}

/* Evaluate into a receiver; what it keeps is in "caller", everything else goes. */
static void
evaluate(List *compiled, const SegmentEntry *entry, const SegmentBitmap *subset,
		 TimestampTz clock, bool flips, DestReceiver *dest)
{
	const SegmentCompiled *first = linitial(compiled);
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "segment evaluation", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(work);
	ErrorContextCallback context = {.callback = name_segments,.arg = compiled,.previous = error_context_stack};
	TimestampTz outerClock;
	SegmentGuard guard;

	error_context_stack = &context;
	segment_read_become(&guard, first->owner, entry);
	/* a few subjects are evaluated before a compiler would have started */
	if (subset != NULL)
		apply_setting("jit=off");
	outerClock = segment_read_set_clock(clock);
	PG_TRY();
	{
		run_combined(compiled, subset, clock, flips, dest);
	}
	PG_FINALLY();
	{
		segment_read_set_clock(outerClock);
	}
	PG_END_TRY();
	segment_read_return(&guard);
	error_context_stack = context.previous;

	MemoryContextSwitchTo(caller);
	MemoryContextDelete(work);
}

void
segment_read_evaluate(List *compiled, const SegmentEntry *entry, const SegmentBitmap *subset,
					  TimestampTz clock, SegmentBitmap **results, SegmentDeadlines *deadlines)
{
	Receiver	receiver = {
		.pub = {receive, receive_anew, receiver_noop, receiver_noop, DestNone},
		.builders = palloc(sizeof(SegmentBuilder *) * list_length(compiled)),
		.deadlines = deadlines,
		.before = palloc(sizeof(size_t) * list_length(compiled)),
		.n = list_length(compiled),
		.context = CurrentMemoryContext
	};

	for (int i = 0; i < receiver.n && deadlines != NULL; i++)
		receiver.before[i] = deadlines[i].n;
	evaluate(compiled, entry, subset, clock, deadlines != NULL, &receiver.pub);
	for (int i = 0; i < receiver.n; i++)
		results[i] = segment_builder_end(receiver.builders[i]);
	pfree(receiver.builders);
	pfree(receiver.before);
}

/* Receives one row and keeps a copy of it. */
typedef struct ValueReceiver
{
	DestReceiver pub;
	SegmentValues *result;
	MemoryContext context;
} ValueReceiver;

static bool
receive_values(TupleTableSlot *slot, DestReceiver *self)
{
	ValueReceiver *receiver = (ValueReceiver *) self;
	TupleDesc	desc = slot->tts_tupleDescriptor;
	MemoryContext old = MemoryContextSwitchTo(receiver->context);
	int			n = desc->natts - 1;

	slot_getallattrs(slot);
	receiver->result = palloc(sizeof(SegmentValues));
	receiver->result->values = palloc0(n * sizeof(Datum));
	receiver->result->nulls = palloc(n * sizeof(bool));
	for (int i = 0; i < n; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i + 1);

		receiver->result->nulls[i] = slot->tts_isnull[i + 1];
		if (!slot->tts_isnull[i + 1])
			receiver->result->values[i] = datumCopy(slot->tts_values[i + 1], att->attbyval, att->attlen);
	}
	MemoryContextSwitchTo(old);
	return true;
}

SegmentValues *
segment_read_values(List *compiled, const SegmentEntry *entry, const SegmentBitmap *subject, TimestampTz clock)
{
	ValueReceiver receiver = {
		.pub = {receive_values, receiver_startup, receiver_noop, receiver_noop, DestNone},
		.context = CurrentMemoryContext
	};

	evaluate(compiled, entry, subject, clock, false, &receiver.pub);
	return receiver.result;
}

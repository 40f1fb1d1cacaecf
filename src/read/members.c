/*-------------------------------------------------------------------------
 *
 * members.c
 *		Exact members of a segment under the active snapshot.
 *
 *		members = (base minus pending) plus (condition on pending)
 *
 * Base, invalidations and evaluation are all read under the one active
 * snapshot.  Whenever the machinery cannot tell (see SegmentFull) the whole
 * definition is evaluated instead, so no state of it can make a read wrong.
 *
 * Two caches, both of this backend:
 *	- results by snapshot *content* (and clock), a few of them, until the end
 *	  of the transaction; forgotten when a subtransaction aborts, as rows seen
 *	  by the same snapshot may then be gone.  A segment's members are a
 *	  function of snapshot and clock, so this is sound (a pointer, or fn_extra,
 *	  would not be: plpgsql keeps expressions across statements).  Except while
 *	  a statement on a source is running: it writes row after row under one
 *	  command id, so what its functions see changes with no change of their
 *	  snapshot's content.  Then results last until this backend writes WAL;
 *	- bases by version, across transactions.  A version is never reused.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "executor/instrument.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "capture/capture.h"
#include "doorbell.h"
#include "guc.h"
#include "read/pending.h"
#include "read/read.h"
#include "testing.h"

/* Results are kept for this many snapshots at a time; more than one matters to cursors and nested calls only. */
#define MAX_RESULT_SETS 4

/* After this many single lookups under one snapshot, all members are worth having. */
#define MAX_SINGLE_LOOKUPS 8

/* A base of at least this many subjects' worth of pending is evaluated in full beyond a quarter of the table. */
#define MIN_MANY 1000

/* A base in memory. */
typedef struct CachedBase
{
	Oid			table;			/* segment.chunk: another one after CREATE
								 * EXTENSION anew */
	int32		id;
	int64		version;
	SegmentBitmap *members;
	MemoryContext context;
	int			pins;			/* results that are this base itself */
	uint64		used;			/* when last, by useCounter */
} CachedBase;

/* What is known of one segment under one snapshot. */
typedef struct Result
{
	Oid			viewId;			/* hash key */
	SegmentStanding *standing;	/* NULL: not looked at yet */
	const SegmentBitmap *members;	/* NULL: not known yet */
	CachedBase *base;			/* pinned, if members is its set */
	const SegmentBitmap *window;	/* right for ids of first .. last; NULL:
									 * nothing known */
	int64		first;
	int64		last;
	int			lookups;
} Result;

/* Results for one snapshot and clock. */
typedef struct ResultSet
{
	SnapshotData snapshot;		/* content only: xip and subxip are copies */
	TimestampTz clock;
	bool		refreshed;		/* results as of the last refresh, see
								 * segmentation.read */
	bool		valid;
	bool		inFlight;		/* made amid a statement on a source */
	MemoryContext context;
	HTAB	   *results;
	SegmentLog *log;
	uint64		used;
	int			busy;			/* calls that are working on it: not to be
								 * freed */
} ResultSet;

static List *result_sets = NIL; /* of ResultSet *, in TopMemoryContext */
static List *bases = NIL;		/* of CachedBase *, in base_context */
static MemoryContext base_context = NULL;
static uint64 use_counter = 0;
static TimestampTz clock_override = 0;
static bool callbacks_registered = false;
static int	pins = 0;			/* see segment_read_pin() */
static bool invalidated = false;	/* while pinned */

/* ---- the clock ---- */

TimestampTz
segment_read_clock(void)
{
	if (clock_override != 0)
		return clock_override;
	return segment_guc_clock != 0 ? segment_guc_clock : GetCurrentTransactionStartTimestamp();
}

TimestampTz
segment_read_set_clock(TimestampTz clock)
{
	TimestampTz old = clock_override;

	clock_override = clock;
	return old;
}

/* ---- bases ---- */

static void
drop_base(CachedBase *base)
{
	bases = list_delete_ptr(bases, base);
	MemoryContextDelete(base->context);
	pfree(base);
}

/* Make room: the least recently used bases that nobody holds go first. */
static void
trim_bases(void)
{
	for (;;)
	{
		CachedBase *oldest = NULL;
		Size		total = 0;
		ListCell   *lc;

		foreach(lc, bases)
		{
			CachedBase *base = lfirst(lc);

			total += MemoryContextMemAllocated(base->context, true);
			if (base->pins == 0 && (oldest == NULL || base->used < oldest->used))
				oldest = base;
		}
		if (oldest == NULL || total <= (Size) segment_guc_cache_size * 1024)
			return;
		drop_base(oldest);
	}
}

static CachedBase *
find_base(int32 id, int64 version)
{
	Oid			table = segment_table_oid("chunk");
	ListCell   *lc;

	foreach(lc, bases)
	{
		CachedBase *base = lfirst(lc);

		if (base->id == id && base->version == version && base->table == table)
			return base;
	}
	return NULL;
}

/* The base of a segment as the active snapshot shows it. */
static CachedBase *
get_base(const SegmentState *state)
{
	CachedBase *base = find_base(state->id, state->version);
	MemoryContext old;
	MemoryContext context;
	SegmentBitmap *members;
	ListCell   *lc;

	if (base == NULL)
	{
		if (base_context == NULL)
			base_context = AllocSetContextCreate(TopMemoryContext, "segment bases", ALLOCSET_SMALL_SIZES);
		/* an older version is of no use to the next reader */
		foreach(lc, list_copy(bases))
		{
			CachedBase *other = lfirst(lc);

			if (other->id == state->id && other->pins == 0)
				drop_base(other);
		}
		trim_bases();

		context = AllocSetContextCreate(CurrentMemoryContext, "segment base", ALLOCSET_DEFAULT_SIZES);
		old = MemoryContextSwitchTo(context);
		members = segment_chunk_load(state->id, GetActiveSnapshot());
		MemoryContextSwitchTo(base_context);
		base = palloc0(sizeof(CachedBase));
		base->table = segment_table_oid("chunk");
		base->id = state->id;
		base->version = state->version;
		base->members = members;
		base->context = context;
		bases = lappend(bases, base);
		MemoryContextSwitchTo(old);
		MemoryContextSetParent(context, base_context);
	}
	base->used = ++use_counter;
	return base;
}

/* ---- results by snapshot ---- */

static bool
same_snapshot(const SnapshotData *a, const SnapshotData *b)
{
	return a->xmin == b->xmin && a->xmax == b->xmax && a->curcid == b->curcid &&
		a->xcnt == b->xcnt && a->subxcnt == b->subxcnt && a->suboverflowed == b->suboverflowed &&
		a->takenDuringRecovery == b->takenDuringRecovery &&
		(a->xcnt == 0 || memcmp(a->xip, b->xip, a->xcnt * sizeof(TransactionId)) == 0) &&
		(a->subxcnt <= 0 || memcmp(a->subxip, b->subxip, a->subxcnt * sizeof(TransactionId)) == 0);
}

static void
free_result_set(ResultSet *set)
{
	HASH_SEQ_STATUS status;
	Result	   *result;

	result_sets = list_delete_ptr(result_sets, set);
	hash_seq_init(&status, set->results);
	while ((result = hash_seq_search(&status)) != NULL)
		if (result->base != NULL)
			result->base->pins--;
	MemoryContextDelete(set->context);
}

static void
forget_results(void)
{
	ListCell   *lc;

	foreach(lc, result_sets)
		((ResultSet *) lfirst(lc))->valid = false;
}

/* Sources read in this transaction whose statements are not known to us: OIDs, in TopTransactionContext. */
static List *untracked_sources = NIL;

/* One source of these segments is: any may be. */
static void
note_untracked(List *closure)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, closure)
		foreach(lc2, ((SegmentCompiled *) lfirst(lc))->sources)
		untracked_sources = list_append_unique_oid(untracked_sources, ((SegmentSource *) lfirst(lc2))->relid);
	MemoryContextSwitchTo(old);
}

/* May a statement of this transaction be writing to one of them? */
static bool
is_untracked_written(void)
{
	ListCell   *lc;

	foreach(lc, untracked_sources)
	{
		Relation	rel = RelationIdGetRelation(lfirst_oid(lc));

		/* children may be written by themselves */
		bool		locked = RelationIsValid(rel) && (rel->rd_rel->relhassubclass || CheckRelationLockedByMe(rel, RowExclusiveLock, true));

		if (RelationIsValid(rel))
			RelationClose(rel);
		if (locked)
			return true;
	}
	return false;
}

/* Results read amid a statement, which is over: a cursor's snapshot sees more than it did under the same content. */
static void
forget_results_in_flight(void)
{
	ListCell   *lc;

	foreach(lc, result_sets)
	{
		ResultSet  *set = lfirst(lc);

		if (set->inFlight && !segment_capture_in_flight(InvalidOid, set->snapshot.curcid))
			set->valid = false;
	}
}

/*
 * A statement on a source is running, or may be: has it written since we looked?
 * Every change of a permanent table writes WAL, but for wal_level = minimal.
 * Returns whether one is running.
 */
static bool
forget_if_written(void)
{
	static int64 seen = 0;
	bool		inFlight = segment_capture_in_flight(InvalidOid, GetActiveSnapshot()->curcid);

	forget_results_in_flight();
	if (!inFlight && !is_untracked_written())
		return false;
	if (pgWalUsage.wal_records != seen || !XLogIsNeeded())
		forget_results();
	seen = pgWalUsage.wal_records;
	return inFlight;
}

static void
at_xact_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			while (result_sets != NIL)
				free_result_set(linitial(result_sets));
			clock_override = 0;
			untracked_sources = NIL;
			break;
		default:
			break;
	}
}

static void
at_subxact_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	/* what has no transaction id has written nothing that a result could hold */
	if (event == SUBXACT_EVENT_ABORT_SUB && TransactionIdIsValid(GetCurrentTransactionIdIfAny()))
		forget_results();
}

/* A definition, a trigger or a table has changed: what we know may be of the old one. */
static void
at_invalidation(Datum arg, Oid relid)
{
	if (pins > 0)
		invalidated = true;
	else
		forget_results();
}

void
segment_read_pin(void)
{
	pins++;
}

void
segment_read_unpin(void)
{
	if (--pins > 0 || !invalidated)
		return;
	invalidated = false;
	forget_results();
}

/* The body of a function that conditions call may have been replaced. */
static void
at_function_change(Datum arg, int cacheid, uint32 hashvalue)
{
	forget_results();
}

static void
register_callbacks(void)
{
	if (callbacks_registered)
		return;
	RegisterXactCallback(at_xact_end, NULL);
	RegisterSubXactCallback(at_subxact_end, NULL);
	CacheRegisterRelcacheCallback(at_invalidation, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, at_function_change, (Datum) 0);
	callbacks_registered = true;
}

/* Are bases read as they are?  Never within a refresh or an evaluation. */
static bool
reads_refreshed(void)
{
	return segment_guc_read == SEGMENT_READ_REFRESHED && clock_override == 0;
}

static ResultSet *
make_result_set(Snapshot snapshot, TimestampTz clock)
{
	MemoryContext context = AllocSetContextCreate(TopTransactionContext, "segment results", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	ResultSet  *set = palloc0(sizeof(ResultSet));
	HASHCTL		info = {.keysize = sizeof(Oid),.entrysize = sizeof(Result),.hcxt = context};

	set->snapshot = *snapshot;
	if (snapshot->xcnt > 0)
	{
		set->snapshot.xip = palloc(snapshot->xcnt * sizeof(TransactionId));
		memcpy(set->snapshot.xip, snapshot->xip, snapshot->xcnt * sizeof(TransactionId));
	}
	if (snapshot->subxcnt > 0)
	{
		set->snapshot.subxip = palloc(snapshot->subxcnt * sizeof(TransactionId));
		memcpy(set->snapshot.subxip, snapshot->subxip, snapshot->subxcnt * sizeof(TransactionId));
	}
	set->clock = clock;
	set->refreshed = reads_refreshed();
	set->valid = true;
	set->context = context;
	set->results = hash_create("segment results", 16, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	MemoryContextSwitchTo(old);
	return set;
}

/* Too many: free the least recently used one that nobody works on. */
static void
trim_result_sets(void)
{
	ResultSet  *oldest = NULL;
	ListCell   *lc;

	if (list_length(result_sets) < MAX_RESULT_SETS)
		return;
	foreach(lc, result_sets)
	{
		ResultSet  *set = lfirst(lc);

		if (set->busy == 0 && (oldest == NULL || set->used < oldest->used))
			oldest = set;
	}
	if (oldest != NULL)
		free_result_set(oldest);
}

static ResultSet *
current_result_set(void)
{
	Snapshot	snapshot = GetActiveSnapshot();
	TimestampTz clock = segment_read_clock();
	ResultSet  *set;
	MemoryContext old;
	bool		inFlight;
	ListCell   *lc;

	register_callbacks();
	inFlight = forget_if_written();
	foreach(lc, result_sets)
	{
		set = lfirst(lc);
		if (set->valid && set->clock == clock && set->refreshed == reads_refreshed() && same_snapshot(&set->snapshot, snapshot))
		{
			set->used = ++use_counter;
			set->inFlight |= inFlight;
			return set;
		}
	}
	trim_result_sets();
	set = make_result_set(snapshot, clock);
	set->inFlight = inFlight;
	set->used = ++use_counter;
	old = MemoryContextSwitchTo(TopMemoryContext);
	result_sets = lappend(result_sets, set);
	MemoryContextSwitchTo(old);
	return set;
}

static Result *
get_result(ResultSet *set, Oid viewId)
{
	bool		found;
	Result	   *result = hash_search(set->results, &viewId, HASH_ENTER, &found);

	if (!found)
	{
		result->standing = NULL;
		result->members = NULL;
		result->base = NULL;
		result->window = NULL;
		result->lookups = 0;
	}
	return result;
}

/* ---- where a segment stands ---- */

typedef struct Closure
{
	List	   *compiled;		/* of SegmentCompiled *, the segment itself
								 * first */
	List	   *entries;		/* of SegmentEntry *, in step; NULL: not
								 * registered */
	bool		broken;			/* one that it refers to is no segment any
								 * more */
} Closure;

/* The segment and all that it refers to, each once. */
static void
collect_closure(Oid viewId, Closure *closure)
{
	const SegmentCompiled *compiled;
	ListCell   *lc;

	check_stack_depth();
	foreach(lc, closure->compiled)
		if (((SegmentCompiled *) lfirst(lc))->viewId == viewId)
		return;
	compiled = segment_catalog_compiled(viewId, closure->compiled != NIL);
	if (compiled == NULL)
	{
		/* a view changed by hand: the evaluation will say so */
		closure->broken = true;
		return;
	}
	closure->compiled = lappend(closure->compiled, (void *) compiled);
	closure->entries = lappend(closure->entries, segment_catalog_lookup(viewId));
	foreach(lc, compiled->inner)
		collect_closure(lfirst_oid(lc), closure);
}

static uint64
closure_fingerprint(Closure *closure)
{
	uint64		hash = 0;
	ListCell   *lc;
	ListCell   *lc2;
	ListCell   *lc3;

	forboth(lc, closure->compiled, lc2, closure->entries)
	{
		SegmentCompiled *compiled = lfirst(lc);
		SegmentEntry *entry = lfirst(lc2);

		hash = hash_combine64(hash, compiled->fingerprint);
		hash = hash_combine64(hash, compiled->viewId);
		if (entry != NULL)
			foreach(lc3, entry->settings)
		{
			const char *setting = lfirst(lc3);

			hash = hash_combine64(hash, hash_bytes_extended((const unsigned char *) setting, strlen(setting), 0));
		}
	}
	return hash;
}

/* Can what the sources of a segment suffer be known?  Locks them; FULL_NOT if so. */
static SegmentFull
check_sources(const SegmentCompiled *compiled, Oid *untracked)
{
	CommandId	curcid = ActiveSnapshotSet() ? GetActiveSnapshot()->curcid : InvalidCommandId;
	ListCell   *lc;

	foreach(lc, compiled->sources)
	{
		SegmentSource *source = lfirst(lc);
		Relation	rel = table_open(source->relid, AccessShareLock);
		bool		covered = segment_capture_covers(rel, segment_compile_captures(compiled, source->relid));

		table_close(rel, NoLock);
		*untracked = source->relid;
		if (!covered)
			return FULL_UNTRACKED;
		if (segment_capture_in_flight(source->relid, curcid) && !SEGMENT_MUTANT("no_in_flight"))
			return FULL_IN_FLIGHT;
	}
	*untracked = InvalidOid;
	return FULL_NOT;
}

/* More pending than are worth looking at one by one? */
static bool
are_many(Oid subject, int64 pending)
{
	HeapTuple	tuple;
	double		rows = 0;

	if (pending < MIN_MANY)
		return false;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(subject));
	if (HeapTupleIsValid(tuple))
	{
		rows = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
		ReleaseSysCache(tuple);
	}
	return rows > 0 && pending > rows / 4;
}

/* The log under the active snapshot, from a transaction id on; read once per snapshot. */
static SegmentLog *
get_log(ResultSet *set, FullTransactionId from)
{
	if (set->log == NULL || FullTransactionIdPrecedes(from, set->log->from))
	{
		MemoryContext old = MemoryContextSwitchTo(set->context);

		if (SEGMENT_MUTANT("several_snapshots"))
		{
			PushActiveSnapshot(GetLatestSnapshot());
			set->log = segment_pending_load(from, GetActiveSnapshot());
			PopActiveSnapshot();
		}
		else
			set->log = segment_pending_load(from, GetActiveSnapshot());
		MemoryContextSwitchTo(old);
	}
	return set->log;
}

/*
 * Is a base of the future?  A base may be younger than the reader's now(), but
 * not than the real time, or the clock that was set: by the session, or by the
 * refresh or read that this one is part of.
 */
static bool
is_ahead(TimestampTz base)
{
	if (clock_override != 0)
		return base > clock_override;
	return base > (segment_guc_clock != 0 ? segment_guc_clock : GetCurrentTimestamp());
}

/* Read state and epoch of a registered segment; false if it has no base. */
static bool
read_state(const SegmentEntry *entry, SegmentState *state, SegmentEpoch *epoch)
{
	if (entry == NULL || !segment_state_get(entry->id, GetActiveSnapshot(), state))
		return false;
	if (state->epoch != 0 && !segment_epoch_get(state->epoch, GetActiveSnapshot(), epoch))
		state->epoch = 0;
	return true;
}

/*
 * What now() means in this read: the reader's clock, but never before that of
 * a base that is read, those of inner segments included.
 */
static TimestampTz
effective_clock(SegmentStanding *standing)
{
	TimestampTz clock = segment_read_clock();
	ListCell   *lc;

	/*
	 * the refresh, or the reader around us, has looked at all bases that it
	 * reads, this one too
	 */
	if (clock_override != 0)
		return clock;
	foreach(lc, standing->entries)
	{
		SegmentState state;
		SegmentEpoch epoch;

		if (read_state(lfirst(lc), &state, &epoch) && state.epoch != 0 &&
			!is_ahead(epoch.clock) && epoch.clock > clock && !SEGMENT_MUTANT("own_clock"))
			clock = epoch.clock;
	}
	return clock;
}

/* Does what the base says of itself allow to use it? */
static SegmentFull
check_base(const SegmentStanding *standing)
{
	const SegmentState *state = &standing->state;

	if (standing->entry == NULL || !standing->hasState)
		return FULL_UNBUILT;
	if (!standing->entry->enabled)
		return FULL_DISABLED;
	if (state->fingerprint != standing->fingerprint)
		return FULL_UNBUILT;
	if (state->status == SEGMENT_FAILED)
		return FULL_FAILED;
	if (state->status != SEGMENT_BUILT && state->status != SEGMENT_BUILDING)
		return FULL_UNBUILT;
	/* the base is that of no snapshot any more */
	if (state->epoch == 0)
		return FULL_EVERYBODY;
	return FULL_NOT;
}

TimestampTz
segment_read_staleness_end(const SegmentEntry *entry, TimestampTz clock)
{
	ListCell   *lc;

	if (entry != NULL)
		foreach(lc, entry->options)
	{
		const char *option = lfirst(lc);

		if (strncmp(option, "max_staleness=", 14) == 0)
			return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(clock),
														   DirectFunctionCall3(interval_in, CStringGetDatum(option + 14),
																			   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1))));
	}
	return DT_NOEND;
}

/* May the clock change members since the base, and for whom? */
static SegmentFull
check_clock(SegmentStanding *standing)
{
	bool		reads = false;
	ListCell   *lc;

	foreach(lc, standing->closure)
		reads |= ((SegmentCompiled *) lfirst(lc))->readsClock;
	if (!reads)
		return FULL_NOT;
	if (is_ahead(standing->epoch.clock) ||
		(standing->clock < standing->epoch.clock && !SEGMENT_MUTANT("own_clock")))
		return FULL_AHEAD;
	if (standing->state.due <= standing->clock)
		return FULL_EVERYBODY;
	segment_deadline_due(standing->entry->id, standing->clock, GetActiveSnapshot(), standing->pending);
	return FULL_NOT;
}

/* broken: something it refers to is no segment any more */
static void
find_standing(SegmentStanding *standing, ResultSet *set, bool broken)
{
	ListCell   *lc;
	ListCell   *lc2;

	standing->hasState = read_state(standing->entry, &standing->state, &standing->epoch);
	standing->clock = effective_clock(standing);
	standing->full = check_base(standing);
	if (standing->full == FULL_NOT && broken)
		standing->full = FULL_UNBUILT;

	/* look at the sources in any case: a refresh wants to know */
	forboth(lc, standing->closure, lc2, standing->entries)
	{
		SegmentCompiled *compiled = lfirst(lc);
		SegmentFull sources = check_sources(compiled, &standing->untracked);

		if (sources == FULL_UNTRACKED)
			note_untracked(standing->closure);
		if (sources != FULL_NOT)
		{
			standing->full = sources;
			return;
		}
		if (standing->full == FULL_NOT && !segment_compile_may_read(compiled))
			standing->full = FULL_FORBIDDEN;
		if (compiled->opaqueClock && segment_read_staleness_end(lfirst(lc2), 0) == DT_NOEND)
			standing->full = FULL_CLOCK;
	}
	if (standing->full != FULL_NOT)
		return;

	standing->pending = standing->state.rest ? segment_bitmap_from_datum(standing->state.rest) :
		segment_bitmap_create();
	standing->full = check_clock(standing);
	if (standing->full != FULL_NOT)
		return;
	forboth(lc, standing->closure, lc2, standing->entries)
	{
		if (!segment_pending_collect(lfirst(lc), lfirst(lc2), get_log(set, standing->epoch.xmin),
									 &standing->epoch, standing->pending))
		{
			standing->full = FULL_EVERYBODY;
			return;
		}
	}
	standing->behind = segment_pending_is_behind(get_log(set, standing->epoch.xmin), &standing->epoch);
	if (are_many(standing->compiled->subject, segment_bitmap_cardinality(standing->pending)))
		standing->full = FULL_MANY;
}

/* Read the base as it is, if it is complete; else the segment stands as for any reader. */
static void
find_refreshed_standing(SegmentStanding *standing, ResultSet *set, bool broken)
{
	SegmentFull full;

	bool		may = true;
	ListCell   *lc;

	foreach(lc, standing->closure)
		may &= segment_compile_may_read(lfirst(lc));
	standing->hasState = read_state(standing->entry, &standing->state, &standing->epoch);
	full = check_base(standing);
	if (broken || !may || (full != FULL_NOT && full != FULL_EVERYBODY) || standing->state.status != SEGMENT_BUILT)
	{
		find_standing(standing, set, broken);
		return;
	}
	standing->clock = standing->state.epoch != 0 ? standing->epoch.clock : standing->state.refreshedAt;
	standing->pending = segment_bitmap_create();
}

/* Find out where a segment stands; in CurrentMemoryContext. */
static SegmentStanding *
make_standing(ResultSet *set, Oid viewId, bool refreshed)
{
	Closure		closure = {NIL, NIL, false};
	SegmentStanding *standing = palloc0(sizeof(SegmentStanding));

	collect_closure(viewId, &closure);
	standing->compiled = linitial(closure.compiled);
	standing->entry = linitial(closure.entries);
	standing->closure = closure.compiled;
	standing->entries = closure.entries;
	standing->fingerprint = closure_fingerprint(&closure);
	if (refreshed)
		find_refreshed_standing(standing, set, closure.broken);
	else
		find_standing(standing, set, closure.broken);
	return standing;
}

void
segment_read_nudge(const SegmentStanding *standing)
{
	bool		waits;

	if (standing->entry == NULL || !standing->entry->enabled || !segment_catalog_is_automatic(standing->entry))
		return;
	switch (standing->full)
	{
		case FULL_NOT:
			waits = standing->pending != NULL && !segment_bitmap_is_empty(standing->pending);
			break;
		case FULL_UNBUILT:
		case FULL_AHEAD:
		case FULL_EVERYBODY:
		case FULL_MANY:
			waits = true;
			break;
		default:
			waits = false;
	}
	if (waits)
		segment_doorbell_nudge();
}

static SegmentStanding *
get_standing(ResultSet *set, Result *result)
{
	if (result->standing == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(set->context);

		result->standing = make_standing(set, result->viewId, set->refreshed);
		MemoryContextSwitchTo(old);
		segment_read_nudge(result->standing);
	}
	return result->standing;
}

SegmentStanding *
segment_read_standing(Oid viewId)
{
	ResultSet  *set = current_result_set();
	SegmentStanding *standing;

	set->busy++;
	PG_TRY();
	{
		standing = make_standing(set, viewId, false);
	}
	PG_FINALLY();
	{
		set->busy--;
	}
	PG_END_TRY();
	return standing;
}

SegmentBitmap *
segment_read_written(const SegmentStanding *standing)
{
	SegmentBitmap *written = standing->state.rest ? segment_bitmap_from_datum(standing->state.rest) :
	segment_bitmap_create();
	SegmentLog *log = get_log(current_result_set(), standing->epoch.xmin);
	ListCell   *lc;
	ListCell   *lc2;

	forboth(lc, standing->closure, lc2, standing->entries)
		if (!segment_pending_collect(lfirst(lc), lfirst(lc2), log, &standing->epoch, written))
		return NULL;
	return written;
}

bool
segment_read_is_tracked(Oid viewId)
{
	Closure		closure = {NIL, NIL, false};
	Oid			untracked;
	ListCell   *lc;

	collect_closure(viewId, &closure);
	foreach(lc, closure.compiled)
		if (check_sources(lfirst(lc), &untracked) == FULL_UNTRACKED)
		return false;
	return true;
}

/* ---- members ---- */

/* Evaluate one segment on a subset (NULL: all), the result in the current context. */
static SegmentBitmap *
evaluate_one(const SegmentStanding *standing, const SegmentBitmap *subset)
{
	SegmentBitmap *members;

	segment_read_evaluate(list_make1((void *) standing->compiled), standing->entry, subset,
						  standing->clock, &members, NULL);
	return members;
}

/* Find out the members of a segment that are not known yet. */
static void
find_members(ResultSet *set, Result *result)
{
	SegmentStanding *standing = get_standing(set, result);
	MemoryContext old = MemoryContextSwitchTo(set->context);

	if (standing->full != FULL_NOT)
		result->members = evaluate_one(standing, NULL);
	else if (segment_bitmap_is_empty(standing->pending))
	{
		result->base = get_base(&standing->state);
		result->base->pins++;
		result->members = result->base->members;
	}
	else
	{
		SegmentBitmap *truth = evaluate_one(standing, standing->pending);
		SegmentBitmap *members = segment_bitmap_copy(get_base(&standing->state)->members);

		segment_bitmap_andnot(members, standing->pending);
		segment_bitmap_or(members, truth);
		result->members = members;
	}
	MemoryContextSwitchTo(old);
}

const SegmentBitmap *
segment_read_members(Oid viewId)
{
	ResultSet  *set = current_result_set();
	Result	   *result = get_result(set, viewId);

	if (result->members == NULL)
	{
		set->busy++;
		PG_TRY();
		{
			find_members(set, result);
		}
		PG_FINALLY();
		{
			set->busy--;
		}
		PG_END_TRY();
	}
	return result->members;
}

void
segment_read_remember(Oid viewId, const SegmentBitmap *members)
{
	ResultSet  *set = current_result_set();
	Result	   *result = get_result(set, viewId);
	MemoryContext old = MemoryContextSwitchTo(set->context);

	if (result->members == NULL)
		result->members = segment_bitmap_copy(members);
	MemoryContextSwitchTo(old);
}

void
segment_read_remember_window(Oid viewId, const SegmentBitmap *members, int64 first, int64 last)
{
	ResultSet  *set = current_result_set();
	Result	   *result = get_result(set, viewId);
	MemoryContext old = MemoryContextSwitchTo(set->context);

	result->window = segment_bitmap_extract(members, first, last);
	result->first = first;
	result->last = last;
	MemoryContextSwitchTo(old);
}

int64
segment_read_size(Oid viewId)
{
	ResultSet  *set = current_result_set();
	Result	   *result = get_result(set, viewId);
	SegmentStanding *standing;

	if (result->members == NULL)
	{
		/*
		 * through a lookup of the standing alone: most reads need nothing
		 * else
		 */
		set->busy++;
		PG_TRY();
		{
			standing = get_standing(set, result);
		}
		PG_FINALLY();
		{
			set->busy--;
		}
		PG_END_TRY();
		if (standing->full == FULL_NOT && segment_bitmap_is_empty(standing->pending))
			return standing->state.size;
	}
	return segment_bitmap_cardinality(segment_read_members(viewId));
}

/* One lookup without finding all members: one chunk, or the evaluation of one subject. */
static bool
look_up(ResultSet *set, Result *result, int64 subject)
{
	SegmentStanding *standing = get_standing(set, result);
	SegmentBitmap *one;

	if (standing->full == FULL_NOT && !segment_bitmap_contains(standing->pending, subject))
	{
		CachedBase *base = find_base(standing->state.id, standing->state.version);

		return segment_bitmap_contains(base ? base->members :
									   segment_chunk_load_one(standing->state.id, subject, GetActiveSnapshot()),
									   subject);
	}
	one = segment_bitmap_create();
	segment_bitmap_add(one, subject);
	return !segment_bitmap_is_empty(evaluate_one(standing, one));
}

bool
segment_read_contains(Oid viewId, int64 subject)
{
	ResultSet  *set = current_result_set();
	Result	   *result = get_result(set, viewId);
	bool		found;

	if (subject < 0)
		return false;
	if (result->window != NULL && subject >= result->first && subject <= result->last)
		return segment_bitmap_contains(result->window, subject);
	if (result->members == NULL && ++result->lookups > MAX_SINGLE_LOOKUPS)
		segment_read_members(viewId);
	if (result->members != NULL)
		return segment_bitmap_contains(result->members, subject);

	set->busy++;
	PG_TRY();
	{
		found = look_up(set, result, subject);
	}
	PG_FINALLY();
	{
		set->busy--;
	}
	PG_END_TRY();
	return found;
}

const char *
segment_read_full_reason(SegmentFull full)
{
	switch (full)
	{
		case FULL_NOT:
			return NULL;
		case FULL_DISABLED:
			return "disabled";
		case FULL_UNBUILT:
			return "not built";
		case FULL_FAILED:
			return "the last refresh failed";
		case FULL_CLOCK:
			return "reads the clock in a way that cannot be told ahead";
		case FULL_AHEAD:
			return "the base is ahead of the clock";
		case FULL_FORBIDDEN:
			return "the owner may not read a source";
		case FULL_UNTRACKED:
			return "a source is not tracked";
		case FULL_IN_FLIGHT:
			return "a statement on a source is running";
		case FULL_EVERYBODY:
			return "a change touched everybody";
		case FULL_MANY:
			return "too many pending subjects";
	}
	return NULL;
}

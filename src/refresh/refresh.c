/*-------------------------------------------------------------------------
 *
 * refresh.c
 *		Move bases forward: what a reader does, for many segments, written down.
 *
 * Per subject table, in one transaction:
 *
 *	1. take the refresh lock (exclusive, to the end of the transaction);
 *	2. only then take the snapshot that everything below is done under;
 *	3. for each segment, inner ones first: where does its base stand (the
 *	   reader's own code), then evaluate the pending subjects of all segments
 *	   of one owner and settings in one query;
 *	4. write the chunks that changed, the state, and the epoch: that snapshot,
 *	   with this transaction's own id as "not visible in it";
 *	5. delete the invalidations that no base and no snapshot needs any more;
 *	6. tell whoever listens of the changes that went into the feed (feed.c).
 *
 * A base is the truth of its epoch's snapshot.  Because that is taken under the
 * lock, a later refresh has a later snapshot, and a reader who sees this
 * refresh committed sees all that its snapshot saw.  The snapshot stays
 * registered to the end of the transaction, so that step 5 of another refresh
 * (which stays below the oldest snapshot of any backend) cannot delete what
 * this one has not seen.
 *
 * Errors of conditions are caught in subtransactions: first for the group, then
 * one by one, so that the guilty segment alone is marked as failed.  Its reads
 * evaluate in full, and raise.
 *
 * Locks, in order: ACCESS SHARE on views (a DROP waits for the refresh), refresh
 * lock of the subject table (by OID), ACCESS SHARE on sources, ROW EXCLUSIVE on
 * our own tables.  Never a lock that a writer of a source would wait for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "rewrite/rewriteManip.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "bitmap/bitmap.h"
#include "catalog/deadline.h"
#include "catalog/registry.h"
#include "catalog/state.h"
#include "compat.h"
#include "guc.h"
#include "read/read.h"
#include "refresh/ahead.h"
#include "refresh/feed.h"
#include "refresh/refresh.h"
#include "refresh/work.h"
#include "testing.h"

/* A failed segment is tried again at least this often. */
#define MAX_RETRY_SECONDS INT64CONST(300)

/*
 * Segments that any change makes pending as a whole are refreshed automatically
 * after this many times what that costs, so that they take a tenth of the time
 * and the others stay fresh; at the latest after so long.
 */
#define PACE 10
#define MAX_PACE_SECONDS INT64CONST(300)

/* What is refreshed in one transaction: segments of one subject table. */
typedef struct Round
{
	Oid			subject;
	List	   *viewIds;
	int64		budget;			/* subjects to evaluate; 0: no limit */
	bool		automatic;		/* by the worker: what failed has to wait */
	bool		rebuild;		/* whatever is stored is worth nothing */
} Round;

/* ---- lock and order ---- */

void
segment_refresh_lock(Oid subject)
{
	LOCKTAG		tag;

	if (SEGMENT_MUTANT("no_lock"))
		return;
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, get_namespace_oid("segment", false), subject, 1);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

/* ---- the snapshot, kept ---- */

/* Snapshots of this transaction's refreshes, registered until its very end. */
static ResourceOwner keeper = NULL;
static List *kept = NIL;

static void
at_xact_end(XactEvent event, void *arg)
{
	ListCell   *lc;

	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			if (kept != NIL)
				ereport(ERROR,
						errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("cannot PREPARE a transaction that has refreshed a segment"));
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
			/* by now the transaction has left the list of running ones */
			foreach(lc, kept)
				UnregisterSnapshotFromOwner(lfirst(lc), keeper);
			list_free(kept);
			kept = NIL;
			break;
		default:
			break;
	}
}

/* Hold back the deletion of invalidations until this transaction is over. */
static void
keep_snapshot(Snapshot snapshot)
{
	MemoryContext old;

	if (keeper == NULL)
	{
		keeper = ResourceOwnerCreate(NULL, "segment refresh");
		RegisterXactCallback(at_xact_end, NULL);
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	kept = lappend(kept, RegisterSnapshotOnOwner(snapshot, keeper));
	MemoryContextSwitchTo(old);
}

static SegmentWork *
find_item(List *items, Oid viewId)
{
	ListCell   *lc;

	foreach(lc, items)
		if (((SegmentWork *) lfirst(lc))->viewId == viewId)
		return lfirst(lc);
	return NULL;
}

/* Inner segments are refreshed before those that refer to them. */
static int
find_level(SegmentWork *item, List *items)
{
	const SegmentCompiled *compiled = item->standing->compiled;
	ListCell   *lc;

	check_stack_depth();
	if (item->level >= 0)
		return item->level;
	item->level = 0;
	foreach(lc, compiled->inner)
	{
		SegmentWork *inner = find_item(items, lfirst_oid(lc));

		if (inner != NULL)
			item->level = Max(item->level, find_level(inner, items) + 1);
	}
	return item->level;
}

/* ---- evaluation ---- */

/* Can these two be evaluated by one query? */
static bool
same_group(const SegmentWork *a, const SegmentWork *b)
{
	return a->level == b->level && a->full == b->full && a->windowed == b->windowed &&
		a->standing->compiled->owner == b->standing->compiled->owner &&
		segment_ahead_same_settings(a->standing->entry, b->standing->entry);
}

bool
segment_refresh_try(void (*what) (void *arg), void *arg, char **message)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	BeginInternalSubTransaction("segment refresh");
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		what(arg);
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		/* a cancel is not a failure of the segment */
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN ||
			error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE || error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED ||
			error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE || error->sqlerrcode == ERRCODE_OUT_OF_MEMORY)
			ReThrowError(error);
		*message = pstrdup(error->message);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return done;
}

/* Evaluate a group; false, with *message, when it fails.  blind: without its deadlines. */
static bool
try_evaluate(List *group, TimestampTz clock, bool blind, char **message)
{
	SegmentLook look = {.group = group,.at = clock,.blind = blind};
	SegmentBitmap *subset = NULL;
	ListCell   *lc;

	if (!((SegmentWork *) linitial(group))->full)
	{
		subset = segment_bitmap_create();
		foreach(lc, group)
			segment_bitmap_or(subset, ((SegmentWork *) lfirst(lc))->todo);
	}
	look.subset = subset;
	if (!segment_ahead_look(&look, message))
		return false;
	segment_ahead_take(&look);
	return true;
}

/*
 * Evaluate a segment that failed.  Deadlines are computed of values that the
 * condition may not have looked at: when it is only they that fail, the base is
 * good, but for no later clock.
 */
static void
evaluate_blindly(SegmentWork *item, TimestampTz clock, char *message)
{
	char	   *second;

	if (segment_ahead_reads_clock(item) && try_evaluate(list_make1(item), clock, true, &second))
		item->remark = psprintf("every read evaluates everybody, as deadlines could not be computed: %s", message);
	else
		item->failure = message;
}

/* Evaluate a group; what fails together is tried one by one. */
static void
evaluate_group(List *group, TimestampTz clock)
{
	instr_time	start;
	instr_time	duration;
	char	   *message = NULL;
	ListCell   *lc;

	INSTR_TIME_SET_CURRENT(start);
	if (!try_evaluate(group, clock, false, &message))
	{
		if (list_length(group) == 1)
			evaluate_blindly(linitial(group), clock, message);
		else
			foreach(lc, group)
				evaluate_group(list_make1(lfirst(lc)), clock);
		if (list_length(group) > 1)
			return;
	}
	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, start);
	foreach(lc, group)
		((SegmentWork *) lfirst(lc))->cost = INSTR_TIME_GET_MILLISEC(duration) / list_length(group);
}

/* truth := what is to be stored, from what was evaluated */
static void
complete(SegmentWork *item)
{
	SegmentBitmap *members;

	if (item->truth == NULL || item->full)
		return;
	members = segment_bitmap_copy(item->base);
	segment_bitmap_andnot(members, item->todo);
	/* the query looked at the pending subjects of the whole group */
	segment_bitmap_and(item->truth, item->todo);
	segment_bitmap_or(members, item->truth);
	item->truth = members;
}

/* Let the segments that refer to this one read what is known of it now. */
static void
remember(SegmentWork *item, SegmentWindow window)
{
	if (item->failure != NULL)
		return;
	if (item->rest != NULL)
		segment_read_remember_window(item->viewId, item->truth ? item->truth : item->base, window.first, window.last);
	else if (item->truth != NULL)
		segment_read_remember(item->viewId, item->truth);
}

/* Evaluate these items of one level, a query per owner and settings. */
static void
evaluate_level(List *rest, TimestampTz clock)
{
	ListCell   *lc;

	while (rest != NIL)
	{
		List	   *group = NIL;
		List	   *others = NIL;

		foreach(lc, rest)
			if (list_length(group) < SEGMENT_MAX_GROUP && same_group(linitial(rest), lfirst(lc)))
			group = lappend(group, lfirst(lc));
		else
			others = lappend(others, lfirst(lc));
		evaluate_group(group, clock);
		foreach(lc, group)
			complete(lfirst(lc));
		rest = others;
	}
}

/* Evaluate what is to be evaluated of all items, level by level. */
static void
evaluate_items(List *items, SegmentWindow window, TimestampTz clock)
{
	int			levels = 0;
	ListCell   *lc;

	foreach(lc, items)
		levels = Max(levels, find_level(lfirst(lc), items));
	for (int level = 0; level <= levels; level++)
	{
		List	   *now = NIL;

		foreach(lc, items)
		{
			SegmentWork *item = lfirst(lc);

			if (item->level == level && (item->full || !segment_bitmap_is_empty(item->todo)))
				now = lappend(now, item);
		}
		evaluate_level(now, clock);
		foreach(lc, items)
			if (((SegmentWork *) lfirst(lc))->level == level)
			remember(lfirst(lc), window);
	}
}

/* ---- writing ---- */

/* When a segment that has failed so often in a row is tried again: after 1 s, 2 s, 4 s, ... 5 min. */
static TimestampTz
retry_at(int32 failures)
{
	return GetCurrentTimestamp() + Min(INT64CONST(1) << Min(failures - 1, 20), MAX_RETRY_SECONDS) * USECS_PER_SEC;
}

/* Its base is worth nothing: say why, and let go of its epoch. */
static void
store_unbuilt(SegmentWork *item, char status, const char *message, TimestampTz clock)
{
	SegmentState *state = &item->standing->state;

	state->id = item->standing->entry->id;
	state->status = status;
	state->fingerprint = item->standing->fingerprint;
	state->epoch = 0;
	state->evaluated = 0;
	state->cost = item->cost;
	state->refreshedAt = clock;
	state->due = DT_NOEND;
	state->message = message ? pstrdup(message) : NULL;
	state->rest = (Datum) 0;
	state->total = 0;
	state->since = DT_NOBEGIN;
	if (!item->standing->hasState)
	{
		state->version = 0;
		state->size = 0;
		state->failures = 0;
		ItemPointerSetInvalid(&state->tid);
	}
	state->failures = status == SEGMENT_FAILED ? state->failures + 1 : 0;
	state->retryAt = status == SEGMENT_FAILED ? retry_at(state->failures) : DT_NOBEGIN;
	segment_state_put(state);
}

/* Write down who is left for the next round, and since when there is somebody. */
static void
set_rest(SegmentWork *item)
{
	SegmentState *state = &item->standing->state;
	bool		complete = state->status == SEGMENT_BUILT && state->fingerprint == item->standing->fingerprint;

	state->status = item->rest == NULL || complete ? SEGMENT_BUILT : SEGMENT_BUILDING;
	if (item->rest == NULL)
	{
		state->rest = (Datum) 0;
		state->total = 0;
		state->since = DT_NOBEGIN;
		return;
	}
	if (state->rest == (Datum) 0 || item->restart)
	{
		state->total = segment_bitmap_cardinality(item->standing->pending);
		state->since = GetCurrentTimestamp();
	}
	if (SEGMENT_MUTANT("no_rest"))
		item->rest = segment_bitmap_create();
	segment_bitmap_optimize(item->rest);
	state->rest = segment_bitmap_to_datum(item->rest);
}

/* Returns whether the state row had to change. */
static bool
store_built(SegmentWork *item, int64 epoch, TimestampTz clock)
{
	SegmentStanding *standing = item->standing;
	SegmentState *state = &standing->state;
	SegmentBitmap *members = item->truth;	/* NULL: nothing was evaluated */
	bool		changed = members != NULL && !segment_bitmap_equals(members, item->base);

	if (members == NULL && item->rest == NULL && state->epoch == epoch && state->rest == (Datum) 0)
		return false;
	if (!standing->hasState)
	{
		memset(state, 0, sizeof(SegmentState));
		ItemPointerSetInvalid(&state->tid);
	}
	item->change = segment_feed_append(item, clock);
	if (changed)
	{
		segment_chunk_store(standing->entry->id, item->base, members);
		SEGMENT_STOP("chunk_written");
	}
	state->id = standing->entry->id;
	if (changed || !standing->hasState)
		state->version = segment_state_next_version();
	set_rest(item);
	state->fingerprint = standing->fingerprint;
	state->epoch = epoch;
	if (members != NULL)
	{
		state->size = segment_bitmap_cardinality(members);
		state->evaluated = item->full ? -1 : segment_bitmap_cardinality(item->todo);
		state->cost = item->cost;
	}
	state->due = item->due;
	state->refreshedAt = clock;
	state->message = item->remark;
	state->failures = 0;
	state->retryAt = DT_NOBEGIN;
	segment_state_put(state);
	if (members != NULL)
		segment_ahead_store(item, clock);
	return true;
}

/* The epoch that all of these segments, and no others, have now; or a new one. */
static SegmentEpoch *
choose_epoch(List *items)
{
	SegmentEpoch *epoch = palloc0(sizeof(SegmentEpoch));
	int64		common = 0;
	int			users = 0;
	ListCell   *lc;

	foreach(lc, items)
	{
		SegmentWork *item = lfirst(lc);

		if (item->failure != NULL)
			continue;
		if (item->standing->hasState && item->standing->state.epoch != 0)
		{
			if (common == 0)
			{
				common = item->standing->state.epoch;
				*epoch = item->standing->epoch;
			}
			if (item->standing->state.epoch == common)
				users++;
		}
	}

	/*
	 * the row of an epoch may have been updated since an old snapshot was
	 * taken
	 */
	if (common != 0 && !IsolationUsesXactSnapshot())
	{
		int			all = 0;

		foreach(lc, segment_state_all(GetActiveSnapshot()))
			if (((SegmentState *) lfirst(lc))->epoch == common)
			all++;
		if (all == users)
			return epoch;
	}
	memset(epoch, 0, sizeof(SegmentEpoch));
	ItemPointerSetInvalid(&epoch->tid);
	epoch->id = segment_state_next_version();
	return epoch;
}

/*
 * Nothing to evaluate and one epoch for all: is there an invalidation that
 * this epoch does not have yet?  If not, there is nothing to write.
 */
static bool
is_idle(List *items)
{
	int64		epoch = -1;
	FullTransactionId xmin = FirstNormalFullTransactionId;
	Relation	table;
	SysScanDesc scan;
	ScanKeyData key;
	bool		idle;
	ListCell   *lc;

	foreach(lc, items)
	{
		SegmentWork *item = lfirst(lc);

		if (item->failure != NULL || item->truth != NULL || item->rest != NULL || item->standing->full != FULL_NOT ||
			item->standing->state.rest != (Datum) 0)
			return false;
		if (epoch == -1)
		{
			epoch = item->standing->state.epoch;
			xmin = item->standing->epoch.xmin;
		}
		else if (epoch != item->standing->state.epoch)
			return false;
	}
	table = segment_table_open("invalidation", AccessShareLock);
	ScanKeyInit(&key, 1, BTGreaterEqualStrategyNumber, F_XID8GE, FullTransactionIdGetDatum(xmin));
	scan = systable_beginscan(table, segment_table_index(table), true, GetActiveSnapshot(), 1, &key);
	idle = !HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(table, NoLock);
	return idle;
}

/* Delete the row unless somebody else is about to. */
static void
try_delete(Relation table, ItemPointer tid)
{
	TM_FailureData failure;

	(void) table_tuple_delete(table, tid, GetCurrentCommandId(true), GetActiveSnapshot(), InvalidSnapshot,
							  false, &failure, false);
}

/* Delete epochs without users; the oldest xmin of the others (valid if any). */
static FullTransactionId
clean_epochs(bool *any)
{
	Relation	table = segment_table_open("epoch", RowExclusiveLock);
	List	   *states = segment_state_all(GetActiveSnapshot());
	FullTransactionId oldest = FirstNormalFullTransactionId;
	ListCell   *lc;
	ListCell   *lc2;

	*any = false;
	foreach(lc, segment_epoch_all(GetActiveSnapshot()))
	{
		SegmentEpoch *epoch = lfirst(lc);
		bool		used = false;

		foreach(lc2, states)
			used |= ((SegmentState *) lfirst(lc2))->epoch == epoch->id;
		if (!used)
			try_delete(table, &epoch->tid);
		else if (!*any || (FullTransactionIdPrecedes(epoch->xmin, oldest) != SEGMENT_MUTANT("gc_eager")))
		{
			oldest = epoch->xmin;
			*any = true;
		}
	}
	table_close(table, NoLock);
	return oldest;
}

/* Below this is no snapshot that any backend holds now, or will take. */
static FullTransactionId
oldest_snapshot(void)
{
	Relation	table = segment_table_open("invalidation", AccessShareLock);
	TransactionId horizon = GetOldestNonRemovableTransactionId(table);
	FullTransactionId now = ReadNextFullTransactionId();

	table_close(table, NoLock);
	return SEGMENT_MUTANT("gc_eager") ? now : segment_compat_widen(now, horizon);
}

/*
 * Delete the invalidations below every epoch's xmin and below the oldest
 * snapshot of any backend: every base has them, and so will every base that is
 * being built.
 */
static void
delete_invalidations(FullTransactionId limit, FullTransactionId oldest, bool any)
{
	Relation	table = segment_table_open("invalidation", RowExclusiveLock);
	Relation	index = index_open(segment_table_index(table), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (any && FullTransactionIdPrecedes(oldest, limit))
		limit = oldest;
	ScanKeyInit(&key, 1, BTLessStrategyNumber, F_XID8LT, FullTransactionIdGetDatum(limit));
	scan = systable_beginscan_ordered(table, index, GetActiveSnapshot(), 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		CHECK_FOR_INTERRUPTS();
		try_delete(table, &tuple->t_self);
	}
	systable_endscan_ordered(scan);
	index_close(index, NoLock);
	table_close(table, NoLock);
}

/*
 * Step 5.  First the horizon, only then the snapshot that shows the epochs: a
 * refresh of another subject table that ends in between either still counts in
 * the horizon, or its epoch is seen.  For the same reason that snapshot is a
 * new one under REPEATABLE READ too.
 */
static void
collect_garbage(void)
{
	FullTransactionId limit = oldest_snapshot();
	FullTransactionId oldest;
	bool		any;

	PushActiveSnapshot(GetLatestSnapshot());
	oldest = clean_epochs(&any);
	delete_invalidations(limit, oldest, any);
	PopActiveSnapshot();
}

/* ---- one subject table ---- */

/*
 * Before the snapshot: whose sources have all their triggers?  A trigger that
 * is there now was there before any writer that the snapshot will not see.
 */
static List *
make_items(List *viewIds)
{
	List	   *items = NIL;
	ListCell   *lc;

	foreach(lc, viewIds)
	{
		SegmentWork *item = palloc0(sizeof(SegmentWork));

		CHECK_FOR_INTERRUPTS();
		item->viewId = lfirst_oid(lc);
		item->level = -1;
		item->tracked = segment_read_is_tracked(item->viewId);
		items = lappend(items, item);
	}
	return items;
}

/* Look where each segment stands under the snapshot. */
static void
find_standings(List *items)
{
	ListCell   *lc;

	foreach(lc, items)
	{
		SegmentWork *item = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		item->standing = segment_read_standing(item->viewId);
		if (!item->tracked && item->standing->full != FULL_IN_FLIGHT)
			item->standing->full = FULL_UNTRACKED;
	}
}

/*
 * When those of these segments (SegmentStanding *) that have a base, but are
 * pending as a whole, are to be refreshed automatically: all at once, since some
 * may refer to others.
 */
static TimestampTz
pace(List *standings)
{
	double		cost = 0;		/* ms */
	TimestampTz last = DT_NOBEGIN;
	ListCell   *lc;

	foreach(lc, standings)
	{
		SegmentStanding *standing = lfirst(lc);

		if (standing->full != FULL_EVERYBODY)
			continue;
		cost += standing->state.cost;
		last = Max(last, standing->state.refreshedAt);
	}
	if (last == DT_NOBEGIN)
		return last;
	return last + Min((int64) (cost * PACE * 1000), MAX_PACE_SECONDS * USECS_PER_SEC);
}

/* Take out of the list what has no base: it says why in segment.status. */
static List *
set_aside(List *items, const Round *round, TimestampTz clock)
{
	List	   *kept = NIL;
	List	   *standings = NIL;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz paced;
	ListCell   *lc;

	foreach(lc, items)
		standings = lappend(standings, ((SegmentWork *) lfirst(lc))->standing);
	paced = pace(standings);
	foreach(lc, items)
	{
		SegmentWork *item = lfirst(lc);
		SegmentStanding *standing = item->standing;

		switch (standing->full)
		{
			case FULL_IN_FLIGHT:
				ereport(ERROR,
						errcode(ERRCODE_OBJECT_IN_USE),
						errmsg("cannot refresh segment \"%s\" while a statement on \"%s\" is running",
							   get_rel_name(item->viewId), get_rel_name(standing->untracked)));
				break;
			case FULL_CLOCK:
			case FULL_DISABLED:
			case FULL_UNTRACKED:
				if (!standing->hasState || standing->state.status != SEGMENT_UNBUILT)
					store_unbuilt(item, SEGMENT_UNBUILT, standing->full == FULL_UNTRACKED ?
								  "a source is not tracked; ALTER SEGMENT ... ENABLE mends its triggers" :
								  segment_read_full_reason(standing->full), clock);
				break;
			case FULL_FAILED:
				/* has no epoch, so it can be left alone */
				if (!round->automatic || standing->state.retryAt <= now)
					kept = lappend(kept, item);
				break;
			case FULL_EVERYBODY:
				/* what shares its epoch with the others then gets a new one */
				if (!round->automatic || paced <= now)
					kept = lappend(kept, item);
				break;
			default:
				kept = lappend(kept, item);
		}
		item->full = standing->full != FULL_NOT || round->rebuild;
		item->due = item->full ? DT_NOEND : standing->state.due;
	}
	return kept;
}

/* The stored base of each segment: what its chunks hold, whatever they stand for. */
static void
load_bases(List *items)
{
	ListCell   *lc;

	foreach(lc, items)
	{
		SegmentWork *item = lfirst(lc);

		if (item->full || !segment_bitmap_is_empty(item->standing->pending))
			item->base = segment_chunk_load(item->standing->entry->id, GetActiveSnapshot());
	}
}

/*
 * Under REPEATABLE READ the snapshot may be older than the last refresh, whose
 * rows it does not see and must not overwrite.
 */
static void
check_snapshot(List *items)
{
	ListCell   *lc;

	if (!IsolationUsesXactSnapshot())
		return;
	foreach(lc, items)
	{
		SegmentWork *item = lfirst(lc);
		SegmentState latest;
		bool		found;

		found = segment_state_get(item->standing->entry->id, NULL, &latest);
		if (found != item->standing->hasState ||
			(found && !ItemPointerEquals(&latest.tid, &item->standing->state.tid)))
			ereport(ERROR,
					errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					errmsg("could not serialize access due to concurrent refresh of segment \"%s\"",
						   get_rel_name(item->viewId)));
	}
}

/* Is somebody left for the next step? */
static bool
is_unfinished(List *items)
{
	ListCell   *lc;

	foreach(lc, items)
		if (((SegmentWork *) lfirst(lc))->rest != NULL && ((SegmentWork *) lfirst(lc))->failure == NULL)
		return true;
	return false;
}

/* Steps 3 and 4, under the active snapshot.  Returns whether something is left for the next step. */
static bool
move_forward(List *items, const Round *round, TimestampTz clock)
{
	Datum		snapshot = datumCopy(DirectFunctionCall1(pg_current_snapshot, (Datum) 0), false, -1);
	SegmentEpoch *epoch;
	SegmentWindow window;
	ListCell   *lc;

	find_standings(items);
	check_snapshot(items);
	items = set_aside(items, round, clock);
	load_bases(items);
	window = segment_refresh_divide(items, round->subject, round->budget, clock);
	evaluate_items(items, window, clock);
	segment_ahead_prepare(items, clock);
	if (items == NIL || is_idle(items))
		return false;
	SEGMENT_STOP("evaluated");

	epoch = choose_epoch(items);
	if (SEGMENT_MUTANT("late_snapshot"))
	{
		PushActiveSnapshot(GetLatestSnapshot());
		snapshot = DirectFunctionCall1(pg_current_snapshot, (Datum) 0);
		PopActiveSnapshot();
	}
	epoch->snapshot = snapshot;
	epoch->xid = GetTopFullTransactionId();
	epoch->clock = clock;
	segment_epoch_put(epoch);
	SEGMENT_STOP("epoch_written");
	foreach(lc, items)
	{
		SegmentWork *item = lfirst(lc);

		if (item->failure != NULL)
		{
			store_unbuilt(item, SEGMENT_FAILED, item->failure, clock);
			ereport(WARNING,
					errmsg("segment \"%s\" could not be refreshed", get_rel_name(item->viewId)),
					errdetail("%s", item->failure));
		}
		else
			store_built(item, epoch->id, clock);
	}
	SEGMENT_STOP("stored");
	return is_unfinished(items);
}

/* The same with the clock in force for all reads of inner segments. */
static bool
move_forward_at(List *items, const Round *round, TimestampTz clock)
{
	TimestampTz outer = segment_read_set_clock(clock);
	volatile bool more = false;

	PG_TRY();
	{
		more = move_forward(items, round, clock);
	}
	PG_FINALLY();
	{
		segment_read_set_clock(outer);
	}
	PG_END_TRY();
	return more;
}

/*
 * The clock of a refresh: the real one, but never before an epoch's, unless
 * that is ahead of the real clock itself; or the one that was set.
 */
static TimestampTz
choose_clock(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz clock = now;
	ListCell   *lc;

	if (segment_guc_clock != 0)
	{
		ereport(NOTICE,
				errmsg("segments are refreshed as of segmentation.clock, %s", timestamptz_to_str(segment_guc_clock)),
				errhint("Refresh again without the setting before other sessions rely on them; until then they read in full."));
		return segment_guc_clock;
	}
	foreach(lc, segment_epoch_all(GetActiveSnapshot()))
	{
		TimestampTz epoch = ((SegmentEpoch *) lfirst(lc))->clock;

		if (epoch <= now && epoch > clock)
			clock = epoch;
	}
	return clock;
}

/* One step for one subject table; true when more is left. */
static bool
refresh_subject(const Round *round)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "segment refresh", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	List	   *items;
	List	   *changes = NIL;
	bool		more;
	ListCell   *lc;

	segment_refresh_lock(round->subject);
	SEGMENT_STOP("locked");
	AcceptInvalidationMessages();
	CommandCounterIncrement();
	items = make_items(round->viewIds);
	PushActiveSnapshot(GetTransactionSnapshot());
	keep_snapshot(GetActiveSnapshot());
	more = move_forward_at(items, round, choose_clock());
	PopActiveSnapshot();

	CommandCounterIncrement();
	collect_garbage();
	SEGMENT_STOP("collected");
	foreach(lc, items)
		if (((SegmentWork *) lfirst(lc))->change != NULL)
		changes = lappend(changes, ((SegmentWork *) lfirst(lc))->change);
	segment_feed_finish(round->subject, changes);
	SEGMENT_STOP("fed");
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return more;
}

/* ---- what to refresh ---- */

/* Lock a segment's view against being dropped or altered; false if it is gone already. */
static bool
lock_view(Oid viewId)
{
	LockRelationOid(viewId, AccessShareLock);
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(viewId));
}

static int
compare_rounds(const ListCell *a, const ListCell *b)
{
	Oid			left = ((const Round *) lfirst(a))->subject;
	Oid			right = ((const Round *) lfirst(b))->subject;

	return left < right ? -1 : left > right;
}

/* Add a segment to the step of its subject table. */
static List *
add_to_rounds(List *rounds, Oid subject, Oid viewId)
{
	Round	   *round = NULL;
	ListCell   *lc;

	foreach(lc, rounds)
		if (((Round *) lfirst(lc))->subject == subject)
		round = lfirst(lc);
	if (round == NULL)
	{
		round = palloc0(sizeof(Round));
		round->subject = subject;
		rounds = lappend(rounds, round);
	}
	round->viewIds = list_append_unique_oid(round->viewIds, viewId);
	return rounds;
}

/* These segments, their views locked; the caller must own them. */
static List *
rounds_of(List *viewIds)
{
	List	   *rounds = NIL;
	ListCell   *lc;

	foreach(lc, viewIds)
	{
		(void) lock_view(lfirst_oid(lc));
		rounds = add_to_rounds(rounds, segment_catalog_compiled(lfirst_oid(lc), false)->subject, lfirst_oid(lc));
		if (!segment_compat_owns(lfirst_oid(lc), GetUserId()))
			aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_VIEW, get_rel_name(lfirst_oid(lc)));
	}
	return rounds;
}

/*
 * Every segment that the caller owns, of one subject table or (InvalidOid) of
 * all; with automatic, only those that the worker is to refresh.  With lock,
 * their views are locked.
 */
static List *
rounds_of_all(Oid subject, bool automatic, bool lock)
{
	List	   *rounds = NIL;
	ListCell   *lc;

	foreach(lc, segment_catalog_all())
	{
		SegmentEntry *entry = lfirst(lc);
		const SegmentCompiled *compiled;

		if (!segment_compat_owns(entry->viewId, GetUserId()) || (automatic && !segment_catalog_is_automatic(entry)))
			continue;
		if (OidIsValid(subject))
		{
			/* no lock on segments of other tables, which nothing is done with */
			compiled = segment_catalog_compiled(entry->viewId, true);
			if (compiled == NULL || compiled->subject != subject)
				continue;
		}
		if (lock && !lock_view(entry->viewId))
			continue;
		compiled = segment_catalog_compiled(entry->viewId, true);
		if (compiled != NULL && (!OidIsValid(subject) || compiled->subject == subject))
			rounds = add_to_rounds(rounds, compiled->subject, entry->viewId);
	}
	return rounds;
}

static void
check_allowed(void)
{
	PreventCommandIfReadOnly("REFRESH SEGMENT");
	PreventCommandDuringRecovery("REFRESH SEGMENT");
	PreventCommandIfParallelMode("REFRESH SEGMENT");
}

static void
refresh_segments(List *viewIds, bool rebuild)
{
	List	   *rounds;
	ListCell   *lc;

	check_allowed();
	rounds = viewIds != NIL ? rounds_of(viewIds) : rounds_of_all(InvalidOid, false, true);
	list_sort(rounds, compare_rounds);
	foreach(lc, rounds)
	{
		Round	   *round = lfirst(lc);

		round->rebuild = rebuild;
		(void) refresh_subject(round);
	}
}

void
segment_refresh_segments(List *viewIds)
{
	refresh_segments(viewIds, false);
}

void
segment_refresh_rebuild(List *viewIds)
{
	refresh_segments(viewIds, true);
}

bool
segment_refresh_step(Oid subject, int64 budget, bool automatic)
{
	bool		more = false;
	List	   *rounds;
	ListCell   *lc;

	check_allowed();
	rounds = rounds_of_all(subject, automatic, true);
	foreach(lc, rounds)
	{
		Round	   *round = lfirst(lc);

		round->budget = budget;
		round->automatic = automatic;
		more |= refresh_subject(round);
	}
	return more;
}

List *
segment_refresh_subjects(void)
{
	List	   *subjects = NIL;
	ListCell   *lc;

	foreach(lc, rounds_of_all(InvalidOid, false, false))
		subjects = lappend_oid(subjects, ((Round *) lfirst(lc))->subject);
	list_sort(subjects, list_oid_cmp);
	return subjects;
}

/* ---- when to refresh ---- */

/* When this segment is to be refreshed next if nobody writes; at or before "now": now. */
static TimestampTz
due_at(const SegmentStanding *standing, TimestampTz paced, TimestampTz now)
{
	const SegmentState *state = &standing->state;

	switch (standing->full)
	{
		case FULL_NOT:
			if (!segment_bitmap_is_empty(standing->pending))
				return now;
			return Min(segment_ahead_due(standing, now), segment_deadline_next(standing->entry->id, standing->epoch.clock, GetActiveSnapshot()));
		case FULL_FAILED:
			return state->retryAt;
		case FULL_EVERYBODY:
			return paced;
		case FULL_CLOCK:
		case FULL_DISABLED:
		case FULL_UNTRACKED:
			/* its base is given up once */
			return standing->hasState && state->epoch != 0 ? now : DT_NOEND;
		case FULL_IN_FLIGHT:
			return DT_NOEND;
		default:
			return now;
	}
}

/* The same for all segments of a subject table, the earliest. */
static TimestampTz
round_due_at(const Round *round, TimestampTz now)
{
	TimestampTz due = DT_NOEND;
	List	   *standings = NIL;
	TimestampTz paced;
	ListCell   *lc;

	foreach(lc, round->viewIds)
	{
		CHECK_FOR_INTERRUPTS();
		standings = lappend(standings, segment_read_standing(lfirst_oid(lc)));
	}
	paced = pace(standings);
	foreach(lc, standings)
		due = Min(due, due_at(lfirst(lc), paced, now));
	return due;
}

List *
segment_refresh_due(TimestampTz *next)
{
	TimestampTz now = GetCurrentTimestamp();
	List	   *subjects = NIL;
	ListCell   *lc;

	*next = DT_NOEND;
	foreach(lc, rounds_of_all(InvalidOid, true, false))
	{
		const Round *round = lfirst(lc);
		TimestampTz due = round_due_at(round, now);

		if (due <= now)
			subjects = lappend_oid(subjects, round->subject);
		else
			*next = Min(*next, due);
	}
	return subjects;
}

void
segment_refresh_forget(int32 id)
{
	segment_state_delete(id);
	segment_feed_forget(id);
}

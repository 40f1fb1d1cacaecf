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
 *	5. tell whoever listens of the changes that went into the feed (feed.c);
 *	6. behind the last table of the transaction, delete the invalidations that no
 *	   base and no snapshot needs any more (schedule.c calls).
 *
 * A base is the truth of its epoch's snapshot.  Because that is taken under the
 * lock, a later refresh has a later snapshot, and a reader who sees this
 * refresh committed sees all that its snapshot saw.  The snapshot stays
 * registered to the end of the transaction, so that step 6 of another refresh
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

#include "access/xact.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "attempt.h"
#include "bitmap/bitmap.h"
#include "capture/capture.h"
#include "catalog/state.h"
#include "compat.h"
#include "guc.h"
#include "read/read.h"
#include "refresh/ahead.h"
#include "refresh/feed.h"
#include "refresh/refresh.h"
#include "refresh/work.h"
#include "testing.h"

/* ---- lock and order ---- */

static LockAcquireResult
take_lock(Oid subject, bool dontWait)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, segment_catalog_schema(false), subject, 1);
	return LockAcquire(&tag, ExclusiveLock, false, dontWait);
}

void
segment_refresh_lock(Oid subject)
{
	if (SEGMENT_MUTANT("no_lock"))
		return;
	(void) take_lock(subject, false);
	AcceptInvalidationMessages();
}

bool
segment_refresh_lock_if_free(Oid subject)
{
	return take_lock(subject, true) != LOCKACQUIRE_NOT_AVAIL;
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

/* ---- one subject table ---- */

static void
store_failed(SegmentWork *item, TimestampTz clock)
{
	segment_refresh_store_unbuilt(item, SEGMENT_FAILED, item->failure, clock);
	ereport(WARNING,
			errmsg("segment \"%s\" could not be refreshed", get_rel_name(item->viewId)),
			errdetail("%s", item->failure));
}

static void
find_tracked(void *arg)
{
	SegmentWork *item = arg;

	item->tracked = segment_read_is_tracked(item->viewId);
}

/*
 * Before the snapshot: whose sources have all their triggers?  A trigger that
 * is there now was there before any writer that the snapshot will not see.
 */
static List *
make_items(List *viewIds, bool automatic)
{
	List	   *items = NIL;
	ListCell   *lc;

	foreach(lc, viewIds)
	{
		SegmentWork *item = palloc0(sizeof(SegmentWork));
		ErrorData  *error;

		CHECK_FOR_INTERRUPTS();
		item->viewId = lfirst_oid(lc);
		item->level = -1;

		/*
		 * what fails here fails again below, where it is told; what waits for
		 * a lock has its turn later
		 */
		error = segment_attempt(find_tracked, item);
		if (error != NULL && segment_attempt_is_passing(error))
		{
			if (!automatic)
				ReThrowError(error);
			segment_refresh_hold_up(item->viewId);
			continue;
		}
		items = lappend(items, item);
	}
	return items;
}

static void
find_standing(void *arg)
{
	SegmentWork *item = arg;

	item->standing = segment_read_standing(item->viewId);
}

/* A segment of which nothing can be known: something that it refers to cannot be compiled, an interval leads out of range. */
static void
give_up(SegmentWork *item, const char *message)
{
	SegmentStanding *standing = palloc0(sizeof(SegmentStanding));

	standing->compiled = segment_catalog_compiled(item->viewId, false);
	standing->entry = segment_catalog_lookup(item->viewId);
	standing->fingerprint = standing->compiled->fingerprint;
	standing->hasState = segment_state_get(standing->entry->id, GetActiveSnapshot(), &standing->state);
	item->standing = standing;
	item->failure = pstrdup(message);
}

/* Where each segment stands under the snapshot. */
static void
find_standings(List *items)
{
	ListCell   *lc;

	foreach(lc, items)
	{
		SegmentWork *item = lfirst(lc);
		char	   *message;

		CHECK_FOR_INTERRUPTS();
		if (!segment_refresh_try(find_standing, item, &message))
			give_up(item, message);
		else if (!item->tracked && item->standing->full != FULL_IN_FLIGHT)
			item->standing->full = FULL_UNTRACKED;
	}
}

/* Those of which that is known; the others are marked as failed, unless they are, and their time has not come. */
static List *
take_known(List *items, const SegmentRound *round, TimestampTz clock)
{
	List	   *known = NIL;
	ListCell   *lc;

	foreach(lc, items)
	{
		SegmentWork *item = lfirst(lc);
		const SegmentState *state = &item->standing->state;

		if (item->failure == NULL)
			known = lappend(known, item);
		else if (!round->automatic || !item->standing->hasState || state->status != SEGMENT_FAILED ||
				 state->retryAt <= GetCurrentTimestamp())
			store_failed(item, clock);
	}
	return known;
}

/* What automatic refreshes do with a heavy segment, and with others while there are some. */
typedef enum Priority
{
	ALL_ALIKE,					/* not automatic, or none is heavy */
	HEAVY_WAIT,					/* their time has not come */
	HEAVY_NEXT,					/* it has, but the others go first */
	HEAVY_NOW					/* only they are refreshed, and what they
								 * refer to */
} Priority;

static Priority
choose_priority(List *items, const SegmentRound *round, TimestampTz now)
{
	List	   *standings = NIL;
	bool		heavy = false;
	bool		others = false;
	ListCell   *lc;

	foreach(lc, items)
	{
		SegmentWork *item = lfirst(lc);
		SegmentStanding *standing = item->standing;

		item->heavy = segment_refresh_is_heavy(standing);
		heavy |= item->heavy;
		others |= !item->heavy && (standing->full != FULL_NOT || !segment_bitmap_is_empty(standing->pending));
		standings = lappend(standings, standing);
	}
	if (!round->automatic || !heavy)
		return ALL_ALIKE;
	if (segment_refresh_pace(standings) > now)
		return HEAVY_WAIT;
	if (!others)
		return ALL_ALIKE;
	return segment_refresh_is_turn(round->subject) ? HEAVY_NOW : HEAVY_NEXT;
}

/* Does a heavy one refer to this one?  Then it inherits deadlines of it, refreshed at the same time (ahead.c). */
static bool
is_part_of_heavy(const SegmentWork *item, List *items)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, items)
	{
		const SegmentWork *outer = lfirst(lc);

		if (outer->heavy)
			foreach(lc2, outer->standing->closure)
				if (((SegmentCompiled *) lfirst(lc2))->viewId == item->viewId)
				return true;
	}
	return false;
}

/*
 * Is this segment left out of the refresh?  Its epoch stays what it is, and what
 * had the same gets a new one; but a heavy segment that has to wait does not
 * hold back the deletion of invalidations meanwhile.
 */
static bool
is_left_out(SegmentWork *item, List *items, Priority priority)
{
	if (!item->heavy)
		return priority == HEAVY_NOW && !is_part_of_heavy(item, items);
	if (priority == HEAVY_WAIT)
	{
		item->postponed = item->standing->full == FULL_NOT;
		if (!item->postponed && item->standing->state.epoch != 0)
			segment_refresh_store_outdated(item);
		return !item->postponed;
	}
	return priority == HEAVY_NEXT;
}

/* Take out of the list what has no base, it says why in segment.status; and what has to wait. */
static List *
set_aside(List *items, const SegmentRound *round, TimestampTz clock)
{
	List	   *kept = NIL;
	TimestampTz now = GetCurrentTimestamp();
	Priority	priority = choose_priority(items, round, now);
	ListCell   *lc;

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
					segment_refresh_store_unbuilt(item, SEGMENT_UNBUILT, standing->full == FULL_UNTRACKED ?
												  "a source is not tracked; ALTER SEGMENT ... ENABLE mends its triggers" :
												  segment_read_full_reason(standing->full), clock);
				break;
			case FULL_FAILED:
				/* has no epoch, so it can be left alone */
				if (!round->automatic || standing->state.retryAt <= now)
					kept = lappend(kept, item);
				break;
			default:
				if (!is_left_out(item, items, priority))
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

/* ERROR if the snapshot is older than what is captured of a source: a writer that it does not see may have recorded less. */
static void
check_captures(List *items)
{
	List	   *relids = NIL;
	ListCell   *lc;
	ListCell   *lc2;
	ListCell   *lc3;

	foreach(lc, items)
		foreach(lc2, ((SegmentWork *) lfirst(lc))->standing->closure)
		foreach(lc3, ((SegmentCompiled *) lfirst(lc2))->sources)
		relids = list_append_unique_oid(relids, ((SegmentSource *) lfirst(lc3))->relid);
	foreach(lc, relids)
		if (!segment_capture_is_seen(lfirst_oid(lc), GetActiveSnapshot()) && !SEGMENT_MUTANT("unseen_capture"))
		ereport(ERROR,
				errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				errmsg("could not serialize access due to a new segment on table \"%s\"", get_rel_name(lfirst_oid(lc))),
				errhint("Refresh in a new transaction."));
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
	check_captures(items);
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
	{
		const SegmentWork *item = lfirst(lc);

		if (item->rest != NULL && !item->postponed && item->failure == NULL)
			return true;
	}
	return false;
}

static int
compare_levels(const ListCell *a, const ListCell *b)
{
	return ((const SegmentWork *) lfirst(a))->level - ((const SegmentWork *) lfirst(b))->level;
}

/* Steps 3 and 4, under the active snapshot.  Returns whether something is left for the next step. */
static bool
move_forward(List *items, const SegmentRound *round, TimestampTz clock)
{
	Datum		snapshot = datumCopy(DirectFunctionCall1(pg_current_snapshot, (Datum) 0), false, -1);
	SegmentEpoch *epoch;
	SegmentWindow window;
	ListCell   *lc;

	find_standings(items);
	check_snapshot(items);
	items = take_known(items, round, clock);
	items = set_aside(items, round, clock);
	load_bases(items);
	window = segment_refresh_divide(items, round->subject, round->budget, clock);
	segment_refresh_evaluate(items, window, clock);
	segment_ahead_prepare(items, clock);
	if (items == NIL || segment_refresh_is_idle(items, clock))
		return false;
	SEGMENT_STOP("evaluated");

	epoch = segment_refresh_choose_epoch(items);
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
	list_sort(items, compare_levels);
	foreach(lc, items)
	{
		SegmentWork *item = lfirst(lc);

		if (item->failure != NULL)
			store_failed(item, clock);
		else
			segment_refresh_store_built(item, epoch->id, clock);
	}
	SEGMENT_STOP("stored");
	return is_unfinished(items);
}

/* The same with the clock in force for all reads of inner segments. */
static bool
move_forward_at(List *items, const SegmentRound *round, TimestampTz clock)
{
	TimestampTz outer = segment_read_set_clock(clock);
	volatile bool more = false;

	segment_read_pin();
	PG_TRY();
	{
		more = move_forward(items, round, clock);
	}
	PG_FINALLY();
	{
		segment_read_unpin();
		segment_read_set_clock(outer);
	}
	PG_END_TRY();
	return more;
}

/* The clock of a refresh: the real one, or the one that was set. */
static TimestampTz
choose_clock(void)
{
	if (segment_guc_clock == 0)
		return GetCurrentTimestamp();
	ereport(NOTICE,
			errmsg("segments are refreshed as of segmentation.clock, %s", timestamptz_to_str(segment_guc_clock)),
			errhint("Refresh again without the setting before other sessions rely on them; until then they read in full."));
	return segment_guc_clock;
}

/* One step for one subject table; true when more is left. */
bool
segment_refresh_round(const SegmentRound *round)
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
	items = make_items(round->viewIds, round->automatic);
	PushActiveSnapshot(GetTransactionSnapshot());
	keep_snapshot(GetActiveSnapshot());
	more = move_forward_at(items, round, choose_clock());
	PopActiveSnapshot();

	CommandCounterIncrement();
	foreach(lc, items)
		if (((SegmentWork *) lfirst(lc))->change != NULL)
		changes = lappend(changes, ((SegmentWork *) lfirst(lc))->change);
	segment_feed_finish(round->subject, changes);
	SEGMENT_STOP("fed");
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return more;
}

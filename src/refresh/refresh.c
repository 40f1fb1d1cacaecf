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
 *	5. delete the invalidations that no base and no snapshot needs any more.
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
#include "refresh/refresh.h"
#include "testing.h"

/* Segments evaluated by one query: a query has at most 1,664 columns, and each may have two. */
#define MAX_GROUP 500

/* ---- lock and order ---- */

static void
lock_subject(Oid subject)
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

static Work *
find_item(List *items, Oid viewId)
{
	ListCell   *lc;

	foreach(lc, items)
		if (((Work *) lfirst(lc))->viewId == viewId)
		return lfirst(lc);
	return NULL;
}

/* Inner segments are refreshed before those that refer to them. */
static int
find_level(Work *item, List *items)
{
	const SegmentCompiled *compiled = item->standing->compiled;
	ListCell   *lc;

	check_stack_depth();
	if (item->level >= 0)
		return item->level;
	item->level = 0;
	foreach(lc, compiled->inner)
	{
		Work	   *inner = find_item(items, lfirst_oid(lc));

		if (inner != NULL)
			item->level = Max(item->level, find_level(inner, items) + 1);
	}
	return item->level;
}

/* ---- evaluation ---- */

/* Can these two be evaluated by one query? */
static bool
same_group(const Work *a, const Work *b)
{
	return a->level == b->level && a->full == b->full &&
		a->standing->compiled->owner == b->standing->compiled->owner &&
		segment_ahead_same_settings(a->standing->entry, b->standing->entry);
}

/* Evaluate a group; false, with *message, when it fails.  blind: without its deadlines. */
static bool
try_evaluate(List *group, TimestampTz clock, bool blind, char **message)
{
	SegmentLook look = {.group = group,.at = clock,.blind = blind};
	SegmentBitmap *subset = NULL;
	ListCell   *lc;

	if (!((Work *) linitial(group))->full)
	{
		subset = segment_bitmap_create();
		foreach(lc, group)
			segment_bitmap_or(subset, ((Work *) lfirst(lc))->standing->pending);
	}
	look.subset = subset;
	if (!segment_ahead_look(&look))
	{
		*message = look.message;
		return false;
	}
	segment_ahead_take(&look);
	return true;
}

/*
 * Evaluate a segment that failed.  Deadlines are computed of values that the
 * condition may not have looked at: when it is only they that fail, the base is
 * good, but for no later clock.
 */
static void
evaluate_blindly(Work *item, TimestampTz clock, char *message)
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
		((Work *) lfirst(lc))->cost = INSTR_TIME_GET_MILLISEC(duration) / list_length(group);
}

/* truth := all members, from what was evaluated */
static void
complete(Work *item)
{
	SegmentBitmap *members;

	if (item->truth == NULL || item->full)
		return;
	members = segment_bitmap_copy(item->base);
	segment_bitmap_andnot(members, item->standing->pending);
	/* the query looked at the pending subjects of the whole group */
	segment_bitmap_and(item->truth, item->standing->pending);
	segment_bitmap_or(members, item->truth);
	item->truth = members;
}

/* Evaluate all items, level by level, a query per owner and settings. */
static void
evaluate_items(List *items, TimestampTz clock)
{
	int			levels = 0;
	ListCell   *lc;

	foreach(lc, items)
		levels = Max(levels, find_level(lfirst(lc), items));
	for (int level = 0; level <= levels; level++)
	{
		List	   *rest = NIL;

		foreach(lc, items)
		{
			Work	   *item = lfirst(lc);

			if (item->level == level &&
				(item->full || !segment_bitmap_is_empty(item->standing->pending)))
				rest = lappend(rest, item);
		}
		while (rest != NIL)
		{
			List	   *group = NIL;
			List	   *others = NIL;

			foreach(lc, rest)
				if (list_length(group) < MAX_GROUP && same_group(linitial(rest), lfirst(lc)))
				group = lappend(group, lfirst(lc));
			else
				others = lappend(others, lfirst(lc));
			evaluate_group(group, clock);
			foreach(lc, group)
			{
				Work	   *item = lfirst(lc);

				complete(item);
				if (item->truth != NULL)
					segment_read_remember(item->viewId, item->truth);
			}
			rest = others;
		}
	}
}

/* ---- writing ---- */

/* Its base is worth nothing: say why, and let go of its epoch. */
static void
store_unbuilt(Work *item, char status, const char *message, TimestampTz clock)
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
	if (!item->standing->hasState)
	{
		state->version = 0;
		state->size = 0;
		ItemPointerSetInvalid(&state->tid);
	}
	segment_state_put(state);
}

/* Returns whether the state row had to change. */
static bool
store_built(Work *item, int64 epoch, TimestampTz clock)
{
	SegmentStanding *standing = item->standing;
	SegmentState *state = &standing->state;
	SegmentBitmap *members = item->truth;	/* NULL: nothing was pending */
	bool		changed = members != NULL && !segment_bitmap_equals(members, item->base);

	if (members == NULL && state->epoch == epoch)
		return false;
	if (changed)
		segment_chunk_store(standing->entry->id, item->base, members);
	state->id = standing->entry->id;
	if (!standing->hasState)
		ItemPointerSetInvalid(&state->tid);
	if (changed || !standing->hasState)
		state->version = segment_state_next_version();
	state->status = SEGMENT_BUILT;
	state->fingerprint = standing->fingerprint;
	state->epoch = epoch;
	if (members != NULL)
	{
		state->size = segment_bitmap_cardinality(members);
		state->evaluated = item->full ? -1 : segment_bitmap_cardinality(standing->pending);
		state->cost = item->cost;
	}
	state->due = item->due;
	state->refreshedAt = clock;
	state->message = item->remark;
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
		Work	   *item = lfirst(lc);

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
		Work	   *item = lfirst(lc);

		if (item->failure != NULL || item->truth != NULL || item->standing->full != FULL_NOT)
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
		Work	   *item = palloc0(sizeof(Work));

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
		Work	   *item = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		item->standing = segment_read_standing(item->viewId);
		if (!item->tracked && item->standing->full != FULL_IN_FLIGHT)
			item->standing->full = FULL_UNTRACKED;
	}
}

/* Take out of the list what has no base: it says why in segment.status. */
static List *
set_aside(List *items, TimestampTz clock)
{
	List	   *kept = NIL;
	ListCell   *lc;

	foreach(lc, items)
	{
		Work	   *item = lfirst(lc);
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
			default:
				item->full = standing->full != FULL_NOT;
				item->due = item->full ? DT_NOEND : standing->state.due;
				kept = lappend(kept, item);
		}
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
		Work	   *item = lfirst(lc);

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
		Work	   *item = lfirst(lc);
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

/* Steps 3 and 4, under the active snapshot. */
static void
move_forward(List *items, TimestampTz clock)
{
	Datum		snapshot = datumCopy(DirectFunctionCall1(pg_current_snapshot, (Datum) 0), false, -1);
	SegmentEpoch *epoch;
	ListCell   *lc;

	find_standings(items);
	check_snapshot(items);
	items = set_aside(items, clock);
	load_bases(items);
	evaluate_items(items, clock);
	segment_ahead_prepare(items, clock);
	if (items == NIL || is_idle(items))
		return;

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
	foreach(lc, items)
	{
		Work	   *item = lfirst(lc);

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
}

/* The same with the clock in force for all reads of inner segments. */
static void
move_forward_at(List *items, TimestampTz clock)
{
	TimestampTz outer = segment_read_set_clock(clock);

	PG_TRY();
	{
		move_forward(items, clock);
	}
	PG_FINALLY();
	{
		segment_read_set_clock(outer);
	}
	PG_END_TRY();
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

static void
refresh_subject(Oid subject, List *viewIds)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "segment refresh", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	List	   *items;

	lock_subject(subject);
	AcceptInvalidationMessages();
	CommandCounterIncrement();
	items = make_items(viewIds);
	PushActiveSnapshot(GetTransactionSnapshot());
	keep_snapshot(GetActiveSnapshot());
	move_forward_at(items, choose_clock());
	PopActiveSnapshot();

	CommandCounterIncrement();
	collect_garbage();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/* ---- what to refresh ---- */

static int
compare_subjects(const ListCell *a, const ListCell *b)
{
	Oid			left = ((const SegmentCompiled *) lfirst(a))->subject;
	Oid			right = ((const SegmentCompiled *) lfirst(b))->subject;

	return left < right ? -1 : left > right;
}

/* Lock a segment's view against being dropped or altered; false if it is gone already. */
static bool
lock_view(Oid viewId)
{
	LockRelationOid(viewId, AccessShareLock);
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(viewId));
}

/* The segments to refresh, their views locked, compiled, ordered by subject table. */
static List *
choose_segments(List *viewIds)
{
	List	   *chosen = NIL;
	ListCell   *lc;

	foreach(lc, viewIds)
	{
		(void) lock_view(lfirst_oid(lc));
		chosen = list_append_unique_ptr(chosen, (void *) segment_catalog_compiled(lfirst_oid(lc), false));
		if (!segment_compat_owns(lfirst_oid(lc), GetUserId()))
			aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_VIEW, get_rel_name(lfirst_oid(lc)));
	}
	if (viewIds == NIL)
		foreach(lc, segment_catalog_all())
	{
		Oid			viewId = ((SegmentEntry *) lfirst(lc))->viewId;
		const SegmentCompiled *compiled;

		if (!segment_compat_owns(viewId, GetUserId()) || !lock_view(viewId))
			continue;
		compiled = segment_catalog_compiled(viewId, true);
		if (compiled != NULL)
			chosen = lappend(chosen, (void *) compiled);
	}
	list_sort(chosen, compare_subjects);
	return chosen;
}

void
segment_refresh_segments(List *viewIds)
{
	List	   *chosen;
	ListCell   *lc;

	PreventCommandIfReadOnly("REFRESH SEGMENT");
	PreventCommandDuringRecovery("REFRESH SEGMENT");
	PreventCommandIfParallelMode("REFRESH SEGMENT");

	chosen = choose_segments(viewIds);
	while (chosen != NIL)
	{
		Oid			subject = ((const SegmentCompiled *) linitial(chosen))->subject;
		List	   *mine = NIL;
		List	   *others = NIL;

		foreach(lc, chosen)
		{
			const SegmentCompiled *compiled = lfirst(lc);

			if (compiled->subject == subject)
				mine = lappend_oid(mine, compiled->viewId);
			else
				others = lappend(others, (void *) compiled);
		}
		refresh_subject(subject, mine);
		chosen = others;
	}
}

void
segment_refresh_forget(int32 id)
{
	segment_state_delete(id);
}

/*-------------------------------------------------------------------------
 *
 * store.c
 *		What a refresh writes down: chunks, state, epoch.
 *
 * Only what has changed is written.  An epoch is shared by the segments that
 * were refreshed together; its row is updated as long as all who share it move
 * forward together, else those that do get a new one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "bitmap/bitmap.h"
#include "catalog/deadline.h"
#include "catalog/state.h"
#include "compat.h"
#include "read/read.h"
#include "refresh/ahead.h"
#include "refresh/feed.h"
#include "refresh/work.h"
#include "testing.h"

/* A failed segment is tried again at least this often, unless trying takes long itself. */
#define MAX_RETRY_SECONDS INT64CONST(300)

/* When a segment that has failed so often in a row, the last time after so many ms, is tried again: after 1 s, 2 s, 4 s, ... 5 min. */
static TimestampTz
retry_at(int32 failures, double cost)
{
	int64		pause = Min(INT64CONST(1) << Min(failures - 1, 20), MAX_RETRY_SECONDS) * USECS_PER_SEC;

	return GetCurrentTimestamp() + Max(pause, (int64) (cost * SEGMENT_PACE * 1000));
}

/* Its base is worth nothing: say why, and let go of its epoch. */
void
segment_refresh_store_unbuilt(SegmentWork *item, char status, const char *message, TimestampTz clock)
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
		state->spare = 0;
		ItemPointerSetInvalid(&state->tid);
	}
	state->failures = status == SEGMENT_FAILED ? state->failures + 1 : 0;
	state->retryAt = status == SEGMENT_FAILED ? retry_at(state->failures, state->cost) : DT_NOBEGIN;
	segment_state_put(state);
}

void
segment_refresh_store_outdated(SegmentWork *item)
{
	SegmentState *state = &item->standing->state;

	state->epoch = 0;
	state->rest = (Datum) 0;
	state->total = 0;
	state->since = DT_NOBEGIN;
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

void
segment_refresh_store_built(SegmentWork *item, int64 epoch, TimestampTz clock)
{
	SegmentStanding *standing = item->standing;
	SegmentState *state = &standing->state;
	SegmentBitmap *members = item->truth;	/* NULL: nothing was evaluated */
	bool		changed = members != NULL && !segment_bitmap_equals(members, item->base);
	bool		back = segment_feed_is_set_back(standing, clock);

	if (members == NULL && item->rest == NULL && state->epoch == epoch && state->rest == (Datum) 0 && !back)
		return;
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
		if (item->cost > 0)
			state->cost = item->cost;
	}
	if (members != NULL || !standing->hasState || back)
		state->refreshedAt = clock;
	state->due = item->due;
	state->message = item->remark;
	state->failures = 0;
	state->retryAt = DT_NOBEGIN;
	if (members != NULL)
		segment_ahead_store(item, clock);
	segment_state_put(state);
}

/* The epoch that all of these segments, and no others, have now; or a new one. */
SegmentEpoch *
segment_refresh_choose_epoch(List *items)
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
bool
segment_refresh_is_idle(List *items, TimestampTz clock)
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

		if (segment_feed_is_set_back(item->standing, clock) || item->failure != NULL || item->truth != NULL || item->rest != NULL || item->standing->full != FULL_NOT ||
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

/*-------------------------------------------------------------------------
 *
 * garbage.c
 *		Delete the invalidations that nobody needs any more.
 *
 * Step 6 of a refresh (refresh.c): those that every base has, and every snapshot
 * that a backend holds or will take.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "catalog/state.h"
#include "compat.h"
#include "refresh/work.h"
#include "testing.h"

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
 * Step 6.  First the horizon, only then the snapshot that shows the epochs: a
 * refresh of another subject table that ends in between either still counts in
 * the horizon, or its epoch is seen.  For the same reason that snapshot is a
 * new one under REPEATABLE READ too.
 */
void
segment_refresh_collect_garbage(void)
{
	FullTransactionId limit = oldest_snapshot();
	FullTransactionId oldest;
	bool		any;

	PushActiveSnapshot(GetLatestSnapshot());
	oldest = clean_epochs(&any);
	delete_invalidations(limit, oldest, any);
	PopActiveSnapshot();
}

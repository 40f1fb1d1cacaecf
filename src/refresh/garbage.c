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
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "attempt.h"
#include "catalog/query.h"
#include "catalog/registry.h"
#include "catalog/state.h"
#include "compat.h"
#include "guc.h"
#include "refresh/refresh.h"
#include "refresh/work.h"
#include "testing.h"

/* So many invalidations are kept for segments that the worker does not refresh. */
#define MAX_UNATTENDED 100000

/* Delete the row unless somebody else is about to. */
static void
try_delete(Relation table, ItemPointer tid)
{
	TM_FailureData failure;

	(void) table_tuple_delete(table, tid, GetCurrentCommandId(true), GetActiveSnapshot(), InvalidSnapshot,
							  false, &failure, false);
}

/* Compile a segment without waiting for the locks of others; false if that is not known now. */
static bool
try_compile(Oid viewId, const SegmentCompiled **compiled)
{
	int			nest = NewGUCNestLevel();
	ErrorData  *error;

	(void) set_config_option("lock_timeout", "1", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	*compiled = segment_catalog_try_compiled(viewId, &error);
	AtEOXact_GUC(false, nest);
	return *compiled != NULL || (error != NULL && !segment_attempt_is_passing(error));
}

/*
 * Is this a segment that the worker will never refresh by itself, because it is
 * switched off or the segment cannot be compiled, and that nobody refreshes now?
 * Then nobody can until the end of this transaction.
 */
static bool
lock_unattended(int32 id)
{
	Oid			viewId = segment_catalog_view(id);
	SegmentEntry *entry = OidIsValid(viewId) ? segment_catalog_lookup(viewId) : NULL;
	const SegmentCompiled *compiled;

	if (entry == NULL || !ConditionalLockRelationOid(viewId, AccessShareLock) || !try_compile(viewId, &compiled))
		return false;
	if (compiled == NULL)
		return true;
	return (!segment_guc_worker || !segment_catalog_is_automatic(entry)) && segment_refresh_lock_if_free(compiled->subject);
}

/* Have so many invalidations come since an epoch that nobody should wait for who may still use it? */
static bool
is_far_behind(const SegmentEpoch *epoch)
{
	Relation	table = segment_table_open("invalidation", AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	int			n = 0;

	/* so small a table cannot have so many */
	if (RelationGetNumberOfBlocks(table) < MAX_UNATTENDED / MaxHeapTuplesPerPage)
	{
		table_close(table, NoLock);
		return false;
	}
	ScanKeyInit(&key, 1, BTGreaterStrategyNumber, F_XID8GT, FullTransactionIdGetDatum(epoch->xid));
	scan = systable_beginscan(table, segment_table_index(table), true, GetActiveSnapshot(), 1, &key);
	while (n <= MAX_UNATTENDED && HeapTupleIsValid(systable_getnext(scan)))
		n++;
	systable_endscan(scan);
	table_close(table, NoLock);
	return n > MAX_UNATTENDED;
}

/*
 * Take an epoch from the segments that have it, if the worker refreshes none of
 * them and they have been left far behind: they are read in full until somebody
 * refreshes them.  False if one keeps it.
 */
static bool
take_away(const SegmentEpoch *epoch, List *users)
{
	SegmentQueryGuard guard;
	SegmentQuery query = {0};
	uint64		n;
	ListCell   *lc;

	if (IsolationUsesXactSnapshot() || !is_far_behind(epoch) || SEGMENT_MUTANT("unattended"))
		return false;
	foreach(lc, users)
		if (!lock_unattended(((SegmentState *) lfirst(lc))->id))
		return false;
	segment_query_add(&query, INT8OID, Int64GetDatum(epoch->id));
	segment_query_add(&query, XID8OID, FullTransactionIdGetDatum(epoch->xid));
	segment_query_begin(&guard);
	/* not if one was refreshed before it was locked */
	n = segment_query_run(&query,
						  "UPDATE segment.state SET epoch = 0, rest = NULL, total = 0, since = '-infinity'"
						  " WHERE epoch = $1 AND EXISTS (SELECT FROM segment.epoch e WHERE e.id = $1 AND e.xid = $2)", false);
	segment_query_end(&guard);
	return n == list_length(users);
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
		List	   *users = NIL;

		foreach(lc2, states)
			if (((SegmentState *) lfirst(lc2))->epoch == epoch->id)
			users = lappend(users, lfirst(lc2));
		if (users == NIL || take_away(epoch, users))
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

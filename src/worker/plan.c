/*-------------------------------------------------------------------------
 *
 * plan.c
 *		Keeps the plans of background workers off indexes that are too young.
 *
 * CREATE INDEX CONCURRENTLY and REINDEX CONCURRENTLY wait, before an index may be
 * used, for every transaction whose snapshot may show rows that the index does
 * not have.  Not for those of processes that count as autovacuum workers, as ours
 * do (worker.c): autovacuum runs no queries.  Ours do, and one that used the new
 * index under the older snapshot of its refresh would miss rows: a base that is
 * wrong for good, if the update that moved them changed no column that a segment
 * reads.
 *
 * So plans are made without every index whose pg_index row is younger than the
 * oldest snapshot of this process, the rule that PostgreSQL has itself for indexes
 * with broken HOT chains (indcheckxmin).  The row is written anew when the index
 * becomes valid.  A plan that was made earlier does not have the index, one that
 * is kept for later transactions had it when their snapshots were taken already.
 *
 * In force in all background workers with this library: in ours, and in
 * parallel workers, which plan the queries inside functions.  Where it is not
 * needed it costs the use of an index for as long as the transactions last that
 * were running when it was made.
 *
 * Scans of our own tables by index need no such care: what a refresh reads there
 * of its own subject table is changed under the refresh lock only, and rows of
 * segment.invalidation are deleted when no snapshot needs them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "optimizer/plancat.h"
#include "postmaster/bgworker.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "worker/worker.h"

static get_relation_info_hook_type next_hook = NULL;

static bool
is_too_young(Oid indexId)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(indexId));
	bool		young = true;

	if (!HeapTupleIsValid(tuple))
		return true;
	young = !TransactionIdPrecedes(HeapTupleHeaderGetXmin(tuple->t_data), TransactionXmin);
	ReleaseSysCache(tuple);
	return young;
}

static void
drop_young_indexes(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	ListCell   *lc;

	if (next_hook)
		next_hook(root, relid, inhparent, rel);
	if (MyBgworkerEntry == NULL)
		return;
	foreach(lc, rel->indexlist)
	{
		IndexOptInfo *index = lfirst(lc);

		/* a hypothetical index of another extension has no row */
		if (!index->hypothetical && is_too_young(index->indexoid))
			rel->indexlist = foreach_delete_current(rel->indexlist, lc);
	}
}

void
segment_worker_watch_plans(void)
{
	/* also in a postmaster that preloads us: its children load nothing more */
	next_hook = get_relation_info_hook;
	get_relation_info_hook = drop_young_indexes;
}

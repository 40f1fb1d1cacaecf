/*-------------------------------------------------------------------------
 *
 * narrow.c
 *		Triggers that record more than anybody reads.
 *
 * What is dropped or altered leaves triggers on its sources that are wider than
 * the registered segments need, or that nobody needs.  They are narrowed at once if
 * that waits for nobody, and else stay as they are: what is too wide is only
 * superfluous.  Where no segment is left at all, the worker tries again before it
 * leaves.
 *
 * Locks: the captures of a source have a lock of their own, an object lock with
 * segment.segment as class and the source as object.  CREATE and ALTER SEGMENT
 * hold ShareLock from before they look at the triggers to the end of the
 * transaction; narrowing needs ExclusiveLock, to the end too where it has changed
 * something, and does without if that cannot be had at once.  So what a new
 * segment needs is never narrowed away.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lmgr.h"

#include "attempt.h"
#include "capture/capture.h"
#include "catalog/registry.h"
#include "refresh/refresh.h"
#include "refresh/work.h"

/*
 * Add to the captures of each locked table what one segment needs there.
 * captures: list of lists, parallel to relids.
 */
static void
add_needs(const SegmentCompiled *compiled, List *relids, List *captures)
{
	ListCell   *lc;
	ListCell   *lc2;

	forboth(lc, relids, lc2, captures)
		lfirst(lc2) = list_concat(lfirst(lc2), segment_compile_captures(compiled, lfirst_oid(lc)));
}

typedef struct Narrowing
{
	List	   *relids;			/* of tables whose captures we have locked */
	List	   *narrowed;		/* those of them that were changed */
} Narrowing;

static void
narrow_locked(void *arg)
{
	Narrowing  *narrowing = arg;
	List	   *relids = narrowing->relids;
	List	   *captures = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, relids)
		captures = lappend(captures, NIL);
	foreach(lc, segment_catalog_all())
	{
		Oid			viewId = ((SegmentEntry *) lfirst(lc))->viewId;
		const SegmentCompiled *compiled;

		CHECK_FOR_INTERRUPTS();
		/* one that is being dropped or altered: who does that narrows */
		if (!ConditionalLockRelationOid(viewId, AccessShareLock))
			return;
		compiled = segment_catalog_compiled(viewId, true);
		UnlockRelationOid(viewId, AccessShareLock);
		if (compiled)
			add_needs(compiled, relids, captures);
	}
	forboth(lc, relids, lc2, captures)
		if (segment_capture_narrow(lfirst_oid(lc), lfirst(lc2)))
		narrowing->narrowed = lappend_oid(narrowing->narrowed, lfirst_oid(lc));
}

/* Those of these tables whose captures can be locked at once. */
static List *
try_lock_captures(List *relids)
{
	List	   *locked = NIL;
	ListCell   *lc;

	foreach(lc, relids)
		if (segment_capture_lock(lfirst_oid(lc), ExclusiveLock, false))
		locked = lappend_oid(locked, lfirst_oid(lc));
	return locked;
}

/*
 * In a subtransaction: a segment that cannot be compiled any more is no reason
 * to refuse a DROP.  Then the triggers go on recording more than is read.
 */
void
segment_refresh_narrow(List *relids)
{
	Narrowing	narrowing = {.relids = try_lock_captures(relids)};
	ErrorData  *error;
	ListCell   *lc;

	if (narrowing.relids == NIL)
		return;
	error = segment_attempt(narrow_locked, &narrowing);
	if (error != NULL)
	{
		narrowing.narrowed = NIL;
		ereport(DEBUG1,
				errmsg_internal("triggers were not narrowed: %s", error->message));
	}
	foreach(lc, narrowing.relids)
		if (!list_member_oid(narrowing.narrowed, lfirst_oid(lc)))
		segment_capture_unlock(lfirst_oid(lc), ExclusiveLock);
}

void
segment_refresh_narrow_all(void)
{
	segment_refresh_narrow(segment_capture_tables());
}

void
segment_refresh_leave(void)
{
	segment_refresh_collect_garbage();
	segment_refresh_narrow_all();
}

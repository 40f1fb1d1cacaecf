/*-------------------------------------------------------------------------
 *
 * sweep.c
 *		Cleaning up behind segments that are gone.
 *
 * A segment's view may go in many ways: DROP SEGMENT, DROP VIEW, DROP TABLE ..
 * CASCADE, DROP SCHEMA, DROP OWNED.  An event trigger on sql_drop looks after
 * each such command for registered segments without a view, and removes the
 * registration, what is materialised, and what the triggers of the sources record
 * for nobody any more.
 *
 * It must never stand in the way of a DROP that has nothing to do with segments,
 * and runs as whoever drops: so it reads segment.segment as it reads catalogs, and
 * the narrowing (refresh/narrow.c), which compiles segments of others, may fail
 * without harm.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/event_trigger.h"
#include "fmgr.h"

#include "catalog/registry.h"
#include "refresh/refresh.h"

PGDLLEXPORT Datum segmentation_sweep(PG_FUNCTION_ARGS);

/*
 * segmentation_sweep
 *		Event trigger on sql_drop.
 */
PG_FUNCTION_INFO_V1(segmentation_sweep);
Datum
segmentation_sweep(PG_FUNCTION_ARGS)
{
	List	   *gone;
	ListCell   *lc;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function segment.sweep() is an event trigger function"));
	if (!segment_catalog_is_safe())
	{
		ereport(WARNING,
				errmsg("segments that were dropped are not cleaned up behind, as schema \"segment\" belongs to no superuser"));
		PG_RETURN_NULL();
	}
	segment_catalog_forget_links();
	gone = segment_catalog_orphans();
	foreach(lc, gone)
	{
		SegmentEntry *entry = lfirst(lc);

		segment_catalog_delete(entry->id);
		segment_refresh_forget(entry->id);
	}
	if (gone != NIL)
		segment_refresh_narrow_all();
	PG_RETURN_NULL();
}

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
 * the narrowing, which compiles segments of others, may fail without harm.
 *
 * Locks: the captures of a source have a lock of their own, an object lock with
 * segment.segment as class and the source as object.  CREATE and ALTER SEGMENT
 * hold ShareLock from before they look at the triggers to the end of the
 * transaction; narrowing needs ExclusiveLock and does without if that cannot be
 * had at once.  So what a new segment needs is never narrowed away, and what
 * stays too wide is only superfluous.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/event_trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "attempt.h"
#include "capture/capture.h"
#include "catalog/registry.h"
#include "refresh/refresh.h"
#include "statement/statement.h"

PGDLLEXPORT Datum segmentation_sweep(PG_FUNCTION_ARGS);

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

/* Narrow the captures of tables whose captures we have locked. */
static void
narrow_locked(void *arg)
{
	List	   *relids = arg;
	List	   *captures = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, relids)
		captures = lappend(captures, NIL);
	foreach(lc, segment_catalog_all())
	{
		const SegmentCompiled *compiled =
		segment_catalog_compiled(((SegmentEntry *) lfirst(lc))->viewId, true);

		CHECK_FOR_INTERRUPTS();
		if (compiled)
			add_needs(compiled, relids, captures);
	}
	forboth(lc, relids, lc2, captures)
		segment_capture_narrow(lfirst_oid(lc), lfirst(lc2));
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
segment_statement_narrow_captures(List *relids)
{
	List	   *locked = try_lock_captures(relids);
	ErrorData  *error;

	if (locked == NIL)
		return;
	error = segment_attempt(narrow_locked, locked);
	if (error != NULL)
		ereport(DEBUG1,
				errmsg_internal("triggers were not narrowed: %s", error->message));
}

/* The table of a trigger, InvalidOid if it is gone. */
static Oid
trigger_table(Oid triggerId)
{
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	Oid			relid = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(triggerId));
	scan = systable_beginscan(catalog, TriggerOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		relid = ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return relid;
}

/* Every table that has a capture trigger, found through pg_depend, by OID. */
static List *
captured_tables(void)
{
	Oid			function = LookupFuncName(list_make2(makeString("segment"), makeString("capture")), 0, NULL, true);
	Relation	depend;
	List	   *relids = NIL;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(function))
		return NIL;
	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(ProcedureRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(function));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend row = (Form_pg_depend) GETSTRUCT(tuple);
		Oid			relid = row->classid == TriggerRelationId ? trigger_table(row->objid) : InvalidOid;

		if (OidIsValid(relid))
			relids = list_append_unique_oid(relids, relid);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	list_sort(relids, list_oid_cmp);
	return relids;
}

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
	segment_catalog_forget_links();
	gone = segment_catalog_orphans();
	foreach(lc, gone)
	{
		SegmentEntry *entry = lfirst(lc);

		segment_catalog_delete(entry->id);
		segment_refresh_forget(entry->id);
	}
	if (gone != NIL)
		segment_statement_narrow_captures(captured_tables());
	PG_RETURN_NULL();
}

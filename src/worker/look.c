/*-------------------------------------------------------------------------
 *
 * look.c
 *		What is there to do, under a fresh snapshot?
 *
 * A look reads and writes nothing.  It may wait, though: for a lock, for a buffer
 * that another process reads.  Such waits wait for the latch, and reset it: a ring
 * that came after the snapshot of the look would be lost.  To see that, the latch is
 * sealed: its field "maybe_sleeping" is set before the look, which makes who rings
 * send a signal too many, and which every wait for the latch clears.  A look whose
 * seal is broken has to be repeated.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_extension.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "catalog/registry.h"
#include "catalog/state.h"
#include "doorbell.h"
#include "guc.h"
#include "refresh/refresh.h"
#include "worker/internal.h"

/* The version of the extension in this database, NULL if it is not installed. */
static char *
installed_version(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *version = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("segmentation"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(rel), &isnull);

		version = isnull ? pstrdup("") : TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

/* ALTER DATABASE ... SET as it is now, as a number; 0 if there is nothing. */
static uint64
database_settings(void)
{
	Relation	rel = table_open(DbRoleSettingRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	uint64		hash = 0;

	ScanKeyInit(&keys[0], Anum_pg_db_role_setting_setdatabase, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(MyDatabaseId));
	ScanKeyInit(&keys[1], Anum_pg_db_role_setting_setrole, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(InvalidOid));
	scan = systable_beginscan(rel, DbRoleSettingDatidRolidIndexId, true, NULL, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_db_role_setting_setconfig, RelationGetDescr(rel), &isnull);

		if (!isnull)
		{
			struct varlena *config = PG_DETOAST_DATUM(value);

			hash = hash_bytes_extended((unsigned char *) VARDATA_ANY(config), VARSIZE_ANY_EXHDR(config), 1);
		}
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return hash;
}

static bool settings_known = false;

/* Are these still the settings that this process has been started with? */
static bool
settings_changed(void)
{
	static uint64 first = 0;
	uint64		now = database_settings();

	if (!settings_known)
		first = now;
	settings_known = true;
	return now != first;
}

void
segment_worker_keep_settings(void)
{
	settings_known = false;
}

static SegmentVerdict
judge(const char **reason)
{
	const char *version = installed_version();

	*reason = NULL;
	if (version == NULL)
	{
		*reason = "the extension is not installed";
		return VERDICT_LEAVE;
	}
	if (!segment_guc_worker)
	{
		*reason = "segmentation.worker is off";
		return VERDICT_LEAVE;
	}
	if (strcmp(version, SEGMENT_VERSION) != 0)
	{
		*reason = "the extension has another version than this library";
		return VERDICT_REPLACE;
	}
	if (settings_changed())
	{
		*reason = "the settings of the database have changed";
		return VERDICT_RENEW;
	}
	return segment_catalog_all() != NIL ? VERDICT_STAY : VERDICT_NOTHING;
}

static void
look(void *arg)
{
	SegmentWorkerLook *result = arg;
	MemoryContext old;
	List	   *due;

	PushActiveSnapshot(GetTransactionSnapshot());
	result->verdict = judge(&result->reason);
	if (result->verdict == VERDICT_STAY || result->verdict == VERDICT_NOTHING)
	{
		result->invalidation = segment_table_oid("invalidation");
		due = segment_refresh_due(&result->next);
		old = MemoryContextSwitchTo(TopMemoryContext);
		result->due = list_copy(due);
		MemoryContextSwitchTo(old);
	}
	PopActiveSnapshot();
}

void
segment_worker_look(SegmentWorkerLook *result)
{
	SegmentOutcome outcome;
	Oid			invalidation = result->invalidation;
	uint64		prepared = segment_doorbell_prepared(invalidation);

	list_free(result->due);
	memset(result, 0, sizeof(SegmentWorkerLook));
	result->next = DT_NOEND;

	/*
	 * those that end from here on may come too late for the snapshot of this
	 * look
	 */
	result->prepared = prepared;

	MyLatch->maybe_sleeping = true;
	pg_memory_barrier();
	outcome = segment_worker_run("looking for segments to refresh", look, result);
	result->failed = outcome != OUTCOME_DONE;
	result->blocked = outcome == OUTCOME_BLOCKED;
	/* the first one did not know where to look for them, and is repeated */
	result->intact = MyLatch->maybe_sleeping && OidIsValid(invalidation);
	MyLatch->maybe_sleeping = false;
}

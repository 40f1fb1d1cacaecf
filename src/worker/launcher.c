/*-------------------------------------------------------------------------
 *
 * launcher.c
 *		Starts the workers of all databases when the server starts.
 *
 * Only with shared_preload_libraries = 'segmentation'; without it the first write,
 * statement about segments, or read of something pending starts the worker of its
 * database.  What the launcher adds: what became due while the server was down, or
 * passes by the clock alone, is refreshed with nobody touching the database.
 *
 * It reads pg_database, connected to no database, starts a worker in each that can be
 * connected to, one after the other, and sleeps.  Where there is no extension the worker
 * ends at once, where there is nothing to do after a while.  On a standby it starts when
 * that is promoted.  It does not end, because PostgreSQL starts again after a crash only
 * what has been running then; it then waits a while first, as it may have been a refresh
 * that crashed the server.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "doorbell.h"
#include "worker/worker.h"

/* Begins so long after an error, or a crash of the server. */
#define RESTART_SECONDS 60

/* For a free slot, and for a worker to be where it wants to be, it waits so long. */
#define SLOT_TRIES 60
#define SLOT_WAIT_MS 1000
#define START_TRIES 100
#define START_WAIT_MS 50

PGDLLEXPORT void segmentation_launcher_main(Datum arg);

void
segment_worker_register_launcher(void)
{
	BackgroundWorker worker = {0};

	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_SECONDS;
	strlcpy(worker.bgw_library_name, "segmentation", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "segmentation_launcher_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "segmentation launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "segmentation launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/* The databases that one can connect to, in the current context. */
static List *
list_databases(void)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *databases = NIL;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old;

		if (!database->datallowconn || database->datconnlimit == 0)
			continue;
		old = MemoryContextSwitchTo(context);
		databases = lappend_oid(databases, database->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return databases;
}

/* -1: until there is a signal */
static void
nap(long milliseconds)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (milliseconds < 0 ? 0 : WL_TIMEOUT), milliseconds, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	/* with code 0 it would not be started again after pg_terminate_backend() */
	if (ShutdownRequestPending)
		proc_exit(1);
}

/* Start the worker of one database, and wait until it serves or has ended. */
static void
start_in(Oid database)
{
	SegmentWorkerOrder order = {.database = database};
	BackgroundWorkerHandle *handle;
	pid_t		pid;

	for (int i = 0; !segment_doorbell_start(&order, &handle); i++)
	{
		if (i >= SLOT_TRIES)
		{
			ereport(LOG,
					errmsg("no background worker slot is free for the segments of database %u", database),
					errhint("Consider increasing max_worker_processes."));
			return;
		}
		nap(SLOT_WAIT_MS);
	}
	for (int i = 0; i < START_TRIES; i++)
	{
		if (GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED || segment_doorbell_find(database) != 0)
			return;
		nap(START_WAIT_MS);
	}
}

void
segmentation_launcher_main(Datum arg)
{
	ListCell   *lc;

	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	CurrentMemoryContext = AllocSetContextCreate(TopMemoryContext, "segmentation launcher", ALLOCSET_DEFAULT_SIZES);
	if (TimestampDifferenceExceeds(PgStartTime, GetCurrentTimestamp(), RESTART_SECONDS * 1000))
		nap(RESTART_SECONDS * 1000);
	foreach(lc, list_databases())
	{
		nap(0);
		start_in(lfirst_oid(lc));
	}
	for (;;)
		nap(-1);
}

/*-------------------------------------------------------------------------
 *
 * functions.c
 *		The SQL functions about the worker.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/htup_details.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "catalog/registry.h"
#include "doorbell.h"
#include "guc.h"
#include "refresh/refresh.h"
#include "worker/worker.h"

/* start_worker() and stop_worker() wait so long for what they ask for. */
#define TRIES 500
#define WAIT_MS 10

PGDLLEXPORT PG_FUNCTION_INFO_V1(segmentation_start_worker);
PGDLLEXPORT PG_FUNCTION_INFO_V1(segmentation_stop_worker);
PGDLLEXPORT PG_FUNCTION_INFO_V1(segmentation_worker_state);
PGDLLEXPORT PG_FUNCTION_INFO_V1(segmentation_refresher);

static void
nap(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, WAIT_MS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Start the worker of this database if there is none; its pid, NULL if it ended at once. */
Datum
segmentation_start_worker(PG_FUNCTION_ARGS)
{
	SegmentWorkerOrder order = {.database = MyDatabaseId};
	BackgroundWorkerHandle *handle;
	int			pid = segment_doorbell_find(MyDatabaseId);
	pid_t		ignored;

	if (pid != 0)
		PG_RETURN_INT32(pid);
	if (RecoveryInProgress())
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("a standby has no worker"),
				errdetail("Its segments are refreshed on the primary."));
	if (!segment_guc_worker)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("segmentation.worker is off"));
	if (!segment_doorbell_start(&order, &handle))
		ereport(ERROR,
				errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				errmsg("no background worker slot is free"),
				errhint("Consider increasing max_worker_processes."));
	for (int i = 0; i < TRIES && pid == 0; i++)
	{
		if (GetBackgroundWorkerPid(handle, &ignored) == BGWH_STOPPED)
			break;
		nap();
		pid = segment_doorbell_find(MyDatabaseId);
	}
	if (pid == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(pid);
}

/* End the worker of this database; was there one?  The next write starts another. */
Datum
segmentation_stop_worker(PG_FUNCTION_ARGS)
{
	int			pid = segment_doorbell_find(MyDatabaseId);

	if (pid == 0)
		PG_RETURN_BOOL(false);
	if (kill(pid, SIGTERM) != 0)
		ereport(WARNING,
				errmsg("could not send a signal to process %d: %m", pid));
	for (int i = 0; i < TRIES && segment_doorbell_find(MyDatabaseId) == pid; i++)
		nap();
	PG_RETURN_BOOL(true);
}

static const char *
state_name(SegmentWorkerState state)
{
	switch (state)
	{
		case WORKER_RUNNING:
			return "running";
		case WORKER_STARTING:
			return "starting";
		case WORKER_OFF:
			return "off: segmentation.worker";
		case WORKER_STANDBY:
			return "none: this is a standby";
		case WORKER_NO_SLOT:
			return "none: no free worker slot, see max_worker_processes";
		case WORKER_FAILING:
			return "none: it ends when it is started, see the server log";
		case WORKER_ABSENT:
			break;
	}
	return "none: nothing to do";
}

/*
 * (pid integer, state text).  Where something waits with no worker, this asks for
 * one like any other read, so that the answer is not that of a session that never tried.
 */
Datum
segmentation_worker_state(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false};
	int			pid;
	SegmentWorkerState state = segment_doorbell_state(&pid);
	TimestampTz next;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (state == WORKER_ABSENT && segment_refresh_due(&next) != NIL)
	{
		segment_doorbell_nudge();
		state = segment_doorbell_state(&pid);
	}
	values[0] = Int32GetDatum(pid);
	nulls[0] = pid == 0;
	values[1] = CStringGetTextDatum(state_name(state));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* Who refreshes a segment, or why nobody does. */
Datum
segmentation_refresher(PG_FUNCTION_ARGS)
{
	SegmentEntry *entry = segment_catalog_lookup(PG_GETARG_OID(0));
	int			pid;
	SegmentWorkerState state;

	if (entry == NULL)
		PG_RETURN_NULL();
	if (!entry->enabled)
		PG_RETURN_TEXT_P(cstring_to_text("nobody: disabled"));
	if (!segment_catalog_is_automatic(entry))
		PG_RETURN_TEXT_P(cstring_to_text("nobody: auto_refresh = off"));
	state = segment_doorbell_state(&pid);
	switch (state)
	{
		case WORKER_RUNNING:
		case WORKER_STARTING:
		case WORKER_ABSENT:
			PG_RETURN_TEXT_P(cstring_to_text("worker"));
		case WORKER_OFF:
			PG_RETURN_TEXT_P(cstring_to_text("nobody: segmentation.worker = off"));
		case WORKER_STANDBY:
			PG_RETURN_TEXT_P(cstring_to_text("primary"));
		case WORKER_NO_SLOT:
			PG_RETURN_TEXT_P(cstring_to_text("nobody: no free worker slot"));
		case WORKER_FAILING:
			PG_RETURN_TEXT_P(cstring_to_text("nobody: the worker fails"));
	}
	PG_RETURN_NULL();
}

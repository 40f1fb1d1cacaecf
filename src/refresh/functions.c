/*-------------------------------------------------------------------------
 *
 * functions.c
 *		Refreshing in parts, and from scratch: SQL functions for those who
 *		schedule it themselves.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "attempt.h"
#include "guc.h"
#include "refresh/refresh.h"

PGDLLEXPORT Datum segmentation_refresh_step(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_refresh_all(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_rebuild(PG_FUNCTION_ARGS);

static int64
check_budget(int64 budget)
{
	if (budget < 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("budget must not be negative"),
				errhint("It is a number of subjects; 0 is no limit."));
	return budget;
}

/* refresh_step(subject_table regclass, budget bigint, automatic boolean): is more left? */
PG_FUNCTION_INFO_V1(segmentation_refresh_step);
Datum
segmentation_refresh_step(PG_FUNCTION_ARGS)
{
	Oid			subject = PG_GETARG_OID(0);

	if (get_rel_name(subject) == NULL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("table with OID %u does not exist", subject));
	PG_RETURN_BOOL(segment_refresh_step(subject, check_budget(PG_GETARG_INT64(1)), PG_GETARG_BOOL(2)));
}

/* The subject tables, in a context that outlives transactions. */
static List *
list_subjects(MemoryContext context)
{
	List	   *subjects;
	MemoryContext old;

	PushActiveSnapshot(GetTransactionSnapshot());
	subjects = segment_refresh_subjects();
	PopActiveSnapshot();
	old = MemoryContextSwitchTo(context);
	subjects = list_copy(subjects);
	MemoryContextSwitchTo(old);
	return subjects;
}

typedef struct Step
{
	Oid			subject;
	int64		budget;
	bool		more;
} Step;

static void
run_step(void *arg)
{
	Step	   *step = arg;

	step->more = segment_refresh_step(step->subject, step->budget, false);
}

/*
 * A step for each subject table in turn, so that none keeps the others waiting,
 * until all are done.  Returns the first error, that of a lock mostly: such a
 * table is left, the others go on.
 */
static ErrorData *
refresh_in_turn(List *subjects, int64 budget)
{
	MemoryContext context = AllocSetContextCreate(PortalContext, "segment refresh steps", ALLOCSET_DEFAULT_SIZES);
	ErrorData  *first = NULL;
	ListCell   *lc;

	while (subjects != NIL)
		foreach(lc, subjects)
	{
		Step		step = {.subject = lfirst_oid(lc),.budget = budget};
		MemoryContext old = MemoryContextSwitchTo(context);
		ErrorData  *error;

		CHECK_FOR_INTERRUPTS();
		error = segment_attempt(run_step, &step);
		MemoryContextSwitchTo(old);
		SPI_commit();
		if (first == NULL)
			first = error;
		if (first == NULL)
			MemoryContextReset(context);
		if (!step.more)
			subjects = foreach_delete_current(subjects, lc);
	}
	return first;
}

/*
 * PROCEDURE refresh_all(budget bigint): a transaction for each step.  Inside a
 * transaction block, where it cannot commit, all is one transaction.
 */
PG_FUNCTION_INFO_V1(segmentation_refresh_all);
Datum
segmentation_refresh_all(PG_FUNCTION_ARGS)
{
	CallContext *call = (CallContext *) fcinfo->context;
	bool		atomic = call == NULL || !IsA(call, CallContext) || call->atomic;
	int64		budget = PG_ARGISNULL(0) ? segment_guc_refresh_budget : check_budget(PG_GETARG_INT64(0));
	ErrorData  *error;

	if (atomic)
	{
		segment_refresh_segments(NIL);
		PG_RETURN_VOID();
	}
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	error = refresh_in_turn(list_subjects(PortalContext), budget);
	SPI_finish();
	if (error != NULL)
		ReThrowError(error);
	PG_RETURN_VOID();
}

/* rebuild(segment regclass): NULL rebuilds all that the caller owns */
PG_FUNCTION_INFO_V1(segmentation_rebuild);
Datum
segmentation_rebuild(PG_FUNCTION_ARGS)
{
	segment_refresh_rebuild(PG_ARGISNULL(0) ? NIL : list_make1_oid(PG_GETARG_OID(0)));
	PG_RETURN_VOID();
}

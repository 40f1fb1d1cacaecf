/*-------------------------------------------------------------------------
 *
 * attempt.c
 *		Running something that may fail without failing the transaction.
 *
 * For what users have written, conditions and hooks, and for work that is done
 * in passing: an error there is a fact to be noted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "attempt.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/*
 * Users' code may raise any SQLSTATE, its own or one that comes from elsewhere,
 * such as the time-out of a foreign server.  A cancel of ours is raised by the
 * server's main loop, and a snapshot that is too old matters to who keeps it.
 */
static bool
concerns_all(const ErrorData *error)
{
	switch (error->sqlerrcode)
	{
		case ERRCODE_QUERY_CANCELED:
		case ERRCODE_ADMIN_SHUTDOWN:
			return error->filename != NULL && strcmp(error->filename, "postgres.c") == 0;
		case ERRCODE_T_R_SERIALIZATION_FAILURE:
			return IsolationUsesXactSnapshot();
		default:
			return false;
	}
}

bool
segment_attempt_is_passing(const ErrorData *error)
{
	/* what users' code raises by itself is no such thing */
	if (error->filename != NULL && strcmp(error->filename, "pl_exec.c") == 0)
		return false;
	switch (error->sqlerrcode)
	{
		case ERRCODE_T_R_DEADLOCK_DETECTED:
		case ERRCODE_LOCK_NOT_AVAILABLE:
		case ERRCODE_OUT_OF_MEMORY:
		case ERRCODE_DISK_FULL:
		case ERRCODE_IO_ERROR:
			return true;
		default:
			return false;
	}
}

ErrorData *
segment_attempt(void (*what) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction("segmentation");
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		what(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error != NULL && concerns_all(error))
		ReThrowError(error);
	return error;
}

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
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

/* What catches its cancel, and goes on, is canceled again so much later. */
#define AGAIN_MS 10000

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

/* ---- within a time ---- */

static volatile sig_atomic_t limited = false;	/* one is running */
static volatile sig_atomic_t expired = false;

/*
 * In a signal handler: cancel what has had its time, as a session that asks for
 * it would; and a process that is told to end does so, whatever it runs.
 */
static void
expire(void)
{
	expired = true;
	QueryCancelPending = true;
	if (ShutdownRequestPending)
		ProcDiePending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

typedef struct Limited
{
	int			milliseconds;
	const char *setting;
	void		(*what) (void *arg);
	void	   *arg;
	TimeoutId	timeout;
} Limited;

static void
start_clock(const Limited *this)
{
	limited = true;
	expired = false;
	enable_timeout_every(this->timeout, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), this->milliseconds), AGAIN_MS);
}

static void
stop_clock(const Limited *this)
{
	disable_timeout(this->timeout, false);
	limited = false;
	/* it came when there was nothing to end any more */
	if (expired && !ShutdownRequestPending)
		QueryCancelPending = false;
}

static void
run_limited(void *arg)
{
	const Limited *this = arg;

	start_clock(this);
	PG_TRY();
	{
		this->what(this->arg);
		stop_clock(this);
	}
	PG_CATCH();
	{
		stop_clock(this);
		if (!expired || ShutdownRequestPending || geterrcode() != ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		FlushErrorState();
		ereport(ERROR,
				errcode(ERRCODE_QUERY_CANCELED),
				errmsg("it took longer than %s, %d ms", this->setting, this->milliseconds));
	}
	PG_END_TRY();
}

ErrorData *
segment_attempt_within(int milliseconds, const char *setting, void (*what) (void *arg), void *arg)
{
	static TimeoutId timeout = MAX_TIMEOUTS;
	Limited		this = {.milliseconds = milliseconds,.setting = setting,.what = what,.arg = arg};

	if (limited || milliseconds == 0)
		return segment_attempt(what, arg);
	if (timeout == MAX_TIMEOUTS)
		timeout = RegisterTimeout(USER_TIMEOUT, expire);
	this.timeout = timeout;
	return segment_attempt(run_limited, &this);
}

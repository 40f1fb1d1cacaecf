/*-------------------------------------------------------------------------
 *
 * process.c
 *		Being a background worker: signals, the connection, transactions.
 *
 * Signals
 *	SIGTERM		end soon and quietly, with exit code 0: within a transaction its
 *				query is canceled first.  From pg_terminate_backend(), a shutdown,
 *				and DROP DATABASE and its like, see worker.c.  Users' code may catch a
 *				cancel: told again a second later, as by DROP DATABASE, or when its
 *				time is over (attempt.c), the process ends whatever it runs.
 *	SIGINT		cancel the query.  From pg_cancel_backend(), and from a session that
 *				waits for a lock of ours, see worker.c.
 *	SIGHUP		read the configuration again.
 *
 * The settings under which a refresh runs are its own: what a database or a role
 * may have set for clients (time-outs, a role, read-only transactions) does not apply.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "doorbell.h"
#include "worker/internal.h"

/* A pause looks for signals this often. */
#define SLICE_MS 100

/*
 * A lock that somebody else has is not waited for longer, and never until the
 * deadlock check, which would cancel him: other subject tables wait meanwhile.
 */
#define MAX_LOCK_WAIT_MS 500

static volatile sig_atomic_t in_transaction = false;

/* Cancel what is running.  There is nobody to catch the error when nothing is. */
static void
cancel(void)
{
	if (in_transaction)
	{
		QueryCancelPending = true;
		InterruptPending = true;
	}
	SetLatch(MyLatch);
}

static void
handle_sigint(SIGNAL_ARGS)
{
	int			save_errno = errno;

	cancel();
	errno = save_errno;
}

static void
handle_sigterm(SIGNAL_ARGS)
{
	int			save_errno = errno;
	static TimestampTz first = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (first == 0)
		first = now;
	else if (in_transaction && now - first > USECS_PER_SEC)
		ProcDiePending = true;
	ShutdownRequestPending = true;
	cancel();
	errno = save_errno;
}

static void
set_setting(const char *name, const char *value)
{
	SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

void
segment_worker_connect(Oid database)
{
	pqsignal(SIGTERM, handle_sigterm);
	pqsignal(SIGINT, handle_sigint);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	segment_doorbell_be_worker();

	set_setting("application_name", MyBgworkerEntry->bgw_type);
	set_setting("search_path", "pg_catalog, pg_temp");
	set_setting("statement_timeout", "0");
	set_setting("lock_timeout", psprintf("%d", Max(1, Min(DeadlockTimeout / 2, MAX_LOCK_WAIT_MS))));
	set_setting("idle_in_transaction_session_timeout", "0");
	/* came with 17, and ends the process */
	if (GetConfigOption("transaction_timeout", true, false) != NULL)
		set_setting("transaction_timeout", "0");
	set_setting("role", "none");
	set_setting("default_transaction_isolation", "read committed");
	set_setting("default_transaction_read_only", "off");
	set_setting("default_transaction_deferrable", "off");
	set_setting("session_replication_role", "origin");
	set_setting("segmentation.clock", "");
}

void
segment_worker_handle_signals(void)
{
	CHECK_FOR_INTERRUPTS();
	if (ShutdownRequestPending)
	{
		segment_worker_end_helpers();
		proc_exit(0);
	}
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

void
segment_worker_pause(int64 milliseconds)
{
	while (milliseconds > 0)
	{
		/* not for the latch: it stays set, and so ringing it stays cheap */
		(void) WaitLatch(NULL, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, Min(milliseconds, SLICE_MS), PG_WAIT_EXTENSION);
		milliseconds -= SLICE_MS;
		segment_worker_handle_signals();
	}
}

/* In the message of an error: what the worker was about. */
static void
describe(void *arg)
{
	errcontext("%s", (const char *) arg);
}

/* Report the error in hand, more quietly if it is only that somebody else was there. */
static SegmentOutcome
report(const char *what)
{
	MemoryContext context = MemoryContextSwitchTo(TopMemoryContext);
	SegmentOutcome outcome = OUTCOME_BLOCKED;

	switch (geterrcode())
	{
		case ERRCODE_QUERY_CANCELED:
			if (!ShutdownRequestPending)
				ereport(LOG,
						errmsg("%s has been canceled and will be tried again", what),
						errdetail("A session waits for a lock that it holds, or has asked for it."));
			break;
		case ERRCODE_LOCK_NOT_AVAILABLE:
			ereport(LOG,
					errmsg("%s has met a lock of another session and will be tried again", what));
			break;
		default:
			EmitErrorReport();
			outcome = OUTCOME_FAILED;
	}
	MemoryContextSwitchTo(context);
	return outcome;
}

SegmentOutcome
segment_worker_run(const char *what, SegmentWorkerTask task, void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorContextCallback callback = {.callback = describe,.arg = (void *) what,.previous = error_context_stack};
	volatile SegmentOutcome outcome = OUTCOME_DONE;

	error_context_stack = &callback;
	QueryCancelPending = false; /* one that came too late for the last
								 * transaction */
	in_transaction = true;
	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		pgstat_report_activity(STATE_RUNNING, what);
		task(arg);
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		error_context_stack = callback.previous;
		outcome = report(what);
		AbortCurrentTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	in_transaction = false;
	QueryCancelPending = false;
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(context);
	/* at once: autovacuum counts the rows that a refresh leaves behind */
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
	segment_worker_handle_signals();
	return outcome;
}

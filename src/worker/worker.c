/*-------------------------------------------------------------------------
 *
 * worker.c
 *		The background worker that refreshes the segments of one database.
 *
 * It is started by whoever finds that there is none and something to do (doorbell.c),
 * or by the launcher; it looks (look.c), refreshes what is due (backlog.c), sleeps until
 * it is rung or the next deadline comes, and leaves after segmentation.naptime when
 * neither is to be expected.  An idle worker does nothing at all: no timer, no query,
 * no WAL.  (Where looks evaluate expressions of the clock, their time limit leaves a timer.)
 *
 *		look -> something due -> refresh -> look ...
 *			 -> nothing -> sleep -> rung -> wait refresh_delay -> look ...
 *								 -> deadline -> look ...
 *								 -> naptime -> leave, if nobody came meanwhile
 *
 * The latch is reset just before the snapshot of a look is taken, and only there; so a
 * burst of commits costs one refresh, and each of them but the first finds it set.
 *
 * To PostgreSQL this process, and its helpers, count as autovacuum workers: they set
 * PROC_IS_AUTOVACUUM.  They are the same kind of thing, work that can wait, and so
 *
 *	- DROP DATABASE, ALTER DATABASE RENAME and SET TABLESPACE and CREATE DATABASE ...
 *	  TEMPLATE send them SIGTERM and wait (CountOtherDBBackends), instead of failing;
 *	- a session that has waited deadlock_timeout for a lock of theirs sends SIGINT
 *	  (ProcSleep), so that no ALTER TABLE waits for a long refresh, and nobody's lock
 *	  queue builds up behind it;
 *	- CREATE INDEX CONCURRENTLY does not wait for their snapshots (WaitForOlderSnapshots),
 *	  which would make plans of theirs wrong: plan.c sees to that.
 *
 * Nothing else in PostgreSQL 15 to 18 asks for the flag.  The flag of a worker is at the
 * same time its promise to look when rung, see doorbell.c.
 *
 * No worker comes back by itself (BGW_NEVER_RESTART): its database may be gone, and one
 * that crashes the server must not do so again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "doorbell.h"
#include "guc.h"
#include "refresh/refresh.h"
#include "testing.h"
#include "worker/internal.h"

/* A worker that finds no segments stays so long: as long as it must keep a promise, see doorbell.c. */
#define LINGER_MS 2000

/* A worker that stays for ever looks after prepared transactions this often at least. */
#define MAX_PREPARED_MS (60 * 1000)

/* After a look that failed the next one comes so much later, twice as long each time. */
#define FIRST_DELAY_MS 1000
#define MAX_DELAY_MS (5 * 60 * 1000)

PGDLLEXPORT void segmentation_worker_main(Datum arg);

/* Start a successor, which waits until this process has left; false when there is no slot. */
static bool
start_successor(bool replaces)
{
	SegmentWorkerOrder successor = {.database = MyDatabaseId,.successor = replaces};

	return segment_doorbell_start(&successor, NULL);
}

/* End, for the reason that the look gives; but returns when only settings have changed, and there is no slot for another process. */
static void
leave_for_good(const SegmentWorkerLook *look, const SegmentWorkerOrder *order)
{
	if (look->verdict == VERDICT_RENEW && !start_successor(false))
	{
		segment_worker_keep_settings();
		return;
	}
	(void) segment_doorbell_withdraw();
	segment_worker_end_helpers();
	ereport(DEBUG1,
			errmsg_internal("segmentation worker ends: %s", look->reason));
	if (look->verdict == VERDICT_REPLACE && !order->successor)
		(void) start_successor(true);
	proc_exit(0);
}

/* Leave if nobody has come meanwhile: the steps 4 to 6 of doorbell.c.  Returns when the worker stays. */
static void
try_to_leave(SegmentWorkerLook *look)
{
	bool		stay = !segment_doorbell_withdraw();

	/* what the last look is for takes place in this moment */
	if (SEGMENT_MUTANT("slow_leave") || SEGMENT_MUTANT("no_last_look"))
		pg_usleep(100 * 1000);
	stay |= segment_doorbell_writers(look->invalidation);
	if (!stay && !SEGMENT_MUTANT("no_last_look"))
	{
		segment_worker_look(look);
		stay = look->failed || look->due != NIL || look->next != DT_NOEND;
	}
	/* another one has promised: it has been rung */
	if (!stay || !segment_doorbell_promise())
	{
		segment_worker_end_helpers();
		proc_exit(0);
	}
}

/*
 * When to look again for what COMMIT PREPARED lets loose, which rings nobody: soon after a
 * transaction is prepared, then later and later.  ms; -1: there is none.
 */
static int64
prepared_pause(uint64 now, int64 most)
{
	static uint64 known = 0;
	static int64 pause = 0;

	pause = now != known ? FIRST_DELAY_MS : Min(pause * 2, most);
	known = now;
	return now == 0 ? -1 : pause;
}

/*
 * How long may the worker sleep, if nobody rings?  ms; -1: for ever.  *leaving: it is
 * not to be expected then that there is anything to do.
 */
static int64
choose_timeout(const SegmentWorkerLook *look, bool *leaving)
{
	TimestampTz next = Min(look->next, segment_worker_next_retry());
	int64		naptime = (int64) segment_guc_naptime * 1000;
	int64		timeout = -1;
	int64		pause;

	*leaving = next == DT_NOEND && !segment_worker_has_helpers();
	if (look->verdict == VERDICT_NOTHING)
		naptime = naptime < 0 ? LINGER_MS : Min(naptime, LINGER_MS);
	if (next != DT_NOEND)
		timeout = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next) + 1;
	else if (*leaving && naptime >= 0)
		timeout = naptime;

	pause = prepared_pause(look->prepared, naptime < 0 ? MAX_PREPARED_MS : naptime);
	if (pause >= 0 && (timeout < 0 || timeout > pause))
	{
		timeout = pause;
		*leaving = false;
	}
	return Min(timeout, INT_MAX);
}

/* Sleep until rung, or until there is something to do; perhaps leave. */
static void
sleep_or_leave(SegmentWorkerLook *look)
{
	bool		leaving;
	int64		timeout = choose_timeout(look, &leaving);
	int			events;

	events = WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (timeout >= 0 ? WL_TIMEOUT : 0),
					   timeout, PG_WAIT_EXTENSION);
	segment_worker_handle_signals();
	if ((events & WL_LATCH_SET) != 0)
		segment_worker_pause(segment_guc_refresh_delay);
	else if (leaving)
		try_to_leave(look);
}

static void
clean_up(void *arg)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	segment_refresh_leave();
	PopActiveSnapshot();
}

/* The life of a worker that has promised. */
static void
serve(const SegmentWorkerOrder *order)
{
	SegmentWorkerLook look = {0};
	int64		delay = 0;
	bool		clean = false;

	for (;;)
	{
		bool		rung = MyLatch->is_set;

		segment_worker_handle_signals();
		if (!SEGMENT_MUTANT("late_reset"))
			ResetLatch(MyLatch);
		segment_worker_look(&look);
		if (SEGMENT_MUTANT("late_reset"))
			ResetLatch(MyLatch);
		if (look.failed)
		{
			delay = delay == 0 || look.blocked ? FIRST_DELAY_MS : Min(delay * 2, MAX_DELAY_MS);
			segment_worker_pause(delay);
			continue;
		}
		delay = 0;
		if (look.verdict == VERDICT_LEAVE || look.verdict == VERDICT_RENEW || look.verdict == VERDICT_REPLACE)
		{
			leave_for_good(&look, order);
			continue;
		}

		/*
		 * dropped while their sources were busy, segments leave triggers
		 * behind that go on recording
		 */
		clean &= look.verdict == VERDICT_NOTHING && !rung;
		if (look.verdict == VERDICT_NOTHING && !clean)
		{
			(void) segment_worker_run("cleaning up behind dropped segments", clean_up, NULL);
			clean = true;
			if (MyLatch->is_set)
				segment_worker_pause(segment_guc_refresh_delay);
			continue;
		}
		if (segment_worker_refresh(look.due, rung))
		{
			if (MyLatch->is_set)
				segment_worker_pause(segment_guc_refresh_delay);
		}
		else if (look.intact)
			sleep_or_leave(&look);
	}
}

void
segmentation_worker_main(Datum arg)
{
	SegmentWorkerOrder order;

	memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof(order));
	segment_worker_connect(order.database);
	CurrentMemoryContext = AllocSetContextCreate(TopMemoryContext, "segmentation worker", ALLOCSET_DEFAULT_SIZES);
	pgstat_report_activity(STATE_IDLE, NULL);
	if (OidIsValid(order.subject))
		segment_worker_help(order.subject);
	else if (segment_doorbell_promise())
		serve(&order);
	proc_exit(0);
}

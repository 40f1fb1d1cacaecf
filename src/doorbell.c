/*-------------------------------------------------------------------------
 *
 * doorbell.c
 *		How sessions wake the worker of their database, or start it.
 *
 * There is at most one worker per database.  It needs neither preloading nor
 * shared memory of ours, so what the two sides know of each other is what
 * PostgreSQL shares anyway:
 *
 *	lock		a session-level user lock (see set_tag), held by the worker while
 *				it lives: it makes the worker unique, nobody waits for it;
 *	promise		the flag PROC_IS_AUTOVACUUM in the worker's PGPROC: while it is
 *				set, a set latch makes the worker look under a fresh snapshot;
 *	latch		the worker's procLatch: the bell itself.
 *
 * The flag has another effect, which is wanted too: see worker/worker.c.
 *
 * A writer's transaction
 *
 *	1. holds ROW EXCLUSIVE on segment.invalidation from its first invalidation on;
 *	2. before it commits, sees the promise of a worker, or starts a worker;
 *	3. after its commit is visible, and with the lock still held, looks for the
 *	   promise again and sets the latch of whoever has given it.
 *
 * The worker, to leave,
 *
 *	4. takes back the promise and releases the lock;
 *	5. stays if its latch has been set meanwhile, or if a transaction holds ROW
 *	   EXCLUSIVE on segment.invalidation (a prepared one, perhaps);
 *	6. looks once more under a fresh snapshot, and stays if there is something to do.
 *
 * To stay it takes the lock and promises anew, or rings the worker that has done
 * so meanwhile.  No commit is missed:
 *
 *	- 3 finds a promise: the latch leads to a look, whose snapshot has the commit.
 *	  A promise is taken back only by 4, and 5 sees what was rung before.
 *	- 3 finds none because it is not given yet.  The flag is set under
 *	  ProcArrayLock, which the commit has held before: the promise, and so the
 *	  first snapshot behind it, comes after the commit.  Somebody will give it,
 *	  because of 2: a worker that is starting, or one that comes back from 5.
 *	- 3 finds none because it has been taken back.  If 2 still saw it, then 4 came
 *	  between 2 and 3, and 5 sees the lock of 1; or it comes so late that the
 *	  transaction counts as ended, and then the snapshot of 6 has the commit.
 *	- Two sessions start a worker each, or a worker starts while another leaves:
 *	  who cannot get the lock tries again until he gets it, or sees a promise,
 *	  rings there and ends.
 *	- A session that has just started a worker does not start one for each of its
 *	  next transactions: what was started less than PATIENCE ago and lives has not
 *	  promised yet, as a worker keeps a promise longer than that.
 *
 * A transaction that is prepared does 2 and 3 when it is.  COMMIT PREPARED rings
 * nobody; a worker that sees such a transaction's lock looks again after a second,
 * and then after twice as long each time, up to segmentation.naptime.
 *
 * What a writer pays: before and after its commit, three words of the worker's
 * PGPROC and a latch that most often is set already.  Only when the cached PGPROC
 * is not the worker's any more are all of them looked at.  A writer takes no lock
 * for this, waits for nothing, and fails by nothing: a worker that cannot be
 * started is tried again some seconds later, and segment.activity says why.
 *
 * A worker that was terminated (pg_terminate_backend, an error outside of all
 * precautions) does none of 4 to 6.  The next write, statement about segments or
 * read that finds something pending starts another one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/twophase.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "catalog/state.h"
#include "compat.h"
#include "doorbell.h"
#include "guc.h"
#include "testing.h"

/* A worker keeps its promise for a second at least (segmentation.naptime); so long it may be starting. */
#define PATIENCE_MS 1000

/* After a start that failed for want of a slot, the next is tried so much later. */
#define NO_SLOT_MS 5000

/* After a worker that ended at once the next is started so much later, doubled each time up to the maximum. */
#define FAILING_MS 1000
#define MAX_FAILING_MS 60000

/* Reads ring at most this often. */
#define NUDGE_MS 1000

/* How long a new worker tries to get the lock of one that is leaving. */
#define PROMISE_TRIES 500
#define PROMISE_WAIT_MS 10

/* ---- this session's transaction ---- */

static bool wanted = false;		/* ring when it commits */
static bool committing = false; /* step 2 is behind us */

/* ---- what this session knows of the worker ---- */

static PGPROC *bell = NULL;		/* where it was last seen */
static int	bell_pid = 0;

static BackgroundWorkerHandle *started = NULL;	/* by this session */
static TimestampTz started_at = 0;
static TimestampTz not_before = 0;	/* of the next start */
static int	failing_ms = 0;
static bool no_slot = false;

static bool is_worker = false;	/* this process is one itself */

/* ---- finding ---- */

static bool
has_promised(PGPROC *proc, Oid database)
{
	return (proc->statusFlags & PROC_IS_AUTOVACUUM) != 0 && proc->databaseId == database;
}

/*
 * The worker of a database that has promised to look.  Reads other processes'
 * fields without a lock: each is of a size that is read at once, and the top of
 * the file says why it does not matter which moment they are of.
 */
static PGPROC *
find_promise(Oid database, int *pid)
{
	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		PGPROC	   *proc = &ProcGlobal->allProcs[i];
		const char *type;

		if (!has_promised(proc, database))
			continue;
		*pid = proc->pid;
		/* a real autovacuum worker is not among the background workers */
		type = *pid != 0 ? GetBackgroundWorkerTypeByPid(*pid) : NULL;
		if (type != NULL && strcmp(type, SEGMENT_WORKER_TYPE) == 0)
			return proc;
	}
	*pid = 0;
	return NULL;
}

/* Is there a promise now?  Keeps in mind where. */
static bool
find_bell(void)
{
	pg_memory_barrier();
	if (bell != NULL && bell->pid == bell_pid && has_promised(bell, MyDatabaseId))
		return true;
	bell = find_promise(MyDatabaseId, &bell_pid);
	if (bell == NULL)
		return false;
	no_slot = false;
	failing_ms = 0;
	return true;
}

int
segment_doorbell_find(Oid database)
{
	int			pid;

	pg_memory_barrier();
	(void) find_promise(database, &pid);
	return pid;
}

/* ---- starting ---- */

bool
segment_doorbell_start(const SegmentWorkerOrder *order, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker = {0};
	bool		helper = OidIsValid(order->subject);

	StaticAssertStmt(sizeof(SegmentWorkerOrder) <= BGW_EXTRALEN, "the order does not fit into bgw_extra");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;

	/*
	 * what ends by itself must not come back by itself: the database may be
	 * gone
	 */
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "segmentation", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "segmentation_worker_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_type, helper ? SEGMENT_HELPER_TYPE : SEGMENT_WORKER_TYPE, BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "%s for database %u", worker.bgw_type, order->database);
	worker.bgw_main_arg = ObjectIdGetDatum(order->database);
	memcpy(worker.bgw_extra, order, sizeof(SegmentWorkerOrder));
	/* a worker waits for its helpers; nobody else for anybody */
	worker.bgw_notify_pid = helper ? MyProcPid : 0;
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

/* Is one that this session has started still on its way? */
static bool
is_starting(TimestampTz now)
{
	pid_t		pid;

	if (started == NULL)
		return false;
	switch (GetBackgroundWorkerPid(started, &pid))
	{
		case BGWH_NOT_YET_STARTED:
			return true;
		case BGWH_STARTED:
			return !TimestampDifferenceExceeds(started_at, now, PATIENCE_MS);
		default:
			return false;
	}
}

/* The last one has ended: was that at once? */
static void
note_end(TimestampTz now)
{
	if (started == NULL)
		return;
	if (!TimestampDifferenceExceeds(started_at, now, PATIENCE_MS))
	{
		failing_ms = Min(Max(failing_ms * 2, FAILING_MS), MAX_FAILING_MS);
		not_before = TimestampTzPlusMilliseconds(started_at, failing_ms);
	}
	pfree(started);
	started = NULL;
}

/* Nobody has promised: have a worker started, unless that has been tried lately. */
static void
start_worker(void)
{
	SegmentWorkerOrder order = {.database = MyDatabaseId};
	TimestampTz now = GetCurrentTimestamp();
	MemoryContext old;

	if (is_starting(now))
		return;
	note_end(now);
	if (now < not_before)
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	no_slot = !segment_doorbell_start(&order, &started);
	MemoryContextSwitchTo(old);
	started_at = now;
	if (no_slot)
	{
		started = NULL;
		not_before = TimestampTzPlusMilliseconds(now, NO_SLOT_MS);
	}
}

/* ---- ringing ---- */

/* Is this a session that may have a worker at all? */
static bool
may_ring(void)
{
	return segment_guc_worker && !is_worker && IsUnderPostmaster && OidIsValid(MyDatabaseId) &&
		!IsBinaryUpgrade && !IsParallelWorker() && !RecoveryInProgress();
}

/* Step 2: before the commit. */
static void
before_commit(void)
{
	if (!find_bell() && !SEGMENT_MUTANT("no_start"))
		start_worker();
}

/* Step 3: after the commit, where nothing may raise an error. */
static void
after_commit(void)
{
	if (find_bell() && !SEGMENT_MUTANT("no_ring"))
		SetLatch(&bell->procLatch);
}

static void
at_xact_event(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			committing = true;
			if (wanted)
				before_commit();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			if (wanted)
				after_commit();
			wanted = committing = false;
			break;
		case XACT_EVENT_ABORT:
			wanted = committing = false;
			break;
		default:
			break;
	}
}

void
segment_doorbell_init(void)
{
	RegisterXactCallback(at_xact_event, NULL);
}

void
segment_doorbell_touch(void)
{
	if (likely(wanted) || !may_ring())
		return;
	wanted = true;
	/* written by another callback, after ours has run */
	if (committing)
		before_commit();
}

void
segment_doorbell_ring(void)
{
	if (!may_ring())
		return;
	LockRelationOid(segment_table_oid("invalidation"), RowExclusiveLock);
	segment_doorbell_touch();
}

void
segment_doorbell_nudge(void)
{
	static TimestampTz last = 0;
	TimestampTz now;

	if (!may_ring())
		return;
	now = GetCurrentTimestamp();
	if (last != 0 && !TimestampDifferenceExceeds(last, now, NUDGE_MS) && last <= now)
		return;
	last = now;
	if (find_bell())
		SetLatch(&bell->procLatch);
	else
		start_worker();
}

SegmentWorkerState
segment_doorbell_state(int *pid)
{
	TimestampTz now = GetCurrentTimestamp();

	*pid = segment_doorbell_find(MyDatabaseId);
	if (*pid != 0)
		return WORKER_RUNNING;
	if (RecoveryInProgress())
		return WORKER_STANDBY;
	if (!segment_guc_worker)
		return WORKER_OFF;
	if (is_starting(now))
		return WORKER_STARTING;
	note_end(now);
	if (no_slot)
		return WORKER_NO_SLOT;
	return failing_ms > 0 && now < not_before ? WORKER_FAILING : WORKER_ABSENT;
}

/* ---- the worker's side ---- */

/*
 * The lock that makes the worker of a database unique.  A user lock, as those
 * outlive an aborted transaction; its last field is none of those that
 * pg_advisory_lock() uses.
 */
static void
set_tag(LOCKTAG *tag)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, 0, 0, 3);
}

/* Set or clear the flag as PostgreSQL does it: in both places, under the lock. */
static void
set_flag(bool on)
{
	LWLockAcquire(ProcArrayLock, LW_EXCLUSIVE);
	if (on)
		MyProc->statusFlags |= PROC_IS_AUTOVACUUM;
	else
		MyProc->statusFlags &= ~PROC_IS_AUTOVACUUM;
	ProcGlobal->statusFlags[MyProc->pgxactoff] = MyProc->statusFlags;
	LWLockRelease(ProcArrayLock);
	pg_memory_barrier();
}

/* However the process ends, nobody finds a promise in what it leaves. */
static void
clear_flag_at_exit(int code, Datum arg)
{
	set_flag(false);
}

void
segment_doorbell_be_worker(void)
{
	is_worker = true;
	before_shmem_exit(clear_flag_at_exit, (Datum) 0);
	if (strcmp(MyBgworkerEntry->bgw_type, SEGMENT_HELPER_TYPE) == 0)
		set_flag(true);
}

bool
segment_doorbell_promise(void)
{
	LOCKTAG		tag;

	set_tag(&tag);
	for (int i = 0; i < PROMISE_TRIES && !ShutdownRequestPending; i++)
	{
		int			pid;
		PGPROC	   *other;

		CHECK_FOR_INTERRUPTS();
		if (LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL)
		{
			set_flag(true);
			return true;
		}
		other = find_promise(MyDatabaseId, &pid);
		if (other != NULL)
		{
			SetLatch(&other->procLatch);
			return false;
		}
		/* who holds it is about to promise, or to leave */
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, PROMISE_WAIT_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	return false;
}

bool
segment_doorbell_withdraw(void)
{
	LOCKTAG		tag;

	set_tag(&tag);
	set_flag(false);
	(void) LockRelease(&tag, ExclusiveLock, true);
	return !MyLatch->is_set;
}

/* Who holds ROW EXCLUSIVE on segment.invalidation, palloc'd. */
static VirtualTransactionId *
list_writers(Oid invalidation, int *count)
{
	LOCKTAG		tag;

	*count = 0;
	if (!OidIsValid(invalidation))
		return NULL;
	SET_LOCKTAG_RELATION(tag, MyDatabaseId, invalidation);
	return GetLockConflicts(&tag, ShareLock, count);
}

bool
segment_doorbell_writers(Oid invalidation)
{
	int			count;
	VirtualTransactionId *writers = list_writers(invalidation, &count);

	if (writers != NULL)
		pfree(writers);
	return count > 0;
}

uint64
segment_doorbell_prepared(Oid invalidation)
{
	int			count;
	VirtualTransactionId *writers = max_prepared_xacts > 0 ? list_writers(invalidation, &count) : NULL;
	uint64		sum = 0;

	for (int i = 0; writers != NULL && i < count; i++)
	{
		bool		more;
		TransactionId xid = VirtualTransactionIdIsRecoveredPreparedXact(writers[i]) ?
		writers[i].localTransactionId : TwoPhaseGetXidByVirtualXID(writers[i], &more);

		if (TransactionIdIsValid(xid))
			sum += hash_bytes_uint32_extended(xid, 0) | 1;
	}
	if (writers != NULL)
		pfree(writers);
	return sum;
}

/*-------------------------------------------------------------------------
 *
 * backlog.c
 *		Subject tables that are to be refreshed: in turn, by helpers, later.
 *
 * One call refreshes each subject table that is due for one transaction's worth
 * (segmentation.refresh_budget), so that a large backlog of one holds up the
 * others by that much only.
 *
 * Helpers.  A subject table whose last transaction was heavy (there was more left,
 * or it took HEAVY_MS) is given to a helper when others are due as well: a
 * background worker that refreshes this one until nothing is left, and ends.  There
 * are at most segmentation.max_refresh_workers processes, this one included; when
 * no slot is free everything is done here, one after the other.  What comes back
 * from a helper and is due again is done here next time: so an error is seen here.
 * While a helper has a subject table, nobody else here touches it, as he would
 * have to wait for its lock.
 *
 * Failures.  A subject table whose refresh fails is put off: a second, then twice as
 * long each time up to five minutes, or a second where it was only a lock; the others go on.  (A segment whose own condition
 * fails does not get here: refresh/ marks it, and goes on with the others.)  Nothing
 * that is due though it has just been refreshed, with nobody ringing, is refreshed
 * for ever without a pause: after STALLS times it counts as a failure.
 *
 * All of it is this process's memory: who comes after it starts anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "doorbell.h"
#include "guc.h"
#include "refresh/refresh.h"
#include "worker/internal.h"

#define HEAVY_MS 1000
#define FIRST_DELAY_MS 1000
#define MAX_DELAY_MS (5 * 60 * 1000)
#define STALLS 3

/* A subject table that has been due. */
typedef struct Subject
{
	Oid			relid;
	BackgroundWorkerHandle *helper; /* who has it; NULL: nobody */
	bool		helped;			/* a helper has had it last */
	bool		heavy;			/* worth a helper */
	bool		done;			/* refreshed in the last round, nothing left */
	int			stalls;			/* times that it was due all the same */
	int			delay;			/* ms, of the last failure; 0: none since it
								 * was last found in order */
	TimestampTz retryAt;		/* not before; 0: at any time */
} Subject;

static List *subjects = NIL;	/* of Subject *, in TopMemoryContext */

/* ---- one transaction's worth ---- */

typedef struct Step
{
	Oid			subject;
	bool		more;
} Step;

static void
step(void *arg)
{
	Step	   *this = arg;

	this->more = segment_refresh_step(this->subject, segment_guc_refresh_budget, true);
}

/* *more: there is more to do. */
static SegmentOutcome
run_step(Oid subject, bool *more)
{
	static char what[64];
	Step		this = {.subject = subject};
	SegmentOutcome outcome;

	snprintf(what, sizeof(what), "refreshing the segments on table %u", subject);
	outcome = segment_worker_run(what, step, &this);
	*more = this.more;
	return outcome;
}

/* ---- subjects ---- */

static Subject *
find_subject(Oid relid)
{
	Subject    *subject;
	MemoryContext old;
	ListCell   *lc;

	foreach(lc, subjects)
		if (((Subject *) lfirst(lc))->relid == relid)
		return lfirst(lc);
	old = MemoryContextSwitchTo(TopMemoryContext);
	subject = palloc0(sizeof(Subject));
	subject->relid = relid;
	subjects = lappend(subjects, subject);
	MemoryContextSwitchTo(old);
	return subject;
}

static void
put_off(Subject *subject, bool again)
{
	subject->delay = subject->delay == 0 || !again ? FIRST_DELAY_MS : Min(subject->delay * 2, MAX_DELAY_MS);
	subject->retryAt = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), subject->delay);
	subject->stalls = 0;
	subject->done = false;
}

/* Take note of helpers that have ended. */
static void
collect_helpers(void)
{
	ListCell   *lc;

	foreach(lc, subjects)
	{
		Subject    *subject = lfirst(lc);
		pid_t		pid;

		if (subject->helper == NULL || GetBackgroundWorkerPid(subject->helper, &pid) != BGWH_STOPPED)
			continue;
		pfree(subject->helper);
		subject->helper = NULL;
		subject->helped = true;
	}
}

/* Forget what a subject table was like that is not due any more. */
static void
forget_idle(List *due)
{
	ListCell   *lc;

	foreach(lc, subjects)
	{
		Subject    *subject = lfirst(lc);

		if (list_member_oid(due, subject->relid) || subject->helper != NULL)
			continue;
		subjects = foreach_delete_current(subjects, lc);
		pfree(subject);
	}
}

/* Is this one to be refreshed in this round?  rung: somebody may have written since the last. */
static bool
is_ready(Subject *subject, bool rung)
{
	if (subject->helper != NULL)
		return false;
	if (subject->retryAt > GetCurrentTimestamp())
		return false;
	if (rung || !subject->done)
		subject->stalls = 0;
	else if (++subject->stalls >= STALLS)
	{
		put_off(subject, true);
		return false;
	}
	return true;
}

/* ---- doing it ---- */

static void
refresh_here(Subject *subject, bool rung)
{
	TimestampTz start = GetCurrentTimestamp();
	SegmentOutcome outcome;
	bool		more;

	subject->helped = false;
	outcome = run_step(subject->relid, &more);
	if (outcome != OUTCOME_DONE)
	{
		put_off(subject, outcome == OUTCOME_FAILED);
		return;
	}
	subject->heavy = more || TimestampDifferenceExceeds(start, GetCurrentTimestamp(), HEAVY_MS);
	subject->done = !more;
	subject->retryAt = 0;
	if (rung)
		subject->delay = 0;
}

static int
count_helpers(void)
{
	int			n = 0;
	ListCell   *lc;

	foreach(lc, subjects)
		if (((Subject *) lfirst(lc))->helper != NULL)
		n++;
	return n;
}

/* Give a subject table to a helper, if that is allowed and possible. */
static bool
give_to_helper(Subject *subject)
{
	SegmentWorkerOrder order = {.database = MyDatabaseId,.subject = subject->relid};
	MemoryContext old;
	bool		given;

	if (!subject->heavy || subject->helped || count_helpers() + 1 >= segment_guc_max_refresh_workers)
		return false;
	old = MemoryContextSwitchTo(TopMemoryContext);
	given = segment_doorbell_start(&order, &subject->helper);
	MemoryContextSwitchTo(old);
	if (!given)
		subject->helper = NULL;
	return given;
}

bool
segment_worker_refresh(List *due, bool rung)
{
	List	   *ready = NIL;
	int			left;
	bool		any;
	ListCell   *lc;

	collect_helpers();
	forget_idle(due);
	foreach(lc, due)
	{
		Subject    *subject = find_subject(lfirst_oid(lc));

		if (is_ready(subject, rung))
			ready = lappend(ready, subject);
	}
	any = ready != NIL;
	left = list_length(ready);
	foreach(lc, ready)
	{
		/* the last one that is left is done here */
		if (left > 1 && give_to_helper(lfirst(lc)))
		{
			left--;
			lfirst(lc) = NULL;
		}
	}
	foreach(lc, ready)
		if (lfirst(lc) != NULL)
		refresh_here(lfirst(lc), rung);
	list_free(ready);
	return any;
}

TimestampTz
segment_worker_next_retry(void)
{
	TimestampTz next = DT_NOEND;
	ListCell   *lc;

	foreach(lc, subjects)
	{
		Subject    *subject = lfirst(lc);

		if (subject->helper == NULL && subject->retryAt != 0)
			next = Min(next, subject->retryAt);
	}
	return next;
}

bool
segment_worker_has_helpers(void)
{
	collect_helpers();
	return count_helpers() > 0;
}

void
segment_worker_end_helpers(void)
{
	ListCell   *lc;

	foreach(lc, subjects)
		if (((Subject *) lfirst(lc))->helper != NULL)
		TerminateBackgroundWorker(((Subject *) lfirst(lc))->helper);
}

void
segment_worker_help(Oid subject)
{
	bool		more = true;

	while (more && run_step(subject, &more) == OUTCOME_DONE)
		segment_worker_handle_signals();
}

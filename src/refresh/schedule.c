/*-------------------------------------------------------------------------
 *
 * schedule.c
 *		What to refresh, and when.
 *
 * A round is what is refreshed in one transaction: segments of one subject table.
 * Users name segments, or mean all that they own; the worker asks which subject
 * tables have something to do, and when the next will.
 *
 * Locks: ACCESS SHARE on the views of a round, before its refresh lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "attempt.h"
#include "bitmap/bitmap.h"
#include "catalog/deadline.h"
#include "catalog/registry.h"
#include "compat.h"
#include "guc.h"
#include "read/read.h"
#include "refresh/ahead.h"
#include "refresh/feed.h"
#include "refresh/hook.h"
#include "refresh/refresh.h"
#include "refresh/work.h"
#include "testing.h"

/*
 * Heavy segments are refreshed automatically after SEGMENT_PACE times what that
 * costs, so that they take a tenth of the time and the others stay fresh; at the
 * latest after so long.
 */
#define MAX_PACE_SECONDS INT64CONST(300)

/* ---- heavy ones ---- */

bool
segment_refresh_reads_whole(const SegmentStanding *standing)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, standing->closure)
		foreach(lc2, ((SegmentCompiled *) lfirst(lc))->sources)
		if (((SegmentSource *) lfirst(lc2))->key == 0)
		return true;
	return false;
}

bool
segment_refresh_is_heavy(const SegmentStanding *standing)
{
	switch (standing->full)
	{
		case FULL_EVERYBODY:
			return true;
		case FULL_NOT:
			return !segment_bitmap_is_empty(standing->pending) && segment_refresh_reads_whole(standing);
		case FULL_MANY:
			return segment_refresh_reads_whole(standing);
		default:
			return false;
	}
}

TimestampTz
segment_refresh_pace(List *standings)
{
	double		cost = 0;		/* ms */
	TimestampTz last = DT_NOBEGIN;
	ListCell   *lc;

	foreach(lc, standings)
	{
		SegmentStanding *standing = lfirst(lc);

		if (!segment_refresh_is_heavy(standing))
			continue;
		cost += standing->state.cost;
		last = Max(last, standing->state.refreshedAt);
	}
	if (last == DT_NOBEGIN)
		return last;
	return last + Min((int64) (cost * SEGMENT_PACE * 1000), MAX_PACE_SECONDS * USECS_PER_SEC);
}

bool
segment_refresh_is_turn(Oid subject)
{
	static List *waited = NIL;	/* subject tables whose heavy ones have let
								 * others go first */
	MemoryContext old;

	if (list_member_oid(waited, subject))
	{
		waited = list_delete_oid(waited, subject);
		return true;
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	waited = lappend_oid(waited, subject);
	MemoryContextSwitchTo(old);
	return false;
}

/* ---- what to refresh ---- */

/*
 * Lock a segment's view against being dropped or altered; false if it is gone
 * already, or with automatic if somebody else is about to: one segment holds up no
 * other of its table.
 */
static bool
lock_view(Oid viewId, bool automatic)
{
	if (!automatic)
		LockRelationOid(viewId, AccessShareLock);
	else if (!ConditionalLockRelationOid(viewId, AccessShareLock))
	{
		segment_refresh_hold_up(viewId);
		return false;
	}
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(viewId));
}

/*
 * Whose owner may read nothing of the subject table has no say in its refreshes,
 * but for one that marks it as failed: what it holds back with its epoch is let go.
 */
static bool
may_take_part(const SegmentCompiled *compiled)
{
	bool		missing = false;
	SegmentState state;

	return pg_class_aclcheck_ext(compiled->subject, compiled->owner, ACL_SELECT, &missing) == ACLCHECK_OK ||
		pg_attribute_aclcheck_all(compiled->subject, compiled->owner, ACL_SELECT, ACLMASK_ANY) == ACLCHECK_OK ||
		(segment_state_get(compiled->id, NULL, &state) && state.epoch != 0);
}

/* ---- segments that a lock of somebody else holds up ---- */

/* A view that is not looked at for a moment. */
typedef struct HeldUp
{
	Oid			viewId;
	TimestampTz until;
} HeldUp;

static List *held_up = NIL;		/* of HeldUp *, in TopMemoryContext */

void
segment_refresh_hold_up(Oid viewId)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	HeldUp	   *held = palloc(sizeof(HeldUp));

	held->viewId = viewId;
	held->until = GetCurrentTimestamp() + USECS_PER_SEC;
	held_up = lappend(held_up, held);
	MemoryContextSwitchTo(old);
}

/* Until when?  Not after now: it is not. */
static TimestampTz
held_until(Oid viewId, TimestampTz now)
{
	TimestampTz until = now;
	ListCell   *lc;

	foreach(lc, held_up)
	{
		HeldUp	   *held = lfirst(lc);

		if (held->until <= now)
		{
			held_up = foreach_delete_current(held_up, lc);
			pfree(held);
		}
		else if (held->viewId == viewId)
			until = Max(until, held->until);
	}
	return until;
}

static int
compare_rounds(const ListCell *a, const ListCell *b)
{
	Oid			left = ((const SegmentRound *) lfirst(a))->subject;
	Oid			right = ((const SegmentRound *) lfirst(b))->subject;

	return left < right ? -1 : left > right;
}

/* Add a segment to the step of its subject table. */
static List *
add_to_rounds(List *rounds, Oid subject, Oid viewId)
{
	SegmentRound *round = NULL;
	ListCell   *lc;

	foreach(lc, rounds)
		if (((SegmentRound *) lfirst(lc))->subject == subject)
		round = lfirst(lc);
	if (round == NULL)
	{
		round = palloc0(sizeof(SegmentRound));
		round->subject = subject;
		rounds = lappend(rounds, round);
	}
	round->viewIds = list_append_unique_oid(round->viewIds, viewId);
	return rounds;
}

/* These segments, their views locked; the caller must own them. */
static List *
rounds_of(List *viewIds)
{
	List	   *rounds = NIL;
	ListCell   *lc;

	foreach(lc, viewIds)
	{
		const SegmentCompiled *compiled;

		(void) lock_view(lfirst_oid(lc), false);
		compiled = segment_catalog_compiled(lfirst_oid(lc), false);
		if (!segment_compat_owns(lfirst_oid(lc), GetUserId()))
			aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_VIEW, get_rel_name(lfirst_oid(lc)));
		if (!may_take_part(compiled))
			aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(compiled->subject));
		rounds = add_to_rounds(rounds, compiled->subject, lfirst_oid(lc));
	}
	return rounds;
}

/*
 * A segment compiled, NULL if it cannot be: that is no concern of the other
 * segments.  *blocked, if not NULL: what keeps it from being is passing.
 */
static const SegmentCompiled *
try_compile(Oid viewId, bool automatic, bool *blocked)
{
	ErrorData  *error;
	const SegmentCompiled *compiled = segment_catalog_try_compiled(viewId, &error);

	if (error != NULL && segment_attempt_is_passing(error))
	{
		if (blocked == NULL)
			ReThrowError(error);
		*blocked = true;
	}
	else if (error != NULL)
		ereport(automatic ? DEBUG1 : WARNING,
				errmsg("segment \"%s\" is left out", get_rel_name(viewId)),
				errdetail("%s", error->message));
	return compiled;
}

/*
 * Every segment that the caller owns, of one subject table or (InvalidOid) of
 * all; with automatic, only those that the worker is to refresh.  With lock,
 * their views are locked.  *blocked, if not NULL: one was left out for a passing
 * reason.
 */
static List *
rounds_of_all(Oid subject, bool automatic, bool lock, bool *blocked)
{
	List	   *rounds = NIL;
	ListCell   *lc;

	foreach(lc, segment_catalog_all())
	{
		SegmentEntry *entry = lfirst(lc);
		const SegmentCompiled *compiled;

		if (!segment_compat_owns(entry->viewId, GetUserId()) || (automatic && !segment_catalog_is_automatic(entry)))
			continue;
		if (OidIsValid(subject))
		{
			/* no lock on segments of other tables, which nothing is done with */
			compiled = try_compile(entry->viewId, automatic, blocked);
			if (compiled == NULL || compiled->subject != subject)
				continue;
		}
		if (lock && !lock_view(entry->viewId, automatic))
			continue;
		compiled = try_compile(entry->viewId, automatic, blocked);
		if (compiled != NULL && (!OidIsValid(subject) || compiled->subject == subject) && may_take_part(compiled))
			rounds = add_to_rounds(rounds, compiled->subject, entry->viewId);
	}
	return rounds;
}

static void
check_allowed(void)
{
	segment_hook_refuse("refresh segments");
	PreventCommandIfReadOnly("REFRESH SEGMENT");
	PreventCommandDuringRecovery("REFRESH SEGMENT");
	PreventCommandIfParallelMode("REFRESH SEGMENT");
}

/* When all refresh locks are had: who waits for one may hold rows that are deleted. */
static void
collect(List *rounds)
{
	if (rounds == NIL)
		return;
	segment_refresh_collect_garbage();
	SEGMENT_STOP("collected");
}

static void
refresh_segments(List *viewIds, bool rebuild)
{
	List	   *rounds;
	ListCell   *lc;

	check_allowed();
	rounds = viewIds != NIL ? rounds_of(viewIds) : rounds_of_all(InvalidOid, false, true, NULL);
	list_sort(rounds, compare_rounds);
	foreach(lc, rounds)
	{
		SegmentRound *round = lfirst(lc);

		round->rebuild = rebuild;
		(void) segment_refresh_round(round);
	}
	collect(rounds);
}

void
segment_refresh_segments(List *viewIds)
{
	refresh_segments(viewIds, false);
}

void
segment_refresh_rebuild(List *viewIds)
{
	refresh_segments(viewIds, true);
}

bool
segment_refresh_step(Oid subject, int64 budget, bool automatic)
{
	bool		more = false;
	bool		blocked = false;
	List	   *rounds;
	ListCell   *lc;

	check_allowed();
	/* what a lock hides now, the worker looks for again */
	rounds = rounds_of_all(subject, automatic, true, automatic ? &blocked : NULL);
	foreach(lc, rounds)
	{
		SegmentRound *round = lfirst(lc);

		round->budget = budget;
		round->automatic = automatic;
		more |= segment_refresh_round(round);
	}
	collect(rounds);
	return more;
}

List *
segment_refresh_subjects(void)
{
	List	   *subjects = NIL;
	ListCell   *lc;

	foreach(lc, rounds_of_all(InvalidOid, false, false, NULL))
		subjects = lappend_oid(subjects, ((SegmentRound *) lfirst(lc))->subject);
	list_sort(subjects, list_oid_cmp);
	return subjects;
}

/* ---- when to refresh ---- */

/* When this segment is to be refreshed next if nobody writes; at or before "now": now. */
static TimestampTz
due_at(const SegmentStanding *standing, TimestampTz paced, TimestampTz now)
{
	const SegmentState *state = &standing->state;

	switch (standing->full)
	{
		case FULL_NOT:
			if (!segment_bitmap_is_empty(standing->pending))
				return segment_refresh_is_heavy(standing) ? paced : now;
			if (standing->behind)
				return now;
			return Min(segment_ahead_due(standing, now), segment_deadline_next(standing->entry->id, standing->epoch.clock, GetActiveSnapshot()));
		case FULL_FAILED:
			return state->retryAt;
		case FULL_EVERYBODY:
			return paced;
		case FULL_MANY:
			return segment_refresh_is_heavy(standing) ? paced : now;
		case FULL_CLOCK:
		case FULL_DISABLED:
		case FULL_UNTRACKED:
			/* its base is given up once */
			return standing->hasState && state->epoch != 0 ? now : DT_NOEND;
		case FULL_IN_FLIGHT:
			return DT_NOEND;
		default:
			return now;
	}
}

/* Where a segment stands, and when it is due; what may fail in that is users' code. */
typedef struct Attempt
{
	Oid			viewId;
	SegmentStanding *standing;	/* found if NULL */
	TimestampTz paced;
	TimestampTz now;
	TimestampTz due;
} Attempt;

static void
find_due(void *arg)
{
	Attempt    *attempt = arg;

	if (attempt->standing == NULL)
		attempt->standing = segment_read_standing(attempt->viewId);
	attempt->due = due_at(attempt->standing, attempt->paced, attempt->now);
}

/* Does it, or one that it refers to, call functions to know when time changes it? */
static bool
evaluates_clock(Oid viewId)
{
	ErrorData  *error;
	const SegmentCompiled *compiled = segment_catalog_try_compiled(viewId, &error);
	ListCell   *lc;

	check_stack_depth();
	if (compiled == NULL)
		return false;
	foreach(lc, compiled->inner)
		if (evaluates_clock(lfirst_oid(lc)))
		return true;
	return compiled->instants != NIL;
}

/* An error is for the refresh to tell; when it has, it is for the next try. */
static TimestampTz
try_due_at(Attempt *attempt)
{
	SegmentState state;
	SegmentEntry *entry;
	ErrorData  *error;

	/*
	 * no timer where there is nothing to evaluate: it would wake an idle
	 * worker
	 */
	error = segment_attempt_within(evaluates_clock(attempt->viewId) ? segment_guc_evaluation_timeout : 0,
								   "segmentation.evaluation_timeout", find_due, attempt);
	if (error == NULL)
		return attempt->due;
	attempt->standing = NULL;
	if (segment_attempt_is_passing(error))
		return attempt->now + USECS_PER_SEC;
	entry = segment_catalog_lookup(attempt->viewId);
	if (entry != NULL && segment_state_get(entry->id, GetActiveSnapshot(), &state) && state.status == SEGMENT_FAILED)
		return state.retryAt;
	return attempt->now;
}

/* The same for all segments of a subject table, the earliest. */
static TimestampTz
round_due_at(const SegmentRound *round, TimestampTz now)
{
	TimestampTz due = DT_NOEND;
	List	   *attempts = NIL;
	List	   *standings = NIL;
	ListCell   *lc;

	foreach(lc, round->viewIds)
	{
		Attempt    *attempt = palloc0(sizeof(Attempt));
		TimestampTz unpaced;

		CHECK_FOR_INTERRUPTS();
		attempt->viewId = lfirst_oid(lc);
		if (held_until(attempt->viewId, now) > now)
		{
			due = Min(due, held_until(attempt->viewId, now));
			continue;
		}
		attempt->paced = DT_NOEND;
		attempt->now = now;
		unpaced = try_due_at(attempt);
		/* when one is due whatever the pace, the others need not be looked at */
		if (unpaced <= now)
			return now;
		if (attempt->standing == NULL)
		{
			due = Min(due, unpaced);
			continue;
		}
		standings = lappend(standings, attempt->standing);
		attempts = lappend(attempts, attempt);
	}
	foreach(lc, attempts)
	{
		Attempt    *attempt = lfirst(lc);

		attempt->paced = segment_refresh_pace(standings);
		/* the pace matters only to those of which nothing else is known */
		due = Min(due, attempt->due != DT_NOEND ? attempt->due : try_due_at(attempt));
	}
	return due;
}

List *
segment_refresh_due(TimestampTz *next)
{
	TimestampTz now = GetCurrentTimestamp();
	List	   *subjects = NIL;
	bool		blocked = false;
	ListCell   *lc;

	*next = DT_NOEND;
	foreach(lc, rounds_of_all(InvalidOid, true, false, &blocked))
	{
		const SegmentRound *round = lfirst(lc);
		TimestampTz due = round_due_at(round, now);

		if (due <= now)
			subjects = lappend_oid(subjects, round->subject);
		else
			*next = Min(*next, due);
	}
	if (blocked)
		*next = Min(*next, now + USECS_PER_SEC);
	return subjects;
}

void
segment_refresh_forget(int32 id)
{
	segment_state_delete(id);
	segment_feed_forget(id);
}

/*-------------------------------------------------------------------------
 *
 * instant.c
 *		When an expression of the clock alone may next step.
 *
 * Such an expression (date_trunc('week', now()), extract(doy from current_date))
 * steps at midnights of the pinned zone (and an hour before them, if a day that
 * is shifted may lack that hour), or at quarters of an hour or minutes for finer
 * ones, but seldom at all of them.  It is evaluated ahead, grain by
 * grain, until its value differs from that of the clock; if it does not within
 * MAX_GRAINS, the last grain looked at is an early answer.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "compile/combine.h"
#include "read/flip.h"
#include "read/read.h"

#define MAX_GRAINS 800

/* The value of an expression at an instant, in CurrentMemoryContext. */
static Datum
value_at(Node *expr, TimestampTz clock, bool *isnull)
{
	EState	   *estate = CreateExecutorState();
	ExprState  *state;
	Datum		value;
	int16		length;
	bool		byval;

	state = ExecPrepareExpr((Expr *) segment_compile_put_clock(copyObject(expr), clock), estate);
	value = ExecEvalExprSwitchContext(state, GetPerTupleExprContext(estate), isnull);
	get_typlenbyval(exprType(expr), &length, &byval);
	if (!*isnull)
		value = datumCopy(value, byval, length);
	FreeExecutorState(estate);
	return value;
}

/* The next instant of a grain after the clock. */
static TimestampTz
next_grain(TimestampTz clock, SegmentGrain grain)
{
	int64		width = grain == GRAIN_MINUTE ? USECS_PER_MINUTE : 15 * USECS_PER_MINUTE;
	int64		rest = clock % width;

	if (grain == GRAIN_DAY || grain == GRAIN_EVENING)
	{
		TimestampTz midnight = segment_flip_next_midnight(clock);

		/* in some zones the last hour of a day is left out */
		return grain == GRAIN_EVENING && clock < midnight - USECS_PER_HOUR ? midnight - USECS_PER_HOUR : midnight;
	}
	if (rest < 0)
		rest += width;
	/* the zone may change its offset in between */
	return Min(clock - rest + width, segment_flip_next_zone_change(clock));
}

static TimestampTz
next_step(const SegmentInstant *instant, TimestampTz clock, TimestampTz limit)
{
	int16		length;
	bool		byval;
	bool		isnull;
	Datum		value = value_at(instant->expr, clock, &isnull);

	get_typlenbyval(exprType(instant->expr), &length, &byval);
	for (int i = 0; i < MAX_GRAINS; i++)
	{
		bool		nextnull;
		Datum		next;

		CHECK_FOR_INTERRUPTS();
		clock = next_grain(clock, instant->grain);
		if (clock >= limit)
			return limit;
		next = value_at(instant->expr, clock, &nextnull);
		if (nextnull != isnull || (!isnull && !datum_image_eq(value, next, byval, length)))
			break;
	}
	return clock;
}

TimestampTz
segment_read_next_instant(const SegmentCompiled *compiled, const SegmentEntry *entry, TimestampTz clock,
						  TimestampTz limit)
{
	MemoryContext work;
	MemoryContext caller;
	SegmentGuard guard;
	ListCell   *lc;

	if (compiled->instants == NIL)
		return limit;
	work = AllocSetContextCreate(CurrentMemoryContext, "segment instants", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(work);
	segment_read_become(&guard, compiled->owner, entry);
	foreach(lc, compiled->instants)
		limit = Min(limit, next_step(lfirst(lc), clock, limit));
	segment_read_return(&guard);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(work);
	return limit;
}

/*-------------------------------------------------------------------------
 *
 * flip.c
 *		segment.next_flip(): when a comparison with the clock may next change.
 *
 * A comparison of a row's value x with g(clock), where g adds an interval, is
 * "<", "=" or ">" at the clock, and the question is when that may next be
 * different.  The answer may be early (the subject is looked at, and asks
 * again), never late; NULL is never.
 *
 * g is SQL's own: PostgreSQL's functions compute it, in the pinned zone.  As the
 * clock advances by t, g advances by t, except at breakpoints:
 *
 *	- the zone changes its offset (at the clock, or at the date that the
 *	  interval leads to, where local times may be missing or doubled);
 *	- local midnight, where months are clamped to their last day, and where
 *	  current_date steps.
 *
 * g may step back there, so "x > now() - interval '1 month'" can change up to
 * seven times around the end of a month.  Up to the next breakpoint the answer is
 * exact; otherwise it is the breakpoint.  Far from x, by more than all steps of
 * g together (SLACK), breakpoints are skipped.
 *
 *			x ..............................*
 *			g(clock)              ____/    /
 *			                 ____/    |   |
 *			clock      -----+---------+---+----->
 *			                breakpoint    flip
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "pgtime.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "read/flip.h"
#include "testing.h"

PGDLLEXPORT Datum segmentation_next_flip_tz(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_next_flip_local(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_shift_tz(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_shift_local(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_next_flip_tz);
PG_FUNCTION_INFO_V1(segmentation_next_flip_local);
PG_FUNCTION_INFO_V1(segmentation_shift_tz);
PG_FUNCTION_INFO_V1(segmentation_shift_local);

/* More than all steps of g together: days clamped off a month's end, changes of offset, zones that skip a day. */
#define SLACK_MONTHS (8 * USECS_PER_DAY)
#define SLACK_DAYS	 (4 * USECS_PER_DAY)

/* How far around a date the zone's changes of offset matter to it. */
#define ZONE_REACH	 (2 * USECS_PER_DAY)

/* The clock's side of a comparison. */
typedef struct Side
{
	int			form;			/* SEGMENT_FLIP_* */
	bool		local;			/* compared as timestamp without time zone */
	Interval   *shift;
} Side;

static Timestamp
to_local(TimestampTz instant)
{
	return DatumGetTimestamp(DirectFunctionCall1(timestamptz_timestamp, TimestampTzGetDatum(instant)));
}

static TimestampTz
to_instant(Timestamp local)
{
	return DatumGetTimestampTz(DirectFunctionCall1(timestamp_timestamptz, TimestampGetDatum(local)));
}

static Timestamp
midnight_of(Timestamp local)
{
	int64		rest = local % USECS_PER_DAY;

	if (rest < 0)
		rest += USECS_PER_DAY;
	return local - rest;
}

/* g(clock), on the axis of the comparison. */
static int64
value_at(const Side *side, TimestampTz clock)
{
	Datum		shift = IntervalPGetDatum(side->shift);
	Timestamp	local;

	if (side->form == SEGMENT_FLIP_NOW)
	{
		TimestampTz value = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
																	TimestampTzGetDatum(clock), shift));

		return side->local ? to_local(value) : value;
	}
	local = to_local(clock);
	if (side->form == SEGMENT_FLIP_DATE)
		local = midnight_of(local);
	local = DatumGetTimestamp(DirectFunctionCall2(timestamp_pl_interval, TimestampGetDatum(local), shift));
	return side->local ? local : to_instant(local);
}

/* The next instant after "from" at which the zone changes its offset; false if none is known. */
static bool
next_zone_change(TimestampTz from, TimestampTz *at, int64 *before, int64 *after)
{
	/* the second that it is in: timestamptz_to_time_t() rounds up before 2000 */
	int64		rest = from % USECS_PER_SEC;
	pg_time_t	time = timestamptz_to_time_t(from - (rest < 0 ? rest + USECS_PER_SEC : rest));
	pg_time_t	boundary;
	long		before_gmtoff;
	long		after_gmtoff;
	int			isdst;

	if (pg_next_dst_boundary(&time, &before_gmtoff, &isdst, &boundary, &after_gmtoff, &isdst, session_timezone) != 1)
		return false;
	*at = time_t_to_timestamptz(boundary);
	*before = before_gmtoff * USECS_PER_SEC;
	*after = after_gmtoff * USECS_PER_SEC;
	return true;
}

TimestampTz
segment_flip_next_zone_change(TimestampTz clock)
{
	TimestampTz change;
	int64		before;
	int64		after;

	return next_zone_change(clock, &change, &before, &after) && change > clock ? change : DT_NOEND;
}

/*
 * Where a zone's clocks are set back over midnight that comes twice, and
 * to_instant() tells the later one; where they are set forward over it, it never comes.
 */
TimestampTz
segment_flip_next_midnight(TimestampTz clock)
{
	Timestamp	local = to_local(clock);
	Timestamp	next = midnight_of(local) + USECS_PER_DAY;
	TimestampTz midnight = clock + (next - local);
	TimestampTz told = to_instant(next);
	TimestampTz change = segment_flip_next_zone_change(clock);

	if (told > clock && told < midnight)
		midnight = told;
	if (change < midnight && midnight_of(to_local(change)) != midnight_of(local))
		midnight = change;
	return midnight;
}

static bool
is_fixed_zone(void)
{
	long		offset;

	return pg_get_timezone_offset(session_timezone, &offset);
}

static void
take_earlier(TimestampTz candidate, TimestampTz clock, TimestampTz *best)
{
	if (candidate > clock && candidate < *best)
		*best = candidate;
}

/*
 * Local times that are missing or doubled make to_instant() step.  The steps lie
 * where the local time reaches a change of offset, told in the offset before or
 * after it: add when the clock gets there.
 */
static void
add_steps_of(Timestamp local, TimestampTz clock, TimestampTz *best)
{
	TimestampTz from = to_instant(local) - ZONE_REACH;
	TimestampTz change;
	int64		before;
	int64		after;

	for (int i = 0; i < 4 && next_zone_change(from, &change, &before, &after); i++)
	{
		take_earlier(clock + (change + before - local), clock, best);
		take_earlier(clock + (change + after - local), clock, best);
		if (change > from + 3 * ZONE_REACH)
			break;
		from = change;
	}
}

static Timestamp
add_interval(Timestamp local, Interval shift)
{
	return DatumGetTimestamp(DirectFunctionCall2(timestamp_pl_interval, TimestampGetDatum(local),
												 IntervalPGetDatum(&shift)));
}

/* The local times that g makes instants of on its way. */
static void
add_target_breakpoints(const Side *side, TimestampTz clock, TimestampTz *best)
{
	Timestamp	local = to_local(clock);

	if (side->form == SEGMENT_FLIP_DATE)
		return;					/* steps at midnights only */
	if (side->form == SEGMENT_FLIP_LOCAL)
	{
		add_steps_of(add_interval(local, *side->shift), clock, best);
		return;
	}
	/* months are added, then days, then the time to the instant */
	if (side->shift->month != 0)
	{
		Interval	months = {.month = side->shift->month};

		local = add_interval(local, months);
		add_steps_of(local, clock, best);
		local = to_local(to_instant(local));
	}
	if (side->shift->day != 0)
	{
		Interval	days = {.day = side->shift->day};

		add_steps_of(add_interval(local, days), clock, best);
	}
}

/* Where g may next do something else than advance with the clock (or, for dates, stand still). */
static TimestampTz
next_breakpoint(const Side *side, TimestampTz clock)
{
	TimestampTz best = DT_NOEND;
	TimestampTz change;
	int64		before;
	int64		after;

	if (side->form == SEGMENT_FLIP_DATE || side->shift->month != 0)
		take_earlier(segment_flip_next_midnight(clock), clock, &best);
	if (is_fixed_zone())
		return best;
	if ((side->form != SEGMENT_FLIP_NOW || side->local || side->shift->month != 0 || side->shift->day != 0) &&
		next_zone_change(clock, &change, &before, &after))
		take_earlier(change, clock, &best);
	if (side->form == SEGMENT_FLIP_NOW ? side->shift->month != 0 || side->shift->day != 0 : !side->local)
		add_target_breakpoints(side, clock, &best);
	if (side->form == SEGMENT_FLIP_NOW && side->local)
	{
		/* the instant reached is told in local time */
		TimestampTz reached = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
																	  TimestampTzGetDatum(clock),
																	  IntervalPGetDatum(side->shift)));

		if (next_zone_change(reached, &change, &before, &after))
			take_earlier(clock + (change - reached), clock, &best);
	}
	return best;
}

/* The clock that much later; DT_NOEND when it is beyond all clocks. */
static TimestampTz
later_by(TimestampTz clock, int64 distance)
{
	TimestampTz result;

	return pg_add_s64_overflow(clock, distance, &result) || !IS_VALID_TIMESTAMP(result) ? DT_NOEND : result;
}

/*
 * What does not depend on x: the same for all rows of a query, mostly, and ten
 * times the work of the rest.
 */
typedef struct Known
{
	int			form;			/* for this side .. */
	Interval	shift;
	TimestampTz clock;			/* .. clock .. */
	pg_tz	   *zone;			/* .. and zone: */
	int64		value;			/* g(clock) */
	bool		hasBreakpoint;
	TimestampTz breakpoint;		/* the next one, if it was asked for */
} Known;

static Known *
find_known(FmgrInfo *flinfo, const Side *side, TimestampTz clock)
{
	Known	   *known = flinfo->fn_extra;

	if (known != NULL && known->form == side->form && known->clock == clock && known->zone == session_timezone &&
		known->shift.month == side->shift->month && known->shift.day == side->shift->day &&
		known->shift.time == side->shift->time)
		return known;
	if (known == NULL)
		known = MemoryContextAlloc(flinfo->fn_mcxt, sizeof(Known));
	flinfo->fn_extra = NULL;	/* should this raise an error, it is not known */
	known->form = side->form;
	known->shift = *side->shift;
	known->clock = clock;
	known->zone = session_timezone;
	known->value = value_at(side, clock);
	known->hasBreakpoint = false;
	flinfo->fn_extra = known;
	return known;
}

static TimestampTz
known_breakpoint(Known *known, const Side *side)
{
	if (!known->hasBreakpoint)
		known->breakpoint = next_breakpoint(side, known->clock);
	known->hasBreakpoint = true;
	return known->breakpoint;
}

/* DT_NOEND: never */
static TimestampTz
next_flip(FmgrInfo *flinfo, const Side *side, int64 x, TimestampTz clock)
{
	Known	   *known = find_known(flinfo, side, clock);
	int64		value = known->value;
	int64		slack = side->shift->month != 0 ? SLACK_MONTHS : SLACK_DAYS;
	int64		distance;
	TimestampTz best;

	if (TIMESTAMP_NOT_FINITE(value))
		return DT_NOEND;		/* by an infinite interval, at every clock */
	if (pg_sub_s64_overflow(x, value, &distance) || distance < -slack)
		return DT_NOEND;
	if (distance > slack)
		return later_by(clock, distance - slack);
	best = SEGMENT_MUTANT("one_flip") ? DT_NOEND : known_breakpoint(known, side);
	if (side->form != SEGMENT_FLIP_DATE && distance >= 0)
		take_earlier(later_by(clock, Max(distance, 1)), clock, &best);
	return best;
}

/* The SQL functions: (x, shift interval, form integer, clock timestamptz) */
static Datum
answer(FunctionCallInfo fcinfo, int64 x, bool local)
{
	Side		side = {PG_GETARG_INT32(2), local, PG_GETARG_INTERVAL_P(1)};
	TimestampTz result;

	if (TIMESTAMP_NOT_FINITE(x))
		PG_RETURN_NULL();
	result = next_flip(fcinfo->flinfo, &side, x, PG_GETARG_TIMESTAMPTZ(3));
	if (result == DT_NOEND)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(result);
}

Datum
segmentation_next_flip_tz(PG_FUNCTION_ARGS)
{
	return answer(fcinfo, PG_GETARG_TIMESTAMPTZ(0), false);
}

Datum
segmentation_next_flip_local(PG_FUNCTION_ARGS)
{
	return answer(fcinfo, PG_GETARG_TIMESTAMP(0), true);
}

/*
 * x plus (sign 1) or minus (-1) an interval by the length that comparisons of
 * intervals give it: a month is 30 days, a day 24 hours.  "now() - x > span" is
 * "now() > x plus span" in that sense.
 */
static Datum
shift(FunctionCallInfo fcinfo)
{
	int64		x = PG_GETARG_INT64(0);
	Interval   *span = PG_GETARG_INTERVAL_P(1);
	int64		sign = PG_GETARG_INT32(2);
	int64		days = (int64) span->month * DAYS_PER_MONTH + span->day;
	int64		length;
	int64		result;

	if (TIMESTAMP_NOT_FINITE(x) ||
		pg_mul_s64_overflow(days, USECS_PER_DAY, &length) ||
		pg_add_s64_overflow(length, span->time, &length) ||
		pg_mul_s64_overflow(length, sign, &length) ||
		pg_add_s64_overflow(x, length, &result) || !IS_VALID_TIMESTAMP(result))
		PG_RETURN_NULL();		/* beyond all clocks: never */
	PG_RETURN_INT64(result);
}

Datum
segmentation_shift_tz(PG_FUNCTION_ARGS)
{
	return shift(fcinfo);
}

Datum
segmentation_shift_local(PG_FUNCTION_ARGS)
{
	return shift(fcinfo);
}

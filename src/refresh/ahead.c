/*-------------------------------------------------------------------------
 *
 * ahead.c
 *		What a refresh knows of the time after it: deadlines, and evaluation ahead.
 *
 * A base is the truth of a snapshot F at a clock c.  What is written down beside
 * it, deadlines D(x) of subjects and an instant "due" of everybody's, says how
 * long it is the truth of F at later clocks:
 *
 *		truth(x, F, t) = base(x)	for c <= t < min(D(x), due)
 *
 * Comparisons with the clock have deadlines (compile/clock.c): evaluated at s,
 * each subject has flips(x, s), before which they do not change.  Expressions of
 * the clock alone step at instants c < s1 < s2 < ..., midnights mostly.  As the
 * clock is a parameter of the evaluation, what happens at s1 can be known
 * before: the interval up to "due" is cut into stages,
 *
 *		   c ........... s1 ................ due = s2
 *		   |  stage 0     |     stage 1      |  everybody, unless evaluated ahead
 *
 * and each subject is evaluated at the start of each.  It gets as deadlines,
 * from the stage that begins at s and ends at e,
 *
 *	(a) s, if its truth at s is not that of the base;
 *	(b) flips(x, s), if that lies before e.
 *
 * Then the line above holds for it: let t be in a stage, and before all of its
 * deadlines.  By (b) none of its comparisons, and because e is the next step no
 * expression of the clock, changes between s and t: its truth at t is that at
 * s.  By (a) that is the base's.  More deadlines do no harm.
 *
 * Two things follow.  A refresh that evaluates subjects evaluates them at the
 * start of every stage up to "due", or those that it did not look at would be
 * known for longer than they.  And "due" moves one instant on by evaluating
 * everybody at it, under this refresh's snapshot: subjects that are not touched
 * since are right by the line above up to "due", and by (a) and (b) from there
 * on; those touched later are pending, and are evaluated by later refreshes.
 *
 * So a midnight is no stampede: the first refresh in the AHEAD before it has
 * evaluated everybody, and at midnight only those are looked at that change.
 * One instant is prepared at a time, so each costs one evaluation of everybody,
 * as without; but a reader no longer does it.  Whatever fails ahead is not
 * known ahead: "due" stays, or comes back to where it failed.
 *
 * A segment that refers to others and does not read the clock itself, or is just
 * being evaluated as a whole and has no instants of its own, inherits what they know.  When none of them changes for a subject, it does not either: so
 * their deadlines, written down before, are its deadlines, and it is known as
 * long as they all are.  Nothing of theirs is evaluated again.  That needs all
 * of them in the same refresh, and whoever they have left for later left here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "rewrite/rewriteManip.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "refresh/ahead.h"
#include "testing.h"

/* An instant is prepared for from this long before it on: a day, also one of 25 hours, and an hour to spare. */
#define AHEAD (26 * USECS_PER_HOUR)

/* ---- one query ---- */

bool
segment_ahead_same_settings(const SegmentEntry *a, const SegmentEntry *b)
{
	ListCell   *lc;
	ListCell   *lc2;

	if (list_length(a->settings) != list_length(b->settings))
		return false;
	forboth(lc, a->settings, lc2, b->settings)
		if (strcmp(lfirst(lc), lfirst(lc2)) != 0)
		return false;
	return true;
}

bool
segment_ahead_reads_clock(const SegmentWork *item)
{
	ListCell   *lc;

	foreach(lc, item->standing->closure)
		if (((SegmentCompiled *) lfirst(lc))->readsClock)
		return true;
	return false;
}

/* Can the flips of an inner segment be evaluated along with the outer one's? */
static bool
flips_along(const SegmentWork *item, const SegmentCompiled *inner, const SegmentEntry *entry)
{
	return inner->owner == item->standing->compiled->owner && entry != NULL &&
		segment_ahead_same_settings(item->standing->entry, entry);
}

/* The segment with the flips of those it refers to, as far as one query can see them. */
static SegmentCompiled *
with_inner_flips(const SegmentWork *item)
{
	const SegmentStanding *standing = item->standing;
	SegmentCompiled *copy = palloc(sizeof(SegmentCompiled));
	ListCell   *lc;
	ListCell   *lc2;
	ListCell   *lc3;

	*copy = *standing->compiled;
	copy->flips = list_copy(copy->flips);
	forboth(lc, standing->closure, lc2, standing->entries)
	{
		const SegmentCompiled *inner = lfirst(lc);

		if (inner == standing->compiled || !flips_along(item, inner, lfirst(lc2)))
			continue;
		/* all refer to the same table, but may number it differently */
		foreach(lc3, inner->flips)
		{
			Node	   *flip = copyObject(lfirst(lc3));

			ChangeVarNodes(flip, inner->subjectVarno, copy->subjectVarno, 0);
			copy->flips = lappend(copy->flips, flip);
		}
	}
	return copy;
}

/* The flips that the query of the group could not tell: those of inner segments of other owners. */
static void
find_inner_flips(const SegmentWork *item, SegmentDeadlines *deadlines, const SegmentBitmap *subset, TimestampTz at)
{
	const SegmentStanding *standing = item->standing;
	ListCell   *lc;
	ListCell   *lc2;

	forboth(lc, standing->closure, lc2, standing->entries)
	{
		const SegmentCompiled *inner = lfirst(lc);
		SegmentBitmap *ignored;

		if (inner != standing->compiled && inner->flips != NIL && !flips_along(item, inner, lfirst(lc2)))
			segment_read_evaluate(list_make1((void *) inner), lfirst(lc2), subset, at, &ignored, deadlines);
	}
}

/* When may the clock change everybody, after an instant?  "limit", if not before. */
static TimestampTz
next_instant(const SegmentStanding *standing, TimestampTz after, TimestampTz limit)
{
	ListCell   *lc;
	ListCell   *lc2;

	forboth(lc, standing->closure, lc2, standing->entries)
		limit = segment_read_next_instant(lfirst(lc), lfirst(lc2), after, limit);
	return limit;
}

/* Leave out the deadlines that lie in a later stage: that one has its own. */
static void
clip(SegmentDeadlines *deadlines, TimestampTz end)
{
	size_t		n = 0;

	for (size_t i = 0; i < deadlines->n; i++)
	{
		if (deadlines->instants[i] >= end)
			continue;
		deadlines->ids[n] = deadlines->ids[i];
		deadlines->instants[n++] = deadlines->instants[i];
	}
	deadlines->n = n;
}

static void
run_look(void *arg)
{
	SegmentLook *look = arg;
	SegmentWork *first = linitial(look->group);
	List	   *compiled = NIL;
	bool		timed = false;
	ListCell   *lc;
	int			i = 0;

	foreach(lc, look->group)
	{
		const SegmentWork *item = lfirst(lc);

		compiled = lappend(compiled, item->inherits ? (void *) item->standing->compiled : with_inner_flips(item));
		timed |= segment_ahead_reads_clock(item) && !look->blind;
	}
	segment_read_evaluate(compiled, first->standing->entry, look->subset, look->at, look->members,
						  timed ? look->deadlines : NULL);
	if (!timed)
		return;
	foreach(lc, look->group)
	{
		SegmentWork *item = lfirst(lc);
		TimestampTz limit = item->full || item->restart || look->subset == NULL ? DT_NOEND : item->due;

		if (!item->inherits)
		{
			find_inner_flips(item, &look->deadlines[i], look->subset, look->at);
			limit = next_instant(item->standing, look->at, limit);
		}
		look->nexts[i] = limit;
		clip(&look->deadlines[i], look->nexts[i]);
		i++;
	}
}

bool
segment_ahead_look(SegmentLook *look, char **message)
{
	int			n = list_length(look->group);

	look->members = palloc0(sizeof(SegmentBitmap *) * n);
	look->deadlines = palloc0(sizeof(SegmentDeadlines) * n);
	look->nexts = palloc(sizeof(TimestampTz) * n);
	for (int i = 0; i < n; i++)
		look->nexts[i] = DT_NOEND;
	return segment_refresh_try(run_look, look, message);
}

/* When the bounds of max_staleness end; DT_NOEND: nothing is bounded so. */
static TimestampTz
staleness_end(const SegmentStanding *standing, TimestampTz clock)
{
	TimestampTz end = DT_NOEND;
	ListCell   *lc;
	ListCell   *lc2;

	forboth(lc, standing->closure, lc2, standing->entries)
		if (((SegmentCompiled *) lfirst(lc))->opaqueClock)
		end = Min(end, segment_read_staleness_end(lfirst(lc2), clock));
	return end;
}

void
segment_ahead_take(const SegmentLook *look)
{
	ListCell   *lc;
	int			i = 0;

	foreach(lc, look->group)
	{
		SegmentWork *item = lfirst(lc);

		item->truth = look->members[i];
		item->deadlines = look->deadlines[i];
		if (look->blind)
		{
			/* nothing is known of any later clock */
			item->due = look->at;
			item->prepared = true;
		}
		else if (item->full || item->restart)
			item->due = Min(look->nexts[i], staleness_end(item->standing, look->at));
		item->next = Min(look->nexts[i], item->due);
		item->spare = item->next < item->due;
		i++;
	}
}

/* ---- segments that refer to others ---- */

/* Is this one known, beside the outer one, for all that the outer one will be known for? */
static bool
is_complete_beside(const SegmentWork *inner, const SegmentWork *item)
{
	SegmentBitmap *beyond;
	bool		complete;

	if (inner == NULL || inner->failure != NULL)
		return false;
	if (inner->rest == NULL || SEGMENT_MUTANT("early_inheritance"))
		return true;
	if (item->rest == NULL)
		return false;
	beyond = segment_bitmap_copy(inner->rest);
	segment_bitmap_andnot(beyond, item->rest);
	complete = segment_bitmap_is_empty(beyond);
	segment_bitmap_free(beyond);
	return complete;
}

void
segment_ahead_choose(SegmentWork *item, List *items)
{
	const SegmentCompiled *compiled = item->standing->compiled;
	ListCell   *lc;

	item->inherits = false;
	item->inner = NIL;
	if (compiled->inner == NIL || compiled->instants != NIL)
		return;

	/*
	 * its own flips are known up to "due" only: that may not move on without
	 * an evaluation of everybody
	 */
	if (compiled->flips != NIL && !item->full && !item->restart)
		return;
	foreach(lc, item->standing->closure)
		if (((SegmentCompiled *) lfirst(lc))->opaqueClock)
		return;
	foreach(lc, compiled->inner)
	{
		SegmentWork *inner = segment_refresh_find_item(items, lfirst_oid(lc));

		if (!is_complete_beside(inner, item))
			return;
		item->inner = lappend(item->inner, inner);
	}
	item->inherits = true;
}

/* ---- the stages ahead ---- */

/* Does the next stage of an item need an evaluation of everybody?  "due" then moves on. */
static bool
is_for_everybody(const SegmentWork *item)
{
	return item->next >= item->due;
}

typedef struct NextStage
{
	SegmentWork *item;
	TimestampTz clock;
} NextStage;

static void
find_next(void *arg)
{
	NextStage  *stage = arg;
	SegmentWork *item = stage->item;

	item->next = next_instant(item->standing, stage->clock, item->due);
	item->spare = item->next < item->due;
}

/* Is there a stage that has to be, or is worth being, evaluated ahead?  It begins at item->next then. */
static bool
has_stage(SegmentWork *item, TimestampTz clock)
{
	NextStage	stage = {.item = item,.clock = clock};

	if (item->failure != NULL || item->prepared || item->inherits || !segment_ahead_reads_clock(item))
		return false;
	if (item->truth != NULL && !item->full && item->next < item->due)
		return !SEGMENT_MUTANT("one_stage");

	/* everybody, for one instant that comes near, unless that has been done */
	if (item->rest != NULL || item->spare || item->due <= clock || item->due - clock > AHEAD ||
		staleness_end(item->standing, clock) != DT_NOEND)
		return false;
	if (item->next == 0 && !segment_refresh_try(find_next, &stage, &item->failure))
		return false;
	return is_for_everybody(item);
}

static bool
same_stage(const SegmentWork *a, const SegmentWork *b)
{
	return a->next == b->next && is_for_everybody(a) == is_for_everybody(b) &&
		a->standing->compiled->owner == b->standing->compiled->owner &&
		segment_ahead_same_settings(a->standing->entry, b->standing->entry);
}

/* Members at the clock of the refresh. */
static SegmentBitmap *
members_now(SegmentWork *item)
{
	if (item->truth != NULL)
		return item->truth;
	if (item->base == NULL)
		item->base = segment_chunk_load(item->standing->entry->id, GetActiveSnapshot());
	return item->truth = item->base;
}

/* Known as long as all of those that it refers to. */
static void
inherit_due(SegmentWork *item)
{
	TimestampTz due = DT_NOEND;
	ListCell   *lc;

	if (!item->inherits || item->failure != NULL || item->prepared)
		return;
	foreach(lc, item->inner)
	{
		const SegmentWork *inner = lfirst(lc);

		if (inner->due >= due)
			continue;
		due = inner->due;
		item->remark = inner->remark ? inner->remark : inner->standing->state.message;
	}
	if (due != item->due)
		(void) members_now(item);	/* to be written down */
	item->longer = due > item->due;
	item->due = due;
}

/* Known to other segments that read this one at the same instant. */
static void
remember_at(const SegmentWork *item, const SegmentBitmap *members, TimestampTz at)
{
	TimestampTz outer = segment_read_set_clock(at);

	segment_read_remember(item->viewId, members);
	segment_read_set_clock(outer);
}

/* Write down what a stage says of one item. */
static void
take_stage(SegmentWork *item, const SegmentLook *look, int i)
{
	SegmentStage *stage = palloc(sizeof(SegmentStage));
	const SegmentDeadlines *found = &look->deadlines[i];

	stage->at = look->at;
	stage->ids = segment_bitmap_copy(look->members[i]);
	segment_bitmap_xor(stage->ids, members_now(item));
	if (look->subset != NULL)
		segment_bitmap_and(stage->ids, item->todo);
	if (!segment_bitmap_is_empty(stage->ids) && !SEGMENT_MUTANT("no_difference"))
		item->steps = lappend(item->steps, stage);
	for (size_t j = 0; j < found->n && !SEGMENT_MUTANT("no_later_flips"); j++)
		segment_deadline_add(&item->deadlines, found->ids[j], found->instants[j]);

	item->next = look->nexts[i];
	if (look->subset == NULL)
	{
		remember_at(item, look->members[i], look->at);
		item->due = item->next;
		item->prepared = true;
	}
}

/* Nothing is known from this instant on; that is written down, so that the worker does not try again and again. */
static void
give_up(SegmentWork *item, TimestampTz at, const char *message)
{
	(void) members_now(item);
	item->due = Min(item->due, at);
	item->prepared = true;
	item->remark = psprintf("could not be evaluated ahead of %s: %s", timestamptz_to_str(at), message);
}

static void
evaluate_stage(List *group)
{
	SegmentWork *first = linitial(group);
	SegmentLook look = {.group = group,.at = first->next};
	SegmentBitmap *subset = NULL;
	char	   *message;
	ListCell   *lc;
	int			i = 0;

	if (!is_for_everybody(first))
	{
		subset = segment_bitmap_create();
		foreach(lc, group)
			segment_bitmap_or(subset, ((SegmentWork *) lfirst(lc))->todo);
	}
	look.subset = subset;
	if (segment_ahead_look(&look, &message))
		foreach(lc, group)
			take_stage(lfirst(lc), &look, i++);
	else if (list_length(group) == 1)
		give_up(first, look.at, message);
	else
		foreach(lc, group)
			evaluate_stage(list_make1(lfirst(lc)));
}

/* The items of a level that have a stage to be evaluated by the same query; NIL: none has any. */
static List *
next_group(List *items, int level, TimestampTz clock)
{
	List	   *group = NIL;
	ListCell   *lc;

	foreach(lc, items)
	{
		SegmentWork *item = lfirst(lc);

		if (list_length(group) < SEGMENT_MAX_GROUP && item->level == level && has_stage(item, clock) &&
			(group == NIL || same_stage(linitial(group), item)))
			group = lappend(group, item);
	}
	return group;
}

void
segment_ahead_prepare(List *items, TimestampTz clock)
{
	int			levels = 0;
	ListCell   *lc;

	foreach(lc, items)
		levels = Max(levels, ((SegmentWork *) lfirst(lc))->level);
	for (int level = 0; level <= levels; level++)
	{
		List	   *group;

		foreach(lc, items)
			if (((SegmentWork *) lfirst(lc))->level == level)
			inherit_due(lfirst(lc));
		while ((group = next_group(items, level, clock)) != NIL)
		{
			instr_time	start;
			instr_time	duration;

			CHECK_FOR_INTERRUPTS();
			INSTR_TIME_SET_CURRENT(start);
			evaluate_stage(group);
			INSTR_TIME_SET_CURRENT(duration);
			INSTR_TIME_SUBTRACT(duration, start);
			foreach(lc, group)
				((SegmentWork *) lfirst(lc))->cost += INSTR_TIME_GET_MILLISEC(duration) / list_length(group);
		}
	}
}

TimestampTz
segment_ahead_due(const SegmentStanding *standing, TimestampTz now)
{
	TimestampTz due = standing->state.due;
	TimestampTz next;

	if (due == DT_NOEND || standing->state.message != NULL || staleness_end(standing, due) != DT_NOEND)
		return due;
	if (due - AHEAD > now)
		return due - AHEAD;
	next = next_instant(standing, Max(standing->epoch.clock, now), due);
	return next < due ? next : now;
}

/* ---- writing ---- */

void
segment_ahead_store(SegmentWork *item, TimestampTz clock)
{
	SegmentState *state = &item->standing->state;
	int32		id = item->standing->entry->id;
	bool		anew = item->full || item->restart;
	ListCell   *lc;

	if (!segment_ahead_reads_clock(item))
		return;
	/* those that were due and were not looked at are in the rest */
	segment_deadline_delete(id, anew ? DT_NOEND : clock);
	if (anew)
		state->spare = 0;
	CommandCounterIncrement();	/* what was deleted is not to be found again */
	state->spare -= segment_deadline_store(id, &item->deadlines, clock);
	foreach(lc, item->steps)
	{
		SegmentStage *stage = lfirst(lc);

		CommandCounterIncrement();
		state->spare -= segment_deadline_store_at(id, stage->at, stage->ids);
	}
	if (item->inherits && !SEGMENT_MUTANT("no_inheritance"))
		foreach(lc, item->inner)
	{
		CommandCounterIncrement();
		state->spare -= segment_deadline_copy(((SegmentWork *) lfirst(lc))->standing->entry->id, id, clock,
											  anew || item->longer ? NULL : item->todo);
	}
	CommandCounterIncrement();
	if (state->spare < 0)
		state->spare = segment_deadline_tidy(id);
}

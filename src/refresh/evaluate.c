/*-------------------------------------------------------------------------
 *
 * evaluate.c
 *		What a refresh finds out: the truth of its pending subjects.
 *
 * Segments are evaluated level by level, inner ones before those that refer to
 * them; in one query per owner and settings.  Errors of conditions are caught
 * in subtransactions: first for the group, then one by one, so that the guilty
 * segment alone is marked as failed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "portability/instr_time.h"
#include "postmaster/bgworker.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "attempt.h"
#include "bitmap/bitmap.h"
#include "catalog/registry.h"
#include "compat.h"
#include "guc.h"
#include "read/read.h"
#include "refresh/ahead.h"
#include "refresh/work.h"

SegmentWork *
segment_refresh_find_item(List *items, Oid viewId)
{
	ListCell   *lc;

	foreach(lc, items)
		if (((SegmentWork *) lfirst(lc))->viewId == viewId)
		return lfirst(lc);
	return NULL;
}

/* Inner segments are refreshed before those that refer to them. */
static int
find_level(SegmentWork *item, List *items)
{
	const SegmentCompiled *compiled = item->standing->compiled;
	ListCell   *lc;

	check_stack_depth();
	if (item->level >= 0)
		return item->level;
	item->level = 0;
	foreach(lc, compiled->inner)
	{
		SegmentWork *inner = segment_refresh_find_item(items, lfirst_oid(lc));

		if (inner != NULL)
			item->level = Max(item->level, find_level(inner, items) + 1);
	}
	return item->level;
}

/* Can these two be evaluated by one query? */
static bool
same_group(const SegmentWork *a, const SegmentWork *b)
{
	return a->level == b->level && a->full == b->full && a->windowed == b->windowed && a->heavy == b->heavy &&
		a->standing->compiled->owner == b->standing->compiled->owner &&
		segment_ahead_same_settings(a->standing->entry, b->standing->entry);
}

bool
segment_refresh_try(void (*what) (void *arg), void *arg, char **message)
{
	/* who waits for his own refresh can cancel it himself */
	int			limit = MyBgworkerEntry != NULL ? segment_guc_evaluation_timeout : 0;
	ErrorData  *error = segment_attempt_within(limit, "segmentation.evaluation_timeout", what, arg);

	if (error == NULL)
		return true;
	/* not a failure of the segment */
	if (segment_attempt_is_passing(error))
		ReThrowError(error);
	*message = pstrdup(error->message);
	FreeErrorData(error);
	return false;
}

/* Evaluate a group; false, with *message, when it fails.  blind: without its deadlines. */
static bool
try_evaluate(List *group, TimestampTz clock, bool blind, char **message)
{
	SegmentLook look = {.group = group,.at = clock,.blind = blind};
	SegmentBitmap *subset = NULL;
	ListCell   *lc;

	if (!((SegmentWork *) linitial(group))->full)
	{
		subset = segment_bitmap_create();
		foreach(lc, group)
			segment_bitmap_or(subset, ((SegmentWork *) lfirst(lc))->todo);
	}
	look.subset = subset;
	if (!segment_ahead_look(&look, message))
		return false;
	segment_ahead_take(&look);
	return true;
}

/*
 * Evaluate a segment that failed.  Deadlines are computed of values that the
 * condition may not have looked at: when it is only they that fail, the base is
 * good, but for no later clock.
 */
static void
evaluate_blindly(SegmentWork *item, TimestampTz clock, char *message)
{
	char	   *second;

	if (segment_ahead_reads_clock(item) && try_evaluate(list_make1(item), clock, true, &second))
		item->remark = psprintf("every read evaluates everybody, as deadlines could not be computed: %s", message);
	else
		item->failure = message;
}

/* Evaluate a group; what fails together is tried one by one. */
static void
evaluate_group(List *group, TimestampTz clock)
{
	instr_time	start;
	instr_time	duration;
	char	   *message = NULL;
	ListCell   *lc;

	INSTR_TIME_SET_CURRENT(start);
	if (!try_evaluate(group, clock, false, &message))
	{
		if (list_length(group) == 1)
			evaluate_blindly(linitial(group), clock, message);
		else
			foreach(lc, group)
				evaluate_group(list_make1(lfirst(lc)), clock);
		if (list_length(group) > 1)
			return;
	}
	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, start);
	foreach(lc, group)
		((SegmentWork *) lfirst(lc))->cost = INSTR_TIME_GET_MILLISEC(duration) / list_length(group);
}

/* truth := what is to be stored, from what was evaluated */
static void
complete(SegmentWork *item)
{
	SegmentBitmap *members;

	if (item->truth == NULL || item->full)
		return;
	members = segment_bitmap_copy(item->base);
	segment_bitmap_andnot(members, item->todo);
	/* the query looked at the pending subjects of the whole group */
	segment_bitmap_and(item->truth, item->todo);
	segment_bitmap_or(members, item->truth);
	item->truth = members;
}

/* Let the segments that refer to this one read what is known of it now. */
static void
remember(SegmentWork *item, SegmentWindow window)
{
	if (item->failure != NULL || item->postponed)
		return;
	if (item->rest != NULL)
		segment_read_remember_window(item->viewId, item->truth ? item->truth : item->base, window.first, window.last);
	else if (item->truth != NULL)
		segment_read_remember(item->viewId, item->truth);
}

/* Evaluate these items of one level, a query per owner and settings. */
static void
evaluate_level(List *rest, TimestampTz clock)
{
	ListCell   *lc;

	while (rest != NIL)
	{
		List	   *group = NIL;
		List	   *others = NIL;

		foreach(lc, rest)
			if (list_length(group) < SEGMENT_MAX_GROUP && same_group(linitial(rest), lfirst(lc)))
			group = lappend(group, lfirst(lc));
		else
			others = lappend(others, lfirst(lc));
		evaluate_group(group, clock);
		foreach(lc, group)
			complete(lfirst(lc));
		rest = others;
	}
}

/* Evaluate what is to be evaluated of all items, level by level. */
void
segment_refresh_evaluate(List *items, SegmentWindow window, TimestampTz clock)
{
	int			levels = 0;
	ListCell   *lc;

	foreach(lc, items)
		levels = Max(levels, find_level(lfirst(lc), items));
	for (int level = 0; level <= levels; level++)
	{
		List	   *now = NIL;

		foreach(lc, items)
		{
			SegmentWork *item = lfirst(lc);

			if (item->level != level)
				continue;
			segment_ahead_choose(item, items);
			if (item->full || !segment_bitmap_is_empty(item->todo))
				now = lappend(now, item);
		}
		evaluate_level(now, clock);
		foreach(lc, items)
			if (((SegmentWork *) lfirst(lc))->level == level)
			remember(lfirst(lc), window);
	}
}

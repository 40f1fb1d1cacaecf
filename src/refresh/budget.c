/*-------------------------------------------------------------------------
 *
 * budget.c
 *		How much one step of a refresh evaluates.
 *
 * A refresh without a budget evaluates all that is pending, and a segment
 * without a usable base in one query over the whole table.  That may take
 * minutes.  With a budget it looks at the pending subjects of a window of ids
 * only, about as many as the budget says, and writes the others down as the
 * segment's "rest":
 *
 *		pending of a reader = rest + invalidated since the base + due
 *
 *		 ids:	0 ......... first ========= last ............
 *				   rest       evaluated now       rest
 *
 * Segments with few pending subjects are done with at once, so that a large build
 * does not hold them up; the window is for the others.
 *
 * A base is thus the truth of its epoch's snapshot but for the rest, and exact
 * reads need nothing else.  A build is the same: at first all subjects, and all
 * members of the old base, are pending; every step takes some of them off.
 *
 * The next step goes on behind this one's window, and after the last id begins
 * again: else subjects with high ids might wait for ever under a steady load on
 * low ones.  Where it is to go on is this backend's memory only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "nodes/makefuncs.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "refresh/work.h"
#include "testing.h"

/* Where the next step of a subject table begins. */
typedef struct Position
{
	Oid			subject;
	int64		next;
} Position;

static List *positions = NIL;	/* of Position *, in TopMemoryContext */

static Position *
find_position(Oid subject)
{
	MemoryContext old;
	Position   *position;
	ListCell   *lc;

	foreach(lc, positions)
	{
		position = lfirst(lc);
		if (position->subject == subject)
			return position;
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	position = palloc0(sizeof(Position));
	position->subject = subject;
	positions = lappend(positions, position);
	MemoryContextSwitchTo(old);
	return position;
}

/* About how many rows the table has, whether it was analysed or not. */
static double
estimate_rows(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	BlockNumber pages;
	double		rows;
	double		visible;

	table_relation_estimate_size(rel, NULL, &pages, &rows, &visible);
	table_close(rel, NoLock);
	return rows;
}

/* ---- everybody, as ids ---- */

typedef struct AllSubjects
{
	const SegmentWork *item;
	TimestampTz clock;
	SegmentBitmap *ids;
} AllSubjects;

static void
find_all(void *arg)
{
	AllSubjects *all = arg;
	SegmentCompiled anybody = *all->item->standing->compiled;

	anybody.condition = makeBoolConst(true, false);
	segment_read_evaluate(list_make1(&anybody), all->item->standing->entry, NULL, all->clock, &all->ids, NULL);
}

/* The ids of all subjects, read as the owner of this segment; NULL if he may not. */
static SegmentBitmap *
all_subjects(const SegmentWork *item, TimestampTz clock)
{
	AllSubjects all = {.item = item,.clock = clock};
	char	   *ignored;

	return segment_refresh_try(find_all, &all, &ignored) ? all.ids : NULL;
}

/* Everybody is pending, and who was a member but is no subject any more. */
static void
restart(SegmentWork *item, const SegmentBitmap *all, TimestampTz clock)
{
	item->full = false;
	item->restart = true;
	item->due = clock;			/* until an evaluation knows better */
	item->standing->pending = segment_bitmap_copy(all);
	segment_bitmap_or(item->standing->pending, item->base);
}

/*
 * Turn evaluations of everybody in one query into builds step by step, where
 * they are too large.  One that has too many pending subjects knows which.
 */
static void
divide_full(List *items, Oid subject, int64 budget, TimestampTz clock)
{
	SegmentBitmap *all = NULL;
	bool		tried = false;
	ListCell   *lc;

	/* the estimate spares small tables the scan; it need not be good */
	if (estimate_rows(subject) < budget / 2)
		return;
	foreach(lc, items)
	{
		SegmentWork *item = lfirst(lc);

		/*
		 * a part of what reads a table as a whole costs as much as all of it,
		 * and any write begins it anew
		 */
		if (!item->full || (segment_refresh_reads_whole(item->standing) && !SEGMENT_MUTANT("divided_whole")))
			continue;
		if (item->standing->full == FULL_MANY)
		{
			item->full = false;
			item->due = item->standing->state.due;
			continue;
		}
		if (!tried)
			all = all_subjects(item, clock);
		tried = true;
		if (all != NULL && segment_bitmap_cardinality(all) > budget)
			restart(item, all, clock);
	}
}

/* ---- the window ---- */

static SegmentWindow
choose_window(const SegmentBitmap *pending, Oid subject, int64 budget)
{
	Position   *position = find_position(subject);
	int64		n = segment_bitmap_cardinality(pending);
	int64		skipped = position->next > 0 ? segment_bitmap_range_cardinality(pending, 0, position->next - 1) : 0;
	SegmentWindow window;

	if (skipped == n)
		skipped = 0;
	window.first = segment_set_select(pending, skipped);
	window.last = segment_set_select(pending, Min(skipped + budget, n) - 1);
	position->next = window.last < PG_INT64_MAX ? window.last + 1 : 0;
	return window;
}

static int
compare_pending(const ListCell *a, const ListCell *b)
{
	int64		left = segment_bitmap_cardinality(((const SegmentWork *) lfirst(a))->standing->pending);
	int64		right = segment_bitmap_cardinality(((const SegmentWork *) lfirst(b))->standing->pending);

	return left < right ? -1 : left > right;
}

/* Items that evaluate only what is pending, those with the fewest first; those that are postponed leave everything. */
static List *
list_pending(List *items)
{
	List	   *pending = NIL;
	ListCell   *lc;

	foreach(lc, items)
	{
		SegmentWork *item = lfirst(lc);

		if (item->postponed)
		{
			item->todo = segment_bitmap_create();
			item->rest = item->standing->pending;
		}
		else if (!item->full)
			pending = lappend(pending, item);
	}
	list_sort(pending, compare_pending);
	return pending;
}

/* Evaluate the pending subjects of a window; leave the others. */
static void
cut(SegmentWork *item, SegmentWindow window)
{
	item->windowed = true;
	item->todo = segment_bitmap_extract(item->standing->pending, window.first, window.last);
	item->rest = segment_bitmap_copy(item->standing->pending);
	segment_bitmap_andnot(item->rest, item->todo);
	if (segment_bitmap_is_empty(item->rest))
		item->rest = NULL;
}

SegmentWindow
segment_refresh_divide(List *items, Oid subject, int64 budget, TimestampTz clock)
{
	SegmentBitmap *few = segment_bitmap_create();
	SegmentBitmap *many = segment_bitmap_create();
	SegmentWindow window = {0, PG_INT64_MAX};
	List	   *large = NIL;
	ListCell   *lc;

	if (budget > 0)
		divide_full(items, subject, budget, clock);
	foreach(lc, list_pending(items))
	{
		SegmentWork *item = lfirst(lc);

		item->todo = item->standing->pending;

		/*
		 * who refers to a segment has its pending subjects too: inner ones
		 * come first
		 */
		segment_bitmap_or(many, item->todo);
		if (!segment_refresh_reads_whole(item->standing) && (large != NIL || (budget > 0 && segment_bitmap_cardinality(many) > budget / 2)))
			large = lappend(large, item);
		else
			segment_bitmap_or(few, item->todo);
	}
	if (large != NIL && segment_bitmap_cardinality(many) > budget)
	{
		window = choose_window(many, subject, budget - segment_bitmap_cardinality(few));
		foreach(lc, large)
			cut(lfirst(lc), window);
	}
	segment_bitmap_free(few);
	segment_bitmap_free(many);
	return window;
}

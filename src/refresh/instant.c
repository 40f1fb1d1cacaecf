/*-------------------------------------------------------------------------
 *
 * instant.c
 *		When did it happen?  The instants of flips that time caused.
 *
 * A refresh finds that subjects have entered or left since the base, whose clock
 * lies some time back.  Where no write touched a subject, time did it, at an
 * instant in between that can be computed: the condition is evaluated again from
 * the clock of the base on, at each instant at which something may flip
 *
 *		base's clock ---x------x--x------------x--- clock of the refresh
 *		                deadlines of the subjects in question,
 *		                and instants at which everybody may change
 *
 * on the subjects due then.  Whose membership differs from the one before has
 * flipped there.  A subject that flipped several times has its last instant.
 *
 * All under the snapshot of the refresh, which for subjects that no write has
 * touched shows what the base's snapshot did.  Whatever is in doubt (touched by a
 * write, left over from a refresh in parts, no deadline found) counts as of the
 * refresh's clock.  After MAX_INSTANTS the rest get their next deadline, unseen.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "catalog/change.h"
#include "refresh/ahead.h"
#include "refresh/instant.h"

/* So many distinct instants are evaluated per segment and refresh. */
#define MAX_INSTANTS 100

typedef struct Search
{
	const SegmentWork *item;
	TimestampTz clock;			/* of the refresh */
	SegmentChange *change;		/* where the result goes */
	SegmentBitmap *subjects;	/* in question */
	SegmentBitmap *members;		/* of these, at the instant reached */
	size_t		n;
	int64	   *ids;			/* the subjects in question, ascending .. */
	TimestampTz *next;			/* .. and when each may flip next */
	TimestampTz due;			/* when everybody may */
	int			room;			/* of change->instants and change->flipped */
} Search;

/* Does the segment read the clock, and in ways that tell when? */
static bool
has_instants(const SegmentStanding *standing)
{
	bool		reads = false;
	ListCell   *lc;

	foreach(lc, standing->closure)
	{
		const SegmentCompiled *compiled = lfirst(lc);

		if (compiled->opaqueClock)
			return false;
		reads |= compiled->readsClock;
	}
	return reads;
}

/* Changed by time alone, as far as can be told: a new set; NULL if there is nobody. */
static SegmentBitmap *
find_subjects(const SegmentWork *item, const SegmentChange *change, TimestampTz clock)
{
	const SegmentStanding *standing = item->standing;
	SegmentBitmap *subjects = segment_bitmap_copy(change->entered);
	SegmentBitmap *written;

	segment_bitmap_or(subjects, change->exited);
	if (standing->state.due > clock)
	{
		SegmentBitmap *due = segment_bitmap_create();

		segment_deadline_due(standing->entry->id, clock, GetActiveSnapshot(), due);
		segment_bitmap_and(subjects, due);
		segment_bitmap_free(due);
	}
	if (segment_bitmap_is_empty(subjects))
		return NULL;
	written = segment_read_written(standing);
	if (written == NULL)
		return NULL;
	segment_bitmap_andnot(subjects, written);
	return segment_bitmap_is_empty(subjects) ? NULL : subjects;
}

/* Position of an id among the subjects in question, -1 if it is none. */
static int64
find_id(const Search *search, int64 id)
{
	int64		low = 0;
	int64		high = (int64) search->n - 1;

	while (low <= high)
	{
		int64		middle = low + (high - low) / 2;

		if (search->ids[middle] == id)
			return middle;
		if (search->ids[middle] < id)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return -1;
}

/* These do not flip where it was noted before. */
static void
unnote(Search *search, const SegmentBitmap *flipped)
{
	SegmentChange *change = search->change;

	for (int i = 0; i < change->ninstants; i++)
		segment_bitmap_andnot(change->flipped[i], flipped);
}

/* These flipped at this instant. */
static void
note(Search *search, const SegmentBitmap *flipped, TimestampTz instant)
{
	SegmentChange *change = search->change;

	if (change->ninstants == search->room)
	{
		search->room = Max(16, search->room * 2);
		change->instants = change->instants ? repalloc(change->instants, search->room * sizeof(TimestampTz)) :
			palloc(search->room * sizeof(TimestampTz));
		change->flipped = change->flipped ? repalloc(change->flipped, search->room * sizeof(SegmentBitmap *)) :
			palloc(search->room * sizeof(SegmentBitmap *));
	}
	change->instants[change->ninstants] = instant;
	change->flipped[change->ninstants++] = segment_bitmap_copy(flipped);
}

/* Look at some of the subjects at one instant. */
static void
look_at(Search *search, const SegmentBitmap *subset, TimestampTz instant, SegmentBitmap **truth)
{
	SegmentWork probe = *search->item;
	SegmentLook look = {.group = list_make1(&probe),.subset = subset,.at = instant};
	size_t		n;
	int64	   *looked = segment_bitmap_ids(subset, &n);
	char	   *message;

	probe.full = true;			/* asks for what is everybody's, too .. */
	probe.inherits = false;		/* .. and of those that it refers to */
	if (!segment_ahead_look(&look, &message))
		ereport(ERROR,
				errcode(ERRCODE_DATA_EXCEPTION),
				errmsg_internal("%s", message));
	*truth = look.members[0];
	search->due = look.nexts[0];
	for (size_t i = 0; i < n; i++)
		search->next[find_id(search, looked[i])] = DT_NOEND;
	for (size_t i = 0; i < look.deadlines[0].n; i++)
	{
		int64		at = find_id(search, look.deadlines[0].ids[i]);

		if (at >= 0)
			search->next[at] = Min(search->next[at], look.deadlines[0].instants[i]);
	}
	pfree(looked);
}

static TimestampTz
next_instant(const Search *search)
{
	TimestampTz instant = search->due;

	for (size_t i = 0; i < search->n; i++)
		instant = Min(instant, search->next[i]);
	return instant;
}

/* Who may flip at this instant: a new set. */
static SegmentBitmap *
due_at(const Search *search, TimestampTz instant)
{
	SegmentBitmap *due;

	if (search->due <= instant)
		return segment_bitmap_copy(search->subjects);
	due = segment_bitmap_create();
	for (size_t i = 0; i < search->n; i++)
		if (search->next[i] <= instant)
			segment_bitmap_add(due, search->ids[i]);
	return due;
}

/* One step: from the instant reached to the next one. */
static void
step(Search *search, TimestampTz instant)
{
	SegmentBitmap *due = due_at(search, instant);
	SegmentBitmap *flipped;

	look_at(search, due, instant, &flipped);
	/* the truth becomes the difference from what was true before */
	segment_bitmap_and(flipped, due);
	segment_bitmap_and(due, search->members);
	segment_bitmap_xor(flipped, due);
	segment_bitmap_xor(search->members, flipped);
	if (!segment_bitmap_is_empty(flipped))
	{
		unnote(search, flipped);
		note(search, flipped, instant);
	}
	segment_bitmap_free(due);
	segment_bitmap_free(flipped);
}

/* Too many instants: who is not where the refresh found him flips at his next one. */
static void
guess(Search *search)
{
	SegmentBitmap *guessed = segment_bitmap_create();

	for (size_t i = 0; i < search->n; i++)
	{
		int64		id = search->ids[i];

		if (Min(search->next[i], search->due) <= search->clock &&
			segment_bitmap_contains(search->members, id) != segment_bitmap_contains(search->change->entered, id))
			segment_bitmap_add(guessed, id);
	}
	unnote(search, guessed);
	segment_bitmap_xor(search->members, guessed);
	for (size_t i = 0; i < search->n; i++)
	{
		SegmentBitmap *one;

		if (!segment_bitmap_contains(guessed, search->ids[i]))
			continue;
		one = segment_bitmap_create();
		segment_bitmap_add(one, search->ids[i]);
		note(search, one, Min(search->next[i], search->due));
		segment_bitmap_free(one);
	}
	segment_bitmap_free(guessed);
}

static int
compare_instants(const void *a, const void *b, void *arg)
{
	const SegmentChange *change = arg;
	TimestampTz x = change->instants[*(const int *) a];
	TimestampTz y = change->instants[*(const int *) b];

	return x < y ? -1 : x > y;
}

/*
 * Bring the instants into order, each once, without those that ended up where
 * they cannot have: what the refresh itself found is what counts.
 */
static void
tidy(Search *search)
{
	SegmentChange *change = search->change;
	SegmentBitmap *right = segment_bitmap_copy(search->members);
	int		   *order = palloc(sizeof(int) * Max(change->ninstants, 1));
	TimestampTz *instants = palloc(sizeof(TimestampTz) * Max(change->ninstants, 1));
	SegmentBitmap **flipped = palloc(sizeof(SegmentBitmap *) * Max(change->ninstants, 1));
	int			n = 0;

	/* right := subjects - (members xor entered) */
	segment_bitmap_xor(right, change->entered);
	segment_bitmap_and(right, search->subjects);
	segment_bitmap_xor(right, search->subjects);
	for (int i = 0; i < change->ninstants; i++)
		order[i] = i;
	qsort_arg(order, change->ninstants, sizeof(int), compare_instants, change);
	for (int i = 0; i < change->ninstants; i++)
	{
		SegmentBitmap *set = change->flipped[order[i]];

		segment_bitmap_and(set, right);
		if (segment_bitmap_is_empty(set))
			continue;
		if (n > 0 && instants[n - 1] == change->instants[order[i]])
			segment_bitmap_or(flipped[n - 1], set);
		else
		{
			instants[n] = change->instants[order[i]];
			flipped[n++] = set;
		}
	}
	change->instants = instants;
	change->flipped = flipped;
	change->ninstants = n;
}

static void
find_flips(void *arg)
{
	Search	   *search = arg;
	SegmentBitmap *ignored;
	int			steps = 0;
	TimestampTz instant;

	look_at(search, search->subjects, search->item->standing->epoch.clock, &ignored);
	segment_bitmap_free(ignored);
	while ((instant = next_instant(search)) <= search->clock && steps++ < MAX_INSTANTS)
	{
		CHECK_FOR_INTERRUPTS();
		step(search, instant);
	}
	if (instant <= search->clock)
		guess(search);
	tidy(search);
}

void
segment_instant_find(const SegmentWork *item, SegmentChange *change, TimestampTz clock)
{
	Search		state = {.item = item,.clock = clock,.change = change,.due = DT_NOEND};
	char	   *message;

	if (!has_instants(item->standing) || clock <= item->standing->epoch.clock)
		return;
	state.subjects = find_subjects(item, change, clock);
	if (state.subjects == NULL)
		return;
	state.members = segment_bitmap_copy(state.subjects);
	segment_bitmap_and(state.members, change->exited);
	state.ids = segment_bitmap_ids(state.subjects, &state.n);
	state.next = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(TimestampTz) * state.n);
	if (!segment_refresh_try(find_flips, &state, &message))
	{
		ereport(DEBUG1,
				errmsg_internal("the instants of flips were not found: %s", message));
		change->ninstants = 0;
	}
}

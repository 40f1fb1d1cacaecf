/*-------------------------------------------------------------------------
 *
 * builder.c
 *		A set made from ids and ranges in any order, duplicates included.
 *
 * Adding random ids to a bitmap one by one moves half a container per id, and
 * half of all slots if its upper half is new.  So ids are collected, up to
 * 131,072 at a time (1 MB, and as much again for sorting), sorted by radix, and
 * united with the set in one step.  Ids that come ascending, as from an index,
 * are appended without sorting.  Ranges are collected apart (2 MB).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bitmap/builder.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#define BUFFER_INITIAL	64
#define BUFFER_SMALL	1024	/* larger only within work_mem: there may be
								 * very many builders */
#define BUFFER_MAX		(128 * 1024)

/* From so many ids on, a builder is faster than adding one by one. */
#define MANY_IDS		64

/* Sets of so few ids per bucket, in so few buckets, are added id by id; of more, where there are very many buckets already. */
#define FEW_IDS			16
#define FEW_BUCKETS		64

SegmentBuilder *
segment_builder_create(void)
{
	SegmentBuilder *builder = palloc(sizeof(SegmentBuilder));

	builder->context = CurrentMemoryContext;
	builder->op = SEGMENT_OR;
	builder->alone = false;
	builder->set = segment_bitmap_create();
	builder->allocated = BUFFER_INITIAL;
	builder->buffer = palloc(sizeof(int64) * builder->allocated);
	builder->n = 0;
	builder->firsts = builder->lasts = NULL;
	builder->nranges = builder->rangesAllocated = 0;
	return builder;
}

/* One pass of the sort below: order by this byte.  False if they are all alike. */
static bool
sort_by_byte(const int64 *from, int64 *to, uint32 n, int shift)
{
	uint32		start[256] = {0};
	uint32		sum = 0;

	for (uint32 i = 0; i < n; i++)
		start[(uint64) from[i] >> shift & 0xff]++;
	if (start[(uint64) from[0] >> shift & 0xff] == n)
		return false;
	for (int b = 0; b < 256; b++)
	{
		uint32		count = start[b];

		start[b] = sum;
		sum += count;
	}
	for (uint32 i = 0; i < n; i++)
		to[start[(uint64) from[i] >> shift & 0xff]++] = from[i];
	return true;
}

static bool
is_sorted(const int64 *ids, uint32 n)
{
	for (uint32 i = 1; i < n; i++)
		if (ids[i - 1] > ids[i])
			return false;
	return true;
}

/* Radix sort, least significant byte first; ids are never negative. */
static void
sort_ids(int64 *ids, uint32 n)
{
	int64	   *other;
	int64	   *from = ids;
	int64	   *to;

	if (is_sorted(ids, n))
		return;
	to = other = palloc(sizeof(int64) * n);
	for (int shift = 0; shift < 64; shift += 8)
	{
		CHECK_FOR_INTERRUPTS();
		if (sort_by_byte(from, to, n, shift))
		{
			int64	   *sorted = to;

			to = from;
			from = sorted;
		}
	}
	if (from != ids)
		memcpy(ids, from, sizeof(int64) * n);
	pfree(other);
}

/* Of ids in order keep those that are there an odd number of times; returns how many. */
static uint32
cancel_pairs(int64 *ids, uint32 n)
{
	uint32		kept = 0;

	for (uint32 i = 0; i < n; i++)
	{
		if (kept > 0 && ids[kept - 1] == ids[i])
			kept--;
		else
			ids[kept++] = ids[i];
	}
	return kept;
}

/* Where to put ids from this one on: into the set itself if they lie behind it. */
static SegmentBitmap *
begin_part(SegmentBuilder *builder, int64 first)
{
	SegmentBitmap *set = builder->set;

	return !set->lazy && segment_bitmap_max(set) < first ? set : segment_bitmap_create();
}

static void
end_part(SegmentBuilder *builder, SegmentBitmap *part)
{
	if (part == builder->set)
		return;
	segment_set_accumulate(builder->op, builder->set, part);
	segment_bitmap_free(part);
}

static void
flush_ids(SegmentBuilder *builder)
{
	SegmentBitmap *part;

	sort_ids(builder->buffer, builder->n);
	if (builder->op == SEGMENT_XOR)
		builder->n = cancel_pairs(builder->buffer, builder->n);
	if (builder->n == 0)
		return;
	part = begin_part(builder, builder->buffer[0]);
	segment_set_add_ids(part, builder->buffer, builder->n);
	end_part(builder, part);
	builder->n = 0;
}

/*
 * With the first and the last ids of ranges sorted apart, a gap in what they
 * cover is where as many ranges have begun as have ended.
 */
static void
flush_ranges(SegmentBuilder *builder)
{
	SegmentBitmap *part;
	uint32		begin = 0;

	if (builder->nranges == 0)
		return;
	sort_ids(builder->firsts, builder->nranges);
	sort_ids(builder->lasts, builder->nranges);
	part = begin_part(builder, builder->firsts[0]);
	for (uint32 i = 0; i < builder->nranges; i++)
	{
		if (i + 1 < builder->nranges && builder->firsts[i + 1] <= builder->lasts[i])
			continue;
		segment_bitmap_add_range(part, builder->firsts[begin], builder->lasts[i]);
		begin = i + 1;
	}
	end_part(builder, part);
	builder->nranges = 0;
}

void
segment_builder_make_room(SegmentBuilder *builder)
{
	if (builder->allocated < BUFFER_SMALL ||
		(builder->allocated < BUFFER_MAX &&
		 (builder->alone || MemoryContextMemAllocated(builder->context, false) <= (size_t) work_mem * 1024)))
	{
		builder->allocated *= 2;
		builder->buffer = repalloc(builder->buffer, sizeof(int64) * builder->allocated);
	}
	else
		flush_ids(builder);
}

/* Make room for one more range. */
static void
make_room_for_range(SegmentBuilder *builder)
{
	if (builder->firsts == NULL)
	{
		builder->rangesAllocated = BUFFER_INITIAL;
		builder->firsts = MemoryContextAlloc(builder->context, sizeof(int64) * BUFFER_INITIAL);
		builder->lasts = MemoryContextAlloc(builder->context, sizeof(int64) * BUFFER_INITIAL);
	}
	else if (builder->rangesAllocated < BUFFER_MAX)
	{
		builder->rangesAllocated *= 2;
		builder->firsts = repalloc(builder->firsts, sizeof(int64) * builder->rangesAllocated);
		builder->lasts = repalloc(builder->lasts, sizeof(int64) * builder->rangesAllocated);
	}
	else
		flush_ranges(builder);
}

void
segment_builder_add_range(SegmentBuilder *builder, int64 first, int64 last)
{
	Assert(builder->op == SEGMENT_OR);
	if (builder->nranges == builder->rangesAllocated)
		make_room_for_range(builder);
	builder->firsts[builder->nranges] = first;
	builder->lasts[builder->nranges++] = last;
}

/*
 * Would a set rather be added id by id?  Uniting buckets takes time for each,
 * and where new ones are inserted for all buckets that are there already.
 */
static bool
better_by_id(const SegmentBuilder *builder, const SegmentBitmap *set)
{
	uint32		all = builder->set->nslots;

	return set->nslots <= Max(FEW_BUCKETS, all / FEW_BUCKETS) &&
		segment_bitmap_cardinality(set) <= FEW_IDS * (int64) set->nslots + all / FEW_IDS;
}

void
segment_builder_add_set(SegmentBuilder *builder, const SegmentBitmap *set)
{
	SegmentIds	ids;
	int64		id;

	if (!better_by_id(builder, set))
	{
		segment_set_accumulate(builder->op, builder->set, set);
		return;
	}
	segment_ids_begin(&ids, set, 0);
	while ((id = segment_ids_next(&ids)) >= 0)
		segment_builder_add(builder, id);
}

SegmentBitmap *
segment_builder_finish(SegmentBuilder *builder)
{
	/* ranges first: in an empty set, large ones share their bytes */
	flush_ranges(builder);
	flush_ids(builder);
	segment_set_finish(builder->set);
	return builder->set;
}

void
segment_builder_add_id(SegmentBuilder *builder, int64 id)
{
	MemoryContext old = MemoryContextSwitchTo(builder->context);

	segment_builder_add(builder, id);
	MemoryContextSwitchTo(old);
}

SegmentBitmap *
segment_builder_end(SegmentBuilder *builder)
{
	MemoryContext old = MemoryContextSwitchTo(builder->context);
	SegmentBitmap *set = segment_builder_finish(builder);

	pfree(builder->buffer);
	if (builder->firsts != NULL)
	{
		pfree(builder->firsts);
		pfree(builder->lasts);
	}
	pfree(builder);
	MemoryContextSwitchTo(old);
	return set;
}

/* Add ids in any order. */
void
segment_bitmap_add_many(SegmentBitmap *set, const int64 *ids, size_t n)
{
	SegmentBuilder *builder;
	SegmentBitmap *part;

	if (n < MANY_IDS)
	{
		segment_set_add_ids(set, ids, n);
		return;
	}
	builder = segment_builder_create();
	for (size_t i = 0; i < n; i++)
		segment_builder_add(builder, ids[i]);
	part = segment_builder_end(builder);
	segment_bitmap_or(set, part);
	segment_bitmap_free(part);
}

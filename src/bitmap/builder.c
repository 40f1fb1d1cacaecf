/*-------------------------------------------------------------------------
 *
 * builder.c
 *		A set made from ids in any order, duplicates included.
 *
 * Adding random ids to a bitmap one by one moves half a container per id, and
 * half of all slots if its upper half is new.  So ids are collected, up to
 * 131,072 at a time (1 MB, and as much again for sorting), sorted by radix, and
 * united with the set in one step.  Ids that
 * come ascending, as from an index, are appended without sorting.
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

SegmentBuilder *
segment_builder_create(void)
{
	SegmentBuilder *builder = palloc(sizeof(SegmentBuilder));

	builder->context = CurrentMemoryContext;
	builder->set = segment_bitmap_create();
	builder->allocated = BUFFER_INITIAL;
	builder->buffer = palloc(sizeof(int64) * builder->allocated);
	builder->n = 0;
	builder->ascending = true;
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

/* Radix sort, least significant byte first; ids are never negative. */
static void
sort_ids(int64 *ids, uint32 n)
{
	int64	   *other = palloc(sizeof(int64) * n);
	int64	   *from = ids;
	int64	   *to = other;

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

void
segment_builder_flush(SegmentBuilder *builder)
{
	SegmentBitmap *set = builder->set;

	if (builder->n == 0)
		return;
	if (!builder->ascending)
		sort_ids(builder->buffer, builder->n);
	if (!set->lazy && segment_bitmap_max(set) < builder->buffer[0])
		segment_set_add_ids(set, builder->buffer, builder->n);
	else
	{
		SegmentBitmap *part = segment_bitmap_create();

		segment_set_add_ids(part, builder->buffer, builder->n);
		segment_set_accumulate(SEGMENT_OR, set, part);
		segment_bitmap_free(part);
	}
	builder->n = 0;
	builder->ascending = true;
}

void
segment_builder_make_room(SegmentBuilder *builder)
{
	if (builder->allocated < BUFFER_SMALL ||
		(builder->allocated < BUFFER_MAX &&
		 MemoryContextMemAllocated(builder->context, false) <= (size_t) work_mem * 1024))
	{
		builder->allocated *= 2;
		builder->buffer = repalloc(builder->buffer, sizeof(int64) * builder->allocated);
	}
	else
		segment_builder_flush(builder);
}

SegmentBitmap *
segment_builder_finish(SegmentBuilder *builder)
{
	segment_builder_flush(builder);
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

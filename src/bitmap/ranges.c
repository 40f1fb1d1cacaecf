/*-------------------------------------------------------------------------
 *
 * ranges.c
 *		The maximal runs of consecutive ids of a set, in ascending order.
 *
 * Runs are read from the bytes of each container, so a range of a billion ids
 * costs what its 15,259 containers cost.  A run is held back until the next
 * one is known not to continue it in the container behind.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bitmap/ranges.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"

static void
open_container(SegmentRanges *ranges)
{
	segment_format_container(&ranges->bucket, ranges->index, &ranges->container);
	ranges->position = 0;
}

static void
open_slot(SegmentRanges *ranges)
{
	segment_format_open(ranges->set->slots[ranges->slot].bytes, &ranges->bucket);
	ranges->index = 0;
	open_container(ranges);
}

void
segment_ranges_begin(SegmentRanges *ranges, const SegmentBitmap *set)
{
	ranges->set = set;
	ranges->slot = 0;
	ranges->first = ranges->last = -1;
	if (set->nslots > 0)
		open_slot(ranges);
}

static uint64
bitset_word(const SegmentContainer *container, uint32 i)
{
	return segment_read64(container->bytes + 8 * i);
}

/* The first bit from "bit" on that is set (or, inverted, clear); 65536 if none. */
static uint32
next_bit(const SegmentContainer *container, uint32 bit, bool inverted)
{
	uint64		flip = inverted ? ~UINT64CONST(0) : 0;
	uint64		word;

	if (bit > PG_UINT16_MAX)
		return bit;
	word = (bitset_word(container, bit / 64) ^ flip) & (~UINT64CONST(0) << (bit % 64));
	for (uint32 i = bit / 64;;)
	{
		if (word != 0)
			return i * 64 + pg_rightmost_one_pos64(word);
		if (++i == SEGMENT_BITSET_BYTES / 8)
			return PG_UINT16_MAX + 1;
		word = bitset_word(container, i) ^ flip;
	}
}

/* The next run of the current container. */
static bool
next_in_container(SegmentRanges *ranges, uint32 *first, uint32 *last)
{
	const SegmentContainer *container = &ranges->container;
	uint32		i = ranges->position;

	switch (container->kind)
	{
		case SEGMENT_RUN:
			if (i == container->nruns)
				return false;
			*first = segment_read16(container->bytes + 4 * i);
			*last = *first + segment_read16(container->bytes + 4 * i + 2);
			ranges->position++;
			return true;
		case SEGMENT_ARRAY:
			if (i == container->cardinality)
				return false;
			*first = *last = segment_read16(container->bytes + 2 * i);
			while (++i < container->cardinality &&
				   segment_read16(container->bytes + 2 * i) == *last + 1)
				(*last)++;
			ranges->position = i;
			return true;
		case SEGMENT_BITSET:
			*first = next_bit(container, i, false);
			if (*first > PG_UINT16_MAX)
				return false;
			ranges->position = next_bit(container, *first, true);
			*last = ranges->position - 1;
			return true;
	}
	return false;
}

/* Step to the next container; false at the end of the set. */
static bool
next_container(SegmentRanges *ranges)
{
	CHECK_FOR_INTERRUPTS();
	if (++ranges->index < ranges->bucket.ncontainers)
		open_container(ranges);
	else if (++ranges->slot < ranges->set->nslots)
		open_slot(ranges);
	else
		return false;
	return true;
}

/* The next run, not joined across containers. */
static bool
next_piece(SegmentRanges *ranges, int64 *first, int64 *last)
{
	uint32		low;
	uint32		high;
	int64		base;

	if (ranges->slot >= ranges->set->nslots)
		return false;
	while (!next_in_container(ranges, &low, &high))
	{
		if (!next_container(ranges))
			return false;
	}
	base = segment_id_make(ranges->set->slots[ranges->slot].high,
						   (uint32) ranges->container.key << 16);
	*first = base + low;
	*last = base + high;
	return true;
}

bool
segment_ranges_next(SegmentRanges *ranges, int64 *first, int64 *last)
{
	int64		begin;
	int64		end;

	while (next_piece(ranges, &begin, &end))
	{
		if (ranges->first >= 0 && begin == ranges->last + 1)
		{
			ranges->last = end;
			continue;
		}
		*first = ranges->first;
		*last = ranges->last;
		ranges->first = begin;
		ranges->last = end;
		if (*first >= 0)
			return true;
	}
	*first = ranges->first;
	*last = ranges->last;
	ranges->first = -1;
	return *first >= 0;
}

/*-------------------------------------------------------------------------
 *
 * ranges.h
 *		The maximal runs of consecutive ids of a set, in ascending order.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_BITMAP_RANGES_H
#define SEGMENT_BITMAP_RANGES_H

#include "bitmap/set.h"

typedef struct SegmentRanges
{
	const SegmentBitmap *set;
	uint32		slot;
	SegmentBucket bucket;
	uint32		index;			/* container of the bucket */
	SegmentContainer container;
	uint32		position;		/* array, run: element; bitset: bit */
	int64		first;			/* run held back, as the next may touch it;
								 * -1: none */
	int64		last;
} SegmentRanges;

/* The set must be a view (segment_set_view, segment_set_argument). */
extern void segment_ranges_begin(SegmentRanges *ranges, const SegmentBitmap *set);
extern bool segment_ranges_next(SegmentRanges *ranges, int64 *first, int64 *last);

#endif							/* SEGMENT_BITMAP_RANGES_H */

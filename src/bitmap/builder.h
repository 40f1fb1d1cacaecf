/*-------------------------------------------------------------------------
 *
 * builder.h
 *		A set made from ids and ranges in any order, duplicates included.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_BITMAP_BUILDER_H
#define SEGMENT_BITMAP_BUILDER_H

#include "bitmap/set.h"

struct SegmentBuilder
{
	MemoryContext context;
	SegmentOperation op;		/* "or", or "xor": of an id that comes twice
								 * nothing is left */
	SegmentBitmap *set;			/* without what is still in the buffers */
	int64	   *buffer;			/* ids */
	uint32		n;
	uint32		allocated;
	bool		alone;			/* the only one: its buffer may grow whatever
								 * else takes memory */
	int64	   *firsts;			/* ranges, both ends inclusive; NULL: none yet */
	int64	   *lasts;
	uint32		nranges;
	uint32		rangesAllocated;
};

/* Make room for one more id. */
extern void segment_builder_make_room(SegmentBuilder *builder);

/* segment_builder_add_id() for the inner loops of this room */
static inline void
segment_builder_add(SegmentBuilder *builder, int64 id)
{
	if (builder->n == builder->allocated)
		segment_builder_make_room(builder);
	if (builder->n > 0 && builder->buffer[builder->n - 1] == id)
	{
		if (builder->op == SEGMENT_XOR)
			builder->n--;
		return;
	}
	builder->buffer[builder->n++] = id;
}

/* Add the ids from first to last, both inclusive; for a builder of "or". */
extern void segment_builder_add_range(SegmentBuilder *builder, int64 first, int64 last);

/* Unite with a set, or take the symmetric difference. */
extern void segment_builder_add_set(SegmentBuilder *builder, const SegmentBitmap *set);

/* The finished set; the builder may go on after that. */
extern SegmentBitmap *segment_builder_finish(SegmentBuilder *builder);

#endif							/* SEGMENT_BITMAP_BUILDER_H */

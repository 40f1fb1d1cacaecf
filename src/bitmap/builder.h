/*-------------------------------------------------------------------------
 *
 * builder.h
 *		A set made from ids in any order, duplicates included.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_BITMAP_BUILDER_H
#define SEGMENT_BITMAP_BUILDER_H

#include "bitmap/set.h"

struct SegmentBuilder
{
	MemoryContext context;
	SegmentBitmap *set;			/* without the ids still in the buffer */
	int64	   *buffer;
	uint32		n;
	uint32		allocated;
	bool		ascending;		/* the buffer is */
};

extern void segment_builder_flush(SegmentBuilder *builder);

/* Make room for one more id. */
extern void segment_builder_make_room(SegmentBuilder *builder);

/* segment_builder_add_id() for the inner loops of this room */
static inline void
segment_builder_add(SegmentBuilder *builder, int64 id)
{
	if (builder->n == builder->allocated)
		segment_builder_make_room(builder);
	if (builder->n > 0 && builder->buffer[builder->n - 1] >= id)
	{
		if (builder->buffer[builder->n - 1] == id)
			return;
		builder->ascending = false;
	}
	builder->buffer[builder->n++] = id;
}

/* The finished set; the builder may go on after that. */
extern SegmentBitmap *segment_builder_finish(SegmentBuilder *builder);

#endif							/* SEGMENT_BITMAP_BUILDER_H */

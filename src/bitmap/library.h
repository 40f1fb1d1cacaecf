/*-------------------------------------------------------------------------
 *
 * library.h
 *		CRoaring, as the bitmap room calls it: croaring.bitmap_and(a, b) is
 *		roaring_bitmap_and(a, b) of the library that library.c has opened.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_BITMAP_LIBRARY_H
#define SEGMENT_BITMAP_LIBRARY_H

#include <roaring/roaring.h>

#include "utils/palloc.h"

/* Every function used, without its prefix "roaring_".  None may be inline in CRoaring's headers. */
#define SEGMENT_CROARING_FUNCTIONS(X) \
	X(init_memory_hook) \
	X(bitmap_create_with_capacity) \
	X(bitmap_from_range) \
	X(bitmap_copy) \
	X(bitmap_free) \
	X(bitmap_add_many) \
	X(bitmap_add_range_closed) \
	X(bitmap_remove) \
	X(bitmap_remove_range_closed) \
	X(bitmap_flip_inplace_closed) \
	X(bitmap_add_offset) \
	X(bitmap_contains_bulk) \
	X(bitmap_is_empty) \
	X(bitmap_equals) \
	X(bitmap_is_subset) \
	X(bitmap_intersect) \
	X(bitmap_get_cardinality) \
	X(bitmap_range_cardinality_closed) \
	X(bitmap_and_cardinality) \
	X(bitmap_minimum) \
	X(bitmap_maximum) \
	X(bitmap_rank) \
	X(bitmap_select) \
	X(bitmap_and) \
	X(bitmap_or) \
	X(bitmap_andnot) \
	X(bitmap_xor) \
	X(bitmap_and_inplace) \
	X(bitmap_or_inplace) \
	X(bitmap_andnot_inplace) \
	X(bitmap_xor_inplace) \
	X(bitmap_lazy_or_inplace) \
	X(bitmap_repair_after_lazy) \
	X(bitmap_run_optimize) \
	X(bitmap_to_uint32_array) \
	X(bitmap_portable_size_in_bytes) \
	X(bitmap_portable_serialize) \
	X(bitmap_portable_deserialize_safe) \
	X(iterator_create) \
	X(uint32_iterator_read) \
	X(uint32_iterator_move_equalorlarger) \
	X(uint32_iterator_free)

typedef struct SegmentCRoaring
{
#define X(name) __typeof__(roaring_##name) *name;
	SEGMENT_CROARING_FUNCTIONS(X)
#undef X
} SegmentCRoaring;

extern SegmentCRoaring croaring;

/*
 * Between these two, memory comes from the arena (library.c) and is gone at
 * the end.  enter returns the context that leave goes back to.  Not nested.
 */
extern MemoryContext segment_scratch_enter(void);
extern void segment_scratch_leave(MemoryContext caller);

/* Memory as CRoaring gets it and gives it back: from the arena if that is in use. */
extern void *segment_scratch_alloc(size_t size);
extern void segment_scratch_free(void *chunk);	/* or NULL */

#endif							/* SEGMENT_BITMAP_LIBRARY_H */

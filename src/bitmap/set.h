/*-------------------------------------------------------------------------
 *
 * set.h
 *		What the files of this room share beyond bitmap.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_BITMAP_SET_H
#define SEGMENT_BITMAP_SET_H

#include "bitmap/bitmap.h"
#include "bitmap/containers.h"
#include "compat.h"
#include "utils/array.h"

/*
 * The ids that share their upper 32 bits.  "bytes" is set while they still
 * are the 32-bit portable bytes they were read as; "map" then is NULL or a
 * view of these bytes, read only.  Without bytes, map is the slot's own.
 */
typedef struct SegmentSlot
{
	uint32		high;
	uint32		size;			/* of bytes */
	bool		owned;			/* bytes are the slot's own memory, of
								 * segment_scratch_alloc() */
	const char *bytes;
	roaring_bitmap_t *map;
} SegmentSlot;

/*
 * A set: slots in ascending order, none of them empty.  All memory is in
 * "context".  "lazy": some maps are unfinished (repair_after_lazy pending),
 * which only segment_set_* of the aggregates leave behind and
 * segment_set_finish() ends.
 */
struct SegmentBitmap
{
	MemoryContext context;
	SegmentSlot *slots;
	uint32		nslots;
	uint32		allocated;
	uint32		last;			/* slot found last */
	bool		lazy;
	uint32		accumulated;	/* sets that segment_set_accumulate() has
								 * taken since it was finished last */
	const struct varlena *unchecked;	/* the value read, if it was checked
										 * in outline only; else NULL */
};

#define segment_id_high(id) ((uint32) ((uint64) (id) >> 32))
#define segment_id_low(id) ((uint32) ((uint64) (id) & 0xffffffff))
#define segment_id_make(high, low) ((int64) ((uint64) (high) << 32 | (low)))

/* Check bytes; ERROR with this code when they are wrong. */
extern void segment_set_check(const char *bytes, size_t size, int errcode_of_mistake);

/*
 * A set that reads these bytes where they lie: they must stay while the set
 * is used.  errcode_of_mistake is raised when they are wrong.
 */
extern SegmentBitmap *segment_set_view(const char *bytes, size_t size, int errcode_of_mistake);
extern SegmentBitmap *segment_set_view_checked(const char *bytes);

/* The same from an argument of type segment.bitmap, detoasted if need be. */
extern SegmentBitmap *segment_set_argument(Datum datum);
#define SEGMENT_GETARG(n) segment_set_argument(PG_GETARG_DATUM(n))

/*
 * The same for operations that look only at containers which another set has
 * too, and at counts of the others: and, andnot (the right side), their counts,
 * overlap.  They check what they look at.
 */
extern SegmentBitmap *segment_set_argument_meeting(Datum datum);
#define SEGMENT_GETARG_MEETING(n) segment_set_argument_meeting(PG_GETARG_DATUM(n))

/* Bring bytes of a view into canonical form. */
extern void segment_set_canonicalize(SegmentBitmap *set);

/* Is this range of ids short enough to be added? */
extern bool segment_range_fits(int64 first, int64 last);

/* Add ids one after the other: fast for few and for ascending ones. */
extern void segment_set_add_ids(SegmentBitmap *set, const int64 *ids, size_t n);

/* The map of a slot for reading; for changing. */
extern roaring_bitmap_t *segment_slot_map(const SegmentBitmap *set, uint32 i);
extern roaring_bitmap_t *segment_slot_own(SegmentBitmap *set, uint32 i);

extern int64 segment_slot_cardinality(const SegmentBitmap *set, uint32 i);

/* memcpy for any size: a cancel ends it. */
#define SEGMENT_COPY_BLOCK ((size_t) 1024 * 1024)
extern void segment_copy(char *to, const char *from, size_t size);

/* Position of the first slot with high >= this one. */
extern uint32 segment_set_find(const SegmentBitmap *set, uint32 high);

/* a op b as a new set, which may refer to memory of a and b. */
extern SegmentBitmap *segment_set_combine(SegmentOperation op, const SegmentBitmap *a,
										  const SegmentBitmap *b);

/* a := a op b, postponing work until segment_set_finish(a) where that pays */
extern void segment_set_accumulate(SegmentOperation op, SegmentBitmap *a, const SegmentBitmap *b);
extern void segment_set_finish(SegmentBitmap *set);

extern bool segment_set_intersects(const SegmentBitmap *a, const SegmentBitmap *b);
extern bool segment_set_is_subset(const SegmentBitmap *a, const SegmentBitmap *b);

/* The set with its ids changed from first to last, both inclusive: in becomes out, out in. */
extern void segment_set_flip(SegmentBitmap *set, int64 first, int64 last);

/* The ids plus an offset, without those that leave 0 .. PG_INT64_MAX; a new set. */
extern SegmentBitmap *segment_set_shift(const SegmentBitmap *set, int64 offset);

/* How many ids are <= id. */
extern int64 segment_set_rank(const SegmentBitmap *set, int64 id);

/* The portable bytes, written to "out" of this size or appended at the end; canonical. */
extern bytea *segment_set_to_varlena(const SegmentBitmap *set);

/*
 * Reading the ids in order, block by block.
 */
#define SEGMENT_READ_BLOCK 1024

typedef struct SegmentIds
{
	const SegmentBitmap *set;
	uint32		slot;
	roaring_uint32_iterator_t *iterator;	/* of this slot; NULL before it is
											 * begun */
	uint32		n;
	uint32		next;
	uint32		high;
	uint32		block[SEGMENT_READ_BLOCK];
} SegmentIds;

/* Ids from "first" on. */
extern void segment_ids_begin(SegmentIds *ids, const SegmentBitmap *set, int64 first);
extern bool segment_ids_fill(SegmentIds *ids);

/* The next id, or -1 at the end. */
static inline int64
segment_ids_next(SegmentIds *ids)
{
	if (ids->next >= ids->n && !segment_ids_fill(ids))
		return -1;
	return segment_id_make(ids->high, ids->block[ids->next++]);
}

/*
 * The elements of a bigint[] or integer[] of any dimensions; ERROR for NULLs, and
 * for negative ones unless it can be noted (in *missing) that there are some.
 */
extern SegmentBitmap *segment_set_from_array(ArrayType *array, bool *missing);

/* Ids must be 0 .. PG_INT64_MAX: ERROR otherwise. */
extern int64 segment_check_id(int64 id);

pg_noreturn extern void segment_too_large(void);

#endif							/* SEGMENT_BITMAP_SET_H */

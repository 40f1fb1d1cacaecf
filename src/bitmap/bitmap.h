/*-------------------------------------------------------------------------
 *
 * bitmap.h
 *		Sets of ids for every other room, without CRoaring's own types.
 *
 * A SegmentBitmap is a mutable set of ids from 0 to PG_INT64_MAX.  All its
 * memory is palloc'd in the context that was current when it was made; calls
 * that change it allocate there too, whatever is current then.  Nothing leaks
 * on ERROR, but a bitmap that was being changed when one was raised must not
 * be used any more.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_BITMAP_H
#define SEGMENT_BITMAP_H

typedef struct SegmentBitmap SegmentBitmap;
typedef struct SegmentBuilder SegmentBuilder;

/* Opens CRoaring; from _PG_init, before anything else of this room. */
extern void segment_bitmap_init(void);

/* a new empty set; a copy */
extern SegmentBitmap *segment_bitmap_create(void);
extern SegmentBitmap *segment_bitmap_copy(const SegmentBitmap *set);
extern void segment_bitmap_free(SegmentBitmap *set);

/*
 * A set from ids in any order, one by one: the way to make one from many ids.
 * Builder and set live in the context that was current at create; end frees
 * the builder and returns the set.
 */
extern SegmentBuilder *segment_builder_create(void);
extern void segment_builder_add_id(SegmentBuilder *builder, int64 id);
extern SegmentBitmap *segment_builder_end(SegmentBuilder *builder);

/* ids must be 0 .. PG_INT64_MAX (callers check); ranges are inclusive at both ends */
extern void segment_bitmap_add(SegmentBitmap *set, int64 id);
extern void segment_bitmap_add_many(SegmentBitmap *set, const int64 *ids, size_t n);
extern void segment_bitmap_add_range(SegmentBitmap *set, int64 first, int64 last);
extern void segment_bitmap_remove(SegmentBitmap *set, int64 id);
extern void segment_bitmap_remove_range(SegmentBitmap *set, int64 first, int64 last);

extern bool segment_bitmap_contains(const SegmentBitmap *set, int64 id);
extern bool segment_bitmap_is_empty(const SegmentBitmap *set);
extern bool segment_bitmap_equals(const SegmentBitmap *a, const SegmentBitmap *b);
extern int64 segment_bitmap_cardinality(const SegmentBitmap *set);
extern int64 segment_bitmap_range_cardinality(const SegmentBitmap *set, int64 first, int64 last);
extern int64 segment_bitmap_and_cardinality(const SegmentBitmap *a, const SegmentBitmap *b);
extern int64 segment_bitmap_min(const SegmentBitmap *set);	/* -1 when empty */
extern int64 segment_bitmap_max(const SegmentBitmap *set);	/* -1 when empty */

/* The id at position n (0 is the least), or -1. */
extern int64 segment_set_select(const SegmentBitmap *set, int64 n);

/* a := a op b */
extern void segment_bitmap_or(SegmentBitmap *a, const SegmentBitmap *b);
extern void segment_bitmap_and(SegmentBitmap *a, const SegmentBitmap *b);
extern void segment_bitmap_andnot(SegmentBitmap *a, const SegmentBitmap *b);
extern void segment_bitmap_xor(SegmentBitmap *a, const SegmentBitmap *b);

/* the ids in ascending order, palloc'd (huge allocations allowed); *n receives their number */
extern int64 *segment_bitmap_ids(const SegmentBitmap *set, size_t *n);

/* a new set with the members of first .. last, both inclusive */
extern SegmentBitmap *segment_bitmap_extract(const SegmentBitmap *set, int64 first, int64 last);

/*
 * A set as segment.bitmap and back.  The Datum is the varlena stored in tables
 * (header, then the portable 64-bit Roaring serialisation).  from_datum
 * detoasts, validates, and raises ERRCODE_DATA_CORRUPTED for bytes that are
 * not a bitmap.  serialized_size is in bytes, without the varlena header.
 */
extern Datum segment_bitmap_to_datum(const SegmentBitmap *set);
extern SegmentBitmap *segment_bitmap_from_datum(Datum datum);
extern size_t segment_bitmap_serialized_size(const SegmentBitmap *set);

/* The id of a value that holds just one, without making a set; -1 for all others, what is stored elsewhere or damaged among them. */
extern int64 segment_bitmap_only_id(Datum datum);

/* shrink containers to their smallest form; worth it before to_datum */
extern void segment_bitmap_optimize(SegmentBitmap *set);

#endif							/* SEGMENT_BITMAP_H */

/*-------------------------------------------------------------------------
 *
 * containers.h
 *		CRoaring's maps and our buckets, container by container.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_BITMAP_CONTAINERS_H
#define SEGMENT_BITMAP_CONTAINERS_H

#include "bitmap/format.h"
#include "bitmap/library.h"

typedef enum SegmentOperation
{
	SEGMENT_AND,
	SEGMENT_OR,
	SEGMENT_ANDNOT,
	SEGMENT_XOR,
} SegmentOperation;

/*
 * A map that reads a checked bucket where it lies: read only, and the bytes must
 * stay.  In the current context; freed by bitmap_free.
 */
extern roaring_bitmap_t *segment_bucket_view(const SegmentBucket *bucket);

/*
 * The same of the containers whose keys both have.  False if one of those is not
 * right; of a side that was checked before that is not asked.
 */
extern bool segment_buckets_meet(const SegmentBucket *a, bool aChecked,
								 const SegmentBucket *b, bool bChecked,
								 roaring_bitmap_t **viewA, roaring_bitmap_t **viewB);

/* Those of a bucket that a map has too. */
extern bool segment_bucket_meets_map(const SegmentBucket *bucket, bool checked, const roaring_bitmap_t *map,
									 roaring_bitmap_t **view);

/*
 * a op b, where a was checked; b too, unless false is returned for one that is
 * not right (possible for "andnot" only).  The result is a map or, with *map
 * NULL, *size canonical bytes from the current context (0: it is empty).
 */
extern bool segment_buckets_combine(SegmentOperation op, const SegmentBucket *a, const SegmentBucket *b,
									bool bChecked, roaring_bitmap_t **map, char **bytes, size_t *size);
extern roaring_bitmap_t *segment_maps_combine(SegmentOperation op, const roaring_bitmap_t *a,
											  const roaring_bitmap_t *b);

/*
 * map := map xor other, map of the current context.  Lazily, containers of it
 * that are bitsets are flipped in place and left unfinished; "asBitsets" makes
 * bitsets of all those that other has too.
 */
extern void segment_map_xor(roaring_bitmap_t *map, const roaring_bitmap_t *other);
extern void segment_map_xor_lazily(roaring_bitmap_t *map, const roaring_bitmap_t *other, bool asBitsets);

/*
 * What bitsets would take, in bytes, in place of those containers of map that
 * other has too; 0 if that is not worth while.
 */
extern size_t segment_map_bitsets_for(const roaring_bitmap_t *map, const roaring_bitmap_t *other);

/* Repair a map after that, or after CRoaring's own lazy operations. */
extern void segment_map_finish(roaring_bitmap_t *map);

/*
 * Write a map of the current context as canonical bytes, for which its containers
 * may be changed; returns the byte behind them.  "out" has room for its portable
 * bytes and segment_map_written_more().
 */
extern char *segment_map_write(roaring_bitmap_t *map, char *out);

/* A header may get flags for runs, or lose all runs and get offsets. */
#define segment_map_written_more(map) (16 + ((map)->high_low_container.size + 7) / 8)

#endif							/* SEGMENT_BITMAP_CONTAINERS_H */

/*-------------------------------------------------------------------------
 *
 * lookup.h
 *		Questions that need only a part of a stored bitmap.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_BITMAP_LOOKUP_H
#define SEGMENT_BITMAP_LOOKUP_H

extern bool segment_lookup_contains(Datum bitmap, int64 id);
extern int64 segment_lookup_cardinality(Datum bitmap);
extern bool segment_lookup_is_empty(Datum bitmap);

#endif							/* SEGMENT_BITMAP_LOOKUP_H */

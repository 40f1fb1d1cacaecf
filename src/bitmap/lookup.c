/*-------------------------------------------------------------------------
 *
 * lookup.c
 *		Questions that need only a part of a stored bitmap.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bitmap/lookup.h"
#include "bitmap/set.h"
#include "fmgr.h"

bool
segment_lookup_contains(Datum bitmap, int64 id)
{
	return id >= 0 && segment_bitmap_contains(segment_set_argument(bitmap), id);
}

int64
segment_lookup_cardinality(Datum bitmap)
{
	return segment_bitmap_cardinality(segment_set_argument(bitmap));
}

bool
segment_lookup_is_empty(Datum bitmap)
{
	return segment_bitmap_is_empty(segment_set_argument(bitmap));
}

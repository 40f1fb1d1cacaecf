/*-------------------------------------------------------------------------
 *
 * toast.h
 *		Reading stored bitmaps, whole or in parts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_BITMAP_TOAST_H
#define SEGMENT_BITMAP_TOAST_H

#include "compat.h"
#include "storage/block.h"
#include "storage/off.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/* A line of a page of a TOAST table. */
typedef struct SegmentPlace
{
	BlockNumber block;
	OffsetNumber line;
} SegmentPlace;

/* The bytes of a bitmap, wherever they are. */
typedef struct SegmentStored
{
	uint32		size;
	const char *bytes;			/* in memory, or NULL: in the TOAST table */

	/* in the TOAST table */
	struct varlena *pointer;
	Oid			value;
	Relation	table;
	BlockNumber nblocks;		/* 0: not asked yet */
	Relation   *indexes;		/* NULL: not opened */
	int			nindexes;
	int			index;			/* the valid one */
	SnapshotData snapshot;
	SegmentPlace at;			/* where chunk "atChunk" is; -1: nothing read
								 * yet */
	int32		atChunk;
	int32		cachedChunk;	/* in cache; -1: none */
	char	   *cache;
} SegmentStored;

extern void segment_stored_open(SegmentStored *stored, Datum datum);
extern void segment_stored_close(SegmentStored *stored);

pg_noreturn extern void segment_stored_damaged(const char *reason, size_t where);

extern void segment_stored_read_table(SegmentStored *stored, char *to, size_t offset, size_t n);

/* Copy bytes "offset" up to offset + n; DATA_CORRUPTED when they are beyond the end. */
static inline void
segment_stored_read(SegmentStored *stored, char *to, size_t offset, size_t n)
{
	if (offset > stored->size || n > stored->size - offset)
		segment_stored_damaged("unexpected end", stored->size);
	if (stored->bytes != NULL)
		memcpy(to, stored->bytes + offset, n);
	else
		segment_stored_read_table(stored, to, offset, n);
}

/* As PG_DETOAST_DATUM_PACKED, faster for large values. */
extern struct varlena *segment_stored_fetch(Datum datum);

#endif							/* SEGMENT_BITMAP_TOAST_H */

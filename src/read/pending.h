/*-------------------------------------------------------------------------
 *
 * pending.h
 *		Invalidations as a snapshot shows them, and the subjects they mean.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_PENDING_H
#define SEGMENT_PENDING_H

#include "access/transam.h"
#include "bitmap/bitmap.h"
#include "catalog/state.h"
#include "compile/compile.h"
#include "read/read.h"
#include "utils/snapshot.h"

/* A row of segment.invalidation. */
typedef struct SegmentLogRow
{
	FullTransactionId xid;
	Oid			source;
	AttrNumber	key;
	bool		keyless;		/* touches everybody for captures of key 0 */
	int64		columns;		/* bits of those that changed */
	int64		id;				/* the key, if it is only one; else -1 .. */
	SegmentBitmap *keys;		/* .. and these; NULL: everybody */
} SegmentLogRow;

/* Rows of segment.invalidation from one transaction id on, under one snapshot. */
typedef struct SegmentLog
{
	FullTransactionId from;		/* rows below are not here */
	SegmentLogRow *rows;		/* by transaction id */
	size_t		nrows;
	size_t		room;
	List	   *unions;			/* what was asked of them so far, see
								 * pending.c */
	MemoryContext context;		/* of all that */
} SegmentLog;

/* Read the log under a snapshot; the result is in CurrentMemoryContext. */
extern SegmentLog *segment_pending_load(FullTransactionId from, Snapshot snapshot);

/* Has so much been written since the epoch, for whomever, that it alone is worth moving the epoch forward? */
extern bool segment_pending_is_behind(const SegmentLog *log, const SegmentEpoch *epoch);

/*
 * Add the subjects that a segment's own sources make pending to "pending": all
 * rows of the log that are not visible in the epoch.  False: everybody.
 */
extern bool segment_pending_collect(const SegmentCompiled *compiled, const SegmentEntry *entry,
									SegmentLog *log, const SegmentEpoch *epoch,
									SegmentBitmap *pending);

#endif							/* SEGMENT_PENDING_H */

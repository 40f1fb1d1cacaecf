/*-------------------------------------------------------------------------
 *
 * change.h
 *		Who entered and left: rows of segment.change.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_CHANGE_H
#define SEGMENT_CHANGE_H

#include "bitmap/bitmap.h"
#include "datatype/timestamp.h"
#include "utils/snapshot.h"

#define SEGMENT_REASON_BUILT	'b'
#define SEGMENT_REASON_REFRESH	'r'

/* A change of one segment; the sets are NULL where only the rest was asked for. */
typedef struct SegmentChange
{
	int32		id;
	int64		number;
	int64		previous;		/* number of the change before it; 0: none */
	TimestampTz clock;
	TimestampTz written;		/* real time */
	char		reason;
	int64		size;			/* members after it */
	int64		weight;			/* bytes of differences since the last row
								 * with members */
	SegmentBitmap *entered;
	SegmentBitmap *exited;
	const SegmentBitmap *members;	/* NULL in most rows */
	int			ninstants;		/* known instants of flips .. */
	TimestampTz *instants;
	SegmentBitmap **flipped;	/* .. and who flipped at each */
} SegmentChange;

/* The next number; under the refresh lock of the segment's subject table. */
extern int64 segment_change_next_number(void);

/* The newest or the oldest change of a segment, without sets; false if there is none. */
extern bool segment_change_newest(int32 id, Snapshot snapshot, SegmentChange *change);
extern bool segment_change_oldest(int32 id, Snapshot snapshot, SegmentChange *change);

/* The members after a change; NULL when no row at or before it has them all. */
extern SegmentBitmap *segment_change_members(int32 id, int64 number, Snapshot snapshot);

extern void segment_change_insert(const SegmentChange *change);

#endif							/* SEGMENT_CHANGE_H */

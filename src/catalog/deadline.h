/*-------------------------------------------------------------------------
 *
 * deadline.h
 *		When subjects may change without a write: rows of segment.deadline.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_DEADLINE_H
#define SEGMENT_DEADLINE_H

#include "bitmap/bitmap.h"
#include "datatype/timestamp.h"
#include "utils/snapshot.h"

/* Deadlines of one segment, being collected; all zero is empty. */
typedef struct SegmentDeadlines
{
	int64	   *ids;
	TimestampTz *instants;
	size_t		n;
	size_t		room;
} SegmentDeadlines;

/* Remember that this subject may change at an instant; allocates in CurrentMemoryContext. */
extern void segment_deadline_add(SegmentDeadlines *deadlines, int64 id, TimestampTz instant);

/*
 * Those that write down deadlines return how many (subject, bucket) are new.
 *
 * Write down deadlines that lie behind the clock.  Each goes into the bucket
 * that holds its instant; buckets are the wider the farther they are from the
 * clock, and count as due when they begin.
 */
extern int64 segment_deadline_store(int32 id, const SegmentDeadlines *deadlines, TimestampTz clock);

/* Write down one deadline of many subjects, to the microsecond; nobody is due before it. */
extern int64 segment_deadline_store_at(int32 id, TimestampTz instant, const SegmentBitmap *ids);

/*
 * What one segment has behind the clock, another one has too: for some subjects, or
 * (NULL) all.  Costs a look at each bucket, and writes those only that get more.
 */
extern int64 segment_deadline_copy(int32 from, int32 to, TimestampTz clock, const SegmentBitmap *subset);

/* The subjects of a segment whose deadline has come, early ones included: added to "due". */
extern void segment_deadline_due(int32 id, TimestampTz until, Snapshot snapshot, SegmentBitmap *due);

/* When the first bucket begins after this clock; DT_NOEND: never. */
extern TimestampTz segment_deadline_next(int32 id, TimestampTz clock, Snapshot snapshot);

/* Keep the earliest deadline of each subject only; returns how many subjects have one. */
extern int64 segment_deadline_tidy(int32 id);

/* Delete the buckets that have begun by this instant; DT_NOEND: all. */
extern void segment_deadline_delete(int32 id, TimestampTz until);

#endif							/* SEGMENT_DEADLINE_H */

/*-------------------------------------------------------------------------
 *
 * ahead.h
 *		What a refresh knows of the time after it: deadlines, and evaluation ahead.
 *
 * Private to refresh/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_AHEAD_H
#define SEGMENT_AHEAD_H

#include "refresh/work.h"

/* Segments evaluated by one query: a query has at most 1,664 columns, and each may have two. */
#define SEGMENT_MAX_GROUP 500

/* Subjects whose membership at an instant is not that at the clock. */
typedef struct SegmentStage
{
	TimestampTz at;
	SegmentBitmap *ids;
} SegmentStage;

/* One query: the truth of some segments at an instant. */
typedef struct SegmentLook
{
	List	   *group;			/* of SegmentWork *, of one owner and settings */
	const SegmentBitmap *subset;	/* subjects looked at; NULL: all */
	TimestampTz at;
	bool		blind;			/* ask for no deadlines */
	/* out, one per item */
	SegmentBitmap **members;
	SegmentDeadlines *deadlines;	/* all before "nexts" */
	TimestampTz *nexts;			/* the next instant that is everybody's */
} SegmentLook;

/*
 * Evaluate in a subtransaction; false, with *message, when that raises an error.
 * Results are in CurrentMemoryContext.
 */
extern bool segment_ahead_look(SegmentLook *look, char **message);

/* Can these two be evaluated by one query? */
extern bool segment_ahead_same_settings(const SegmentEntry *a, const SegmentEntry *b);

/* Does the segment, or one that it refers to, read the clock? */
extern bool segment_ahead_reads_clock(const SegmentWork *item);

/*
 * Choose whether this item has the deadlines of those it refers to, before it
 * is evaluated and after they are.
 */
extern void segment_ahead_choose(SegmentWork *item, List *items);

/* What was evaluated at the clock of the refresh becomes the items' own. */
extern void segment_ahead_take(const SegmentLook *look);

/*
 * After the evaluation at the clock of the refresh: look ahead, for the
 * subjects evaluated as far as others have been, and for everybody past an
 * instant that comes near.
 */
extern void segment_ahead_prepare(List *items, TimestampTz clock);

/*
 * Replace the deadlines that the refresh has dealt with by those it found; after
 * the same was done for those that it refers to, before its state is written.
 */
extern void segment_ahead_store(SegmentWork *item, TimestampTz clock);

/*
 * When a segment that stands so is to be refreshed for what is everybody's, to
 * be prepared; may lie in the past.
 */
extern TimestampTz segment_ahead_due(const SegmentStanding *standing, TimestampTz now);

#endif							/* SEGMENT_AHEAD_H */

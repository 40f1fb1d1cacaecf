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

#include "bitmap/bitmap.h"
#include "catalog/deadline.h"
#include "catalog/registry.h"
#include "nodes/pg_list.h"

struct SegmentStanding;

/* One segment in a refresh. */
typedef struct Work
{
	Oid			viewId;
	bool		tracked;		/* before the snapshot was taken, already */
	struct SegmentStanding *standing;	/* read/read.h */
	int			level;			/* 0: refers to no other segment of the
								 * refresh */
	bool		full;			/* evaluate everybody */
	SegmentBitmap *base;		/* what is stored now; NULL: not loaded */
	SegmentBitmap *truth;		/* result of evaluation; NULL until evaluated */
	SegmentDeadlines deadlines; /* of the subjects evaluated */
	List	   *steps;			/* of SegmentStage *: who differs at instants
								 * evaluated ahead */
	TimestampTz next;			/* the next instant that is everybody's; 0:
								 * not looked for yet */
	TimestampTz due;			/* the next one that is not evaluated ahead */
	bool		spare;			/* one that lies before "due" was found */
	bool		prepared;		/* nobody needs to be looked at ahead any more */
	char	   *failure;		/* message, if evaluation failed */
	char	   *remark;			/* message, if its deadlines could not be
								 * computed */
	double		cost;			/* ms, its share */
} Work;

/* Subjects whose membership at an instant is not that at the clock. */
typedef struct SegmentStage
{
	TimestampTz at;
	SegmentBitmap *ids;
} SegmentStage;

/* One query: the truth of some segments at an instant. */
typedef struct SegmentLook
{
	List	   *group;			/* of Work *, of one owner and settings */
	const SegmentBitmap *subset;	/* subjects looked at; NULL: all */
	TimestampTz at;
	bool		blind;			/* ask for no deadlines */
	/* out, one per item */
	SegmentBitmap **members;
	SegmentDeadlines *deadlines;	/* all before "nexts" */
	TimestampTz *nexts;			/* the next instant that is everybody's */
	char	   *message;		/* the error, when it failed */
} SegmentLook;

/*
 * Evaluate in a subtransaction; false, with message, when that raises an error.
 * Results are in CurrentMemoryContext.
 */
extern bool segment_ahead_look(SegmentLook *look);

/* Can these two be evaluated by one query? */
extern bool segment_ahead_same_settings(const SegmentEntry *a, const SegmentEntry *b);

/* Does the segment, or one that it refers to, read the clock? */
extern bool segment_ahead_reads_clock(const Work *item);

/* What was evaluated at the clock of the refresh becomes the items' own. */
extern void segment_ahead_take(const SegmentLook *look);

/*
 * After the evaluation at the clock of the refresh: look ahead, for the
 * subjects evaluated as far as others have been, and for everybody past an
 * instant that comes near.
 */
extern void segment_ahead_prepare(List *items, TimestampTz clock);

/* Replace the deadlines that the refresh has dealt with by those it found. */
extern void segment_ahead_store(const Work *item, TimestampTz clock);

#endif							/* SEGMENT_AHEAD_H */

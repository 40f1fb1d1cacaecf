/*-------------------------------------------------------------------------
 *
 * work.h
 *		One segment in a refresh, inside the room.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_WORK_H
#define SEGMENT_WORK_H

#include "bitmap/bitmap.h"
#include "catalog/deadline.h"
#include "nodes/pg_list.h"
#include "read/read.h"

typedef struct SegmentWork
{
	Oid			viewId;
	bool		tracked;		/* before the snapshot was taken, already */
	SegmentStanding *standing;
	int			level;			/* 0: refers to no other segment of the
								 * refresh */
	bool		full;			/* evaluate everybody, in one query */
	bool		restart;		/* evaluate everybody, from here on step by
								 * step */
	bool		windowed;		/* has so many pending subjects that only
								 * those of a window are evaluated */
	SegmentBitmap *base;		/* what is stored now */
	SegmentBitmap *todo;		/* pending subjects to evaluate now; NULL if
								 * full */
	SegmentBitmap *rest;		/* pending subjects left for later; NULL: none */
	SegmentBitmap *truth;		/* what is to be stored; NULL until evaluated */
	SegmentDeadlines deadlines; /* of the subjects evaluated */
	TimestampTz due;			/* when everybody may change */
	/* ahead.c: */
	List	   *steps;			/* of SegmentStage *: who differs at instants
								 * evaluated ahead */
	TimestampTz next;			/* the next instant that is everybody's; 0:
								 * not looked for yet */
	bool		spare;			/* one that lies before "due" was found */
	bool		prepared;		/* nobody needs to be looked at ahead any more */
	char	   *failure;		/* message, if evaluation failed */
	char	   *remark;			/* message, if it succeeded but for something */
	double		cost;			/* ms, its share */
	struct SegmentChange *change;	/* what went into the feed; NULL: nothing */
} SegmentWork;

/* The ids that one step of a refresh looks at, both ends included. */
typedef struct SegmentWindow
{
	int64		first;
	int64		last;
} SegmentWindow;

/*
 * budget.c: Divide what is pending into what this step evaluates and what is
 * left.  budget: subjects, 0 for no limit.  The items are of one subject table,
 * have their standing and their base.  Returns the window of ids; all of them
 * where nothing is left.
 */
extern SegmentWindow segment_refresh_divide(List *items, Oid subject, int64 budget, TimestampTz clock);

/*
 * Run something in a subtransaction; false, with *message, when it fails.
 * Cancels and what only concerns the whole transaction are raised again.
 */
extern bool segment_refresh_try(void (*what) (void *arg), void *arg, char **message);

#endif							/* SEGMENT_WORK_H */

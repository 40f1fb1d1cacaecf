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

/* The worker leaves what is heavy, or fails, alone for so many times what it has cost. */
#define SEGMENT_PACE 10

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
	bool		heavy;			/* evaluating anybody costs as much as
								 * everybody */
	bool		postponed;		/* nothing is evaluated now, all that is
								 * pending is left */
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
	bool		inherits;		/* what time does to it, it does to those that
								 * it refers to: it has their deadlines */
	List	   *inner;			/* of SegmentWork *: those, if so */
	bool		longer;			/* and is known longer than before, as they
								 * are */
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

/* What is refreshed in one transaction: segments of one subject table. */
typedef struct SegmentRound
{
	Oid			subject;
	List	   *viewIds;
	int64		budget;			/* subjects to evaluate; 0: no limit */
	bool		automatic;		/* by the worker: what failed has to wait */
	bool		rebuild;		/* whatever is stored is worth nothing */
} SegmentRound;

/* refresh.c: Refresh; true when more is left for another transaction. */
extern bool segment_refresh_round(const SegmentRound *round);

/*
 * schedule.c: Is this a segment whose refresh now costs as much as everybody's
 * evaluation?  It is pending as a whole, or reads some table as a whole.
 */
extern bool segment_refresh_is_heavy(const SegmentStanding *standing);
extern bool segment_refresh_reads_whole(const SegmentStanding *standing);

/*
 * schedule.c: When the heavy ones of these segments (SegmentStanding *) are to
 * be refreshed automatically: all at once, since some may refer to others.
 */
extern TimestampTz segment_refresh_pace(List *standings);

/* schedule.c: Those are due, and so are others: is it their turn?  They take turns with every call. */
extern bool segment_refresh_is_turn(Oid subject);

/* evaluate.c: The item of a segment; NULL if it has none. */
extern SegmentWork *segment_refresh_find_item(List *items, Oid viewId);

/*
 * evaluate.c: Find out the truth of what each item is to evaluate, level by
 * level, or its failure.  Ids outside the window are not known to others.
 */
extern void segment_refresh_evaluate(List *items, SegmentWindow window, TimestampTz clock);

/*
 * store.c: The epoch that all of these items, and no others, have now, to be
 * moved on; or a new one.  Write an item down with it, if it has to change;
 * or that its base is worth nothing (status: SEGMENT_UNBUILT or _FAILED).  Is
 * there nothing to write at all?
 */
extern SegmentEpoch *segment_refresh_choose_epoch(List *items);
extern void segment_refresh_store_built(SegmentWork *item, int64 epoch, TimestampTz clock);
extern void segment_refresh_store_unbuilt(SegmentWork *item, char status, const char *message, TimestampTz clock);
extern bool segment_refresh_is_idle(List *items, TimestampTz clock);

/*
 * store.c: Everybody is pending, and that will stay so for a while: let go of
 * the epoch, so that the invalidations since need not be kept for this one.
 */
extern void segment_refresh_store_outdated(SegmentWork *item);

/* garbage.c: Delete invalidations, and epochs without users. */
extern void segment_refresh_collect_garbage(void);

/*
 * budget.c: Divide what is pending into what this step evaluates and what is
 * left.  budget: subjects, 0 for no limit.  The items are of one subject table,
 * have their standing and their base.  Returns the window of ids; all of them
 * where nothing is left.
 */
extern SegmentWindow segment_refresh_divide(List *items, Oid subject, int64 budget, TimestampTz clock);

/* A lock of somebody else is in the way of this segment: the worker does without it for a second. */
extern void segment_refresh_hold_up(Oid viewId);

/*
 * Run something in a subtransaction; false, with *message, when it fails.
 * Cancels and what only concerns the whole transaction are raised again.
 */
extern bool segment_refresh_try(void (*what) (void *arg), void *arg, char **message);

#endif							/* SEGMENT_WORK_H */

/*-------------------------------------------------------------------------
 *
 * feed.h
 *		The change feed: what refreshes append, and what follows from it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_FEED_H
#define SEGMENT_FEED_H

#include "catalog/change.h"
#include "nodes/pg_list.h"
#include "refresh/work.h"

/*
 * A base is about to be replaced: append the difference to the feed.
 *
 * item: evaluated, its state not changed yet.  While a segment is being built in
 * parts nothing is appended: who is a member is told when all are looked at.
 * Returns the change, palloc'd and without its sets, or NULL if there is none.  Caller holds the
 * refresh lock of the subject table, under whose snapshot, the active one, all
 * of this is; errors are errors of the refresh.
 */
extern SegmentChange *segment_feed_append(const SegmentWork *item, TimestampTz clock);

/* Is the clock of a refresh before that of the last one?  Then the history has to be put right even if nobody comes or goes. */
extern bool segment_feed_is_set_back(const SegmentStanding *standing, TimestampTz clock);

/*
 * A refresh of a subject table is done, and all that it wrote is visible to the
 * current command: tell listeners, delete what is too old, call hooks.
 * changes: list of SegmentChange *.  No snapshot needs to be active, and no
 * clock may be in force (segment_read_set_clock()).
 */
extern void segment_feed_finish(Oid subject, List *changes);

/* Delete what the feed has of a dropped segment. */
extern void segment_feed_forget(int32 id);

#endif							/* SEGMENT_FEED_H */

/*-------------------------------------------------------------------------
 *
 * refresh.h
 *		Move bases forward.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_REFRESH_H
#define SEGMENT_REFRESH_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/*
 * Refresh these segments (list of view OIDs; the caller must own them), or
 * with NIL all that the caller owns, in the calling transaction.  Takes the
 * refresh lock of each subject table, in OID order, until the end of the
 * transaction.  A segment whose condition fails is marked and reported by a
 * WARNING; the others go on.
 */
extern void segment_refresh_segments(List *viewIds);

/* The same, evaluating everybody whatever is stored. */
extern void segment_refresh_rebuild(List *viewIds);

/*
 * One transaction's worth of refreshing for one subject table: all segments
 * that the caller owns, at most "budget" subjects.  True when more is left: call
 * again in another transaction.  automatic: only those that are refreshed
 * automatically, and what failed not before its time.  No active snapshot is
 * needed.
 */
extern bool segment_refresh_step(Oid subject, int64 budget, bool automatic);

/* Subject tables of the segments that the caller owns, in OID order. */
extern List *segment_refresh_subjects(void);

/*
 * Subject tables with something to refresh now, among the segments that are
 * refreshed automatically; *next: when there will be with no write (DT_NOEND:
 * never).  Needs an active snapshot.
 */
extern List *segment_refresh_due(TimestampTz *next);

/* Narrow what is captured of these tables, or of all, to what the registered segments need; as far as that waits for nobody. */
extern void segment_refresh_narrow(List *relids);
extern void segment_refresh_narrow_all(void);

/* Delete invalidations that nobody needs, and where there are no segments the triggers that record them. */
extern void segment_refresh_leave(void);

/* The refresh lock of a subject table, to the end of the transaction. */
extern void segment_refresh_lock(Oid subject);
extern bool segment_refresh_lock_if_free(Oid subject);

/* Delete what is materialised of a dropped segment. */
extern void segment_refresh_forget(int32 id);

#endif							/* SEGMENT_REFRESH_H */

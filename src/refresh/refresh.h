/*-------------------------------------------------------------------------
 *
 * refresh.h
 *		Move bases forward.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_REFRESH_H
#define SEGMENT_REFRESH_H

#include "nodes/pg_list.h"

/*
 * Refresh these segments (list of view OIDs; the caller must own them), or
 * with NIL all that the caller owns, in the calling transaction.  Takes the
 * refresh lock of each subject table, in OID order, until the end of the
 * transaction.  A segment whose condition fails is marked and reported by a
 * WARNING; the others go on.
 */
extern void segment_refresh_segments(List *viewIds);

/* The refresh lock of a subject table, to the end of the transaction. */
extern void segment_refresh_lock(Oid subject);

/* Delete what is materialised of a dropped segment. */
extern void segment_refresh_forget(int32 id);

#endif							/* SEGMENT_REFRESH_H */

/*-------------------------------------------------------------------------
 *
 * state.h
 *		What is materialised: rows of segment.state, .epoch and .chunk.
 *
 * All reads take the snapshot to read under; all writes bypass privileges and
 * need the refresh lock of the subject table.  Results are palloc'd in
 * CurrentMemoryContext.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_STATE_H
#define SEGMENT_STATE_H

#include "access/transam.h"
#include "bitmap/bitmap.h"
#include "datatype/timestamp.h"
#include "storage/itemptr.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

#define SEGMENT_BUILT	'b'
#define SEGMENT_BUILDING 'p'	/* built but for "rest" */
#define SEGMENT_UNBUILT 'u'
#define SEGMENT_FAILED	'f'

typedef struct SegmentState
{
	int32		id;
	char		status;
	uint64		fingerprint;
	int64		epoch;			/* 0 = none; of a built one: everybody is
								 * pending */
	int64		version;
	int64		size;
	int64		evaluated;		/* subjects; -1 = all */
	double		cost;			/* ms */
	TimestampTz refreshedAt;
	TimestampTz due;			/* when everybody may change; DT_NOEND: never */
	char	   *message;		/* NULL if none */
	Datum		rest;			/* segment.bitmap: the subjects that the base
								 * does not stand for; 0: none */
	int64		total;			/* how many they were at first */
	TimestampTz since;			/* when that was */
	int32		failures;		/* refreshes that failed in a row */
	TimestampTz retryAt;		/* the worker leaves it alone until then */
	int64		spare;			/* deadlines that may be added before they are
								 * tidied */
	ItemPointerData tid;		/* of the row; invalid: not stored yet */
} SegmentState;

typedef struct SegmentEpoch
{
	int64		id;
	Datum		snapshot;		/* pg_snapshot */
	FullTransactionId xmin;		/* everything below is visible in it */
	FullTransactionId xid;
	TimestampTz clock;
	ItemPointerData tid;
} SegmentEpoch;

extern bool segment_state_get(int32 id, Snapshot snapshot, SegmentState *state);
extern void segment_state_put(SegmentState *state);

extern bool segment_epoch_get(int64 id, Snapshot snapshot, SegmentEpoch *epoch);
extern List *segment_epoch_all(Snapshot snapshot);	/* of SegmentEpoch * */
extern void segment_epoch_put(SegmentEpoch *epoch);
extern List *segment_state_all(Snapshot snapshot);	/* of SegmentState * */

/* The next number for a version or an epoch; never given twice. */
extern int64 segment_state_next_version(void);

/* The base of a segment: whole; the chunk that would hold an id (an empty set if none); replaced where it differs. */
extern SegmentBitmap *segment_chunk_load(int32 id, Snapshot snapshot);
extern SegmentBitmap *segment_chunk_load_one(int32 id, int64 subject, Snapshot snapshot);
extern void segment_chunk_store(int32 id, const SegmentBitmap *old, const SegmentBitmap *new);

/* Delete everything of a segment; of one of our tables, the rows whose first column is its id. */
extern void segment_state_delete(int32 id);
extern void segment_table_delete(const char *name, int32 id);

/* The OID of a table of schema segment. */
extern Oid	segment_table_oid(const char *name);

/* A table of schema segment, opened; its one index (the primary key). */
extern Relation segment_table_open(const char *name, LOCKMODE lockmode);
extern Oid	segment_table_index(Relation table);

#endif							/* SEGMENT_STATE_H */

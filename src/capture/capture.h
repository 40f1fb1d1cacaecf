/*-------------------------------------------------------------------------
 *
 * capture.h
 *		From a write on a source to a row of segment.invalidation.
 *
 * A source carries triggers whose arguments say what to record.  Each
 * argument is one SegmentCapture, written "key:column,column,..." (attribute
 * numbers, ascending; the key itself is always among the columns), with a
 * leading '!' when a NULL key touches everybody.  Key 0 means "no keys: say
 * only that the source was touched".
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_CAPTURE_H
#define SEGMENT_CAPTURE_H

#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/* What a statement on a source must leave behind, for one key column. */
typedef struct SegmentCapture
{
	AttrNumber	key;			/* int2, int4 or int8 column whose values are
								 * recorded; 0 = none: touches everybody */
	Bitmapset  *columns;		/* attribute numbers (> 0) whose change counts */
	bool		nullTouchesAll; /* a NULL key is recorded as "everybody" */
} SegmentCapture;

/*
 * Make the triggers of a source record at least these captures, merging them
 * with what they record already.  Takes SHARE ROW EXCLUSIVE on the source only
 * when something is missing (held to the end of the transaction); checks
 * TRIGGER privilege as CREATE TRIGGER does.  Returns true when it changed
 * something.
 */
extern bool segment_capture_install(Oid relid, List *captures);

/*
 * Do the triggers of this open relation record these captures now, enabled
 * ALWAYS, none missing, and has the relation no inheritance children?  When
 * false the source is untracked and reads evaluate in full.  Reads only the
 * relcache; cheap.
 */
extern bool segment_capture_covers(Relation source, List *captures);

/*
 * Does this snapshot see the triggers of a source as they are now?  Else there may be
 * writers that it does not see, and that did not record what is captured now.
 * Triggers that this transaction has made have recorded "everybody".
 */
extern bool segment_capture_is_seen(Oid relid, Snapshot snapshot);

/*
 * Lock what is captured of a source, to the end of the transaction; false when
 * that cannot be had at once and wait is false.  SHARE for who makes a segment
 * that reads it, EXCLUSIVE for who needs that there is none he cannot see yet.
 */
extern bool segment_capture_lock(Oid relid, LOCKMODE mode, bool wait);
extern void segment_capture_unlock(Oid relid, LOCKMODE mode);

/* Every table that has triggers of ours, in OID order. */
extern List *segment_capture_tables(void);

/*
 * Narrow the triggers of a source to these captures (NIL: drop them).  Does
 * nothing, and returns false, when the lock cannot be had at once.
 */
extern bool segment_capture_narrow(Oid relid, List *captures);

/*
 * The "key" of an invalidation row (keys NULL) that touches everybody whatever
 * a definition reads of the source: TRUNCATE, DDL.  A row with key 0 or
 * another key and keys NULL touches everybody for captures of that key only.
 */
#define SEGMENT_WHOLE_SOURCE (-1)

/*
 * Added to the "key" of a row by a statement that has something to say for
 * captures of key 0 too: one row for both.  Far above any attribute number.
 */
#define SEGMENT_ALSO_KEYLESS 0x4000

/*
 * The "columns" of a row: those that an UPDATE has changed, of those that are
 * captured.  Columns 63 apart share a bit, which is harmless.  What an INSERT or
 * DELETE does, or what cannot be told, concerns all: NULL in the table.
 */
#define SEGMENT_ALL_COLUMNS INT64CONST(-1)
#define SEGMENT_COLUMN_BIT(attno) (INT64CONST(1) << (((attno) - 1) % 63))

/* Record "everybody" for a source (SEGMENT_WHOLE_SOURCE), in the current transaction. */
extern void segment_capture_touch_all(Oid relid);

/*
 * Is a statement on this source (InvalidOid: on any) still running in this
 * backend, such that a snapshot with this curcid sees what it has written so
 * far?  Reads then evaluate in full.
 */
extern bool segment_capture_in_flight(Oid relid, CommandId curcid);

#endif							/* SEGMENT_CAPTURE_H */

/*-------------------------------------------------------------------------
 *
 * internal.h
 *		What the files of capture/ share; no other room includes this.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_CAPTURE_INTERNAL_H
#define SEGMENT_CAPTURE_INTERNAL_H

#include "capture/capture.h"
#include "utils/reltrigger.h"

/* arguments.c: the text form of captures, and their algebra */

/* "!3:1,3" as a SegmentCapture in CurrentMemoryContext; NULL when it is not one. */
extern SegmentCapture *segment_capture_parse(const char *text);

/* The canonical text form: equal captures give equal text. */
extern char *segment_capture_print(const SegmentCapture *capture);

/* One capture per key, ascending by key, that together record what both lists record. */
extern List *segment_capture_merge(const List *a, const List *b);

/* Does "have" record everything that "need" asks for? */
extern bool segment_capture_includes(const List *have, const List *need);

/* triggers.c: the triggers of a source */

#define SEGMENT_CAPTURE_TRIGGERS 5

/* OID of segment.capture(), InvalidOid without the extension. */
extern Oid	segment_capture_function(void);

/* How many triggers of ours a table has.  Reads pg_trigger: needs no lock on the table. */
extern int	segment_capture_count(Oid relid);

/* record.c: rows of segment.invalidation */

/* Append one row; columns is a set of columns, keys is a segment.bitmap, ignored with everybody. */
extern void segment_capture_record(Oid relid, AttrNumber key, int64 columns, Datum keys, bool everybody);

/* flight.c: the statements that this backend is running on sources */

/* event: TRIGGER_EVENT_INSERT, _UPDATE or _DELETE */
extern void segment_flight_push(Oid relid, uint32 event);
extern void segment_flight_pop(Oid relid, uint32 event);
extern bool segment_flight_has(Oid relid, uint32 event);

#endif							/* SEGMENT_CAPTURE_INTERNAL_H */

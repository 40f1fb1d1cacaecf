/*-------------------------------------------------------------------------
 *
 * link.h
 *		How a source's rows belong to subjects.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_LINK_H
#define SEGMENT_LINK_H

#include "nodes/pg_list.h"

/* One hop: fromRel.fromColumn equals toRel.toColumn. */
typedef struct SegmentHop
{
	Oid			fromRel;
	AttrNumber	fromColumn;
	Oid			toRel;
	AttrNumber	toColumn;
} SegmentHop;

/*
 * The one path of hops from a source to the subject table (list of
 * SegmentHop *, source first).  Declared links go before foreign keys at every
 * table on the way.  Errors: no path, or several; location is where the source
 * is named (an offset in text).
 */
extern List *segment_compile_link(Oid source, Oid subject, const char *text, int location);

/* The same path, NIL when there is none or several. */
extern List *segment_compile_link_if_any(Oid source, Oid subject);

/*
 * The subject id: the column of the primary key, else of another unique index
 * that is not partial, not deferrable and not on an expression; NOT NULL and
 * of type smallint, integer or bigint.  Error when there is none.
 */
extern AttrNumber segment_compile_key(Oid subject, const char *text, int location);

/* errposition() for a byte offset in text; nothing for location < 0 or no text. */
extern int	segment_compile_position(const char *text, int location);

#endif							/* SEGMENT_LINK_H */

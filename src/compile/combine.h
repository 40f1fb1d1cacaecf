/*-------------------------------------------------------------------------
 *
 * combine.h
 *		One query that evaluates many segments of a subject table at once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_COMBINE_H
#define SEGMENT_COMBINE_H

#include "bitmap/bitmap.h"
#include "compile/compile.h"
#include "datatype/timestamp.h"

/*
 * SELECT key::bigint, condition, condition, ... FROM subject [WHERE key in subset]
 *
 * compiled: list of SegmentCompiled *, all on one subject table; they are not
 * changed.  subset: the subjects to evaluate, NULL for all.  clock: what now()
 * stands for.  Aggregates over linked sources that are grouped by the subject
 * id are computed in one pass per source, equal ones once.  The result is
 * ready for rewriting and planning.
 */
extern Query *segment_compile_combine(List *compiled, const SegmentBitmap *subset, TimestampTz clock);

#endif							/* SEGMENT_COMBINE_H */

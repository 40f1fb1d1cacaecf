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
 *
 * With flips, as many columns more: when the comparisons of each segment with
 * the clock may next change for this subject (timestamptz), NULL for never.
 *
 * Such passes look at rows of subjects that the conditions alone would not ask
 * about, or of nobody, and an expression may fail on these: *reshaped says whether
 * there are any.  With NULL there are none.
 */
extern Query *segment_compile_combine(List *compiled, const SegmentBitmap *subset, TimestampTz clock, bool flips,
									  bool *reshaped);

/* An expression with this instant put in for the clock, everywhere in it. */
extern Node *segment_compile_put_clock(Node *expr, TimestampTz clock);

#endif							/* SEGMENT_COMBINE_H */

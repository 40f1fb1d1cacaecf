/*-------------------------------------------------------------------------
 *
 * clock.h
 *		What the parts of the time analysis share.
 *
 * Private to compile/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_CLOCK_H
#define SEGMENT_CLOCK_H

#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"
#include "nodes/primnodes.h"

/* ---- plain.c ---- */

/* Called for every node that is looked at: ERROR when a condition grows beyond all measure as it is taken apart. */
extern void segment_compile_spend(void);
extern void segment_compile_begin_spending(void);

/* A copy in the plain form that the analysis reads; evaluates to the same. */
extern Node *segment_compile_plain(Node *node);

/* ---- moving.c ---- */

/* Does anything in here read the clock, openly or not?  The node is in plain form. */
extern bool segment_compile_has_clock(Node *node);

/* Does this very node read the clock without saying so?  Then why, as a detail of an error; else NULL. */
extern const char *segment_compile_hidden_clock(Node *node);

/* Is there a word such as 'now' or 'today' in a text that becomes a date or time? */
extern bool segment_compile_is_moving(const char *text);

/* Does the input function of a type take such words: dates and times, and what is made of them? */
extern bool segment_compile_takes_words(Oid type);

/* ---- clock.c ---- */

/* The least of these instants, in a node of which they are part; NULL, as a constant, if there are none. */
extern Node *segment_compile_earliest(List *flips);

/* ---- count.c ---- */

/* "Are there at least that many rows?": the only thing that a condition asks of a subquery. */
typedef struct SegmentCount
{
	Query	   *query;			/* FROM and the part of WHERE and FILTER that
								 * does not read the clock */
	List	   *moving;			/* conditions that do, of the query's level */
	List	   *thresholds;		/* of Const *, bigint: how many rows */
} SegmentCount;

/* NULL when the node asks something else.  tie: of an IN, at the query's level; NULL: none. */
extern SegmentCount *segment_compile_match_count(Node *node, Node *tie);

/* (SELECT segment.count_flip(..)): when the answer may next change, given when the moving conditions of a row may. */
extern Node *segment_compile_count_flip(const SegmentCount *count, Node *flip, Const *threshold);

#endif							/* SEGMENT_CLOCK_H */

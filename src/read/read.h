/*-------------------------------------------------------------------------
 *
 * read.h
 *		Exact members of segments, under one snapshot and clock.
 *
 * "The snapshot" is always the active one.  Nothing here checks privileges:
 * the SQL functions do (read/functions.c, read/history.c).
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_READ_H
#define SEGMENT_READ_H

#include "bitmap/bitmap.h"
#include "catalog/deadline.h"
#include "catalog/registry.h"
#include "catalog/state.h"
#include "compile/compile.h"

/* Why a read evaluates the whole definition; FULL_NOT means it need not. */
typedef enum SegmentFull
{
	FULL_NOT,
	FULL_DISABLED,				/* ALTER SEGMENT ... DISABLE */
	FULL_UNBUILT,				/* never refreshed, or its definition changed
								 * since */
	FULL_FAILED,				/* the last refresh failed */
	FULL_CLOCK,					/* reads the clock in a way that cannot be
								 * told ahead */
	FULL_AHEAD,					/* the base is ahead of the clock */
	FULL_FORBIDDEN,				/* the owner may not read a source any more:
								 * evaluation says which */
	FULL_UNTRACKED,				/* a source has no triggers, or disabled ones */
	FULL_IN_FLIGHT,				/* a statement on a source is running in this
								 * backend */
	FULL_EVERYBODY,				/* a change touched everybody */
	FULL_MANY					/* more pending subjects than are worth
								 * evaluating one by one */
} SegmentFull;

/* Where a segment stands under the active snapshot. */
typedef struct SegmentStanding
{
	const SegmentCompiled *compiled;
	const SegmentEntry *entry;
	uint64		fingerprint;	/* of the definition, inner segments and
								 * settings included */
	SegmentFull full;
	Oid			untracked;		/* the source, for FULL_UNTRACKED and
								 * FULL_IN_FLIGHT */
	bool		hasState;
	SegmentState state;
	SegmentEpoch epoch;			/* valid if state.epoch is not 0 and found */
	SegmentBitmap *pending;		/* NULL unless full is FULL_NOT */
	bool		behind;			/* many rows are kept for its epoch */
	TimestampTz clock;			/* what now() means in a read */
	List	   *closure;		/* of SegmentCompiled *: itself, and what it
								 * refers to */
	List	   *entries;		/* of SegmentEntry *, in step with closure */
} SegmentStanding;

/*
 * Have all sources of a segment, and of those it refers to, their triggers at
 * this moment?  Locks the sources; needs no snapshot.
 */
extern bool segment_read_is_tracked(Oid viewId);

/* How a segment's base and the active snapshot lie apart; palloc'd in CurrentMemoryContext. */
extern SegmentStanding *segment_read_standing(Oid viewId);

/*
 * Who has been touched by writes since the base of a segment (or was left over
 * by it), as the active snapshot shows; a new set, NULL for everybody.
 */
extern SegmentBitmap *segment_read_written(const SegmentStanding *standing);

/* WARNING: who looks at many segments does without this one.  Why is for its owner only.  A passing error is raised again. */
extern void segment_read_left_out(Oid viewId, ErrorData *error);

/* Wake the worker, if what a read has found is worth a refresh. */
extern void segment_read_nudge(const SegmentStanding *standing);

/* The clock of reads: the reader's now(), or what segment_read_set_clock() put over it. */
extern TimestampTz segment_read_clock(void);

/*
 * Within a refresh or an evaluation all reads have this clock; 0 ends it.
 * Returns what was in force.
 */
extern TimestampTz segment_read_set_clock(TimestampTz clock);

/*
 * Between these calls what is known by evaluation is not forgotten because some
 * table or view was changed: for a refresh, which holds locks on all that
 * matters to it, and would find out everything again.
 */
extern void segment_read_pin(void);
extern void segment_read_unpin(void);

/*
 * The members under the active snapshot.  The result belongs to the read cache:
 * do not change it, and do not keep it beyond the current statement.
 */
extern const SegmentBitmap *segment_read_members(Oid viewId);

/*
 * The same, already known by evaluation: what a refresh found for its snapshot.
 * The window variant: members are right for ids of first .. last, both
 * inclusive; they serve single lookups.
 */
extern void segment_read_remember(Oid viewId, const SegmentBitmap *members);
extern void segment_read_remember_window(Oid viewId, const SegmentBitmap *members, int64 first, int64 last);

extern int64 segment_read_size(Oid viewId);
extern bool segment_read_contains(Oid viewId, int64 subject);

/*
 * Evaluate conditions under the active snapshot, as their owner.
 *
 * compiled: list of SegmentCompiled *, of one subject table, one owner and one
 * set of pinned settings (those of "entry"; NULL: the session's own).
 * subset: subjects to look at; NULL: all.  results: one new set per element.
 * deadlines: an array with one per element, added to; NULL: not asked for.
 */
extern void segment_read_evaluate(List *compiled, const SegmentEntry *entry,
								  const SegmentBitmap *subset, TimestampTz clock,
								  SegmentBitmap **results, SegmentDeadlines *deadlines);

/*
 * The values of expressions for one subject: compiled as above, each with an
 * expression of any type as its "condition".  NULL when there is no such subject.
 * The values are copies in CurrentMemoryContext.
 */
typedef struct SegmentValues
{
	Datum	   *values;
	bool	   *nulls;
} SegmentValues;

extern SegmentValues *segment_read_values(List *compiled, const SegmentEntry *entry,
										  const SegmentBitmap *subject, TimestampTz clock);

/* Become this owner in a security-restricted operation under these settings, and go back. */
typedef struct SegmentGuard
{
	Oid			userId;
	int			context;
	int			nestLevel;
	Oid			owner;
} SegmentGuard;

extern void segment_read_become(SegmentGuard *guard, Oid owner, const SegmentEntry *entry);
extern void segment_read_return(SegmentGuard *guard);

/*
 * When an expression of the clock alone in a segment may next step for everybody,
 * after this clock; "limit" (DT_NOEND: none), if not before.
 */
extern TimestampTz segment_read_next_instant(const SegmentCompiled *compiled, const SegmentEntry *entry,
											 TimestampTz clock, TimestampTz limit);

/* The end of the bound that a segment's max_staleness option sets from this clock; DT_NOEND without one. */
extern TimestampTz segment_read_staleness_end(const SegmentEntry *entry, TimestampTz clock);

/* ERROR unless the current user may read this segment: SELECT on its view. */
extern void segment_read_check(Oid viewId);

/* In words, for segment.status. */
extern const char *segment_read_full_reason(SegmentFull full);

#endif							/* SEGMENT_READ_H */

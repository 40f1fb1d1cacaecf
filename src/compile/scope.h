/*-------------------------------------------------------------------------
 *
 * scope.h
 *		The query levels of a definition and the tables that stand in them.
 *
 * Private to compile/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_SCOPE_H
#define SEGMENT_SCOPE_H

#include "nodes/bitmapset.h"
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"

/* One query: the view's own (parent NULL), a subquery in FROM or WITH, or a sublink. */
typedef struct SegmentLevel
{
	Query	   *query;
	struct SegmentLevel *parent;
	struct SegmentOccurrence **occurrences; /* by range table index - 1; NULL
											 * if no table */
	struct SegmentLevel **children; /* by range table index - 1; NULL if no
									 * subquery */
} SegmentLevel;

/* One table in one FROM list. */
typedef struct SegmentOccurrence
{
	SegmentLevel *level;
	int			rti;
	Oid			relid;
	bool		subject;		/* the subject itself, at the top */
	Bitmapset  *columns;		/* attribute numbers read */
	List	   *ties;			/* of SegmentTie * */
	struct SegmentTie *via;		/* path search: how this one was reached */
	bool		visited;
} SegmentOccurrence;

/*
 * "A change to this table matters only to rows of the other one whose column
 * has the same value": an equality that every result row obeys.
 */
typedef struct SegmentTie
{
	SegmentOccurrence *from;
	AttrNumber	fromColumn;
	SegmentOccurrence *to;
	AttrNumber	toColumn;
	bool		nullTouchesAll; /* NOT IN: a NULL in "from" matters to
								 * everybody */
	bool		firstOnly;		/* holds for "from" alone, not for tables tied
								 * to it */
} SegmentTie;

extern SegmentLevel *segment_scope_up(SegmentLevel *level, Index levelsup);

/* The operand below casts that change no value (integer widening, relabelling). */
extern Node *segment_scope_strip(Node *node);

/* "arg IS NOT NULL", of something that is no row */
extern Node *segment_scope_is_not_null(Node *arg);

/* The arguments of a call, with the defaults of those left out, which only the planner would put in. */
extern List *segment_scope_arguments(FuncExpr *call);

/* Would an equality on this output column be confined to the rows below that have the value? */
extern bool segment_touch_can_push_down(Query *query, TargetEntry *tle);

/* Record the ties that the FROM and WHERE of a level, its children built, give. */
extern void segment_touch_collect(SegmentLevel *level);

/* Record the ties of "operand IN (subquery)"; child is the subquery's level. */
extern void segment_touch_collect_in(SegmentLevel *level, SegmentLevel *child, SubLink *sublink,
									 bool positive, AttrNumber subjectKey);

/*
 * The shortest way from a table to the subject, as key and steps of
 * SegmentSource.  False when there is none: every change touches everybody.
 */
extern bool segment_touch_path(SegmentOccurrence *occurrence, AttrNumber subjectKey,
							   List *all, AttrNumber *key, bool *nullTouchesAll, List **steps);

#endif							/* SEGMENT_SCOPE_H */

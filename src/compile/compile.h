/*-------------------------------------------------------------------------
 *
 * compile.h
 *		What a condition means: the query, its sources, and who is touched
 *		when a source changes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_COMPILE_H
#define SEGMENT_COMPILE_H

#include "definition/definition.h"
#include "nodes/bitmapset.h"
#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"

/*
 * One step from a changed source towards the subject: the rows of "relid"
 * whose column "match" equals the keys so far, and then their column "next".
 */
typedef struct SegmentStep
{
	Oid			relid;
	AttrNumber	match;
	AttrNumber	next;
} SegmentStep;

/* One way in which a definition reads a table. */
typedef struct SegmentSource
{
	Oid			relid;
	Bitmapset  *columns;		/* attribute numbers read, all > 0; NULL =
								 * rows count, no column */
	AttrNumber	key;			/* column whose values are recorded; 0 =
								 * everybody */
	bool		nullTouchesAll;
	List	   *steps;			/* of SegmentStep: keys -> subject ids; NIL =
								 * the keys are the subject ids */
	char	   *reason;			/* why everybody, for the NOTICE; NULL if not */
} SegmentSource;

/* How often an expression of the clock alone may change. */
typedef enum SegmentGrain
{
	GRAIN_DAY,					/* at local midnights */
	GRAIN_EVENING,				/* and an hour before them */
	GRAIN_QUARTER,				/* at quarters of an hour, as all offsets of
								 * zones are multiples of that */
	GRAIN_MINUTE
} SegmentGrain;

/* An expression of the clock alone, such as date_trunc('week', now()). */
typedef struct SegmentInstant
{
	Node	   *expr;
	SegmentGrain grain;
} SegmentInstant;

/* A compiled segment, made from the rule of its view. */
typedef struct SegmentCompiled
{
	Oid			viewId;			/* InvalidOid while only previewed */
	int32		id;				/* first argument of segment.holds() */
	Oid			owner;
	Oid			subject;
	AttrNumber	keyAttno;
	Oid			keyType;		/* INT2OID, INT4OID or INT8OID */
	Query	   *query;			/* the view's query: one FROM item, the
								 * subject */
	int			subjectVarno;	/* its range table index */
	Node	   *condition;		/* third argument of segment.holds() */
	List	   *sources;		/* of SegmentSource *, the subject table first */
	List	   *inner;			/* view OIDs read by in_segment, each once */
	bool		readsClock;		/* itself, not counting inner */
	List	   *flips;			/* of Node *, timestamptz: when a comparison
								 * of this subject's rows with the clock may
								 * next change; refers to the subject as
								 * condition does */
	List	   *instants;		/* of SegmentInstant *: change for everybody */
	bool		opaqueClock;	/* reads the clock in some other way too */
	uint64		fingerprint;	/* of the stored tree and the functions it
								 * calls */
} SegmentCompiled;

/*
 * The query of a segment's view: SELECT every column FROM subject WHERE
 * segment.holds(id, key, condition), as a raw parse tree ready for parse
 * analysis or DefineView.  Aggregates over linked sources have become
 * correlated subqueries, in_segment('x') segment.contains('x', key).
 * subject must be locked by the caller.  Errors carry positions in
 * condition->text (push_error_text is the caller's).
 */
extern SelectStmt *segment_compile_raw(int32 id, Oid subject, RangeVar *subjectName,
									   const SegmentCondition *condition);

/* What the current user's segment of this definition would be; registered nowhere. */
extern SegmentCompiled *segment_compile_definition(const SegmentDefinitionText *definition);

/*
 * Analyse a query made by segment_compile_raw (after parse analysis) or read
 * back from a view's rule; the query is used, not copied.  With a text
 * everything that may not be in a definition is refused, with its position in
 * that text; NULL trusts the query.  Returns NULL when the query is not that
 * of a segment (no segment.holds() at the top of WHERE).
 */
extern SegmentCompiled *segment_compile_query(Query *query, Oid owner, const char *text);

/*
 * Find out how the condition, or a part of it, depends on the clock: fills
 * flips, instants and opaqueClock of "compiled".  With a text, what cannot be
 * analysed is refused with its position.
 */
extern void segment_compile_clock(SegmentCompiled *compiled, Node *part, const char *text);

/* NOTICEs about sources whose changes touch everybody. */
extern void segment_compile_notices(const SegmentCompiled *compiled);

/* The captures (capture/capture.h) a compiled segment needs on one of its sources. */
extern List *segment_compile_captures(const SegmentCompiled *compiled, Oid relid);

/* The condition as definition text under the current search_path, aggregates in their short form. */
extern char *segment_compile_print_condition(const SegmentCompiled *compiled);

/* The same for a part of the condition. */
extern char *segment_compile_print_part(const SegmentCompiled *compiled, Node *part);

/* May a role read these columns of a table (none: any one column)? */
extern bool segment_compile_may_select(Oid relid, Oid owner, const Bitmapset *columns);

/* May the owner read the sources, no row security in his way, and the segments referred to? */
extern bool segment_compile_may_read(const SegmentCompiled *compiled);

#endif							/* SEGMENT_COMPILE_H */

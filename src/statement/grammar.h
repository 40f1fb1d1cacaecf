/*-------------------------------------------------------------------------
 *
 * grammar.h
 *		Statements of the language "segment", parsed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_GRAMMAR_H
#define SEGMENT_GRAMMAR_H

#include "definition/definition.h"
#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"

typedef enum SegmentStatementKind
{
	SEGMENT_CREATE,
	SEGMENT_ALTER_CONDITION,	/* WHERE or AS */
	SEGMENT_ALTER_OPTIONS,		/* SET or RESET */
	SEGMENT_ALTER_RENAME,
	SEGMENT_ALTER_OWNER,
	SEGMENT_ALTER_SCHEMA,
	SEGMENT_ALTER_ENABLE,
	SEGMENT_ALTER_DISABLE,
	SEGMENT_ALTER_HOOK,			/* ON ENTER, ON EXIT */
	SEGMENT_DROP,
	SEGMENT_REFRESH,
	SEGMENT_COMMENT,
	SEGMENT_CREATE_LINK,
	SEGMENT_DROP_LINK
} SegmentStatementKind;

/* One name = value of WITH, SET or RESET. */
typedef struct SegmentOption
{
	char	   *name;
	char	   *value;			/* NULL: back to the default */
	int			location;		/* byte offset in the text, -1 unknown */
} SegmentOption;

typedef struct SegmentStatement
{
	SegmentStatementKind kind;
	const char *tag;			/* "CREATE SEGMENT" */
	const char *text;			/* the whole text, for positions */
	RangeVar   *name;			/* of the segment; of the source of a link */
	List	   *names;			/* of RangeVar *: DROP, REFRESH (NIL = ALL);
								 * of char *: arguments of a hook */
	bool		replace;		/* OR REPLACE */
	bool		lenient;		/* IF EXISTS, IF NOT EXISTS */
	bool		cascade;
	RangeVar   *table;			/* ON table; the target of a link; the
								 * function of a hook; NULL for AS and DO
								 * NOTHING */
	SegmentCondition condition; /* raw is NULL when there is none */
	List	   *operands;		/* AS: RangeVar * of the segments named */
	List	   *options;		/* of SegmentOption * */
	char	   *string;			/* new name or schema, comment (may be NULL),
								 * column of a link, "enter" or "exit" */
	int			stringLocation;
	char	   *key;			/* key column of a link, NULL = the primary
								 * key */
	int			keyLocation;
	RoleSpec   *role;			/* OWNER TO */
} SegmentStatement;

/*
 * The statements of a text, separated by semicolons: list of SegmentStatement *.
 * Nothing is looked up.  Errors: ERRCODE_SYNTAX_ERROR with a position, which
 * the caller has pushed the text for.
 */
extern List *segment_statement_parse(const char *text);

#endif							/* SEGMENT_GRAMMAR_H */

/*-------------------------------------------------------------------------
 *
 * scan.h
 *		Tokens of a segment's statement or definition, from PostgreSQL's own scanner.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_SCAN_H
#define SEGMENT_SCAN_H

#include "compat.h"
#include "nodes/pg_list.h"
#include "nodes/primnodes.h"

/* Kinds of tokens; single characters stand for themselves. */
typedef enum SegmentTokenKind
{
	SEGMENT_TOKEN_END = 0,		/* end of the text */
	SEGMENT_TOKEN_NAME = 1000,	/* identifier, quoted or not, Unicode escapes
								 * resolved */
	SEGMENT_TOKEN_KEYWORD,		/* any of PostgreSQL's keywords */
	SEGMENT_TOKEN_STRING,		/* string constant of any quoting */
	SEGMENT_TOKEN_NUMBER,		/* integer or numeric constant, value as
								 * written */
	SEGMENT_TOKEN_OPERATOR,		/* operator of several characters, or one of &
								 * | ! ... */
	SEGMENT_TOKEN_OTHER			/* anything else that SQL has */
} SegmentTokenKind;

typedef struct SegmentToken
{
	int			kind;			/* SegmentTokenKind, or a character */
	int			start;			/* byte offset in the text */
	int			end;			/* byte offset just behind it */
	bool		word;			/* an unquoted name or a keyword: may be one
								 * of our words */
	const char *value;			/* name, keyword, string, number or operator */
	int			category;		/* of a keyword, see common/keywords.h */
} SegmentToken;

/*
 * All tokens of a text; the last one is SEGMENT_TOKEN_END.  Errors (an
 * unterminated string) carry errposition() in text; the caller pushes it with
 * segment_definition_push_error_text().
 */
extern SegmentToken *segment_definition_scan(const char *text);

/* Is this token the word (lower case), not quoted? */
extern bool segment_definition_is_word(const SegmentToken *token, const char *word);

/* May this token name a table, a column or a role (what the grammar calls ColId)? */
extern bool segment_definition_is_name(const SegmentToken *token);

/*
 * Read a name, schema-qualified or not, at *token and move *token behind it.
 * Returns a RangeVar with its location set; hint is that of the error if there
 * is no name.
 */
extern RangeVar *segment_definition_scan_name(const char *text, const SegmentToken **token,
											  const char *hint);

/* syntax error at or near this token; hint may be NULL */
pg_noreturn extern void segment_definition_syntax_error(const char *text, const SegmentToken *token,
														const char *hint);

/* errposition() for a byte offset in text */
extern int	segment_definition_position(const char *text, int offset);

#endif							/* SEGMENT_SCAN_H */

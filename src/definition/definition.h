/*-------------------------------------------------------------------------
 *
 * definition.h
 *		segment.definition: the text that says who belongs, as a value.
 *
 * Text form: ON [schema.]table WHERE condition.  The input function knows
 * syntax only, no catalogs: what the names mean is decided when a segment is
 * created (compile/).  Stored as text (a varlena laid out like text).
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_DEFINITION_H
#define SEGMENT_DEFINITION_H

#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"

/*
 * A condition as written.  "text" is the whole text it was found in (the DO
 * block, or the definition), so that every location in the raw tree and every
 * error position counts from its start.
 */
typedef struct SegmentCondition
{
	const char *text;			/* everything, NUL-terminated */
	int			start;			/* byte offset of the condition */
	int			end;			/* byte offset just behind it */
	Node	   *raw;			/* raw parse tree of the one expression */
} SegmentCondition;

/* A parsed definition: the subject table as written, and the condition. */
typedef struct SegmentDefinitionText
{
	RangeVar   *subject;		/* location set */
	SegmentCondition condition;
} SegmentDefinitionText;

/*
 * Parse text[start, end) as one condition with PostgreSQL's own grammar.  The
 * text is blanked around the condition, so locations are offsets into text.
 * Errors: ERRCODE_SYNTAX_ERROR with the position as internal position in text.
 */
extern SegmentCondition segment_definition_parse_condition(const char *text, int start, int end);

/* Parse "ON table WHERE condition".  Same errors. */
extern SegmentDefinitionText segment_definition_parse(const char *text);

/* The stored form of a definition made from these parts: "ON table WHERE condition". */
extern Datum segment_definition_make(RangeVar *subject, const char *condition);

/*
 * Errors raised while these are in force report positions inside "text" as
 * internal query + internal position.  Push before analysing a condition, pop after.
 */
extern void segment_definition_push_error_text(const char *text);
extern void segment_definition_pop_error_text(void);

#endif							/* SEGMENT_DEFINITION_H */

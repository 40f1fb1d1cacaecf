/*-------------------------------------------------------------------------
 *
 * parse.c
 *		From text to the raw tree of a condition.
 *
 * A condition is parsed by PostgreSQL's grammar in the mode that PL/pgSQL uses
 * for its expressions.  That mode takes everything that may follow SELECT, so
 * whatever is not one bare expression is refused afterwards.  The grammar sees
 * a copy of the whole text, blanked before the condition and cut behind it:
 * every location in the tree is thereby an offset in the whole text.
 *
 * No catalog is read here: what the names mean is compile/'s business.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "commands/portalcmds.h"
#include "mb/pg_wchar.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/portal.h"

#include "definition/definition.h"
#include "definition/scan.h"

/* A text in force; its address tells nested ones apart. */
typedef struct ErrorText
{
	ErrorContextCallback callback;
	const char *text;
} ErrorText;

/* The part of a text that a blanked copy keeps. */
typedef struct BlankedText
{
	const char *text;
	int			start;
} BlankedText;

/* Is this very text the block of the DO statement that the client has sent? */
static bool
is_top_level_block(const char *text)
{
	PlannedStmt *planned;
	ListCell   *lc;

	if (ActivePortal == NULL || ActivePortal->status != PORTAL_ACTIVE ||
		list_length(ActivePortal->stmts) != 1)
		return false;
	planned = linitial_node(PlannedStmt, ActivePortal->stmts);
	if (planned->utilityStmt == NULL || !IsA(planned->utilityStmt, DoStmt))
		return false;
	foreach(lc, ((DoStmt *) planned->utilityStmt)->args)
	{
		DefElem    *arg = lfirst_node(DefElem, lc);

		if (strcmp(arg->defname, "as") == 0)
			return strcmp(strVal(arg->arg), text) == 0;
	}
	return false;
}

/*
 * Say in words where the mistake is: a client shows one cursor only, and where
 * the text is a constant of its query, that is the beginning of the constant.
 * position: in characters, from 1.
 */
static void
describe_position(const char *text, int position)
{
	int			line = 1;
	int			character = 1;

	for (int i = 1; i < position && *text != '\0'; i++, text += pg_mblen(text))
	{
		character++;
		if (*text == '\n')
		{
			line++;
			character = 1;
		}
	}
	errcontext("line %d, character %d of the segment's text", line, character);
}

/*
 * Turn errposition() in our text into a position that the client can place: in
 * its own query when that is the DO block itself, else in an internal query.
 * Only the innermost of several nested callbacks may do it.
 */
static void
text_error_callback(void *arg)
{
	ErrorText  *mine = arg;
	const char *text = mine->text;
	int			position = geterrposition();

	for (ErrorContextCallback *inner = error_context_stack; inner != &mine->callback;
		 inner = inner->previous)
		if (inner->callback == text_error_callback)
			return;
	if (position <= 0 || getinternalerrposition() > 0)
		return;
	if (is_top_level_block(text) && function_parse_error_transpose(text))
		return;
	errposition(0);
	internalerrposition(position);
	internalerrquery(text);
	describe_position(text, position);
}

void
segment_definition_push_error_text(const char *text)
{
	ErrorText  *error = palloc(sizeof(ErrorText));

	error->text = text;
	error->callback.callback = text_error_callback;
	error->callback.arg = error;
	error->callback.previous = error_context_stack;
	error_context_stack = &error->callback;
}

void
segment_definition_pop_error_text(void)
{
	ErrorContextCallback *callback = error_context_stack;

	Assert(callback->callback == text_error_callback);
	error_context_stack = callback->previous;
	pfree(callback->arg);
}

/*
 * The grammar counts characters in the blanked copy, where a character before
 * the condition takes as many positions as it has bytes.
 */
static void
blanked_error_callback(void *arg)
{
	BlankedText *blanked = arg;
	int			position = geterrposition();

	if (position > blanked->start)
		errposition(position - blanked->start +
					pg_mbstrlen_with_len(blanked->text, blanked->start));
}

/* Spaces up to start, then text[start, end). */
static char *
blank(const char *text, int start, int end)
{
	char	   *copy = pnstrdup(text, end);

	memset(copy, ' ', start);
	return copy;
}

static SelectStmt *
parse_blanked(const char *text, int start, int end)
{
	BlankedText blanked = {.text = text,.start = start};
	ErrorContextCallback callback;
	List	   *list;

	callback.callback = blanked_error_callback;
	callback.arg = &blanked;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	list = raw_parser(blank(text, start, end), RAW_PARSE_PLPGSQL_EXPR);
	error_context_stack = callback.previous;
	return castNode(SelectStmt, linitial_node(RawStmt, list)->stmt);
}

/*
 * Where, outside brackets, does the last of these words stand before offset
 * "before"?  With next given, only where that word follows.  -1 if nowhere.
 */
static int
find_word(const SegmentToken *tokens, const char *word, const char *next, int before)
{
	int			depth = 0;
	int			found = -1;

	for (const SegmentToken *t = tokens; t->kind != SEGMENT_TOKEN_END && t->start < before; t++)
	{
		if (t->kind == '(' || t->kind == '[')
			depth++;
		else if (t->kind == ')' || t->kind == ']')
			depth--;
		else if (depth == 0 && segment_definition_is_word(t, word) &&
				 (t == tokens || t[-1].kind != '.') &&
				 (next == NULL || segment_definition_is_word(t + 1, next)))
			found = t->start;
	}
	return found;
}

static void
refuse_clause(const char *text, int offset, const char *clause, const char *hint)
{
	ereport(ERROR,
			errcode(ERRCODE_SYNTAX_ERROR),
			errmsg("%s is not allowed in a segment's condition", clause),
			hint ? errhint("%s", hint) : 0,
			segment_definition_position(text, offset));
}

/* Refuse every clause that may follow the expression. */
static void
refuse_clauses(const char *text, const SegmentToken *tokens, SelectStmt *select)
{
	const char *subquery = "Write an aggregate over a linked table, as in sum(orders.amount), or a subquery in brackets.";

	if (select->distinctClause != NIL)
		refuse_clause(text, tokens->start, "DISTINCT", NULL);
	if (select->fromClause != NIL)
		refuse_clause(text, find_word(tokens, "from", NULL, exprLocation(linitial(select->fromClause))),
					  "FROM", subquery);
	if (select->whereClause != NULL)
		refuse_clause(text, find_word(tokens, "where", NULL, INT_MAX), "a second WHERE",
					  "Join the conditions with AND.");
	if (select->groupClause != NIL)
		refuse_clause(text, find_word(tokens, "group", "by", INT_MAX), "GROUP BY",
					  "Aggregates over linked tables are grouped by subject without being told.");
	if (select->havingClause != NULL)
		refuse_clause(text, find_word(tokens, "having", NULL, INT_MAX), "HAVING",
					  "Aggregates may stand in the condition itself.");
	if (select->windowClause != NIL)
		refuse_clause(text, find_word(tokens, "window", NULL, INT_MAX), "WINDOW", subquery);
	if (select->sortClause != NIL)
		refuse_clause(text, find_word(tokens, "order", "by", INT_MAX), "ORDER BY",
					  "A segment has no order.");
	if (select->limitOffset != NULL || select->limitCount != NULL)
	{
		int			offset = find_word(tokens, "limit", NULL, INT_MAX);

		if (offset < 0)
			offset = find_word(tokens, "fetch", NULL, INT_MAX);
		if (offset < 0)
			offset = find_word(tokens, "offset", NULL, INT_MAX);
		refuse_clause(text, offset, select->limitCount ? "LIMIT" : "OFFSET",
					  "Write id IN (SELECT ... ORDER BY ... LIMIT ...) with a subquery.");
	}
	if (select->lockingClause != NIL)
		refuse_clause(text, find_word(tokens, "for", NULL, INT_MAX), "FOR UPDATE/SHARE", NULL);
}

/* The one expression of a target list. */
static Node *
single_expression(const char *text, const SegmentToken *tokens, SelectStmt *select)
{
	ResTarget  *target;
	const SegmentToken *last = tokens;

	while (last->kind != SEGMENT_TOKEN_END)
		last++;
	if (select->targetList == NIL)
		segment_definition_syntax_error(text, last, "A condition is an expression with a boolean value.");
	if (list_length(select->targetList) > 1)
		ereport(ERROR,
				errcode(ERRCODE_SYNTAX_ERROR),
				errmsg("a segment has one condition"),
				errhint("Join conditions with AND or OR."),
				segment_definition_position(text, lsecond_node(ResTarget, select->targetList)->location));
	target = linitial_node(ResTarget, select->targetList);
	if (target->name != NULL)
		segment_definition_syntax_error(text, last - 1, "Join conditions with AND or OR.");
	if (IsA(target->val, ColumnRef) && IsA(llast(((ColumnRef *) target->val)->fields), A_Star))
		refuse_clause(text, target->location, "\"*\"",
					  "A condition is an expression with a boolean value.");
	return target->val;
}

SegmentCondition
segment_definition_parse_condition(const char *text, int start, int end)
{
	SegmentCondition condition = {.text = text,.start = start,.end = end};
	SelectStmt *select;
	SegmentToken *tokens;

	segment_definition_push_error_text(text);
	select = parse_blanked(text, start, end);
	/* the copy is cut at end, so offsets and characters count as in text */
	tokens = segment_definition_scan(blank(text, start, end));
	refuse_clauses(text, tokens, select);
	condition.raw = single_expression(text, tokens, select);
	segment_definition_pop_error_text();
	return condition;
}

SegmentDefinitionText
segment_definition_parse(const char *text)
{
	SegmentDefinitionText result = {0};
	const SegmentToken *token;
	const SegmentToken *last;

	segment_definition_push_error_text(text);
	token = segment_definition_scan(text);
	if (!segment_definition_is_word(token, "on"))
		segment_definition_syntax_error(text, token, "A definition is written ON table WHERE condition.");
	token++;
	result.subject = segment_definition_scan_name(text, &token, "ON is followed by the subject table.");
	if (!segment_definition_is_word(token, "where"))
		segment_definition_syntax_error(text, token, "A definition is written ON table WHERE condition.");
	token++;
	for (last = token; last->kind != SEGMENT_TOKEN_END; last++)
		if (last->kind == ';')
			segment_definition_syntax_error(text, last, "A definition ends with its condition.");
	if (last == token)
		segment_definition_syntax_error(text, token, "A condition is an expression with a boolean value.");
	result.condition = segment_definition_parse_condition(text, token->start, last[-1].end);
	segment_definition_pop_error_text();
	return result;
}

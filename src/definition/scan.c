/*-------------------------------------------------------------------------
 *
 * scan.c
 *		Tokens of a segment's statement or definition.
 *
 * The scanner is PostgreSQL's (core_yylex), so quoting, comments, dollar
 * quotes and keywords are what they are everywhere in SQL.  It is given a
 * keyword table of its own, in which every keyword has the same code: the
 * codes of the grammar are not exported, and its spelling says more anyway.
 *
 * The scanner leaves U&"..." and U&'...' undecoded; the grammar decodes them
 * with the UESCAPE that may follow.  Here the grammar is asked to do just that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/keywords.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "nodes/value.h"
#include "parser/parser.h"
#include "parser/scanner.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "compat.h"
#include "definition/scan.h"

/*
 * Token codes of every parser built on the core scanner, fixed by the comment
 * in parser/scanner.h.
 */
enum
{
	CORE_IDENT = 258,
	CORE_UIDENT,
	CORE_FCONST,
	CORE_SCONST,
	CORE_USCONST,
	CORE_BCONST,
	CORE_XCONST,
	CORE_OP,
	CORE_ICONST,
	CORE_PARAM
};

/* Code of every keyword in our own table; the scanner has no token there. */
#define CORE_KEYWORD 60000

/* Where a piece handed to the grammar comes from. */
typedef struct PieceErrorContext
{
	const char *text;
	int			start;			/* byte offset of the piece in text */
	int			prefix;			/* ASCII characters put before it */
} PieceErrorContext;

int
segment_definition_position(const char *text, int offset)
{
	if (offset < 0)
		return 0;
	return errposition(pg_mbstrlen_with_len(text, offset) + 1);
}

void
segment_definition_syntax_error(const char *text, const SegmentToken *token, const char *hint)
{
	if (token->kind == SEGMENT_TOKEN_END)
		ereport(ERROR,
				errcode(ERRCODE_SYNTAX_ERROR),
				errmsg("syntax error at end of input"),
				hint ? errhint("%s", hint) : 0,
				segment_definition_position(text, token->start));
	ereport(ERROR,
			errcode(ERRCODE_SYNTAX_ERROR),
			errmsg("syntax error at or near \"%s\"",
				   pnstrdup(text + token->start, token->end - token->start)),
			hint ? errhint("%s", hint) : 0,
			segment_definition_position(text, token->start));
	pg_unreachable();
}

static const uint16 *
keyword_codes(void)
{
	static uint16 *codes = NULL;

	if (codes == NULL)
	{
		codes = MemoryContextAlloc(TopMemoryContext, sizeof(uint16) * ScanKeywords.num_keywords);
		for (int i = 0; i < ScanKeywords.num_keywords; i++)
			codes[i] = CORE_KEYWORD;
	}
	return codes;
}

/* A position in the piece becomes one in the text. */
static void
piece_error_callback(void *arg)
{
	PieceErrorContext *piece = arg;
	int			position = geterrposition();

	if (position > 0)
		errposition(pg_mbstrlen_with_len(piece->text, piece->start) +
					Max(position - piece->prefix, 1));
}

/*
 * Decode text[start, end), a U& name or string, by letting the grammar parse it
 * as the label of a constant, or as a constant.
 */
static const char *
decode_unicode(const char *text, int start, int end, bool name)
{
	const char *prefix = name ? "1 " : "";
	char	   *query = psprintf("%s%s", prefix, pnstrdup(text + start, end - start));
	PieceErrorContext piece = {.text = text,.start = start,.prefix = strlen(prefix)};
	ErrorContextCallback callback;
	SelectStmt *select;
	ResTarget  *target;

	callback.callback = piece_error_callback;
	callback.arg = &piece;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	select = (SelectStmt *) linitial_node(RawStmt, raw_parser(query, RAW_PARSE_PLPGSQL_EXPR))->stmt;
	error_context_stack = callback.previous;

	target = linitial_node(ResTarget, select->targetList);
	if (name)
		return target->name;
	return segment_compat_string(castNode(A_Const, target->val));
}

/* Fill in what kind of token the scanner has returned. */
static void
classify(SegmentToken *token, int code, const core_YYSTYPE *value)
{
	switch (code)
	{
		case CORE_IDENT:
			token->kind = SEGMENT_TOKEN_NAME;
			token->value = value->str;
			break;
		case CORE_SCONST:
			token->kind = SEGMENT_TOKEN_STRING;
			token->value = value->str;
			break;
		case CORE_FCONST:
			token->kind = SEGMENT_TOKEN_NUMBER;
			token->value = value->str;
			break;
		case CORE_ICONST:
			token->kind = SEGMENT_TOKEN_NUMBER;
			token->value = psprintf("%d", value->ival);
			break;
		case CORE_OP:
			token->kind = SEGMENT_TOKEN_OPERATOR;
			token->value = value->str;
			break;
		case CORE_KEYWORD:
			token->kind = SEGMENT_TOKEN_KEYWORD;
			token->value = value->keyword;
			token->category = ScanKeywordCategories[ScanKeywordLookup(value->keyword, &ScanKeywords)];
			break;
		default:
			token->kind = code < 256 ? code : SEGMENT_TOKEN_OTHER;
			break;
	}
}

/* Decode U& tokens, taking up UESCAPE '.' behind them; returns the number of tokens left. */
static int
resolve_unicode(const char *text, SegmentToken *tokens, int *codes, int n)
{
	int			out = 0;

	for (int i = 0; i < n; i++)
	{
		SegmentToken token = tokens[i];
		int			code = codes[i];

		if (code == CORE_UIDENT || code == CORE_USCONST)
		{
			if (i + 2 < n && codes[i + 1] == CORE_KEYWORD &&
				strcmp(tokens[i + 1].value, "uescape") == 0 && codes[i + 2] == CORE_SCONST)
			{
				token.end = tokens[i + 2].end;
				i += 2;
			}
			token.kind = code == CORE_UIDENT ? SEGMENT_TOKEN_NAME : SEGMENT_TOKEN_STRING;
			token.value = decode_unicode(text, token.start, token.end, code == CORE_UIDENT);
		}
		tokens[out++] = token;
	}
	return out;
}

SegmentToken *
segment_definition_scan(const char *text)
{
	core_yy_extra_type extra;
	core_yyscan_t scanner = scanner_init(text, &extra, &ScanKeywords, keyword_codes());
	int			capacity = 64;
	int			n = 0;
	SegmentToken *tokens = palloc(capacity * sizeof(SegmentToken));
	int		   *codes = palloc(capacity * sizeof(int));

	do
	{
		core_YYSTYPE value;
		YYLTYPE		location;
		SegmentToken *token;

		if (n == capacity)
		{
			capacity *= 2;
			tokens = repalloc_huge(tokens, capacity * sizeof(SegmentToken));
			codes = repalloc_huge(codes, capacity * sizeof(int));
		}
		codes[n] = core_yylex(&value, &location, scanner);
		token = &tokens[n];
		memset(token, 0, sizeof(SegmentToken));
		token->start = location;
		/* the scanner keeps a NUL behind the token it has just returned */
		token->end = codes[n] == 0 ? location : location + strlen(extra.scanbuf + location);
		classify(token, codes[n], &value);
		token->word = codes[n] == CORE_KEYWORD ||
			(codes[n] == CORE_IDENT && text[location] != '"');
	} while (codes[n++] != 0);
	scanner_finish(scanner);

	resolve_unicode(text, tokens, codes, n);
	pfree(codes);
	return tokens;
}

bool
segment_definition_is_word(const SegmentToken *token, const char *word)
{
	return token->word && strcmp(token->value, word) == 0;
}

bool
segment_definition_is_name(const SegmentToken *token)
{
	return token->kind == SEGMENT_TOKEN_NAME ||
		(token->kind == SEGMENT_TOKEN_KEYWORD &&
		 (token->category == UNRESERVED_KEYWORD || token->category == COL_NAME_KEYWORD));
}

RangeVar *
segment_definition_scan_name(const char *text, const SegmentToken **token, const char *hint)
{
	const SegmentToken *t = *token;
	const SegmentToken *first = t;
	List	   *names;
	RangeVar   *result;

	if (!segment_definition_is_name(t))
		segment_definition_syntax_error(text, t, hint);
	names = list_make1(makeString(pstrdup(t->value)));
	t++;
	while (t->kind == '.')
	{
		t++;
		if (t->kind != SEGMENT_TOKEN_NAME && t->kind != SEGMENT_TOKEN_KEYWORD)
			segment_definition_syntax_error(text, t, hint);
		names = lappend(names, makeString(pstrdup(t->value)));
		t++;
	}
	if (list_length(names) > 3)
		ereport(ERROR,
				errcode(ERRCODE_SYNTAX_ERROR),
				errmsg("improper qualified name (too many dotted names): %s",
					   pnstrdup(text + first->start, t[-1].end - first->start)),
				segment_definition_position(text, first->start));
	result = makeRangeVar(NULL, strVal(llast(names)), first->start);
	if (list_length(names) > 1)
		result->schemaname = strVal(list_nth(names, list_length(names) - 2));
	if (list_length(names) > 2)
		result->catalogname = strVal(linitial(names));
	*token = t;
	return result;
}

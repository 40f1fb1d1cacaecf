/*-------------------------------------------------------------------------
 *
 * grammar.c
 *		Statements of the language "segment".
 *
 *	CREATE [OR REPLACE] SEGMENT [IF NOT EXISTS] name
 *		{ ON table [WITH (option = value, ...)] WHERE condition
 *		| [WITH (...)] AS expression }
 *	ALTER SEGMENT [IF EXISTS] name
 *		{ WHERE condition | AS expression | SET (option = value, ...) | RESET (option, ...)
 *		| RENAME TO name | OWNER TO role | SET SCHEMA name | ENABLE | DISABLE
 *		| ON { ENTER | EXIT } { EXECUTE FUNCTION name ( ['text', ...] ) | DO NOTHING } }
 *	DROP SEGMENT [IF EXISTS] name [, ...] [CASCADE | RESTRICT]
 *	REFRESH SEGMENT { name [, ...] | ALL }
 *	COMMENT ON SEGMENT name IS { 'text' | NULL }
 *	CREATE LINK ON source (column) REFERENCES table [(key)]
 *	DROP LINK [IF EXISTS] ON source REFERENCES table [CASCADE | RESTRICT]
 *
 * A hand-written descent over the tokens, one function per rule.  Conditions
 * are cut out (a semicolon ends them) and given to definition/.  An expression
 * over segments becomes the raw tree of a condition made of in_segment()s:
 *
 *	expression:	operand [op operand]...		all the same op; else brackets
 *	operand:	name | ( expression )
 *	op:			&  (AND)	|  (OR)		-  (AND NOT)
 *
 * Every error says where it is and what was possible there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"

#include "definition/scan.h"
#include "statement/grammar.h"

#define STATEMENTS \
	"Statements are CREATE SEGMENT, ALTER SEGMENT, DROP SEGMENT, REFRESH SEGMENT, COMMENT ON SEGMENT, CREATE LINK and DROP LINK."
#define SEGMENT_NAME "A segment's name is expected here."
#define TABLE_NAME "A table's name is expected here."
#define COLUMN_NAME "A column's name is expected here."
#define CREATE_FORMS \
	"Write CREATE SEGMENT name ON table WHERE condition, or CREATE SEGMENT name AS expression over other segments."
#define ALTER_FORMS \
	"ALTER SEGMENT name is followed by WHERE, AS, SET, RESET, RENAME TO, OWNER TO, SET SCHEMA, ENABLE, DISABLE, ON ENTER or ON EXIT."
#define HOOK_FORMS \
	"Write ON ENTER (or ON EXIT) EXECUTE FUNCTION name('text', ...), or ON ENTER DO NOTHING."

typedef struct Parser
{
	const char *text;
	const SegmentToken *token;	/* the next one */
	SegmentStatement *statement;	/* being parsed */
} Parser;

static Node *parse_operands(Parser *parser);

static void
fail(Parser *parser, const char *hint)
{
	segment_definition_syntax_error(parser->text, parser->token, hint);
}

/* Skip the word if it is next; says whether it was. */
static bool
accept_word(Parser *parser, const char *word)
{
	if (!segment_definition_is_word(parser->token, word))
		return false;
	parser->token++;
	return true;
}

/* Both words, or nothing. */
static bool
accept_words(Parser *parser, const char *first, const char *second)
{
	if (!segment_definition_is_word(parser->token, first) ||
		!segment_definition_is_word(parser->token + 1, second))
		return false;
	parser->token += 2;
	return true;
}

static void
expect_word(Parser *parser, const char *word, const char *hint)
{
	if (!accept_word(parser, word))
		fail(parser, hint);
}

static bool
accept_char(Parser *parser, int c)
{
	if (parser->token->kind != c)
		return false;
	parser->token++;
	return true;
}

static void
expect_char(Parser *parser, int c, const char *hint)
{
	if (!accept_char(parser, c))
		fail(parser, hint);
}

static bool
at_end(Parser *parser)
{
	return parser->token->kind == ';' || parser->token->kind == SEGMENT_TOKEN_END;
}

static RangeVar *
parse_name(Parser *parser, const char *hint)
{
	return segment_definition_scan_name(parser->text, &parser->token, hint);
}

static List *
parse_names(Parser *parser, const char *hint)
{
	List	   *names = NIL;

	do
		names = lappend(names, parse_name(parser, hint));
	while (accept_char(parser, ','));
	return names;
}

/* A name without dots. */
static char *
parse_identifier(Parser *parser, int *location, const char *hint)
{
	if (!segment_definition_is_name(parser->token))
		fail(parser, hint);
	*location = parser->token->start;
	return pstrdup((parser->token++)->value);
}

/* WHERE has been read: the condition goes on to the end of the statement. */
static void
parse_condition(Parser *parser)
{
	const SegmentToken *first = parser->token;

	if (at_end(parser))
		fail(parser, "WHERE is followed by an expression with a boolean value.");
	while (!at_end(parser))
		parser->token++;
	parser->statement->condition =
		segment_definition_parse_condition(parser->text, first->start, parser->token[-1].end);
}

/* in_segment('name') as a raw tree, located at the name. */
static Node *
make_in_segment(RangeVar *name)
{
	A_Const    *constant = makeNode(A_Const);

	constant->val.sval.type = T_String;
	constant->val.sval.sval = quote_qualified_identifier(name->schemaname, name->relname);
	constant->location = name->location;
	return (Node *) makeFuncCall(list_make2(makeString("segment"), makeString("in_segment")),
								 list_make1(constant), COERCE_EXPLICIT_CALL, name->location);
}

static Node *
parse_operand(Parser *parser)
{
	RangeVar   *name;

	if (accept_char(parser, '('))
	{
		Node	   *inner = parse_operands(parser);

		expect_char(parser, ')', "Segments are combined with & (and), | (or) and - (without).");
		return inner;
	}
	if (parser->token->kind == SEGMENT_TOKEN_OPERATOR && strcmp(parser->token->value, "!") == 0)
		fail(parser, "There is no complement here: write \"all - vip\" with a segment of everybody, or WHERE NOT in_segment('vip').");
	name = parse_name(parser, "A segment's name or an expression in brackets is expected here.");
	parser->statement->operands = lappend(parser->statement->operands, name);
	return make_in_segment(name);
}

/* Which operator between segments is next?  0 if none. */
static char
peek_operator(Parser *parser)
{
	if (parser->token->kind == '-')
		return '-';
	if (parser->token->kind == SEGMENT_TOKEN_OPERATOR &&
		(strcmp(parser->token->value, "&") == 0 || strcmp(parser->token->value, "|") == 0))
		return parser->token->value[0];
	return 0;
}

static Node *
combine(char op, Node *left, Node *right, int location)
{
	if (op == '-')
		right = (Node *) makeBoolExpr(NOT_EXPR, list_make1(right), location);
	return (Node *) makeBoolExpr(op == '|' ? OR_EXPR : AND_EXPR, list_make2(left, right), location);
}

static Node *
parse_operands(Parser *parser)
{
	Node	   *result;
	char		first = 0;
	char		op;

	check_stack_depth();
	result = parse_operand(parser);
	while ((op = peek_operator(parser)) != 0)
	{
		int			location = parser->token->start;

		if (first != 0 && op != first)
			ereport(ERROR,
					errcode(ERRCODE_SYNTAX_ERROR),
					errmsg("\"%c\" and \"%c\" need brackets between them", first, op),
					errdetail("No operator between segments binds tighter than another."),
					errhint("Write (a %c b) %c c, or a %c (b %c c).", first, op, first, op),
					segment_definition_position(parser->text, location));
		first = op;
		parser->token++;
		result = combine(op, result, parse_operand(parser), location);
	}
	return result;
}

/* AS has been read. */
static void
parse_composition(Parser *parser)
{
	SegmentCondition *condition = &parser->statement->condition;

	condition->text = parser->text;
	condition->start = parser->token->start;
	condition->raw = parse_operands(parser);
	condition->end = parser->token[-1].end;
	if (!at_end(parser))
		fail(parser, "Segments are combined with & (and), | (or) and - (without).");
}

/* The value of an option: a string, a number with its sign, or a bare word. */
static char *
parse_option_value(Parser *parser)
{
	bool		negative = accept_char(parser, '-');
	const SegmentToken *token = parser->token;

	switch (token->kind)
	{
		case SEGMENT_TOKEN_NUMBER:
			parser->token++;
			return psprintf("%s%s", negative ? "-" : "", token->value);
		case SEGMENT_TOKEN_STRING:
		case SEGMENT_TOKEN_NAME:
		case SEGMENT_TOKEN_KEYWORD:
			if (!negative)
			{
				parser->token++;
				return pstrdup(token->value);
			}
			break;
		default:
			break;
	}
	fail(parser, "An option's value is a string, a number or a word.");
	return NULL;
}

/* ( name [= value] [, ...] ) */
static List *
parse_options(Parser *parser, bool values)
{
	List	   *options = NIL;

	expect_char(parser, '(', values ? "Options are written (name = value, ...)." :
				"Options are written (name, ...).");
	do
	{
		SegmentOption *option = palloc0(sizeof(SegmentOption));

		option->name = parse_identifier(parser, &option->location, "An option's name is expected here.");
		if (values)
		{
			expect_char(parser, '=', "Options are written (name = value, ...).");
			option->value = parse_option_value(parser);
		}
		options = lappend(options, option);
	} while (accept_char(parser, ','));
	expect_char(parser, ')', values ? "Options are written (name = value, ...)." :
				"Options are written (name, ...).");
	return options;
}

static void
parse_create_segment(Parser *parser)
{
	SegmentStatement *statement = parser->statement;
	int			if_location = parser->token->start;

	statement->kind = SEGMENT_CREATE;
	statement->tag = "CREATE SEGMENT";
	if (accept_words(parser, "if", "not"))
	{
		expect_word(parser, "exists", "Write IF NOT EXISTS.");
		statement->lenient = true;
		if (statement->replace)
			ereport(ERROR,
					errcode(ERRCODE_SYNTAX_ERROR),
					errmsg("OR REPLACE and IF NOT EXISTS exclude each other"),
					segment_definition_position(parser->text, if_location));
	}
	statement->name = parse_name(parser, SEGMENT_NAME);
	if (accept_word(parser, "on"))
		statement->table = parse_name(parser, TABLE_NAME);
	if (accept_word(parser, "with"))
		statement->options = parse_options(parser, true);
	if (statement->table == NULL)
	{
		expect_word(parser, "as", CREATE_FORMS);
		parse_composition(parser);
		return;
	}
	expect_word(parser, "where", statement->options != NIL ?
				"ON table WITH (...) is followed by WHERE condition." :
				"ON table is followed by WITH (option = value, ...) or WHERE condition.");
	parse_condition(parser);
}

static void
parse_create_link(Parser *parser)
{
	SegmentStatement *statement = parser->statement;
	const char *form = "Write CREATE LINK ON source (column) REFERENCES table [(key)].";

	statement->kind = SEGMENT_CREATE_LINK;
	statement->tag = "CREATE LINK";
	expect_word(parser, "on", form);
	statement->name = parse_name(parser, TABLE_NAME);
	expect_char(parser, '(', form);
	statement->string = parse_identifier(parser, &statement->stringLocation, COLUMN_NAME);
	expect_char(parser, ')', "A link has one column.");
	expect_word(parser, "references", form);
	statement->table = parse_name(parser, TABLE_NAME);
	if (accept_char(parser, '('))
	{
		statement->key = parse_identifier(parser, &statement->keyLocation, COLUMN_NAME);
		expect_char(parser, ')', "A link has one key column.");
	}
}

static void
parse_create(Parser *parser)
{
	if (accept_word(parser, "or"))
	{
		expect_word(parser, "replace", "Write CREATE OR REPLACE SEGMENT.");
		parser->statement->replace = true;
	}
	if (accept_word(parser, "segment"))
		parse_create_segment(parser);
	else if (!parser->statement->replace && accept_word(parser, "link"))
		parse_create_link(parser);
	else
		fail(parser, parser->statement->replace ? "CREATE OR REPLACE is followed by SEGMENT." :
			 "CREATE is followed by SEGMENT, OR REPLACE SEGMENT or LINK. Other statements are written outside DO LANGUAGE segment.");
}

static RoleSpec *
parse_role(Parser *parser)
{
	RoleSpec   *role = makeNode(RoleSpec);

	role->location = parser->token->start;
	if (accept_word(parser, "current_user"))
		role->roletype = ROLESPEC_CURRENT_USER;
	else if (accept_word(parser, "current_role"))
		role->roletype = ROLESPEC_CURRENT_ROLE;
	else if (accept_word(parser, "session_user"))
		role->roletype = ROLESPEC_SESSION_USER;
	else
	{
		role->roletype = ROLESPEC_CSTRING;
		role->rolename = parse_identifier(parser, &role->location,
										  "OWNER TO is followed by a role, CURRENT_ROLE, CURRENT_USER or SESSION_USER.");
		if (strcmp(role->rolename, "public") == 0)
			role->roletype = ROLESPEC_PUBLIC;
	}
	return role;
}

/* ON has been read. */
static void
parse_hook(Parser *parser)
{
	SegmentStatement *statement = parser->statement;

	statement->kind = SEGMENT_ALTER_HOOK;
	if (accept_word(parser, "enter"))
		statement->string = "enter";
	else
	{
		expect_word(parser, "exit", HOOK_FORMS);
		statement->string = "exit";
	}
	if (accept_words(parser, "do", "nothing"))
		return;
	expect_word(parser, "execute", HOOK_FORMS);
	expect_word(parser, "function", HOOK_FORMS);
	statement->table = parse_name(parser, "A function's name is expected here.");
	expect_char(parser, '(', HOOK_FORMS);
	if (accept_char(parser, ')'))
		return;
	do
	{
		if (parser->token->kind != SEGMENT_TOKEN_STRING)
			fail(parser, "The arguments of a hook are strings; the ids come before them by themselves.");
		statement->names = lappend(statement->names, pstrdup((parser->token++)->value));
	} while (accept_char(parser, ','));
	expect_char(parser, ')', HOOK_FORMS);
}

static void
parse_alter(Parser *parser)
{
	SegmentStatement *statement = parser->statement;

	expect_word(parser, "segment", "ALTER is followed by SEGMENT.");
	statement->tag = "ALTER SEGMENT";
	statement->lenient = accept_words(parser, "if", "exists");
	statement->name = parse_name(parser, SEGMENT_NAME);
	if (accept_word(parser, "where"))
	{
		statement->kind = SEGMENT_ALTER_CONDITION;
		parse_condition(parser);
	}
	else if (accept_word(parser, "as"))
	{
		statement->kind = SEGMENT_ALTER_CONDITION;
		parse_composition(parser);
	}
	else if (accept_words(parser, "set", "schema"))
	{
		statement->kind = SEGMENT_ALTER_SCHEMA;
		statement->string = parse_identifier(parser, &statement->stringLocation,
											 "SET SCHEMA is followed by a schema's name.");
	}
	else if (accept_word(parser, "set"))
	{
		statement->kind = SEGMENT_ALTER_OPTIONS;
		if (parser->token->kind != '(')
			fail(parser, "SET is followed by (option = value, ...) or SCHEMA.");
		statement->options = parse_options(parser, true);
	}
	else if (accept_word(parser, "reset"))
	{
		statement->kind = SEGMENT_ALTER_OPTIONS;
		statement->options = parse_options(parser, false);
	}
	else if (accept_word(parser, "rename"))
	{
		statement->kind = SEGMENT_ALTER_RENAME;
		expect_word(parser, "to", "Write RENAME TO name.");
		statement->string = parse_identifier(parser, &statement->stringLocation, SEGMENT_NAME);
	}
	else if (accept_word(parser, "owner"))
	{
		statement->kind = SEGMENT_ALTER_OWNER;
		expect_word(parser, "to", "Write OWNER TO role.");
		statement->role = parse_role(parser);
	}
	else if (accept_word(parser, "enable"))
		statement->kind = SEGMENT_ALTER_ENABLE;
	else if (accept_word(parser, "disable"))
		statement->kind = SEGMENT_ALTER_DISABLE;
	else if (accept_word(parser, "on"))
		parse_hook(parser);
	else
		fail(parser, ALTER_FORMS);
}

static void
parse_drop_behavior(Parser *parser)
{
	parser->statement->cascade = accept_word(parser, "cascade");
	if (!parser->statement->cascade)
		accept_word(parser, "restrict");
}

static void
parse_drop(Parser *parser)
{
	SegmentStatement *statement = parser->statement;

	if (accept_word(parser, "link"))
	{
		const char *form = "Write DROP LINK ON source REFERENCES table.";

		statement->kind = SEGMENT_DROP_LINK;
		statement->tag = "DROP LINK";
		statement->lenient = accept_words(parser, "if", "exists");
		expect_word(parser, "on", form);
		statement->name = parse_name(parser, TABLE_NAME);
		expect_word(parser, "references", form);
		statement->table = parse_name(parser, TABLE_NAME);
	}
	else
	{
		expect_word(parser, "segment", "DROP is followed by SEGMENT or LINK.");
		statement->kind = SEGMENT_DROP;
		statement->tag = "DROP SEGMENT";
		statement->lenient = accept_words(parser, "if", "exists");
		statement->names = parse_names(parser, SEGMENT_NAME);
	}
	parse_drop_behavior(parser);
}

static void
parse_refresh(Parser *parser)
{
	expect_word(parser, "segment", "Write REFRESH SEGMENT name, or REFRESH SEGMENT ALL.");
	parser->statement->kind = SEGMENT_REFRESH;
	parser->statement->tag = "REFRESH SEGMENT";
	if (!accept_word(parser, "all"))
		parser->statement->names = parse_names(parser, "Write REFRESH SEGMENT name [, ...], or REFRESH SEGMENT ALL.");
}

static void
parse_comment(Parser *parser)
{
	SegmentStatement *statement = parser->statement;

	expect_word(parser, "on", "Write COMMENT ON SEGMENT name IS 'text'.");
	expect_word(parser, "segment", "Write COMMENT ON SEGMENT name IS 'text'.");
	statement->kind = SEGMENT_COMMENT;
	statement->tag = "COMMENT";
	statement->name = parse_name(parser, SEGMENT_NAME);
	expect_word(parser, "is", "Write COMMENT ON SEGMENT name IS 'text'.");
	if (accept_word(parser, "null"))
		return;
	if (parser->token->kind != SEGMENT_TOKEN_STRING)
		fail(parser, "A comment is a string, or NULL to remove it.");
	statement->string = pstrdup((parser->token++)->value);
}

static SegmentStatement *
parse_statement(Parser *parser)
{
	SegmentStatement *statement = palloc0(sizeof(SegmentStatement));

	statement->text = parser->text;
	statement->stringLocation = statement->keyLocation = -1;
	parser->statement = statement;
	if (accept_word(parser, "create"))
		parse_create(parser);
	else if (accept_word(parser, "alter"))
		parse_alter(parser);
	else if (accept_word(parser, "drop"))
		parse_drop(parser);
	else if (accept_word(parser, "refresh"))
		parse_refresh(parser);
	else if (accept_word(parser, "comment"))
		parse_comment(parser);
	else
		fail(parser, STATEMENTS);
	if (!at_end(parser))
		fail(parser, "Statements are separated by semicolons.");
	return statement;
}

List *
segment_statement_parse(const char *text)
{
	Parser		parser = {.text = text,.token = segment_definition_scan(text)};
	List	   *statements = NIL;

	while (parser.token->kind != SEGMENT_TOKEN_END)
	{
		if (!accept_char(&parser, ';'))
			statements = lappend(statements, parse_statement(&parser));
	}
	return statements;
}

/*-------------------------------------------------------------------------
 *
 * hook.c
 *		ALTER SEGMENT ... ON ENTER | ON EXIT.
 *
 * The function is looked up when the statement runs, by the search_path of
 * whoever runs it, and must be one that the segment's owner may execute, since
 * it is the owner whom it will run as (refresh/hook.c).  It is kept by its full
 * name.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "catalog/query.h"
#include "catalog/registry.h"
#include "compat.h"
#include "definition/scan.h"
#include "refresh/hook.h"
#include "statement/statement.h"

/* The function f(segment.bitmap, text, ...) that the statement names. */
static Oid
find_function(SegmentStatement *statement)
{
	RangeVar   *name = statement->table;
	List	   *names = list_make1(makeString(name->relname));
	int			n = 1 + list_length(statement->names);
	Oid		   *types = palloc(sizeof(Oid) * n);
	Oid			function;

	if (name->schemaname)
		names = lcons(makeString(name->schemaname), names);
	types[0] = segment_query_bitmap_type();
	for (int i = 1; i < n; i++)
		types[i] = TEXTOID;
	function = LookupFuncName(names, n, types, true);
	if (!OidIsValid(function))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_FUNCTION),
				errmsg("function %s does not exist", func_signature_string(names, n, NIL, types)),
				errhint("A hook is called with a segment.bitmap, and a text for each argument that is given here."),
				segment_definition_position(statement->text, name->location));
	return function;
}

static void
check_function(SegmentStatement *statement, Oid function, Oid owner)
{
	if (get_func_prokind(function) != PROKIND_FUNCTION || get_func_retset(function))
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("\"%s\" cannot be a hook", get_func_name(function)),
				errdetail("A hook is a plain function, and returns no set."),
				segment_definition_position(statement->text, statement->table->location));
	if (!segment_compat_may_execute(function, owner))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("permission denied for function %s", get_func_name(function)),
				errdetail("The hook would run as \"%s\", the owner of the segment.", GetUserNameFromId(owner, false)),
				segment_definition_position(statement->text, statement->table->location));
}

/* The caller owns the segment. */
void
segment_statement_alter_hook(SegmentStatement *statement, Oid viewId)
{
	SegmentEntry *entry = segment_catalog_lookup(viewId);
	char		event = strcmp(statement->string, "enter") == 0 ? SEGMENT_HOOK_ENTER : SEGMENT_HOOK_EXIT;
	Oid			owner = segment_catalog_compiled(viewId, false)->owner;
	Oid			function;

	if (statement->table == NULL)
	{
		segment_hook_remove(entry->id, event);
		return;
	}
	function = find_function(statement);
	check_function(statement, function, owner);
	segment_hook_set(entry->id, event, owner, function, statement->names);
}

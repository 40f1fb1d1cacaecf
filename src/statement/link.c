/*-------------------------------------------------------------------------
 *
 * link.c
 *		CREATE LINK and DROP LINK: how rows of a table without a foreign key
 *		belong to subjects.
 *
 * A link decides how names in conditions created later are resolved, for
 * everybody.  So it takes the same rights as watching the table's writes does:
 * SELECT and TRIGGER on the source; and SELECT on the table it leads to.
 *
 * Segments made through a link have the equality in their rule and do not need
 * the link any more: DROP LINK changes no segment, with or without CASCADE.
 *
 * Locks: AccessShareLock on both tables.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_oper.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "catalog/registry.h"
#include "definition/scan.h"
#include "statement/statement.h"

/* A plain table on which the caller has these rights, locked. */
static Oid
find_table(const char *text, RangeVar *name, AclMode rights)
{
	Oid			relid = RangeVarGetRelid(name, AccessShareLock, true);

	if (!OidIsValid(relid))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation \"%s\" does not exist", segment_statement_name(name)),
				segment_definition_position(text, name->location));
	if (get_rel_relkind(relid) != RELKIND_RELATION || get_rel_persistence(relid) != RELPERSISTENCE_PERMANENT)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("\"%s\" cannot be linked: it is not an ordinary, permanent table", name->relname),
				segment_definition_position(text, name->location));
	if (pg_class_aclmask(relid, GetUserId(), rights, ACLMASK_ALL) != rights)
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("permission denied for table %s", name->relname),
				errdetail("A link takes SELECT and TRIGGER on its source, and SELECT on the table it leads to."),
				segment_definition_position(text, name->location));
	return relid;
}

static AttrNumber
find_column(const char *text, Oid relid, const char *column, int location)
{
	AttrNumber	attno = get_attnum(relid, column);

	if (attno == InvalidAttrNumber)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_COLUMN),
				errmsg("column \"%s\" of relation \"%s\" does not exist", column, get_rel_name(relid)),
				segment_definition_position(text, location));
	if (attno < 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				errmsg("system column \"%s\" cannot be used in a link", column),
				segment_definition_position(text, location));
	return attno;
}

/* The column of the primary key, which must be one. */
static AttrNumber
primary_key(const char *text, Oid relid, int location)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	Bitmapset  *key = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_PRIMARY_KEY);
	int			member = -1;

	if (bms_membership(key) != BMS_SINGLETON)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("table \"%s\" has no primary key of one column", RelationGetRelationName(rel)),
				errhint("Name the key: REFERENCES %s (column). It need not be unique.",
						quote_identifier(RelationGetRelationName(rel))),
				segment_definition_position(text, location));
	member = bms_next_member(key, member);
	relation_close(rel, NoLock);
	return member + FirstLowInvalidHeapAttributeNumber;
}

static void
check_types(const char *text, const SegmentLink *link, int location)
{
	Oid			left = get_atttype(link->source, link->column);
	Oid			right = get_atttype(link->target, link->key);

	if (!OidIsValid(compatible_oper_opid(list_make1(makeString("=")), left, right, true)))
		ereport(ERROR,
				errcode(ERRCODE_DATATYPE_MISMATCH),
				errmsg("columns \"%s\" and \"%s\" cannot be linked",
					   get_attname(link->source, link->column, false),
					   get_attname(link->target, link->key, false)),
				errdetail("Their types %s and %s have no equality operator.",
						  format_type_be(left), format_type_be(right)),
				segment_definition_position(text, location));
}

void
segment_statement_create_link(SegmentStatement *statement)
{
	const char *text = statement->text;
	SegmentLink link = {0};

	link.source = find_table(text, statement->name, ACL_SELECT | ACL_TRIGGER);
	link.column = find_column(text, link.source, statement->string, statement->stringLocation);
	link.target = find_table(text, statement->table, ACL_SELECT);
	link.key = statement->key ? find_column(text, link.target, statement->key, statement->keyLocation) :
		primary_key(text, link.target, statement->table->location);
	if (link.source == link.target && link.column == link.key)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				errmsg("column \"%s\" cannot be linked to itself", statement->string),
				segment_definition_position(text, statement->stringLocation));
	check_types(text, &link, statement->stringLocation);
	segment_catalog_insert_link(&link);
}

void
segment_statement_drop_link(SegmentStatement *statement)
{
	const char *text = statement->text;
	Oid			source = find_table(text, statement->name, ACL_SELECT | ACL_TRIGGER);
	Oid			target = find_table(text, statement->table, ACL_SELECT);

	if (segment_catalog_delete_link(source, target))
		return;
	if (!statement->lenient)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("there is no link from \"%s\" to \"%s\"", statement->name->relname, statement->table->relname),
				errhint("A foreign key is dropped with ALTER TABLE."),
				segment_definition_position(text, statement->name->location));
	ereport(NOTICE,
			errmsg("there is no link from \"%s\" to \"%s\", skipping",
				   statement->name->relname, statement->table->relname));
}

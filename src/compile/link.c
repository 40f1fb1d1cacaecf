/*-------------------------------------------------------------------------
 *
 * link.c
 *		How a source's rows belong to subjects: foreign keys and declared links.
 *
 * Links are looked up when a segment is created and never again: the hops
 * found become equalities in the view's query, and from then on those count.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

#include "catalog/registry.h"
#include "compile/link.h"

/* Longest chain of links followed from a source; schemas that need more are not known. */
#define MAX_HOPS 8

int
segment_compile_position(const char *text, int location)
{
	if (text == NULL || location < 0)
		return 0;
	return errposition(pg_mbstrlen_with_len(text, location) + 1);
}

static SegmentHop *
make_hop(Oid fromRel, AttrNumber fromColumn, Oid toRel, AttrNumber toColumn)
{
	SegmentHop *hop = palloc(sizeof(SegmentHop));

	hop->fromRel = fromRel;
	hop->fromColumn = fromColumn;
	hop->toRel = toRel;
	hop->toColumn = toColumn;
	return hop;
}

/* Single-column foreign keys of a table, as hops; a key declared twice counts once. */
static List *
foreign_keys(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	List	   *hops = NIL;
	ListCell   *lc;

	foreach(lc, RelationGetFKeyList(rel))
	{
		ForeignKeyCacheInfo *fk = lfirst(lc);
		ListCell   *lc2;
		bool		known = false;

		if (fk->nkeys != 1)
			continue;
		foreach(lc2, hops)
		{
			SegmentHop *hop = lfirst(lc2);

			if (hop->fromColumn == fk->conkey[0] && hop->toRel == fk->confrelid &&
				hop->toColumn == fk->confkey[0])
				known = true;
		}
		if (!known)
			hops = lappend(hops, make_hop(relid, fk->conkey[0],
										  fk->confrelid, fk->confkey[0]));
	}
	relation_close(rel, NoLock);
	return hops;
}

static List *
declared_links(Oid relid)
{
	List	   *hops = NIL;
	ListCell   *lc;

	foreach(lc, segment_catalog_links(relid))
	{
		SegmentLink *link = lfirst(lc);

		hops = lappend(hops, make_hop(relid, link->column, link->target, link->key));
	}
	return hops;
}

/*
 * Every path from a table to the subject: list of lists of hops.  visited
 * holds the tables already on the way.
 */
static List *
paths_from(Oid relid, Oid subject, List *visited)
{
	List	   *sets[2];
	List	   *paths = NIL;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (list_length(visited) >= MAX_HOPS)
		return NIL;
	visited = lappend_oid(list_copy(visited), relid);
	sets[0] = declared_links(relid);
	sets[1] = foreign_keys(relid);

	/* declared links win as soon as one of them leads to the subject */
	for (int i = 0; i < 2 && paths == NIL; i++)
	{
		ListCell   *lc;

		foreach(lc, sets[i])
		{
			SegmentHop *hop = lfirst(lc);
			ListCell   *lc2;

			if (hop->toRel == subject)
				paths = lappend(paths, list_make1(hop));
			else if (!list_member_oid(visited, hop->toRel))
				foreach(lc2, paths_from(hop->toRel, subject, visited))
					paths = lappend(paths, lcons(hop, lfirst(lc2)));
		}
	}
	return paths;
}

/* "orders.customer_id -> customers.id" */
static char *
print_path(List *path)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, path)
	{
		SegmentHop *hop = lfirst(lc);

		appendStringInfo(&buf, "%s%s.%s -> %s.%s", lc == list_head(path) ? "" : ", ",
						 get_rel_name(hop->fromRel), get_attname(hop->fromRel, hop->fromColumn, false),
						 get_rel_name(hop->toRel), get_attname(hop->toRel, hop->toColumn, false));
	}
	return buf.data;
}

List *
segment_compile_link_if_any(Oid source, Oid subject)
{
	List	   *paths = paths_from(source, subject, NIL);

	return list_length(paths) == 1 ? linitial(paths) : NIL;
}

List *
segment_compile_link(Oid source, Oid subject, const char *text, int location)
{
	List	   *paths = paths_from(source, subject, NIL);
	StringInfoData buf;
	ListCell   *lc;

	if (list_length(paths) == 1)
		return linitial(paths);
	if (paths == NIL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("table \"%s\" is not linked to \"%s\"",
					   get_rel_name(source), get_rel_name(subject)),
				errdetail("An aggregate needs a foreign key, or a chain of foreign keys, from its table to the subject table."),
				errhint("Declare the link with CREATE LINK ON %s (column) REFERENCES %s, or write a subquery.",
						quote_identifier(get_rel_name(source)), quote_identifier(get_rel_name(subject))),
				segment_compile_position(text, location));

	initStringInfo(&buf);
	foreach(lc, paths)
		appendStringInfo(&buf, "%s%s", lc == list_head(paths) ? "" : "; ", print_path(lfirst(lc)));
	ereport(ERROR,
			errcode(ERRCODE_AMBIGUOUS_ALIAS),
			errmsg("table \"%s\" is linked to \"%s\" in several ways",
				   get_rel_name(source), get_rel_name(subject)),
			errdetail("Possible links: %s.", buf.data),
			errhint("Pick one with CREATE LINK ON %s (column) REFERENCES %s, or write a subquery.",
					quote_identifier(get_rel_name(source)), quote_identifier(get_rel_name(subject))),
			segment_compile_position(text, location));
}

/* The one plain column of a usable unique index, or 0. */
static AttrNumber
unique_column(Oid indexId, bool *primary)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(indexId));
	Form_pg_index index;
	AttrNumber	column = 0;

	if (!HeapTupleIsValid(tuple))
		return 0;
	index = (Form_pg_index) GETSTRUCT(tuple);
	if (index->indisunique && index->indisvalid && index->indimmediate &&
		index->indnkeyatts == 1 &&
		heap_attisnull(tuple, Anum_pg_index_indpred, NULL))
		column = index->indkey.values[0];
	*primary = index->indisprimary;
	ReleaseSysCache(tuple);
	return column;
}

AttrNumber
segment_compile_key(Oid subject, const char *text, int location)
{
	Relation	rel = relation_open(subject, AccessShareLock);
	AttrNumber	best = 0;
	char	   *refused = NULL;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		bool		primary;
		AttrNumber	column = unique_column(lfirst_oid(lc), &primary);
		Form_pg_attribute att;

		if (column <= 0)
			continue;
		att = TupleDescAttr(RelationGetDescr(rel), column - 1);
		if (att->atttypid != INT2OID && att->atttypid != INT4OID && att->atttypid != INT8OID)
		{
			refused = psprintf("Column \"%s\" has type %s.", NameStr(att->attname),
							   format_type_be(att->atttypid));
			continue;
		}
		if (!att->attnotnull)
		{
			if (refused == NULL)
				refused = psprintf("Column \"%s\" may be NULL.", NameStr(att->attname));
			continue;
		}
		if (primary)
		{
			best = column;
			break;
		}
		if (best == 0 || column < best)
			best = column;
	}
	if (best == 0)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("table \"%s\" has no key that can identify subjects", RelationGetRelationName(rel)),
				errdetail("A subject table needs a unique index on one NOT NULL column of type smallint, integer or bigint.%s%s",
						  refused ? " " : "", refused ? refused : ""),
				errhint("Other key types are not supported yet: add a bigint identity column with a unique constraint."),
				segment_compile_position(text, location));
	relation_close(rel, NoLock);
	return best;
}

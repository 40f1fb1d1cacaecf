/*-------------------------------------------------------------------------
 *
 * link.c
 *		Rows of segment.link: links declared with CREATE LINK.
 *
 * A link is stored by the names of its columns, so that it survives a dump; it
 * follows their renames.  Links are looked up when a segment is created and never
 * again: the tie stands in the rule of its view from then on.  So a link that has
 * lost a column hurts no segment; it is left out, with a WARNING that says what to
 * do.
 *
 * Locks: RowExclusiveLock on segment.link while a row is added or removed.  Every
 * DROP in the database removes rows, so nothing may be taken that it would wait
 * for; of two that add the same link, the primary key refuses one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "catalog/registry.h"
#include "catalog/table.h"

#define LINK_COLUMNS 4
#define COLUMN_SOURCE 1
#define COLUMN_COLUMN_NAME 2
#define COLUMN_TARGET 3
#define COLUMN_KEY_NAME 4

static SysScanDesc
begin_scan(Relation rel, Oid source, Oid target, ScanKey keys)
{
	int			n = 1;

	ScanKeyInit(&keys[0], COLUMN_SOURCE, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(source));
	if (OidIsValid(target))
		ScanKeyInit(&keys[n++], COLUMN_TARGET, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(target));
	return systable_beginscan(rel, segment_catalog_relation("link_pkey"), true, NULL, n, keys);
}

static Name
attribute_name(Oid relid, AttrNumber attno)
{
	Name		name = palloc(sizeof(NameData));

	namestrcpy(name, get_attname(relid, attno, false));
	return name;
}

void
segment_catalog_insert_link(const SegmentLink *link)
{
	Relation	rel = table_open(segment_catalog_relation("link"), RowExclusiveLock);
	ScanKeyData keys[2];
	SysScanDesc scan = begin_scan(rel, link->source, link->target, keys);
	Datum		values[LINK_COLUMNS];
	bool		nulls[LINK_COLUMNS] = {0};

	if (HeapTupleIsValid(systable_getnext(scan)))
		ereport(ERROR,
				errcode(ERRCODE_DUPLICATE_OBJECT),
				errmsg("a link from \"%s\" to \"%s\" already exists",
					   get_rel_name(link->source), get_rel_name(link->target)),
				errhint("Drop it first with DROP LINK ON %s REFERENCES %s.",
						quote_identifier(get_rel_name(link->source)),
						quote_identifier(get_rel_name(link->target))));
	systable_endscan(scan);

	values[COLUMN_SOURCE - 1] = ObjectIdGetDatum(link->source);
	values[COLUMN_COLUMN_NAME - 1] = NameGetDatum(attribute_name(link->source, link->column));
	values[COLUMN_TARGET - 1] = ObjectIdGetDatum(link->target);
	values[COLUMN_KEY_NAME - 1] = NameGetDatum(attribute_name(link->target, link->key));
	CatalogTupleInsert(rel, heap_form_tuple(RelationGetDescr(rel), values, nulls));
	table_close(rel, NoLock);
	CacheInvalidateRelcacheByRelid(link->source);
	CommandCounterIncrement();
}

bool
segment_catalog_delete_link(Oid source, Oid target)
{
	Relation	rel = table_open(segment_catalog_relation("link"), RowExclusiveLock);
	ScanKeyData keys[2];
	SysScanDesc scan = begin_scan(rel, source, target, keys);
	HeapTuple	tuple = systable_getnext(scan);
	bool		found = HeapTupleIsValid(tuple);

	if (found)
		CatalogTupleDelete(rel, &tuple->t_self);
	systable_endscan(scan);
	table_close(rel, RowExclusiveLock);
	if (found && SearchSysCacheExists1(RELOID, ObjectIdGetDatum(source)))
		CacheInvalidateRelcacheByRelid(source);
	CommandCounterIncrement();
	return found;
}

/* The attribute number of a link's column; 0 with a WARNING when it is gone. */
static AttrNumber
resolve_column(Oid relid, const char *column, Oid source, Oid target)
{
	AttrNumber	attno = get_attnum(relid, column);

	if (attno <= 0)
		ereport(WARNING,
				errcode(ERRCODE_UNDEFINED_COLUMN),
				errmsg("the link from \"%s\" to \"%s\" is ignored: column \"%s\" of \"%s\" does not exist",
					   get_rel_name(source), get_rel_name(target), column, get_rel_name(relid)),
				errhint("Declare it again with DROP LINK and CREATE LINK."));
	return Max(attno, 0);
}

List *
segment_catalog_links(Oid source)
{
	Oid			relid = segment_catalog_relation("link");
	List	   *links = NIL;
	Relation	rel;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(relid))
		return NIL;
	rel = table_open(relid, AccessShareLock);
	scan = begin_scan(rel, source, InvalidOid, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		SegmentLink *link = palloc(sizeof(SegmentLink));
		Datum		values[LINK_COLUMNS];
		bool		nulls[LINK_COLUMNS];

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		link->source = source;
		link->target = DatumGetObjectId(values[COLUMN_TARGET - 1]);
		if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(link->target)))
			continue;
		link->column = resolve_column(source, NameStr(*DatumGetName(values[COLUMN_COLUMN_NAME - 1])),
									  source, link->target);
		link->key = resolve_column(link->target, NameStr(*DatumGetName(values[COLUMN_KEY_NAME - 1])),
								   source, link->target);
		if (link->column > 0 && link->key > 0)
			links = lappend(links, link);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return links;
}

void
segment_catalog_rename_link_column(Oid relid, const char *old, const char *new)
{
	Oid			linkId = segment_catalog_relation("link");
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;
	NameData	name;

	if (!OidIsValid(linkId))
		return;
	namestrcpy(&name, new);
	rel = table_open(linkId, RowExclusiveLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Datum		values[LINK_COLUMNS];
		bool		nulls[LINK_COLUMNS];
		bool		replace[LINK_COLUMNS] = {false};

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		for (int i = COLUMN_SOURCE; i <= COLUMN_TARGET; i += COLUMN_TARGET - COLUMN_SOURCE)
		{
			/* the name of the column stands behind its table */
			if (DatumGetObjectId(values[i - 1]) != relid || strcmp(NameStr(*DatumGetName(values[i])), old) != 0)
				continue;
			values[i] = NameGetDatum(&name);
			replace[i] = true;
		}
		if (replace[COLUMN_COLUMN_NAME - 1] || replace[COLUMN_KEY_NAME - 1])
			CatalogTupleUpdate(rel, &tuple->t_self, heap_modify_tuple(tuple, RelationGetDescr(rel), values, nulls, replace));
	}
	systable_endscan(scan);
	table_close(rel, RowExclusiveLock);
	/* a child of the same parent may be the other end */
	CommandCounterIncrement();
}

void
segment_catalog_forget_links(void)
{
	Oid			relid = segment_catalog_relation("link");
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(relid))
		return;
	rel = table_open(relid, RowExclusiveLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Datum		values[LINK_COLUMNS];
		bool		nulls[LINK_COLUMNS];

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		if (!SearchSysCacheExists1(RELOID, values[COLUMN_SOURCE - 1]) ||
			!SearchSysCacheExists1(RELOID, values[COLUMN_TARGET - 1]))
			CatalogTupleDelete(rel, &tuple->t_self);
	}
	systable_endscan(scan);
	table_close(rel, RowExclusiveLock);
}

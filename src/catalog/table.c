/*-------------------------------------------------------------------------
 *
 * table.c
 *		Rows of segment.segment.
 *
 * Access is by heap and index scans, not by SQL: no privileges are checked
 * (the callers have done so on the view), no trigger fires, and every read is
 * under the catalog snapshot, so that what a session sees of a registration
 * agrees with what it sees of the view itself, whatever its isolation level.
 *
 * Every change is announced as an invalidation of the view's relcache entry,
 * on which the cache of compiled segments (cache.c) hangs.
 *
 * Locks: RowExclusiveLock on segment.segment while a row is changed.  Two
 * sessions never change one row at once, because both hold a lock on the view
 * that conflicts with itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "catalog/registry.h"
#include "catalog/table.h"

#define SEGMENT_COLUMNS 5
#define COLUMN_ID 1
#define COLUMN_VIEW 2
#define COLUMN_ENABLED 3
#define COLUMN_SETTINGS 4
#define COLUMN_OPTIONS 5

Oid
segment_catalog_relation(const char *name)
{
	Oid			schema = segment_catalog_schema(true);

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

/* As above, for callers that cannot go on without it. */
static Oid
require_relation(const char *name)
{
	Oid			relid = segment_catalog_relation(name);

	if (!OidIsValid(relid))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation segment.%s does not exist", name),
				errhint("Run CREATE EXTENSION segmentation."));
	return relid;
}

int32
segment_catalog_next_id(void)
{
	return (int32) nextval_internal(require_relation("segment_id_seq"), false);
}

bool
segment_catalog_is_automatic(const SegmentEntry *entry)
{
	ListCell   *lc;

	foreach(lc, entry->options)
		if (strcmp(lfirst(lc), "auto_refresh=off") == 0)
		return false;
	return true;
}

Datum
segment_catalog_strings_to_array(List *strings)
{
	Datum	   *values = palloc(Max(list_length(strings), 1) * sizeof(Datum));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, strings)
		values[n++] = CStringGetTextDatum(lfirst(lc));
	return PointerGetDatum(construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT));
}

List *
segment_catalog_array_to_strings(Datum datum)
{
	Datum	   *values;
	bool	   *nulls;
	int			n;
	List	   *strings = NIL;

	deconstruct_array(DatumGetArrayTypeP(datum), TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			strings = lappend(strings, TextDatumGetCString(values[i]));
	return strings;
}

static HeapTuple
entry_to_tuple(Relation rel, const SegmentEntry *entry)
{
	Datum		values[SEGMENT_COLUMNS];
	bool		nulls[SEGMENT_COLUMNS] = {0};

	values[COLUMN_ID - 1] = Int32GetDatum(entry->id);
	values[COLUMN_VIEW - 1] = ObjectIdGetDatum(entry->viewId);
	values[COLUMN_ENABLED - 1] = BoolGetDatum(entry->enabled);
	values[COLUMN_SETTINGS - 1] = segment_catalog_strings_to_array(entry->settings);
	values[COLUMN_OPTIONS - 1] = segment_catalog_strings_to_array(entry->options);
	return heap_form_tuple(RelationGetDescr(rel), values, nulls);
}

static SegmentEntry *
tuple_to_entry(Relation rel, HeapTuple tuple)
{
	SegmentEntry *entry = palloc(sizeof(SegmentEntry));
	Datum		values[SEGMENT_COLUMNS];
	bool		nulls[SEGMENT_COLUMNS];

	heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
	entry->id = DatumGetInt32(values[COLUMN_ID - 1]);
	entry->viewId = DatumGetObjectId(values[COLUMN_VIEW - 1]);
	entry->enabled = DatumGetBool(values[COLUMN_ENABLED - 1]);
	entry->settings = segment_catalog_array_to_strings(values[COLUMN_SETTINGS - 1]);
	entry->options = segment_catalog_array_to_strings(values[COLUMN_OPTIONS - 1]);
	return entry;
}

/* Scan for the row with this id (an int4) or this view (an oid). */
static SysScanDesc
begin_scan(Relation rel, AttrNumber column, Datum value, ScanKey key)
{
	const char *index = column == COLUMN_ID ? "segment_pkey" : "segment_view_key";

	ScanKeyInit(key, column, BTEqualStrategyNumber,
				column == COLUMN_ID ? F_INT4EQ : F_OIDEQ, value);
	return systable_beginscan(rel, segment_catalog_relation(index), true, NULL, 1, key);
}

/* Remove the row with this value; returns whether there was one. */
static bool
delete_by(Relation rel, AttrNumber column, Datum value)
{
	ScanKeyData key;
	SysScanDesc scan = begin_scan(rel, column, value, &key);
	HeapTuple	tuple;
	bool		found = false;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		CatalogTupleDelete(rel, &tuple->t_self);
		found = true;
	}
	systable_endscan(scan);
	return found;
}

/* Tell every backend that what it has cached of this segment is old. */
static void
announce_change(Oid viewId)
{
	if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(viewId)))
		CacheInvalidateRelcacheByRelid(viewId);
	CommandCounterIncrement();
}

void
segment_catalog_insert(const SegmentEntry *entry)
{
	Relation	rel = table_open(require_relation("segment"), RowExclusiveLock);

	/* the row of a view that is no more, whose OID has come up again */
	if (delete_by(rel, COLUMN_VIEW, ObjectIdGetDatum(entry->viewId)))
		CommandCounterIncrement();
	CatalogTupleInsert(rel, entry_to_tuple(rel, entry));
	table_close(rel, RowExclusiveLock);
	announce_change(entry->viewId);
}

void
segment_catalog_update(const SegmentEntry *entry)
{
	Relation	rel = table_open(require_relation("segment"), RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan = begin_scan(rel, COLUMN_ID, Int32GetDatum(entry->id), &key);
	HeapTuple	old = systable_getnext(scan);
	HeapTuple	tuple = entry_to_tuple(rel, entry);

	if (!HeapTupleIsValid(old))
		elog(ERROR, "segment %d is not registered", entry->id);
	CatalogTupleUpdate(rel, &old->t_self, tuple);
	systable_endscan(scan);
	table_close(rel, RowExclusiveLock);
	announce_change(entry->viewId);
}

void
segment_catalog_delete(int32 id)
{
	Relation	rel = table_open(require_relation("segment"), RowExclusiveLock);

	delete_by(rel, COLUMN_ID, Int32GetDatum(id));
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
}

Oid
segment_catalog_view(int32 id)
{
	Oid			relid = segment_catalog_relation("segment");
	Oid			viewId = InvalidOid;
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(relid))
		return InvalidOid;
	rel = table_open(relid, AccessShareLock);
	scan = begin_scan(rel, COLUMN_ID, Int32GetDatum(id), &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;

		viewId = DatumGetObjectId(heap_getattr(tuple, COLUMN_VIEW, RelationGetDescr(rel), &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return viewId;
}

SegmentEntry *
segment_catalog_read(Oid viewId)
{
	Oid			relid = segment_catalog_relation("segment");
	SegmentEntry *entry = NULL;
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(relid))
		return NULL;
	rel = table_open(relid, AccessShareLock);
	scan = begin_scan(rel, COLUMN_VIEW, ObjectIdGetDatum(viewId), &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		entry = tuple_to_entry(rel, tuple);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return entry;
}

/*
 * The rows of segment.segment whose view exists, or does not: list of
 * SegmentEntry *.  Empty when the table is not there.
 */
static List *
read_all(bool exists)
{
	Oid			relid = segment_catalog_relation("segment");
	List	   *entries = NIL;
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(relid))
		return NIL;
	rel = table_open(relid, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		view = heap_getattr(tuple, COLUMN_VIEW, RelationGetDescr(rel), &isnull);

		if (SearchSysCacheExists1(RELOID, view) == exists)
			entries = lappend(entries, tuple_to_entry(rel, tuple));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return entries;
}

static int
compare_ids(const ListCell *a, const ListCell *b)
{
	int32		left = ((SegmentEntry *) lfirst(a))->id;
	int32		right = ((SegmentEntry *) lfirst(b))->id;

	return left < right ? -1 : left > right;
}

List *
segment_catalog_all(void)
{
	List	   *entries = read_all(true);

	list_sort(entries, compare_ids);
	return entries;
}

List *
segment_catalog_orphans(void)
{
	return read_all(false);
}

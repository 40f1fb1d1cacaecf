/*-------------------------------------------------------------------------
 *
 * change.c
 *		Who entered and left: rows of segment.change.
 *
 * A row is what one refresh changed in one segment: the sets of those who
 * entered and who left.  Some rows also hold all members after them; members
 * after any other row are those of the last such row before it, changed by the
 * differences since:
 *
 *		number | entered | exited | members | weight
 *		    10 | {1-9}   | {}     | {1-9}   |      0
 *		    14 | {12}    | {3}    |         |    160
 *		    15 | {}      | {4}    |         |    310	after it: {1-2,5-9,12}
 *
 * The weight says how many bytes of differences have come together; when they
 * are more than the members themselves take, the next row has these again.  So
 * the feed is at most twice the size of its differences, a membership is read in
 * at most twice the time of its set, and old rows can be deleted up to any row
 * that has members.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "catalog/change.h"
#include "catalog/query.h"
#include "catalog/registry.h"
#include "catalog/state.h"

#define CHANGE_COLUMNS 14
#define COLUMN_ENTERED 10
#define COLUMN_EXITED 11
#define COLUMN_MEMBERS 12

int64
segment_change_next_number(void)
{
	return nextval_internal(get_relname_relid("change_seq", segment_catalog_schema(false)), false);
}

/* All but the sets. */
static void
read_change(HeapTuple tuple, TupleDesc desc, SegmentChange *change)
{
	Datum		values[CHANGE_COLUMNS];
	bool		nulls[CHANGE_COLUMNS];

	heap_deform_tuple(tuple, desc, values, nulls);
	memset(change, 0, sizeof(SegmentChange));
	change->id = DatumGetInt32(values[0]);
	change->number = DatumGetInt64(values[1]);
	change->previous = DatumGetInt64(values[2]);
	change->clock = DatumGetTimestampTz(values[3]);
	change->written = DatumGetTimestampTz(values[5]);
	change->reason = DatumGetChar(values[6]);
	change->size = DatumGetInt64(values[7]);
	change->weight = DatumGetInt64(values[8]);
}

/* The first row of a segment's rows in this direction. */
static bool
read_end(int32 id, Snapshot snapshot, ScanDirection direction, SegmentChange *change)
{
	Relation	table = segment_table_open("change", AccessShareLock);
	Relation	index = index_open(segment_table_index(table), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
	scan = systable_beginscan_ordered(table, index, snapshot, 1, &key);
	tuple = systable_getnext_ordered(scan, direction);
	found = HeapTupleIsValid(tuple);
	if (found)
		read_change(tuple, RelationGetDescr(table), change);
	systable_endscan_ordered(scan);
	index_close(index, NoLock);
	table_close(table, NoLock);
	return found;
}

bool
segment_change_newest(int32 id, Snapshot snapshot, SegmentChange *change)
{
	return read_end(id, snapshot, BackwardScanDirection, change);
}

bool
segment_change_oldest(int32 id, Snapshot snapshot, SegmentChange *change)
{
	return read_end(id, snapshot, ForwardScanDirection, change);
}

static SegmentBitmap *
read_set(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		datum = heap_getattr(tuple, column, desc, &isnull);

	return isnull ? NULL : segment_bitmap_from_datum(datum);
}

/* From a row with members on, apply the differences of the rows behind it. */
SegmentBitmap *
segment_change_members(int32 id, int64 number, Snapshot snapshot)
{
	Relation	table = segment_table_open("change", AccessShareLock);
	Relation	index = index_open(segment_table_index(table), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(table);
	SegmentBitmap *members = NULL;
	List	   *differences = NIL;	/* of copies of tuples, newest first */
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
	ScanKeyInit(&keys[1], 2, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(number));
	scan = systable_beginscan_ordered(table, index, snapshot, 2, keys);
	while (members == NULL && HeapTupleIsValid(tuple = systable_getnext_ordered(scan, BackwardScanDirection)))
	{
		CHECK_FOR_INTERRUPTS();
		members = read_set(tuple, desc, COLUMN_MEMBERS);
		if (members == NULL)
			differences = lappend(differences, heap_copytuple(tuple));
	}
	systable_endscan_ordered(scan);

	for (int i = list_length(differences) - 1; members != NULL && i >= 0; i--)
	{
		SegmentBitmap *entered = read_set(list_nth(differences, i), desc, COLUMN_ENTERED);
		SegmentBitmap *exited = read_set(list_nth(differences, i), desc, COLUMN_EXITED);

		CHECK_FOR_INTERRUPTS();
		segment_bitmap_andnot(members, exited);
		segment_bitmap_or(members, entered);
		segment_bitmap_free(entered);
		segment_bitmap_free(exited);
	}
	list_free_deep(differences);
	index_close(index, NoLock);
	table_close(table, NoLock);
	return members;
}

static Datum
optimized_datum(const SegmentBitmap *set)
{
	SegmentBitmap *copy = segment_bitmap_copy(set);
	Datum		datum;

	segment_bitmap_optimize(copy);
	datum = segment_bitmap_to_datum(copy);
	segment_bitmap_free(copy);
	return datum;
}

/* The columns instants and flipped. */
static void
form_instants(const SegmentChange *change, Datum *instants, Datum *flipped)
{
	Datum	   *times = palloc(sizeof(Datum) * change->ninstants);
	Datum	   *sets = palloc(sizeof(Datum) * change->ninstants);

	for (int i = 0; i < change->ninstants; i++)
	{
		times[i] = TimestampTzGetDatum(change->instants[i]);
		sets[i] = optimized_datum(change->flipped[i]);
	}
	*instants = PointerGetDatum(construct_array(times, change->ninstants, TIMESTAMPTZOID, 8,
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	*flipped = PointerGetDatum(construct_array(sets, change->ninstants, segment_query_bitmap_type(), -1,
											   false, TYPALIGN_INT));
}

void
segment_change_insert(const SegmentChange *change)
{
	Relation	table = segment_table_open("change", RowExclusiveLock);
	Datum		values[CHANGE_COLUMNS] = {0};
	bool		nulls[CHANGE_COLUMNS] = {false};

	values[0] = Int32GetDatum(change->id);
	values[1] = Int64GetDatum(change->number);
	values[2] = Int64GetDatum(change->previous);
	values[3] = TimestampTzGetDatum(change->clock);
	values[4] = TimestampTzGetDatum(change->clock);
	values[5] = TimestampTzGetDatum(change->written);
	values[6] = CharGetDatum(change->reason);
	values[7] = Int64GetDatum(change->size);
	values[8] = Int64GetDatum(change->weight);
	values[9] = optimized_datum(change->entered);
	values[10] = optimized_datum(change->exited);
	nulls[11] = change->members == NULL;
	if (change->members != NULL)
		values[11] = optimized_datum(change->members);
	nulls[12] = nulls[13] = change->ninstants == 0;
	if (change->ninstants > 0)
		form_instants(change, &values[12], &values[13]);
	CatalogTupleInsert(table, heap_form_tuple(RelationGetDescr(table), values, nulls));
	table_close(table, NoLock);
}

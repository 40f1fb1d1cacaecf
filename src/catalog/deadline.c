/*-------------------------------------------------------------------------
 *
 * deadline.c
 *		When subjects may change without a write: rows of segment.deadline.
 *
 * A row is a bucket: the subjects of one segment whose deadline lies in
 * [start, start + width).  The width is the largest power of two microseconds
 * that is at most 1/32 of the distance from the clock when it was written, so
 *
 *	- a segment has some 32 buckets for each doubling of the distance, whatever
 *	  the number of subjects and events;
 *	- a bucket begins after the clock it was written at, and a read that looks
 *	  a time ahead of its base finds at most 1/32 of that time's worth too many;
 *	- a subject whose bucket begins is looked at, early, and put into a finer
 *	  one: some five times on the way to a deadline months away.
 *
 * A subject evaluated for another reason stays in its old bucket too.  That is
 * harmless (it is looked at once more), but such entries would grow in number.
 * So now and then, when as many have been added as there are subjects, only the
 * earliest of each is kept.  No later one is needed: at the earliest the subject is
 * looked at, and gets new ones, all of those that it has then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "common/int.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "catalog/deadline.h"
#include "catalog/state.h"
#include "testing.h"

#define DEADLINE_COLUMNS 3

/* Buckets are at most 1/2^5 of the distance wide. */
#define FINENESS 5

void
segment_deadline_add(SegmentDeadlines *deadlines, int64 id, TimestampTz instant)
{
	if (deadlines->n == deadlines->room)
	{
		size_t		room = Max(1024, deadlines->room * 2);

		if (deadlines->room == 0)
		{
			deadlines->ids = MemoryContextAllocHuge(CurrentMemoryContext, room * sizeof(int64));
			deadlines->instants = MemoryContextAllocHuge(CurrentMemoryContext, room * sizeof(TimestampTz));
		}
		else
		{
			deadlines->ids = repalloc_huge(deadlines->ids, room * sizeof(int64));
			deadlines->instants = repalloc_huge(deadlines->instants, room * sizeof(TimestampTz));
		}
		deadlines->room = room;
	}
	deadlines->ids[deadlines->n] = id;
	deadlines->instants[deadlines->n++] = instant;
}

/* Where the bucket begins that a deadline goes into. */
static TimestampTz
bucket_start(TimestampTz instant, TimestampTz clock)
{
	int64		distance;
	int			level;

	if (pg_sub_s64_overflow(instant, clock, &distance))
		distance = PG_INT64_MAX;
	if (distance < 1)
		return instant;
	level = Max(0, pg_leftmost_one_pos64(distance) - FINENESS);
	/* arithmetic shift: rounds down before 2000 too */
	return (instant >> level) * (INT64CONST(1) << level);
}

/* One deadline with its bucket. */
typedef struct Entry
{
	TimestampTz start;
	int64		id;
} Entry;

static int
compare_entries(const void *a, const void *b)
{
	const Entry *x = a;
	const Entry *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static SysScanDesc
begin_bucket(Relation table, ScanKeyData *keys, int32 id, TimestampTz start)
{
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_TIMESTAMPTZ_EQ, TimestampTzGetDatum(start));
	return systable_beginscan(table, segment_table_index(table), true, NULL, 2, keys);
}

/* Write down a bucket, in place of what is there, if there is something. */
static void
write_bucket(Relation table, int32 id, TimestampTz start, SegmentBitmap *ids, HeapTuple old)
{
	Datum		values[DEADLINE_COLUMNS];
	bool		nulls[DEADLINE_COLUMNS] = {false};
	HeapTuple	tuple;

	segment_bitmap_optimize(ids);
	values[0] = Int32GetDatum(id);
	values[1] = TimestampTzGetDatum(start);
	values[2] = segment_bitmap_to_datum(ids);
	tuple = heap_form_tuple(RelationGetDescr(table), values, nulls);
	if (HeapTupleIsValid(old))
		CatalogTupleUpdate(table, &old->t_self, tuple);
	else
		CatalogTupleInsert(table, tuple);
	heap_freetuple(tuple);
	pfree(DatumGetPointer(values[2]));
}

static SegmentBitmap *
ids_of(Relation table, HeapTuple tuple)
{
	bool		isnull;

	return segment_bitmap_from_datum(heap_getattr(tuple, DEADLINE_COLUMNS, RelationGetDescr(table), &isnull));
}

static TimestampTz
start_of(Relation table, HeapTuple tuple)
{
	bool		isnull;

	return DatumGetTimestampTz(heap_getattr(tuple, 2, RelationGetDescr(table), &isnull));
}

/* Add subjects to a bucket; returns how many of them were not there. */
static int64
put_bucket(Relation table, int32 id, TimestampTz start, SegmentBitmap *ids)
{
	ScanKeyData keys[2];
	SysScanDesc scan = begin_bucket(table, keys, id, start);
	HeapTuple	old = systable_getnext(scan);
	int64		added = segment_bitmap_cardinality(ids);

	if (HeapTupleIsValid(old))
	{
		SegmentBitmap *there = ids_of(table, old);

		added -= segment_bitmap_and_cardinality(ids, there);
		segment_bitmap_or(ids, there);
		segment_bitmap_free(there);
	}
	if (added > 0)
		write_bucket(table, id, start, ids, old);
	systable_endscan(scan);
	return added;
}

int64
segment_deadline_store(int32 id, const SegmentDeadlines *deadlines, TimestampTz clock)
{
	Relation	table;
	Entry	   *entries;
	size_t		n = deadlines->n;
	int64		added = 0;

	if (n == 0)
		return 0;
	entries = MemoryContextAllocHuge(CurrentMemoryContext, n * sizeof(Entry));
	for (size_t i = 0; i < n; i++)
	{
		TimestampTz instant = deadlines->instants[i];

		if (SEGMENT_MUTANT("late_deadline"))
			instant++;
		entries[i].start = bucket_start(instant, clock);
		entries[i].id = deadlines->ids[i];
	}
	qsort(entries, n, sizeof(Entry), compare_entries);

	table = segment_table_open("deadline", RowExclusiveLock);
	for (size_t i = 0; i < n;)
	{
		SegmentBitmap *ids = segment_bitmap_create();
		TimestampTz start = entries[i].start;

		CHECK_FOR_INTERRUPTS();
		for (; i < n && entries[i].start == start; i++)
			segment_bitmap_add(ids, entries[i].id);
		added += put_bucket(table, id, start, ids);
		segment_bitmap_free(ids);
	}
	table_close(table, NoLock);
	pfree(entries);
	return added;
}

int64
segment_deadline_store_at(int32 id, TimestampTz instant, const SegmentBitmap *ids)
{
	Relation	table = segment_table_open("deadline", RowExclusiveLock);
	SegmentBitmap *copy = segment_bitmap_copy(ids);
	int64		added = put_bucket(table, id, instant + (SEGMENT_MUTANT("late_stage") ? 1 : 0), copy);

	segment_bitmap_free(copy);
	table_close(table, NoLock);
	return added;
}

int64
segment_deadline_copy(int32 from, int32 to, TimestampTz clock, const SegmentBitmap *subset)
{
	Relation	table = segment_table_open("deadline", RowExclusiveLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	int64		added = 0;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(from));
	ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT, TimestampTzGetDatum(clock));
	scan = systable_beginscan(table, segment_table_index(table), true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		SegmentBitmap *ids = ids_of(table, tuple);

		CHECK_FOR_INTERRUPTS();
		if (subset != NULL)
			segment_bitmap_and(ids, subset);
		if (!segment_bitmap_is_empty(ids))
			added += put_bucket(table, to, start_of(table, tuple), ids);
		segment_bitmap_free(ids);
	}
	systable_endscan(scan);
	table_close(table, NoLock);
	return added;
}

int64
segment_deadline_tidy(int32 id)
{
	Relation	table = segment_table_open("deadline", RowExclusiveLock);
	Relation	index = index_open(segment_table_index(table), AccessShareLock);
	SegmentBitmap *seen = segment_bitmap_create();
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int64		n;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
	scan = systable_beginscan_ordered(table, index, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, SEGMENT_MUTANT("tidy_latest") ? BackwardScanDirection : ForwardScanDirection)))
	{
		SegmentBitmap *ids = ids_of(table, tuple);
		int64		before = segment_bitmap_cardinality(ids);

		CHECK_FOR_INTERRUPTS();
		segment_bitmap_andnot(ids, seen);
		segment_bitmap_or(seen, ids);
		if (segment_bitmap_is_empty(ids))
			CatalogTupleDelete(table, &tuple->t_self);
		else if (segment_bitmap_cardinality(ids) != before)
			write_bucket(table, id, start_of(table, tuple), ids, tuple);
		segment_bitmap_free(ids);
	}
	systable_endscan_ordered(scan);
	index_close(index, NoLock);
	table_close(table, NoLock);
	CommandCounterIncrement();
	n = segment_bitmap_cardinality(seen);
	segment_bitmap_free(seen);
	return n;
}

void
segment_deadline_due(int32 id, TimestampTz until, Snapshot snapshot, SegmentBitmap *due)
{
	Relation	table = segment_table_open("deadline", AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
	ScanKeyInit(&keys[1], 2, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE, TimestampTzGetDatum(until));
	scan = systable_beginscan(table, segment_table_index(table), true, snapshot, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		SegmentBitmap *ids = ids_of(table, tuple);

		segment_bitmap_or(due, ids);
		segment_bitmap_free(ids);
	}
	systable_endscan(scan);
	table_close(table, NoLock);
}

TimestampTz
segment_deadline_next(int32 id, TimestampTz clock, Snapshot snapshot)
{
	Relation	table = segment_table_open("deadline", AccessShareLock);
	Relation	index = index_open(segment_table_index(table), AccessShareLock);
	TimestampTz next = DT_NOEND;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
	ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT, TimestampTzGetDatum(clock));
	scan = systable_beginscan_ordered(table, index, snapshot, 2, keys);
	tuple = systable_getnext_ordered(scan, ForwardScanDirection);
	if (HeapTupleIsValid(tuple))
		next = start_of(table, tuple);
	systable_endscan_ordered(scan);
	index_close(index, NoLock);
	table_close(table, NoLock);
	return next;
}

void
segment_deadline_delete(int32 id, TimestampTz until)
{
	Relation	table = segment_table_open("deadline", RowExclusiveLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
	ScanKeyInit(&keys[1], 2, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE, TimestampTzGetDatum(until));
	scan = systable_beginscan(table, segment_table_index(table), true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		CatalogTupleDelete(table, &tuple->t_self);
	systable_endscan(scan);
	table_close(table, NoLock);
	/* a bucket of the same start may be written next */
	CommandCounterIncrement();
}

/*-------------------------------------------------------------------------
 *
 * chunk.c
 *		The base of a segment: rows of segment.chunk.
 *
 * A chunk holds the members from its "first" up to the next chunk's; the
 * first chunk's "first" is 0.  Ranges are cut so that a chunk has about
 * CHUNK_BYTES: dense ids give one Roaring container each, sparse ids many.
 *
 *		id | first | size | ids
 *		 7 |     0 | 4031 | {..}		ids 0 .. 65535
 *		 7 | 65536 | 3977 | {..}		ids 65536 .. 131071
 *
 * A refresh rewrites the chunks whose members change, splits those that grow
 * beyond twice the size, and leaves the others alone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "catalog/state.h"

#define CHUNK_COLUMNS 4
#define CHUNK_BYTES 8300		/* one full container and its header */

static void
put_chunk(Relation table, int32 id, int64 first, SegmentBitmap *ids, ItemPointer tid)
{
	Datum		values[CHUNK_COLUMNS];
	bool		nulls[CHUNK_COLUMNS] = {false};
	HeapTuple	tuple;

	values[0] = Int32GetDatum(id);
	values[1] = Int64GetDatum(first);
	values[2] = Int32GetDatum((int32) segment_bitmap_cardinality(ids));
	values[3] = segment_bitmap_to_datum(ids);
	tuple = heap_form_tuple(RelationGetDescr(table), values, nulls);
	if (tid != NULL)
		CatalogTupleUpdate(table, tid, tuple);
	else
		CatalogTupleInsert(table, tuple);
	heap_freetuple(tuple);
	pfree(DatumGetPointer(values[3]));
}

/*
 * Where to end a chunk that begins at first.  Tries up to "end", and halves the
 * span until it fits, down to one container.
 */
static int64
chunk_end(const SegmentBitmap *members, int64 first, int64 end)
{
	int64		last = end;

	for (;;)
	{
		SegmentBitmap *part = segment_bitmap_extract(members, first, end);
		size_t		bytes;
		int64		card;

		segment_bitmap_optimize(part);
		bytes = segment_bitmap_serialized_size(part);
		card = segment_bitmap_cardinality(part);
		if (bytes <= CHUNK_BYTES || card == 0 || (end >> 16) == (first >> 16))
		{
			segment_bitmap_free(part);
			return end;
		}
		/* halve by ids, not by span: whatever the distribution, few rounds */
		{
			int64		low = segment_bitmap_min(part);
			int64		high = segment_bitmap_max(part);
			int64		middle = (low >> 16) + ((high >> 16) - (low >> 16)) / 2;

			segment_bitmap_free(part);
			end = (middle << 16) | 0xFFFF;
			if (end >= last)
				end = (first | 0xFFFF);
		}
	}
}

/* Write members of first .. last as new chunks; the row at tid, if given, becomes the first of them. */
static void
write_chunks(Relation table, int32 id, const SegmentBitmap *members, int64 first, int64 last, ItemPointer tid)
{
	int64		span = last - first;	/* of the chunk before: the next may
										 * be twice as long */

	for (;;)
	{
		int64		end = chunk_end(members, first, last - first <= span ? last : first + span);
		SegmentBitmap *part = segment_bitmap_extract(members, first, end);

		CHECK_FOR_INTERRUPTS();
		segment_bitmap_optimize(part);
		/* an empty range needs no row of its own, unless it is the anchor */
		if (tid != NULL || first == 0 || !segment_bitmap_is_empty(part))
			put_chunk(table, id, first, part, tid);
		segment_bitmap_free(part);
		tid = NULL;
		if (end >= last)
			break;
		span = end - first < PG_INT64_MAX / 4 ? (end - first + 1) * 2 - 1 : PG_INT64_MAX;
		first = end + 1;
	}
}

SegmentBitmap *
segment_chunk_load(int32 id, Snapshot snapshot)
{
	Relation	table = segment_table_open("chunk", AccessShareLock);
	Relation	index = index_open(segment_table_index(table), AccessShareLock);
	SegmentBitmap *members = segment_bitmap_create();
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
	scan = systable_beginscan_ordered(table, index, snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		bool		isnull;
		Datum		ids = heap_getattr(tuple, CHUNK_COLUMNS, RelationGetDescr(table), &isnull);
		SegmentBitmap *part = segment_bitmap_from_datum(ids);

		CHECK_FOR_INTERRUPTS();
		segment_bitmap_or(members, part);
		segment_bitmap_free(part);
	}
	systable_endscan_ordered(scan);
	index_close(index, NoLock);
	table_close(table, NoLock);
	return members;
}

SegmentBitmap *
segment_chunk_load_one(int32 id, int64 subject, Snapshot snapshot)
{
	Relation	table = segment_table_open("chunk", AccessShareLock);
	Relation	index = index_open(segment_table_index(table), AccessShareLock);
	SegmentBitmap *members;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
	ScanKeyInit(&keys[1], 2, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(subject));
	scan = systable_beginscan_ordered(table, index, snapshot, 2, keys);
	tuple = systable_getnext_ordered(scan, BackwardScanDirection);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;

		members = segment_bitmap_from_datum(heap_getattr(tuple, CHUNK_COLUMNS, RelationGetDescr(table), &isnull));
	}
	else
		members = segment_bitmap_create();
	systable_endscan_ordered(scan);
	index_close(index, NoLock);
	table_close(table, NoLock);
	return members;
}

/* Rewrite the chunk that begins at first and ends at last, if it changed. */
static void
change_chunk(Relation table, int32 id, const SegmentBitmap *new, const SegmentBitmap *changed,
			 int64 first, int64 last, ItemPointer tid)
{
	if (segment_bitmap_range_cardinality(changed, first, last) > 0)
		write_chunks(table, id, new, first, last, tid);
}

void
segment_chunk_store(int32 id, const SegmentBitmap *old, const SegmentBitmap *new)
{
	Relation	table = segment_table_open("chunk", RowExclusiveLock);
	Relation	index = index_open(segment_table_index(table), AccessShareLock);
	SegmentBitmap *changed = segment_bitmap_copy(old);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int64	   *firsts = NULL;
	ItemPointerData *tids = NULL;
	int			n = 0;
	int			room = 0;

	segment_bitmap_xor(changed, new);
	if (!segment_bitmap_is_empty(changed))
	{
		/* the chunks that are there, before any of them is touched */
		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
		scan = systable_beginscan_ordered(table, index, NULL, 1, &key);
		while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
		{
			bool		isnull;

			if (n == room)
			{
				room = Max(64, room * 2);
				firsts = firsts ? repalloc(firsts, room * sizeof(int64)) : palloc(room * sizeof(int64));
				tids = tids ? repalloc(tids, room * sizeof(ItemPointerData)) : palloc(room * sizeof(ItemPointerData));
			}
			firsts[n] = DatumGetInt64(heap_getattr(tuple, 2, RelationGetDescr(table), &isnull));
			tids[n++] = tuple->t_self;
		}
		systable_endscan_ordered(scan);

		if (n == 0)
			write_chunks(table, id, new, 0, PG_INT64_MAX, NULL);
		for (int i = 0; i < n; i++)
			change_chunk(table, id, new, changed, firsts[i],
						 i + 1 < n ? firsts[i + 1] - 1 : PG_INT64_MAX, &tids[i]);
	}
	segment_bitmap_free(changed);
	index_close(index, NoLock);
	table_close(table, NoLock);
}

/*-------------------------------------------------------------------------
 *
 * pending.c
 *		Invalidations as a snapshot shows them, and the subjects they mean.
 *
 * Pending are the rows visible to the reader whose transaction is not visible
 * in the epoch of the base.  Below the epoch's xmin everything is visible in
 * it, so the scan starts there, by the primary key (xid, n).  The refresh's own
 * transaction counts as not visible: what it wrote after its evaluation is
 * then not lost.
 *
 * Many segments ask the same of the log: the keys of one column that are not in
 * one epoch.  So the log remembers the answers.
 *
 * Keys recorded at a source become subject ids by following the source's
 * steps, under the reader's snapshot, as the segment's owner.  A link that has
 * changed since is itself in the log, with both its ends.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "capture/capture.h"
#include "read/pending.h"
#include "testing.h"

/* There may be very many rows: most of them touch one key, and take no memory but their own here. */
static SegmentLogRow *
append_row(SegmentLog *log)
{
	if (log->nrows == log->room)
	{
		log->room = Max(64, log->room * 2);
		log->rows = log->rows == NULL ? palloc(sizeof(SegmentLogRow) * log->room) :
			repalloc_huge(log->rows, sizeof(SegmentLogRow) * log->room);
	}
	return &log->rows[log->nrows++];
}

SegmentLog *
segment_pending_load(FullTransactionId from, Snapshot snapshot)
{
	Relation	table = segment_table_open("invalidation", AccessShareLock);
	SegmentLog *log = palloc0(sizeof(SegmentLog));
	ScanKeyData key;
	SysScanDesc scan;
	Relation	index;
	HeapTuple	tuple;

	log->from = from;
	log->context = CurrentMemoryContext;
	ScanKeyInit(&key, 1, BTGreaterEqualStrategyNumber, F_XID8GE, FullTransactionIdGetDatum(from));
	index = index_open(segment_table_index(table), AccessShareLock);
	scan = systable_beginscan_ordered(table, index, snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		SegmentLogRow *row = append_row(log);
		Datum		values[6];
		bool		nulls[6];

		CHECK_FOR_INTERRUPTS();
		heap_deform_tuple(tuple, RelationGetDescr(table), values, nulls);
		row->xid = DatumGetFullTransactionId(values[0]);
		row->source = DatumGetObjectId(values[2]);
		row->columns = nulls[3] ? SEGMENT_ALL_COLUMNS : DatumGetInt64(values[3]);
		row->key = DatumGetInt16(values[4]);
		row->id = nulls[5] ? -1 : segment_bitmap_only_id(values[5]);
		row->keys = nulls[5] || row->id >= 0 ? NULL : segment_bitmap_from_datum(values[5]);
		row->keyless = row->key == 0;
		if (row->key > 0 && (row->key & SEGMENT_ALSO_KEYLESS) != 0)
		{
			row->key &= ~SEGMENT_ALSO_KEYLESS;
			row->keyless = true;
		}
	}
	systable_endscan_ordered(scan);
	index_close(index, NoLock);
	table_close(table, NoLock);
	return log;
}

static bool
visible_in(const SegmentEpoch *epoch, FullTransactionId xid)
{
	if (FullTransactionIdEquals(xid, epoch->xid))
		return false;
	if (SEGMENT_MUTANT("watermark"))
		return FullTransactionIdPrecedes(xid, epoch->xid);
	return DatumGetBool(DirectFunctionCall2(pg_visible_in_snapshot,
											FullTransactionIdGetDatum(xid), epoch->snapshot));
}

/*
 * The values of step->next in the rows whose step->match is in ids.  NULL, for
 * everybody, where one is negative, which no set can hold; but no subject is.
 */
static SegmentBitmap *
follow_step(const SegmentStep *step, const SegmentBitmap *ids, bool last)
{
	SegmentBuilder *result = segment_builder_create();
	Oid			types[1] = {INT8ARRAYOID};
	Datum		values[1];
	size_t		n;
	int64	   *list = segment_bitmap_ids(ids, &n);
	Datum	   *datums = palloc(sizeof(Datum) * Max(n, 1));
	bool		everybody = false;
	char	   *sql;

	for (size_t i = 0; i < n; i++)
		datums[i] = Int64GetDatum(list[i]);
	values[0] = PointerGetDatum(construct_array(datums, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	sql = psprintf("SELECT DISTINCT %s::bigint FROM ONLY %s WHERE %s OPERATOR(pg_catalog.=) ANY ($1) AND %s IS NOT NULL",
				   quote_identifier(get_attname(step->relid, step->next, false)),
				   quote_qualified_identifier(get_namespace_name(get_rel_namespace(step->relid)),
											  get_rel_name(step->relid)),
				   quote_identifier(get_attname(step->relid, step->match, false)),
				   quote_identifier(get_attname(step->relid, step->next, false)));

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(sql, 1, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not follow the link of a source");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		int64		id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));

		if (!isnull && id >= 0)
			segment_builder_add_id(result, id);
		everybody |= !isnull && id < 0 && !last && !SEGMENT_MUTANT("negative_step");
	}
	SPI_finish();
	return everybody ? NULL : segment_builder_end(result);
}

/* The subjects that these keys of a source mean, added to pending; false when they are not known: everybody. */
static bool
add_subjects(const SegmentCompiled *compiled, const SegmentEntry *entry, const SegmentSource *source,
			 const SegmentBitmap *keys, SegmentBitmap *pending)
{
	SegmentGuard guard;
	ListCell   *lc;

	if (source->steps != NIL)
	{
		segment_read_become(&guard, compiled->owner, entry);
		foreach(lc, source->steps)
		{
			keys = follow_step(lfirst(lc), keys, lnext(source->steps, lc) == NULL);
			if (keys == NULL)
				break;
		}
		segment_read_return(&guard);
	}
	if (keys == NULL)
		return false;
	segment_bitmap_or(pending, keys);
	return true;
}

/* A way of reading a source: by a key, these columns. */
typedef struct Interest
{
	Oid			source;
	AttrNumber	key;
	int64		columns;
} Interest;

static Interest
interest_of(const SegmentSource *source)
{
	Interest	interest = {source->relid, source->key, 0};
	int			column = 0;

	while ((column = bms_next_member(source->columns, column)) > 0)
		interest.columns |= SEGMENT_COLUMN_BIT(column);
	/* who belongs to whom is read in any case */
	if (source->key > 0)
		interest.columns |= SEGMENT_COLUMN_BIT(source->key);
	return interest;
}

static bool
concerns(const SegmentLogRow *row, const Interest *interest)
{
	if (row->source != interest->source)
		return false;
	if (row->key == SEGMENT_WHOLE_SOURCE)
		return true;
	if (row->columns != SEGMENT_ALL_COLUMNS && (row->columns & interest->columns) == 0)
		return false;
	return interest->key == 0 ? row->keyless : row->key == interest->key;
}

/* The keys of a way of reading a source, of all rows that are not visible in an epoch. */
typedef struct KeyUnion
{
	int64		epoch;
	FullTransactionId epochXid;
	Interest	interest;
	bool		everybody;
	SegmentBitmap *keys;		/* NULL: none */
} KeyUnion;

/* Sets of at most so many keys are added key by key: a builder takes many at a time. */
#define FEW_KEYS 64

static void
add_keys(SegmentBuilder *few, SegmentBitmap *many, const SegmentBitmap *keys)
{
	size_t		n;
	int64	   *ids;

	if (segment_bitmap_cardinality(keys) > FEW_KEYS)
	{
		segment_bitmap_or(many, keys);
		return;
	}
	ids = segment_bitmap_ids(keys, &n);
	for (size_t i = 0; i < n; i++)
		segment_builder_add_id(few, ids[i]);
	pfree(ids);
}

static void
unite_rows(KeyUnion *all, const SegmentLog *log, const SegmentEpoch *epoch)
{
	SegmentBuilder *few = segment_builder_create();
	SegmentBitmap *many = segment_bitmap_create();
	bool		any = false;

	for (size_t i = 0; i < log->nrows; i++)
	{
		const SegmentLogRow *row = &log->rows[i];

		if (!concerns(row, &all->interest) ||
			FullTransactionIdPrecedes(row->xid, epoch->xmin) || visible_in(epoch, row->xid))
			continue;
		if ((row->keys == NULL && row->id < 0) || all->interest.key == 0)
		{
			all->everybody = true;
			return;
		}
		any = true;
		if (row->id >= 0)
			segment_builder_add_id(few, row->id);
		else
			add_keys(few, many, row->keys);
	}
	if (!any)
		return;
	all->keys = segment_builder_end(few);
	segment_bitmap_or(all->keys, many);
	segment_bitmap_free(many);
}

static const KeyUnion *
find_union(SegmentLog *log, Interest interest, const SegmentEpoch *epoch)
{
	KeyUnion   *all;
	MemoryContext old;
	ListCell   *lc;

	foreach(lc, log->unions)
	{
		all = lfirst(lc);
		if (all->interest.source == interest.source && all->interest.key == interest.key &&
			all->interest.columns == interest.columns &&
			all->epoch == epoch->id && FullTransactionIdEquals(all->epochXid, epoch->xid))
			return all;
	}
	old = MemoryContextSwitchTo(log->context);
	all = palloc0(sizeof(KeyUnion));
	all->epoch = epoch->id;
	all->epochXid = epoch->xid;
	all->interest = interest;
	unite_rows(all, log, epoch);
	log->unions = lappend(log->unions, all);
	MemoryContextSwitchTo(old);
	return all;
}

/* What an epoch does not have is kept for it and read by all: of segments that nobody writes for, up to this many rows. */
#define MAX_BEHIND 1000

bool
segment_pending_is_behind(const SegmentLog *log, const SegmentEpoch *epoch)
{
	return log->nrows > MAX_BEHIND &&
		FullTransactionIdPrecedes(epoch->xid, log->rows[log->nrows - MAX_BEHIND - 1].xid);
}

bool
segment_pending_collect(const SegmentCompiled *compiled, const SegmentEntry *entry,
						SegmentLog *log, const SegmentEpoch *epoch, SegmentBitmap *pending)
{
	ListCell   *lc;

	foreach(lc, compiled->sources)
	{
		SegmentSource *source = lfirst(lc);
		const KeyUnion *all = find_union(log, interest_of(source), epoch);

		if (all->everybody)
			return false;
		if (all->keys != NULL && !add_subjects(compiled, entry, source, all->keys, pending))
			return false;
	}
	return true;
}

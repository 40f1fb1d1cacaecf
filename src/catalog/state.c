/*-------------------------------------------------------------------------
 *
 * state.c
 *		What is materialised: rows of segment.state and segment.epoch.
 *
 * Rows are read by index under the snapshot of the caller, never under the
 * catalog's, because a base counts only together with the invalidations and
 * the sources that the same snapshot shows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "commands/sequence.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "catalog/registry.h"
#include "catalog/state.h"
#include "compat.h"

#define STATE_COLUMNS 17
#define EPOCH_COLUMNS 4

Oid
segment_table_oid(const char *name)
{
	Oid			relid = get_relname_relid(name, segment_catalog_schema(false));

	if (!OidIsValid(relid))
		elog(ERROR, "table segment.%s does not exist", name);
	return relid;
}

Relation
segment_table_open(const char *name, LOCKMODE lockmode)
{
	return table_open(segment_table_oid(name), lockmode);
}

Oid
segment_table_index(Relation table)
{
	Oid			index = segment_compat_primary_key(table);

	if (!OidIsValid(index))
		elog(ERROR, "table segment.%s has no primary key", RelationGetRelationName(table));
	return index;
}

int64
segment_state_next_version(void)
{
	return nextval_internal(get_relname_relid("version_seq", segment_catalog_schema(false)), false);
}

/* ---- rows ---- */

/* Fills a SegmentState or SegmentEpoch. */
typedef void (*ReadRow) (HeapTuple tuple, TupleDesc desc, void *row);

/* The row with this key; false if there is none. */
static bool
get_row(const char *name, RegProcedure equal, Datum value, Snapshot snapshot, ReadRow read, void *row)
{
	Relation	table = segment_table_open(name, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, equal, value);
	scan = systable_beginscan(table, segment_table_index(table), true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
		read(tuple, RelationGetDescr(table), row);
	systable_endscan(scan);
	table_close(table, NoLock);
	return found;
}

/* Every row, each in memory of its own of this size. */
static List *
all_rows(const char *name, Snapshot snapshot, ReadRow read, size_t size)
{
	Relation	table = segment_table_open(name, AccessShareLock);
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false, snapshot, 0, NULL);
	List	   *rows = NIL;
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		void	   *row = palloc(size);

		read(tuple, RelationGetDescr(table), row);
		rows = lappend(rows, row);
	}
	systable_endscan(scan);
	table_close(table, NoLock);
	return rows;
}

/* Insert, or update the row at *tid, which is where it is afterwards. */
static void
put_row(Relation table, ItemPointer tid, HeapTuple tuple)
{
	if (ItemPointerIsValid(tid))
		CatalogTupleUpdate(table, tid, tuple);
	else
		CatalogTupleInsert(table, tuple);
	*tid = tuple->t_self;
	table_close(table, NoLock);
}

/* ---- state ---- */

static void
read_state(HeapTuple tuple, TupleDesc desc, void *row)
{
	SegmentState *state = row;
	Datum		values[STATE_COLUMNS];
	bool		nulls[STATE_COLUMNS];

	heap_deform_tuple(tuple, desc, values, nulls);
	state->id = DatumGetInt32(values[0]);
	state->status = DatumGetChar(values[1]);
	state->fingerprint = (uint64) DatumGetInt64(values[2]);
	state->epoch = DatumGetInt64(values[3]);
	state->version = DatumGetInt64(values[4]);
	state->size = DatumGetInt64(values[5]);
	state->evaluated = DatumGetInt64(values[6]);
	state->cost = DatumGetFloat8(values[7]);
	state->refreshedAt = DatumGetTimestampTz(values[8]);
	state->due = DatumGetTimestampTz(values[9]);
	state->message = nulls[10] ? NULL : TextDatumGetCString(values[10]);
	/* as it is stored: most readers find none, and some do not look */
	state->rest = nulls[11] ? (Datum) 0 : datumCopy(values[11], false, -1);
	state->total = DatumGetInt64(values[12]);
	state->since = DatumGetTimestampTz(values[13]);
	state->failures = DatumGetInt32(values[14]);
	state->retryAt = DatumGetTimestampTz(values[15]);
	state->spare = DatumGetInt64(values[16]);
	state->tid = tuple->t_self;
}

static HeapTuple
form_state(const SegmentState *state, TupleDesc desc)
{
	Datum		values[STATE_COLUMNS];
	bool		nulls[STATE_COLUMNS] = {false};

	values[0] = Int32GetDatum(state->id);
	values[1] = CharGetDatum(state->status);
	values[2] = Int64GetDatum((int64) state->fingerprint);
	values[3] = Int64GetDatum(state->epoch);
	values[4] = Int64GetDatum(state->version);
	values[5] = Int64GetDatum(state->size);
	values[6] = Int64GetDatum(state->evaluated);
	values[7] = Float8GetDatum(state->cost);
	values[8] = TimestampTzGetDatum(state->refreshedAt);
	values[9] = TimestampTzGetDatum(state->due);
	nulls[10] = state->message == NULL;
	values[10] = nulls[10] ? (Datum) 0 : CStringGetTextDatum(state->message);
	nulls[11] = state->rest == (Datum) 0;
	values[11] = state->rest;
	values[12] = Int64GetDatum(state->total);
	values[13] = TimestampTzGetDatum(state->since);
	values[14] = Int32GetDatum(state->failures);
	values[15] = TimestampTzGetDatum(state->retryAt);
	values[16] = Int64GetDatum(state->spare);
	return heap_form_tuple(desc, values, nulls);
}

bool
segment_state_get(int32 id, Snapshot snapshot, SegmentState *state)
{
	return get_row("state", F_INT4EQ, Int32GetDatum(id), snapshot, read_state, state);
}

List *
segment_state_all(Snapshot snapshot)
{
	return all_rows("state", snapshot, read_state, sizeof(SegmentState));
}

void
segment_state_put(SegmentState *state)
{
	Relation	table = segment_table_open("state", RowExclusiveLock);

	put_row(table, &state->tid, form_state(state, RelationGetDescr(table)));
}

/* ---- epoch ---- */

static void
read_epoch(HeapTuple tuple, TupleDesc desc, void *row)
{
	SegmentEpoch *epoch = row;
	Datum		values[EPOCH_COLUMNS];
	bool		nulls[EPOCH_COLUMNS];

	heap_deform_tuple(tuple, desc, values, nulls);
	epoch->id = DatumGetInt64(values[0]);
	epoch->snapshot = PointerGetDatum(PG_DETOAST_DATUM_COPY(values[1]));
	epoch->xid = DatumGetFullTransactionId(values[2]);
	epoch->clock = DatumGetTimestampTz(values[3]);
	epoch->xmin = DatumGetFullTransactionId(DirectFunctionCall1(pg_snapshot_xmin, epoch->snapshot));
	epoch->tid = tuple->t_self;
}

bool
segment_epoch_get(int64 id, Snapshot snapshot, SegmentEpoch *epoch)
{
	return get_row("epoch", F_INT8EQ, Int64GetDatum(id), snapshot, read_epoch, epoch);
}

List *
segment_epoch_all(Snapshot snapshot)
{
	return all_rows("epoch", snapshot, read_epoch, sizeof(SegmentEpoch));
}

void
segment_epoch_put(SegmentEpoch *epoch)
{
	Relation	table = segment_table_open("epoch", RowExclusiveLock);
	Datum		values[EPOCH_COLUMNS];
	bool		nulls[EPOCH_COLUMNS] = {false};

	values[0] = Int64GetDatum(epoch->id);
	values[1] = epoch->snapshot;
	values[2] = FullTransactionIdGetDatum(epoch->xid);
	values[3] = TimestampTzGetDatum(epoch->clock);
	put_row(table, &epoch->tid, heap_form_tuple(RelationGetDescr(table), values, nulls));
}

void
segment_table_delete(const char *name, int32 id)
{
	Relation	table = segment_table_open(name, RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
	scan = systable_beginscan(table, segment_table_index(table), true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		CatalogTupleDelete(table, &tuple->t_self);
	systable_endscan(scan);
	table_close(table, NoLock);
}

void
segment_state_delete(int32 id)
{
	segment_table_delete("state", id);
	segment_table_delete("chunk", id);
	segment_table_delete("deadline", id);
}

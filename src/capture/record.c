/*-------------------------------------------------------------------------
 *
 * record.c
 *		Append rows to segment.invalidation.
 *
 * The row goes in by heap and index insertion from C: no privilege on the table
 * is needed, no trigger, rule or planner is involved.
 *
 * xid is the top-level transaction, n counts its rows.  The counter lives in the
 * backend and only grows while the top-level transaction stays the same, through
 * savepoints and their rollback; a full transaction id never comes back, after
 * PREPARE TRANSACTION either, so (xid, n) is unique without a sequence.
 *
 * Every row is written with command id 0, whatever command writes it.  A snapshot
 * of this transaction that was taken while the statement ran (by a cursor opened
 * in one of its triggers, say) sees rows that the statement changed; so it must
 * also see the invalidation, which is only written at the end.  Who sees a row of
 * command 0 too early evaluates some subjects more, nothing else.
 *
 * Who writes one rings at the doorbell when the transaction commits (doorbell.c).
 *
 * Locks: ROW EXCLUSIVE on segment.invalidation, to the end of the transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "executor/executor.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/xid8.h"

#include "capture/internal.h"
#include "catalog/registry.h"
#include "compat.h"
#include "doorbell.h"

enum
{
	COLUMN_XID,
	COLUMN_N,
	COLUMN_SOURCE,
	COLUMN_COLUMNS,
	COLUMN_KEY,
	COLUMN_KEYS,
	COLUMNS
};

static Oid	invalidationId = InvalidOid;
static bool callbackRegistered = false;

static void
forget_table(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == invalidationId)
		invalidationId = InvalidOid;
}

/* OID of segment.invalidation, remembered until its relation cache entry changes. */
static Oid
table_id(void)
{
	if (likely(OidIsValid(invalidationId)))
		return invalidationId;

	if (!callbackRegistered)
	{
		CacheRegisterRelcacheCallback(forget_table, (Datum) 0);
		callbackRegistered = true;
	}
	invalidationId = get_relname_relid("invalidation", segment_catalog_schema(false));
	if (!OidIsValid(invalidationId))
		elog(ERROR, "table \"segment.invalidation\" does not exist");
	return invalidationId;
}

/*
 * The next n of this transaction.  Counts on through the negative numbers after
 * 2^31 rows; a transaction runs out of command ids before it runs out of these.
 */
static int32
next_number(FullTransactionId xid)
{
	static FullTransactionId counted = {0};
	static uint32 counter = 0;

	if (!FullTransactionIdEquals(counted, xid))
	{
		counted = xid;
		counter = 0;
	}
	return (int32) counter++;
}

/*
 * The row of an index that PostgreSQL's executor would have to compute: on
 * expressions, or with a predicate.  We make none, a superuser might.  Returns
 * false when the row does not belong into the index.
 */
static bool
compute_index_row(Relation table, IndexInfo *info, HeapTuple tuple, Datum *values, bool *nulls)
{
	EState	   *estate = CreateExecutorState();
	ExprContext *context = GetPerTupleExprContext(estate);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(table), &TTSOpsHeapTuple);
	bool		member;

	ExecStoreHeapTuple(tuple, slot, false);
	context->ecxt_scantuple = slot;
	member = ExecQual(ExecPrepareQual(info->ii_Predicate, estate), context);
	if (member)
		FormIndexDatum(info, slot, estate, values, nulls);
	ExecDropSingleTupleTableSlot(slot);
	return member;				/* estate goes with the caller's context:
								 * values may lie in it */
}

static void
insert_into_index(Relation table, Oid indexId, HeapTuple tuple,
				  const Datum *row, const bool *rowNulls)
{
	Relation	index = index_open(indexId, RowExclusiveLock);
	IndexInfo  *info = BuildIndexInfo(index);
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	bool		member = info->ii_ReadyForInserts;

	if (unlikely(info->ii_Expressions != NIL || info->ii_Predicate != NIL))
		member = member && compute_index_row(table, info, tuple, values, nulls);
	else
		for (int i = 0; i < info->ii_NumIndexAttrs; i++)
		{
			int			column = info->ii_IndexAttrNumbers[i] - 1;

			values[i] = row[column];
			nulls[i] = rowNulls[column];
		}
	if (member)
	{
		index_insert(index, values, nulls, &tuple->t_self, table,
					 index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
					 false, info);
		segment_compat_index_insert_cleanup(index, info);
	}
	index_close(index, NoLock);
}

void
segment_capture_record(Oid relid, AttrNumber key, int64 columns, Datum keys, bool everybody)
{
	Relation	table = table_open(table_id(), RowExclusiveLock);
	FullTransactionId xid = GetTopFullTransactionId();
	Datum		row[COLUMNS];
	bool		nulls[COLUMNS] = {0};
	HeapTuple	tuple;
	List	   *indexes;
	ListCell   *lc;

	row[COLUMN_XID] = FullTransactionIdGetDatum(xid);
	row[COLUMN_N] = Int32GetDatum(next_number(xid));
	row[COLUMN_SOURCE] = ObjectIdGetDatum(relid);
	row[COLUMN_COLUMNS] = Int64GetDatum(columns);
	nulls[COLUMN_COLUMNS] = columns == SEGMENT_ALL_COLUMNS;
	row[COLUMN_KEY] = Int16GetDatum(key);
	row[COLUMN_KEYS] = keys;
	nulls[COLUMN_KEYS] = everybody;

	tuple = heap_form_tuple(RelationGetDescr(table), row, nulls);
	(void) GetCurrentCommandId(true);	/* this command writes */
	heap_insert(table, tuple, FirstCommandId, 0, NULL);

	indexes = RelationGetIndexList(table);
	foreach(lc, indexes)
		insert_into_index(table, lfirst_oid(lc), tuple, row, nulls);
	list_free(indexes);
	heap_freetuple(tuple);
	table_close(table, NoLock);
	segment_doorbell_touch();
}

void
segment_capture_touch_all(Oid relid)
{
	segment_capture_record(relid, SEGMENT_WHOLE_SOURCE, SEGMENT_ALL_COLUMNS, (Datum) 0, true);
}

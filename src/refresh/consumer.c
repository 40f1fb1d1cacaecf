/*-------------------------------------------------------------------------
 *
 * consumer.c
 *		Named consumers of the change feed.
 *
 * A consumer has one position per segment, a row of segment.subscription: all
 * changes up to it are done with.  A worker asks for a batch, works on it, and
 * acknowledges it, in one transaction or in two:
 *
 *		BEGIN;
 *		SELECT * FROM segment.next_batch('mailer');		locks one subscription
 *		...												work
 *		SELECT segment.ack('mailer', 'vip', 17);		moves its position
 *		COMMIT;											both, and the lock
 *
 * A batch is of one segment, and the subscription stays locked until the
 * transaction ends: other workers skip it (SKIP LOCKED) and get another segment.
 * So changes of a segment come in order, and a worker that dies leaves its
 * batch to the next one: at least once, none lost.  The position is read after
 * the lock, and the changes after the position, under a new snapshot.
 *
 * Which is next: the segment whose oldest waiting change is the oldest.
 *
 * A consumer belongs to a role.  Who uses it must be a member of that role, and
 * gets changes of the segments that he himself may read.
 *
 * Lost: the position lies before changes that the retention has deleted, which
 * the oldest row tells ("previous").  That is an error, until reset_consumer().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "catalog/change.h"
#include "catalog/query.h"
#include "read/read.h"
#include "testing.h"

PGDLLEXPORT Datum segmentation_create_consumer(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_drop_consumer(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_next_batch(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_ack(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_reset_consumer(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_create_consumer);
PG_FUNCTION_INFO_V1(segmentation_drop_consumer);
PG_FUNCTION_INFO_V1(segmentation_next_batch);
PG_FUNCTION_INFO_V1(segmentation_ack);
PG_FUNCTION_INFO_V1(segmentation_reset_consumer);

/* The name of a consumer, checked. */
static char *
consumer_name(FunctionCallInfo fcinfo)
{
	char	   *name;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("the name of a consumer must not be null"));
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (name[0] == '\0')
		ereport(ERROR,
				errcode(ERRCODE_INVALID_NAME),
				errmsg("the name of a consumer must not be empty"));
	return name;
}

/*
 * ERROR unless the consumer exists and the current user is a member of the role
 * that owns it.  Returns whether it follows all segments.
 */
static bool
check_consumer(const char *name)
{
	SegmentQueryGuard guard;
	SegmentQuery query = {0};
	Oid			owner = InvalidOid;
	bool		follow = false;

	segment_query_add(&query, TEXTOID, CStringGetTextDatum(name));
	segment_query_begin(&guard);
	if (segment_query_run(&query, "SELECT owner, follow FROM segment.consumer WHERE name = $1", false) > 0)
	{
		bool		isnull;

		owner = DatumGetObjectId(segment_query_value(0, 1, &isnull));
		follow = DatumGetBool(segment_query_value(0, 2, &isnull));
	}
	segment_query_end(&guard);
	if (!OidIsValid(owner))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("consumer \"%s\" does not exist", name));
	if (!has_privs_of_role(GetUserId(), owner))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("permission denied for consumer \"%s\"", name),
				errhint("It is for members of the role that owns it."));
	return follow;
}

static int32
segment_id(Oid viewId)
{
	return segment_catalog_require(viewId)->id;
}

/* ---- create, drop ---- */

/* The ids of an array of segments that the current user may read, as integer[]. */
static Datum
segment_ids(ArrayType *array)
{
	Datum	   *views;
	bool	   *nulls;
	Datum	   *ids;
	int			n;

	deconstruct_array(array, REGCLASSOID, 4, true, TYPALIGN_INT, &views, &nulls, &n);
	ids = palloc(sizeof(Datum) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					errmsg("a segment of a consumer must not be null"));
		segment_read_check(DatumGetObjectId(views[i]));
		ids[i] = Int32GetDatum(segment_id(DatumGetObjectId(views[i])));
	}
	return PointerGetDatum(construct_array(ids, n, INT4OID, 4, true, TYPALIGN_INT));
}

/* create_consumer(name, segments, from_start) */
Datum
segmentation_create_consumer(PG_FUNCTION_ARGS)
{
	char	   *name = consumer_name(fcinfo);
	SegmentQueryGuard guard;
	SegmentQuery query = {0};

	segment_query_add(&query, TEXTOID, CStringGetTextDatum(name));
	segment_query_add(&query, REGROLEOID, ObjectIdGetDatum(GetUserId()));
	if (PG_ARGISNULL(1))
		segment_query_add_null(&query, INT4ARRAYOID);
	else
		segment_query_add(&query, INT4ARRAYOID, segment_ids(PG_GETARG_ARRAYTYPE_P(1)));
	segment_query_add(&query, BOOLOID, BoolGetDatum(!PG_ARGISNULL(2) && PG_GETARG_BOOL(2)));
	segment_query_begin(&guard);
	if (segment_query_run(&query,
						  "INSERT INTO segment.consumer (name, owner, follow) VALUES ($1, $2, $3 IS NULL)"
						  " ON CONFLICT DO NOTHING", false) == 0)
		ereport(ERROR,
				errcode(ERRCODE_DUPLICATE_OBJECT),
				errmsg("consumer \"%s\" already exists", name));
	/* of one of that name that was dropped while a segment was built */
	segment_query_run(&query, "DELETE FROM segment.subscription WHERE consumer = $1", false);
	segment_query_run(&query,
					  "INSERT INTO segment.subscription (consumer, id, position)"
					  " SELECT $1, s.id, COALESCE(CASE WHEN $4"
					  "  THEN (SELECT h.previous FROM segment.change h WHERE h.id = s.id ORDER BY h.number LIMIT 1)"
					  "  ELSE (SELECT h.number FROM segment.change h WHERE h.id = s.id ORDER BY h.number DESC LIMIT 1) END, 0)"
					  " FROM segment.segment s WHERE $3 IS NULL OR s.id = ANY ($3)", false);
	segment_query_end(&guard);
	PG_RETURN_VOID();
}

Datum
segmentation_drop_consumer(PG_FUNCTION_ARGS)
{
	char	   *name = consumer_name(fcinfo);
	SegmentQueryGuard guard;
	SegmentQuery query = {0};

	check_consumer(name);
	segment_query_add(&query, TEXTOID, CStringGetTextDatum(name));
	segment_query_begin(&guard);
	segment_query_run(&query, "DELETE FROM segment.subscription WHERE consumer = $1", false);
	segment_query_run(&query, "DELETE FROM segment.consumer WHERE name = $1", false);
	segment_query_end(&guard);
	PG_RETURN_VOID();
}

/* ---- batches ---- */

/*
 * Segments that came while the consumer was being created, unseen by it and
 * unseeing it.  Those with changes only: nobody else subscribes to them now.
 */
static void
subscribe_missing(SegmentQuery *query)
{
	segment_query_run(query,
					  "INSERT INTO segment.subscription (consumer, id, position)"
					  " SELECT c.name, s.id, 0 FROM segment.consumer c, segment.segment s"
					  " WHERE c.name = $1 AND NOT EXISTS (SELECT FROM segment.subscription u WHERE u.consumer = $1 AND u.id = s.id)"
					  " AND EXISTS (SELECT FROM segment.change h WHERE h.id = s.id)"
					  " ON CONFLICT DO NOTHING", false);
}

/* $1 consumer, $2 the user who reads */
#define READABLE "u.consumer = $1 AND has_table_privilege($2, s.view, 'SELECT')"

/* ERROR if changes that the consumer has not acknowledged are gone. */
static void
check_lost(SegmentQuery *query, const char *name)
{
	bool		isnull;

	if (segment_query_run(query,
						  "SELECT s.view FROM segment.subscription u JOIN segment.segment s ON s.id = u.id"
						  " WHERE " READABLE " AND u.position < (SELECT h.previous FROM segment.change h"
						  "  WHERE h.id = u.id ORDER BY h.number LIMIT 1)"
						  " ORDER BY s.id LIMIT 1", false) > 0)
	{
		Oid			viewId = DatumGetObjectId(segment_query_value(0, 1, &isnull));

		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("consumer \"%s\" has lost changes of segment \"%s\"", name, get_rel_name(viewId)),
				errdetail("They were deleted before it acknowledged them, as segmentation.consumer_retention allows."),
				errhint("SELECT * FROM segment.reset_consumer(%s, %s) gives the members of now and goes on from there.",
						quote_literal_cstr(name), quote_literal_cstr(get_rel_name(viewId))));
	}
}

#define OLDEST_WAITING \
	"SELECT u.id, u.position FROM segment.subscription u JOIN segment.segment s ON s.id = u.id," \
	" LATERAL (SELECT h.number FROM segment.change h WHERE h.id = u.id AND h.number > u.position ORDER BY h.number LIMIT 1) w" \
	" WHERE " READABLE " ORDER BY w.number LIMIT 1"

/*
 * Lock the subscription that is next, and read the changes behind its position.
 * Returns the number of rows in SPI_tuptable, 0 if there is nothing to do.
 *
 * Another worker may have moved the position while this one was about to lock:
 * then the row comes with the new position, and may have nothing behind it.
 */
static uint64
take_subscription(SegmentQuery *query, const char *name, int32 max_rows)
{
	while (segment_query_run(query, SEGMENT_MUTANT("unlocked_batch") ? OLDEST_WAITING : OLDEST_WAITING " FOR UPDATE OF u SKIP LOCKED", false) > 0)
	{
		SegmentQuery batch = {0};
		bool		isnull;
		uint64		rows;

		CHECK_FOR_INTERRUPTS();
		segment_query_add(&batch, INT4OID, segment_query_value(0, 1, &isnull));
		segment_query_add(&batch, INT8OID, segment_query_value(0, 2, &isnull));
		segment_query_add(&batch, INT4OID, Int32GetDatum(max_rows));
		rows = segment_query_run(&batch,
								 "SELECT s.view, h.number, h.clock, CASE h.reason WHEN 'b' THEN 'built' ELSE 'refresh' END,"
								 " h.entered, h.exited, h.instants, h.flipped"
								 " FROM segment.segment s JOIN segment.change h ON h.id = s.id"
								 " WHERE s.id = $1 AND h.number > $2"
		/* nothing has been deleted since that was looked for */
								 " AND (SELECT f.previous FROM segment.change f WHERE f.id = $1 AND f.number > $2 ORDER BY f.number LIMIT 1) <= $2"
								 " ORDER BY h.number LIMIT $3", false);
		if (rows > 0)
			return rows;
		check_lost(query, name);
	}
	return 0;
}

/* next_batch(consumer, max_rows) */
Datum
segmentation_next_batch(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *name = consumer_name(fcinfo);
	int32		max_rows = PG_GETARG_INT32(1);
	bool		follow;
	SegmentQueryGuard guard;
	SegmentQuery query = {0};

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (max_rows < 1)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("max_rows must be at least 1"));
	PreventCommandIfReadOnly("segment.next_batch()");
	follow = check_consumer(name);
	segment_query_add(&query, TEXTOID, CStringGetTextDatum(name));
	segment_query_add(&query, OIDOID, ObjectIdGetDatum(GetUserId()));
	segment_query_begin(&guard);
	if (follow)
		subscribe_missing(&query);
	check_lost(&query, name);
	if (take_subscription(&query, name, max_rows) > 0)
		segment_query_return(rsinfo);
	segment_query_end(&guard);
	return (Datum) 0;
}

/* Is there no segment $2 any more? */
static bool
is_dropped(SegmentQuery *query)
{
	return segment_query_run(query, "SELECT FROM segment.segment WHERE id = $2", false) == 0;
}

/* ack(consumer, segment, number): NULL when the segment has been dropped */
Datum
segmentation_ack(PG_FUNCTION_ARGS)
{
	char	   *name = consumer_name(fcinfo);
	Oid			viewId = PG_GETARG_OID(1);
	int64		number = PG_GETARG_INT64(2);
	int32		id;
	int64		position;
	bool		isnull;
	SegmentQueryGuard guard;
	SegmentQuery query = {0};

	check_consumer(name);
	/* dropped since the batch was read: there is nothing to acknowledge */
	if (get_rel_name(viewId) == NULL)
		PG_RETURN_NULL();
	segment_read_check(viewId);
	id = segment_id(viewId);
	segment_query_add(&query, TEXTOID, CStringGetTextDatum(name));
	segment_query_add(&query, INT4OID, Int32GetDatum(id));
	segment_query_add(&query, INT8OID, Int64GetDatum(number));
	segment_query_begin(&guard);

	/*
	 * what was never read cannot be acknowledged: a mistake here would lose
	 * it
	 */
	if (segment_query_run(&query,
						  "SELECT FROM segment.change WHERE id = $2 AND number >= $3 LIMIT 1", false) == 0)
	{
		if (is_dropped(&query))
		{
			segment_query_end(&guard);
			PG_RETURN_NULL();
		}
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("segment \"%s\" has no change number " INT64_FORMAT " yet", get_rel_name(viewId), number));
	}
	if (segment_query_run(&query,
						  "UPDATE segment.subscription SET position = greatest(position, $3)"
						  " WHERE consumer = $1 AND id = $2 RETURNING position", false) == 0)
	{
		if (is_dropped(&query))
		{
			segment_query_end(&guard);
			PG_RETURN_NULL();
		}
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("consumer \"%s\" has no segment \"%s\"", name, get_rel_name(viewId)));
	}
	position = DatumGetInt64(segment_query_value(0, 1, &isnull));
	segment_query_end(&guard);
	PG_RETURN_INT64(position);
}

/* ---- beginning anew ---- */

/*
 * Return (segment, position, members) for each subscription that was moved,
 * under a snapshot that sees the changes that the positions are those of.
 */
static void
return_positions(ReturnSetInfo *rsinfo)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum		values[3];
		bool		nulls[3] = {false};
		bool		isnull;
		int32		id = DatumGetInt32(segment_query_value(i, 1, &isnull));
		SegmentBitmap *members;

		CHECK_FOR_INTERRUPTS();
		values[0] = segment_query_value(i, 2, &isnull);
		values[1] = segment_query_value(i, 3, &isnull);
		members = segment_change_members(id, DatumGetInt64(values[1]), GetActiveSnapshot());
		nulls[2] = members == NULL;
		values[2] = members ? segment_bitmap_to_datum(members) : (Datum) 0;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		if (members != NULL)
		{
			segment_bitmap_free(members);
			pfree(DatumGetPointer(values[2]));
		}
	}
	PopActiveSnapshot();
}

/* reset_consumer(name, only_segment) */
Datum
segmentation_reset_consumer(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *name = consumer_name(fcinfo);
	SegmentQueryGuard guard;
	SegmentQuery query = {0};

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	check_consumer(name);
	segment_query_add(&query, TEXTOID, CStringGetTextDatum(name));
	segment_query_add(&query, OIDOID, ObjectIdGetDatum(GetUserId()));
	if (PG_ARGISNULL(1))
		segment_query_add_null(&query, INT4OID);
	else
		segment_query_add(&query, INT4OID, Int32GetDatum(segment_id(PG_GETARG_OID(1))));
	segment_query_begin(&guard);
	segment_query_run(&query,
					  "UPDATE segment.subscription u SET position = greatest(u.position, COALESCE("
					  "  (SELECT h.number FROM segment.change h WHERE h.id = s.id ORDER BY h.number DESC LIMIT 1), 0))"
					  " FROM segment.segment s WHERE s.id = u.id AND " READABLE " AND ($3 IS NULL OR u.id = $3)"
					  " RETURNING u.id, s.view, u.position", false);
	return_positions(rsinfo);
	segment_query_end(&guard);
	return (Datum) 0;
}

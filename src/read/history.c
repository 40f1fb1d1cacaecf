/*-------------------------------------------------------------------------
 *
 * history.c
 *		What segments were, from the change feed.
 *
 * The feed tells memberships as of refreshes: after one, until the next.  So a
 * membership "at" an instant is that of the last refresh whose clock is at or
 * before it; where a flip's own instant is known, single memberships are exact.
 * The history of a segment begins with the oldest row that holds all members;
 * before that nothing is known, which is NULL (or -infinity for an entry).
 *
 * Everything is read under the snapshot of the statement.  Privileges as for
 * reads: SELECT on the segment.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "catalog/change.h"
#include "catalog/query.h"
#include "read/read.h"

PGDLLEXPORT Datum segmentation_changes(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_members_at(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_size_at(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_size_history(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_memberships_history(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_changes);
PG_FUNCTION_INFO_V1(segmentation_members_at);
PG_FUNCTION_INFO_V1(segmentation_size_at);
PG_FUNCTION_INFO_V1(segmentation_size_history);
PG_FUNCTION_INFO_V1(segmentation_memberships_history);

/* The last change at or before an instant, and before it a row that holds all members. */
#define LAST_CHANGE \
	"SELECT h.number, h.size FROM segment.change h WHERE h.id = $1 AND h.since <= %s" \
	" AND EXISTS (SELECT FROM segment.change f WHERE f.id = h.id AND f.number <= h.number AND f.members IS NOT NULL)" \
	" ORDER BY h.since DESC, h.number DESC LIMIT 1"

/* The id of a segment that the current user may read. */
static int32
readable_segment(Oid viewId)
{
	segment_read_check(viewId);
	return segment_catalog_require(viewId)->id;
}

/* changes(segment, after, max_rows) */
Datum
segmentation_changes(PG_FUNCTION_ARGS)
{
	int64		after = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT64(1);
	SegmentQueryGuard guard;
	SegmentQuery query = {0};
	SegmentChange oldest;
	int32		id;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	id = readable_segment(PG_GETARG_OID(0));
	if (!PG_ARGISNULL(2) && PG_GETARG_INT32(2) < 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("max_rows must not be negative"));
	if (after > 0 && segment_change_oldest(id, GetActiveSnapshot(), &oldest) && after < oldest.previous)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("changes of segment \"%s\" after number " INT64_FORMAT " are not kept any more",
					   get_rel_name(PG_GETARG_OID(0)), after),
				errhint("Begin anew with segment.members(segment, at) and the changes behind it; segmentation.history_retention says how long changes are kept."));

	segment_query_add(&query, INT4OID, Int32GetDatum(id));
	segment_query_add(&query, INT8OID, Int64GetDatum(after));
	if (PG_ARGISNULL(2))
		segment_query_add_null(&query, INT4OID);
	else
		segment_query_add(&query, INT4OID, PG_GETARG_DATUM(2));
	segment_query_begin(&guard);
	segment_query_run(&query,
					  "SELECT number, clock, CASE reason WHEN 'b' THEN 'built' ELSE 'refresh' END, entered, exited, instants, flipped"
					  " FROM segment.change WHERE id = $1 AND number > $2 ORDER BY number LIMIT $3", true);
	segment_query_return((ReturnSetInfo *) fcinfo->resultinfo);
	segment_query_end(&guard);
	return (Datum) 0;
}

/* The last change of a segment at or before an instant; false before its history. */
static bool
find_change(int32 id, TimestampTz at, int64 *number, int64 *size)
{
	SegmentQueryGuard guard;
	SegmentQuery query = {0};
	bool		found;
	bool		isnull;

	segment_query_add(&query, INT4OID, Int32GetDatum(id));
	segment_query_add(&query, TIMESTAMPTZOID, TimestampTzGetDatum(at));
	segment_query_begin(&guard);
	found = segment_query_run(&query, psprintf(LAST_CHANGE, "$2"), true) > 0;
	if (found)
	{
		*number = DatumGetInt64(segment_query_value(0, 1, &isnull));
		*size = DatumGetInt64(segment_query_value(0, 2, &isnull));
	}
	segment_query_end(&guard);
	return found;
}

Datum
segmentation_members_at(PG_FUNCTION_ARGS)
{
	int32		id = readable_segment(PG_GETARG_OID(0));
	SegmentBitmap *members;
	int64		number;
	int64		size;

	if (!find_change(id, PG_GETARG_TIMESTAMPTZ(1), &number, &size))
		PG_RETURN_NULL();
	members = segment_change_members(id, number, GetActiveSnapshot());
	if (members == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(segment_bitmap_to_datum(members));
}

Datum
segmentation_size_at(PG_FUNCTION_ARGS)
{
	int64		number;
	int64		size;

	if (!find_change(readable_segment(PG_GETARG_OID(0)), PG_GETARG_TIMESTAMPTZ(1), &number, &size))
		PG_RETURN_NULL();
	PG_RETURN_INT64(size);
}

/* size_history(segment, from, to, step) */
Datum
segmentation_size_history(PG_FUNCTION_ARGS)
{
	SegmentQueryGuard guard;
	SegmentQuery query = {0};

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(1)) || TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(2)))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("\"from\" and \"to\" must be finite"));
	segment_query_add(&query, INT4OID, Int32GetDatum(readable_segment(PG_GETARG_OID(0))));
	segment_query_add(&query, TIMESTAMPTZOID, PG_GETARG_DATUM(1));
	segment_query_add(&query, TIMESTAMPTZOID, PG_GETARG_DATUM(2));
	segment_query_add(&query, INTERVALOID, PG_GETARG_DATUM(3));
	segment_query_begin(&guard);
	segment_query_run(&query,
					  psprintf("SELECT t.at, c.size FROM generate_series($2, $3, $4) t (at) LEFT JOIN LATERAL ("
							   LAST_CHANGE ") c ON true", "t.at"), true);
	segment_query_return((ReturnSetInfo *) fcinfo->resultinfo);
	segment_query_end(&guard);
	return (Datum) 0;
}

/* ---- memberships of one subject ---- */

/* The membership found last; it may turn out to go on. */
typedef struct Membership
{
	bool		known;
	bool		open;			/* not exited yet */
	TimestampTz entered;
	TimestampTz exited;
} Membership;

static void
put_membership(ReturnSetInfo *rsinfo, Oid viewId, const Membership *membership)
{
	Datum		values[3] = {ObjectIdGetDatum(viewId), TimestampTzGetDatum(membership->entered),
	TimestampTzGetDatum(membership->exited)};
	bool		nulls[3] = {false, false, membership->open};

	if (membership->known && (membership->open || membership->entered < membership->exited))
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * Rows in which one subject of a segment changes, and the first of the history.
 * at: the instant of its flip where that is known, else of the refresh; what a
 * refresh took back happened, if at all, when what came of it began.
 */
#define CHANGES_OF_SUBJECT \
	"SELECT CASE WHEN h.since IS NULL" \
	"  THEN (SELECT t.since FROM segment.change t WHERE t.id = h.id AND t.number > h.number AND t.since IS NOT NULL ORDER BY t.number LIMIT 1)" \
	"  ELSE LEAST((SELECT max(i.instant) FROM unnest(h.instants, h.flipped) i (instant, ids) WHERE i.ids OPERATOR(segment.@>) $2), h.since) END AS at," \
	" h.entered OPERATOR(segment.@>) $2 AS entered, h.exited OPERATOR(segment.@>) $2 AS exited," \
	" h.number = f.number AND h.members OPERATOR(segment.@>) $2 AS there" \
	" FROM (SELECT number FROM segment.change WHERE id = $1 AND members IS NOT NULL ORDER BY number LIMIT 1) f" \
	" JOIN segment.change h ON h.id = $1 AND h.number >= f.number" \
	" WHERE h.entered OPERATOR(segment.@>) $2 OR h.exited OPERATOR(segment.@>) $2 OR h.number = f.number" \
	" ORDER BY h.number"

/* The memberships of one subject in one segment. */
static void
put_memberships(ReturnSetInfo *rsinfo, Oid viewId, int32 id, int64 subject)
{
	Membership	last = {false, false, DT_NOBEGIN, DT_NOBEGIN};
	SegmentQueryGuard guard;
	SegmentQuery query = {0};
	uint64		rows;

	segment_query_add(&query, INT4OID, Int32GetDatum(id));
	segment_query_add(&query, INT8OID, Int64GetDatum(subject));
	segment_query_begin(&guard);
	rows = segment_query_run(&query, CHANGES_OF_SUBJECT, true);
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;
		TimestampTz at = DatumGetTimestampTz(segment_query_value(i, 1, &isnull));
		bool		entered = DatumGetBool(segment_query_value(i, 2, &isnull));
		bool		exited = DatumGetBool(segment_query_value(i, 3, &isnull));
		bool		there = DatumGetBool(segment_query_value(i, 4, &isnull)) && !isnull;

		if (last.open && exited)
		{
			last.open = false;
			last.exited = at;
		}
		else if (!last.open && (entered || there))
		{
			/* left and came back at once: it was never away */
			if (!last.known || at > last.exited)
			{
				put_membership(rsinfo, viewId, &last);
				last.entered = entered ? at : DT_NOBEGIN;
			}
			last.known = last.open = true;
		}
	}
	segment_query_end(&guard);
	put_membership(rsinfo, viewId, &last);
}

/* memberships_history(subject_table, id) */
Datum
segmentation_memberships_history(PG_FUNCTION_ARGS)
{
	Oid			subject = PG_GETARG_OID(0);
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	foreach(lc, segment_catalog_all())
	{
		SegmentEntry *entry = lfirst(lc);
		const SegmentCompiled *compiled;
		ErrorData  *error;

		CHECK_FOR_INTERRUPTS();
		if (pg_class_aclcheck(entry->viewId, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			continue;
		compiled = segment_catalog_try_compiled(entry->viewId, &error);
		if (error != NULL)
			segment_read_left_out(entry->viewId, error);
		if (compiled != NULL && compiled->subject == subject)
			put_memberships((ReturnSetInfo *) fcinfo->resultinfo, entry->viewId, entry->id, PG_GETARG_INT64(1));
	}
	return (Datum) 0;
}

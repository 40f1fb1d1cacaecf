/*-------------------------------------------------------------------------
 *
 * feed.c
 *		The change feed: what refreshes append, and what follows from it.
 *
 *	refresh (store_built)				=> a row of segment.change per changed segment
 *	end of the refresh of a subject table
 *		=> NOTIFY segmentation			once, with the subject table and the last number
 *		=> retention					where a segment got a new row with members
 *		=> hooks						(hook.c), last, as they run foreign code
 *
 * A row is written in the transaction that writes the base, so feed and bases
 * are never apart: the sum of a segment's rows is its base.  That also holds
 * where there is no base to compare with, because a dump was restored or the
 * last refresh failed: then the feed's own sum is what the difference is taken
 * against, and nothing is announced twice or lost.
 *
 * Numbers are taken under the refresh lock of the subject table.  So who sees
 * number N of a segment sees all smaller ones of that segment, now or never;
 * between segments of different subject tables there is no such order.
 *
 * Retention: a row goes when it is older than segmentation.history_retention
 * and all consumers have acknowledged it, or it is older than
 * segmentation.consumer_retention too; but the newest row with members that is
 * old enough stays with all behind it, as the history begins with it.
 *
 * Locks: the refresh lock is held by the caller; ROW EXCLUSIVE on our tables.
 * Subscriptions, which workers of consumers lock, are read and never waited for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "catalog/query.h"
#include "guc.h"
#include "read/read.h"
#include "refresh/feed.h"
#include "refresh/hook.h"
#include "refresh/instant.h"
#include "testing.h"

/* What a row takes besides its sets, about. */
#define ROW_BYTES 100

/* At most so many rows of a segment are deleted by one refresh. */
#define MAX_TRIM "10000"

/* ---- appending ---- */

/*
 * A segment's clock has been set back: what it was in the meantime never was.
 * stays: it is now what it was last, so that has been so since the earlier clock.
 */
static void
take_back(int32 id, TimestampTz clock, bool stays)
{
	SegmentQueryGuard guard;
	SegmentQuery query = {0};

	segment_query_add(&query, INT4OID, Int32GetDatum(id));
	segment_query_add(&query, TIMESTAMPTZOID, TimestampTzGetDatum(clock));
	segment_query_add(&query, BOOLOID, BoolGetDatum(stays && !SEGMENT_MUTANT("taken_back")));
	segment_query_begin(&guard);
	segment_query_run(&query,
					  "UPDATE segment.change SET since = CASE WHEN $3 AND number = (SELECT max(number) FROM segment.change WHERE id = $1) THEN $2 END"
					  " WHERE id = $1 AND since > $2", false);
	segment_query_end(&guard);
}

bool
segment_feed_is_set_back(const SegmentStanding *standing, TimestampTz clock)
{
	return standing->hasState && (clock < standing->state.refreshedAt ||
								  (standing->state.epoch != 0 && clock < standing->epoch.clock));
}

/* A set without another, a new one. */
static SegmentBitmap *
without(const SegmentBitmap *a, const SegmentBitmap *b)
{
	SegmentBitmap *result = segment_bitmap_copy(a);

	segment_bitmap_andnot(result, b);
	return result;
}

/*
 * Is there no row with members that retention could let the history begin with,
 * not even a while after the time came?  A large segment that changes little
 * would have the next one in years.
 */
static bool
keeps_too_much(int32 id)
{
	TimestampTz retention = segment_guc_history_retention * USECS_PER_MINUTE;
	TimestampTz now = GetCurrentTimestamp();
	SegmentQueryGuard guard;
	SegmentQuery query = {0};
	SegmentChange oldest;
	bool		found;

	if (retention <= 0 || SEGMENT_MUTANT("long_history") || !segment_change_oldest(id, GetActiveSnapshot(), &oldest) || oldest.written > now - 2 * retention)
		return false;
	segment_query_add(&query, INT4OID, Int32GetDatum(id));
	segment_query_add(&query, TIMESTAMPTZOID, TimestampTzGetDatum(now - retention));
	segment_query_begin(&guard);
	found = segment_query_run(&query,
							  "SELECT FROM (SELECT written FROM segment.change WHERE id = $1 AND weight = 0 ORDER BY number DESC LIMIT 1) c"
							  " WHERE written > $2", true) > 0;
	segment_query_end(&guard);
	return !found;
}

/* Have the differences become heavier than the members, or old? */
static void
choose_members(SegmentChange *change, const SegmentChange *last, const SegmentBitmap *members)
{
	change->weight = last->weight + ROW_BYTES + segment_bitmap_serialized_size(change->entered) +
		segment_bitmap_serialized_size(change->exited);
	if (last->number == 0 || change->weight > segment_bitmap_serialized_size(members) || keeps_too_much(change->id))
	{
		change->members = members;
		change->weight = 0;
	}
}

/* Is the segment built anew, and not all subjects have been looked at? */
static bool
is_building(const SegmentWork *item)
{
	const SegmentStanding *standing = item->standing;

	return item->rest != NULL && !(standing->hasState && standing->state.status == SEGMENT_BUILT &&
								   standing->state.fingerprint == standing->fingerprint);
}

/* Does what is stored stand for what the feed has told last? */
static bool
has_told_base(const SegmentStanding *standing)
{
	return standing->hasState && standing->state.status == SEGMENT_BUILT;
}

static bool
is_built_anew(const SegmentStanding *standing)
{
	return !standing->hasState || standing->state.status == SEGMENT_BUILDING ||
		standing->state.fingerprint != standing->fingerprint;
}

/* The change from one membership to another, which is not nothing unless it is the first. */
static SegmentChange *
make_change(const SegmentStanding *standing, const SegmentBitmap *before, const SegmentBitmap *after,
			const SegmentChange *last, TimestampTz clock)
{
	SegmentChange *change = palloc0(sizeof(SegmentChange));

	change->id = standing->entry->id;
	change->number = segment_change_next_number();
	change->previous = last->number;
	change->clock = clock;
	change->written = GetCurrentTimestamp();
	change->reason = last->number == 0 || is_built_anew(standing) ? SEGMENT_REASON_BUILT : SEGMENT_REASON_REFRESH;
	change->size = segment_bitmap_cardinality(after);
	change->entered = without(after, before);
	change->exited = without(before, after);
	choose_members(change, last, after);
	return change;
}

/* A refresh may change a thousand segments: what is in the table is not kept in memory, too. */
static void
free_sets(SegmentChange *change)
{
	segment_bitmap_free(change->entered);
	segment_bitmap_free(change->exited);
	for (int i = 0; i < change->ninstants; i++)
		segment_bitmap_free(change->flipped[i]);
	change->entered = change->exited = NULL;
	change->members = NULL;
	change->ninstants = 0;
}

SegmentChange *
segment_feed_append(const SegmentWork *item, TimestampTz clock)
{
	const SegmentStanding *standing = item->standing;
	int32		id = standing->entry->id;
	bool		told = has_told_base(standing) || (SEGMENT_MUTANT("untold_base") && standing->hasState);
	const SegmentBitmap *before = told ? item->base : NULL;
	const SegmentBitmap *after = item->truth;
	SegmentChange last = {0};
	SegmentChange *change;

	if (is_building(item))
		return NULL;
	if (told && (after == NULL || segment_bitmap_equals(before, after)))
	{
		if (segment_feed_is_set_back(standing, clock))
			take_back(id, clock, true);
		return NULL;
	}
	if (after == NULL)
		after = segment_chunk_load(id, GetActiveSnapshot());
	if (segment_change_newest(id, GetActiveSnapshot(), &last) && before == NULL)
		before = segment_change_members(id, last.number, GetActiveSnapshot());
	if (before == NULL || last.number == 0)
		before = segment_bitmap_create();
	if (last.number != 0 && segment_bitmap_equals(before, after))
	{
		if (clock < last.clock)
			take_back(id, clock, true);
		return NULL;
	}

	change = make_change(standing, before, after, &last, clock);
	if (told && standing->state.epoch != 0 && standing->state.fingerprint == standing->fingerprint)
		segment_instant_find(item, change, clock);
	if (last.number != 0 && clock < last.clock)
		take_back(id, clock, false);
	segment_change_insert(change);
	free_sets(change);
	return change;
}

/* ---- retention ---- */

static Datum
ids_of(List *changes)
{
	Datum	   *values = palloc(sizeof(Datum) * list_length(changes));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, changes)
		values[n++] = Int32GetDatum(((SegmentChange *) lfirst(lc))->id);
	return PointerGetDatum(construct_array(values, n, INT4OID, 4, true, TYPALIGN_INT));
}

/* So many minutes ago; -1: never. */
static TimestampTz
minutes_ago(int minutes)
{
	return minutes < 0 ? DT_NOBEGIN : GetCurrentTimestamp() - minutes * USECS_PER_MINUTE;
}

/*
 * The changes of segments that may have rows to delete.  The history can only
 * begin later when there is a newer row with members, so that is when one looks.
 */
static List *
choose_old(List *changes, TimestampTz horizon)
{
	List	   *old = NIL;
	ListCell   *lc;

	foreach(lc, changes)
	{
		SegmentChange *change = lfirst(lc);
		SegmentChange oldest;

		/*
		 * one with members weighs nothing; an oldest one without has been
		 * left by a delete that had too much to do
		 */
		if (change->previous != 0 && segment_change_oldest(change->id, GetActiveSnapshot(), &oldest) &&
			oldest.written <= horizon && (change->weight == 0 || oldest.weight != 0))
			old = lappend(old, change);
	}
	return old;
}

static void
trim(List *changes)
{
	TimestampTz horizon = minutes_ago(segment_guc_history_retention);
	List	   *old = choose_old(changes, horizon);
	SegmentQueryGuard guard;
	SegmentQuery query = {0};

	if (old == NIL)
		return;
	segment_query_add(&query, INT4ARRAYOID, ids_of(old));
	segment_query_add(&query, TIMESTAMPTZOID, TimestampTzGetDatum(horizon));
	segment_query_add(&query, TIMESTAMPTZOID, TimestampTzGetDatum(SEGMENT_MUTANT("eager_retention") ? horizon :
																  minutes_ago(segment_guc_consumer_retention)));
	segment_query_begin(&guard);
	segment_query_run(&query,
					  "DELETE FROM segment.change WHERE ctid = ANY (ARRAY("
					  " SELECT d.row"
					  " FROM segment.segment s,"
	/* what all consumers have acknowledged */
					  " LATERAL (SELECT min(COALESCE(u.position, 0)) AS position"
					  "  FROM segment.consumer c LEFT JOIN segment.subscription u ON u.consumer = c.name AND u.id = s.id"
					  "  WHERE c.follow OR u.id IS NOT NULL) p,"
	/* the row that the history then begins with */
					  " LATERAL (SELECT h.number FROM segment.change h"
					  "  WHERE h.id = s.id AND h.members IS NOT NULL AND h.written <= $2"
					  "  AND (h.written <= $3 OR p.position IS NULL OR h.previous <= p.position)"
					  "  ORDER BY h.written DESC, h.number DESC LIMIT 1) k,"
					  " LATERAL (SELECT h.ctid AS row FROM segment.change h"
					  "  WHERE h.id = s.id AND h.number < k.number ORDER BY h.number LIMIT " MAX_TRIM ") d"
					  " WHERE s.id = ANY ($1)))", false);
	segment_query_end(&guard);
}

/* ---- consumers of all segments ---- */

/* Segments that are new to the feed are subscribed to from their first change on. */
static void
subscribe(List *changes)
{
	List	   *new = NIL;
	SegmentQueryGuard guard;
	SegmentQuery query = {0};
	ListCell   *lc;

	foreach(lc, changes)
		if (((SegmentChange *) lfirst(lc))->previous == 0)
		new = lappend(new, lfirst(lc));
	if (new == NIL)
		return;
	segment_query_add(&query, INT4ARRAYOID, ids_of(new));
	segment_query_begin(&guard);
	segment_query_run(&query,
					  "INSERT INTO segment.subscription (consumer, id, position)"
					  " SELECT c.name, i, 0 FROM segment.consumer c, unnest($1) i WHERE c.follow"
					  " ON CONFLICT DO NOTHING", false);
	segment_query_end(&guard);
}

/* ---- the end of a refresh ---- */

/* {"table": "public.customers", "number": 17} */
static void
announce(Oid subject, List *changes)
{
	StringInfoData payload;
	int64		last = 0;
	ListCell   *lc;

	foreach(lc, changes)
		last = Max(last, ((SegmentChange *) lfirst(lc))->number);
	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"table\": ");
	escape_json(&payload, quote_qualified_identifier(get_namespace_name(get_rel_namespace(subject)),
													 get_rel_name(subject)));
	appendStringInfo(&payload, ", \"number\": " INT64_FORMAT "}", last);
	Async_Notify("segmentation", payload.data);
}

void
segment_feed_finish(Oid subject, List *changes)
{
	if (changes == NIL)
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	subscribe(changes);
	trim(changes);
	announce(subject, changes);
	PopActiveSnapshot();
	CommandCounterIncrement();

	/* the worker has no portal whose snapshot SPI could lean on */
	PushActiveSnapshot(GetTransactionSnapshot());
	segment_hook_run(changes);
	PopActiveSnapshot();
}

void
segment_feed_forget(int32 id)
{
	SegmentQueryGuard guard;

	/* what has been committed by now, also in a transaction with one snapshot */
	segment_table_delete("change", id);
	segment_table_delete("hook", id);
	segment_query_begin(&guard);

	/*
	 * a DROP does not wait for a worker of a consumer: the next one removes
	 * what is left
	 */
	segment_query_run(NULL,
					  "DELETE FROM segment.subscription WHERE ctid = ANY (ARRAY("
					  " SELECT u.ctid FROM segment.subscription u"
					  " WHERE NOT EXISTS (SELECT FROM segment.segment s WHERE s.id = u.id) FOR UPDATE SKIP LOCKED))", false);
	segment_query_end(&guard);
}

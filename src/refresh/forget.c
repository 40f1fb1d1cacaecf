/*-------------------------------------------------------------------------
 *
 * forget.c
 *		Erasure: ids of subjects that are gone leave everything that is stored.
 *
 * Where ids of subjects are stored: bases (segment.chunk), deadlines, the change
 * feed, what a refresh in parts has left (segment.state), and invalidations that hold
 * keys of subjects.  All of it is changed under the refresh lock of the subject
 * table, as a refresh would, in one transaction.
 *
 * The subjects must be deleted already.  Then no snapshot from now on has them
 * as members, so a base without them is as right as with them, whether they are
 * pending or not, and they may leave the invalidations too.  But an invalidation
 * may be read by segments of other subject tables as well, which take its keys
 * to subjects of theirs: for these it becomes "everybody", which is never wrong.
 *
 * Numbers stay: how many members a segment had is nobody's personal data.
 *
 * What it says it has done it has looked up again afterwards, under a new
 * snapshot.  Rows that no transaction sees any more are VACUUM's business.
 *
 * Locks: as a refresh (views ACCESS SHARE, then the refresh lock).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "attempt.h"
#include "capture/capture.h"
#include "catalog/query.h"
#include "catalog/registry.h"
#include "catalog/state.h"
#include "compat.h"
#include "read/read.h"
#include "refresh/hook.h"
#include "refresh/refresh.h"
#include "testing.h"

PGDLLEXPORT Datum segmentation_forget(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_forget);

/* A way in which invalidations hold ids of this subject table. */
typedef struct Keyed
{
	Oid			source;
	AttrNumber	key;
	bool		shared;			/* read by segments of other tables too */
} Keyed;

/* What a subject table has. */
typedef struct Scope
{
	Oid			subject;
	List	   *ids;			/* of its segments */
	List	   *keys;			/* attribute numbers of their keys */
	List	   *keyed;			/* of Keyed * */
	List	   *read;			/* of SegmentSource *: all that segments read,
								 * of any table */
	List	   *broken;			/* ids of segments that cannot be compiled:
								 * what they have built is given up, and any
								 * invalidation may be theirs */
} Scope;

/* One of our tables, and how its rows of $2 (ids of segments) hold ids of $1. */
typedef struct Holder
{
	const char *table;
	const char *holds;
	const char *update;
} Holder;

#define MINUS " OPERATOR(segment.-) $1"
#define OVERLAPS " OPERATOR(segment.&&) $1"

#define SAME_KEY \
	" k (source, key, shared) WHERE k.source = invalidation.source" \
	" AND (k.key = invalidation.key OR k.key | 16384 = invalidation.key)"

/* Keys that may be anybody's: of segments that cannot be compiled, or that were dropped or altered meanwhile. */
#define ANYBODYS \
	"(cardinality($6) > 0 OR NOT EXISTS (SELECT FROM unnest($7, $8, NULL::boolean[])" SAME_KEY "))"

static const Holder holders[] = {
	{"change",
		"id = ANY ($2) AND (entered" OVERLAPS " OR exited" OVERLAPS " OR members" OVERLAPS
		" OR EXISTS (SELECT FROM unnest(flipped) f WHERE f" OVERLAPS "))",
		"entered = entered" MINUS ", exited = exited" MINUS ", members = members" MINUS
	", flipped = (SELECT array_agg(f" MINUS " ORDER BY n) FROM unnest(flipped) WITH ORDINALITY u (f, n))"},
	{"chunk",
		"id = ANY ($2) AND ids" OVERLAPS,
	"ids = ids" MINUS ", size = segment.cardinality(ids" MINUS ")"},
	{"state",
		"id = ANY ($2) AND rest" OVERLAPS,
	"version = nextval('segment.version_seq'), rest = rest" MINUS},
	{"deadline",
		"id = ANY ($2) AND ids" OVERLAPS,
	"ids = ids" MINUS},
	{"invalidation",
		"keys" OVERLAPS " AND (" ANYBODYS " OR EXISTS (SELECT FROM unnest($3, $4, $5)" SAME_KEY "))",
	"keys = CASE WHEN " ANYBODYS " OR EXISTS (SELECT FROM unnest($3, $4, $5)" SAME_KEY " AND k.shared) THEN NULL ELSE keys" MINUS " END"}
};

/* What a segment has built, and can build again. */
static const char *const built[] = {"state", "chunk", "deadline"};

/* ---- what a subject table has ---- */

static Keyed *
find_keyed(Scope *scope, const SegmentSource *source)
{
	ListCell   *lc;

	foreach(lc, scope->keyed)
	{
		Keyed	   *keyed = lfirst(lc);

		if (keyed->source == source->relid && keyed->key == source->key)
			return keyed;
	}
	return NULL;
}

static void
add_keyed(Scope *scope, const SegmentSource *source)
{
	Keyed	   *keyed;

	if (source->key == 0 || find_keyed(scope, source) != NULL)
		return;
	keyed = palloc0(sizeof(Keyed));
	keyed->source = source->relid;
	keyed->key = source->key;
	scope->keyed = lappend(scope->keyed, keyed);
}

/* The sources that record ids of this subject table as they are. */
static void
add_direct(Scope *scope, const SegmentCompiled *compiled)
{
	ListCell   *lc;

	foreach(lc, compiled->sources)
		if (((SegmentSource *) lfirst(lc))->steps == NIL)
		add_keyed(scope, lfirst(lc));
}

/* A segment of another table that records ids of this one, and goes on from there. */
static void
add_stepped(Scope *scope, const SegmentCompiled *compiled)
{
	ListCell   *lc;

	foreach(lc, compiled->sources)
	{
		const SegmentSource *source = lfirst(lc);
		const SegmentStep *first = source->steps == NIL ? NULL : linitial(source->steps);

		if (first != NULL && first->relid == scope->subject && list_member_int(scope->keys, first->match))
			add_keyed(scope, source);
	}
}

/* A segment of any table reads these too, as something else? */
static void
mark_shared(Scope *scope, const SegmentCompiled *compiled)
{
	ListCell   *lc;

	foreach(lc, compiled->sources)
	{
		const SegmentSource *source = lfirst(lc);
		Keyed	   *keyed = find_keyed(scope, source);

		if (keyed != NULL && (source->steps != NIL || compiled->subject != scope->subject))
			keyed->shared = true;
	}
}

/* All segments, compiled; those of the subject table are locked against DROP. */
static Scope *
make_scope(Oid subject)
{
	Scope	   *scope = palloc0(sizeof(Scope));
	List	   *all = NIL;
	ListCell   *lc;

	scope->subject = subject;
	foreach(lc, segment_catalog_all())
	{
		SegmentEntry *entry = lfirst(lc);
		ErrorData  *error;
		const SegmentCompiled *compiled = segment_catalog_try_compiled(entry->viewId, &error);

		CHECK_FOR_INTERRUPTS();
		/* dropped meanwhile, with all that it held */
		if (compiled == NULL && !OidIsValid(segment_catalog_owner(entry->viewId)))
			continue;

		/* it cannot be asked whether it is of this table: as if it were */
		if (compiled == NULL)
		{
			/* but for want of stack, which is the caller's */
			if (error != NULL && (segment_attempt_is_passing(error) || error->sqlerrcode == ERRCODE_STATEMENT_TOO_COMPLEX))
				ReThrowError(error);
			scope->ids = lappend_int(scope->ids, entry->id);
			scope->broken = lappend_int(scope->broken, entry->id);
			continue;
		}
		all = lappend(all, (void *) compiled);
		scope->read = list_concat(scope->read, compiled->sources);
		if (compiled->subject != subject)
			continue;
		LockRelationOid(entry->viewId, AccessShareLock);
		scope->ids = lappend_int(scope->ids, entry->id);
		scope->keys = list_append_unique_int(scope->keys, compiled->keyAttno);
		add_direct(scope, compiled);
	}
	foreach(lc, all)
		add_stepped(scope, lfirst(lc));
	foreach(lc, all)
		mark_shared(scope, lfirst(lc));
	return scope;
}

/*
 * The scope, and no segment that belongs to it is made or altered by another
 * transaction before this one ends: each reads its subject table and its
 * sources, and who makes it holds the locks of their captures.
 */
static Scope *
lock_scope(Oid subject)
{
	List	   *locked = NIL;
	Scope	   *scope;
	List	   *more;
	ListCell   *lc;

	do
	{
		AcceptInvalidationMessages();
		scope = make_scope(subject);
		more = list_member_oid(locked, subject) ? NIL : list_make1_oid(subject);
		foreach(lc, scope->keyed)
			if (!list_member_oid(locked, ((Keyed *) lfirst(lc))->source))
			more = list_append_unique_oid(more, ((Keyed *) lfirst(lc))->source);
		list_sort(more, list_oid_cmp);
		foreach(lc, more)
			(void) segment_capture_lock(lfirst_oid(lc), SEGMENT_MUTANT("forget_unlocked") ? AccessShareLock : ExclusiveLock, true);
		locked = list_concat(locked, more);
	} while (more != NIL);
	return scope;
}

/* ---- checks ---- */

/*
 * ERROR if one of the ids still is a row of the subject table.  It is read as its
 * owner: a name may come to mean something else, whose code is not to run with all
 * rights.
 */
static void
check_gone(Scope *scope, Datum ids)
{
	ListCell   *lc;

	foreach(lc, scope->keys)
	{
		SegmentGuard guard;
		SegmentQuery query = {0};
		bool		isnull;
		char	   *sql = psprintf("SELECT i FROM segment.ids($1) i WHERE EXISTS (SELECT FROM ONLY %s t WHERE t.%s OPERATOR(pg_catalog.=) i) LIMIT 1",
								   quote_qualified_identifier(get_namespace_name(get_rel_namespace(scope->subject)),
															  get_rel_name(scope->subject)),
								   quote_identifier(get_attname(scope->subject, lfirst_int(lc), false)));

		segment_query_add(&query, segment_query_bitmap_type(), ids);
		segment_read_become(&guard, segment_catalog_owner(scope->subject), NULL);
		SetUserIdAndSecContext(guard.owner, guard.context | SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS);
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		if (segment_query_run(&query, sql, false) > 0)
			ereport(ERROR,
					errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("subject " INT64_FORMAT " is still in table \"%s\"",
						   DatumGetInt64(segment_query_value(0, 1, &isnull)), get_rel_name(scope->subject)),
					errhint("Delete the row first: as long as it is there, the next refresh would store its id again."));
		SPI_finish();
		segment_read_return(&guard);
	}
}

static void
check_caller(Oid subject)
{
	char	   *name = get_rel_name(subject);

	if (name == NULL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation with OID %u does not exist", subject));
	if (!segment_compat_owns(subject, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, name);
	segment_hook_refuse("forget subjects");
	PreventCommandIfReadOnly("segment.forget()");
	PreventCommandDuringRecovery("segment.forget()");
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("segment.forget() cannot run in a transaction of isolation level REPEATABLE READ or SERIALIZABLE"),
				errdetail("It has to see what was written since the transaction began."),
				errhint("Call it in a transaction of isolation level READ COMMITTED."));
}

/* ---- the work ---- */

/* One more parameter: an array of this type. */
static void
add_array(SegmentQuery *query, Oid type, Datum *values, int n)
{
	int16		length;
	bool		byValue;
	char		alignment;

	get_typlenbyvalalign(type, &length, &byValue, &alignment);
	segment_query_add(query, get_array_type(type),
					  PointerGetDatum(construct_array(values, n, type, length, byValue, alignment)));
}

static void
add_ids(SegmentQuery *query, List *ids)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(list_length(ids), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, ids)
		values[n++] = Int32GetDatum(lfirst_int(lc));
	add_array(query, INT4OID, values, n);
}

/* $1 ids, $2 segments, $3 to $5 the columns of scope->keyed, $6 those of the segments that cannot be compiled, $7 and $8 scope->read */
static void
add_parameters(SegmentQuery *query, Scope *scope, Datum ids)
{
	int			n = Max(list_length(scope->keyed), list_length(scope->read));
	Datum	   *sources = palloc(sizeof(Datum) * Max(n, 1));
	Datum	   *keys = palloc(sizeof(Datum) * Max(n, 1));
	Datum	   *shared = palloc(sizeof(Datum) * Max(n, 1));
	ListCell   *lc;

	segment_query_add(query, segment_query_bitmap_type(), ids);
	add_ids(query, scope->ids);
	n = 0;
	foreach(lc, scope->keyed)
	{
		const Keyed *keyed = lfirst(lc);

		sources[n] = ObjectIdGetDatum(keyed->source);
		keys[n] = Int32GetDatum(keyed->key);
		shared[n++] = BoolGetDatum(keyed->shared);
	}
	add_array(query, OIDOID, sources, n);
	add_array(query, INT4OID, keys, n);
	add_array(query, BOOLOID, shared, n);
	add_ids(query, scope->broken);
	n = 0;
	foreach(lc, scope->read)
	{
		const SegmentSource *source = lfirst(lc);

		sources[n] = ObjectIdGetDatum(source->relid);
		keys[n++] = Int32GetDatum(source->key);
	}
	add_array(query, OIDOID, sources, n);
	add_array(query, INT4OID, keys, n);
}

/* How many rows of one of our tables hold one of the ids? */
static int64
count_rows(const Holder *holder, SegmentQuery *query)
{
	SegmentQueryGuard guard;
	int64		count;
	bool		isnull;

	segment_query_begin(&guard);
	segment_query_run(query, psprintf("SELECT count(*) FROM segment.%s WHERE %s", holder->table, holder->holds), false);
	count = DatumGetInt64(segment_query_value(0, 1, &isnull));
	segment_query_end(&guard);
	return count;
}

static void
remove_ids(SegmentQuery *query)
{
	SegmentQueryGuard guard;

	segment_query_begin(&guard);
	for (int i = 0; i < lengthof(built); i++)
		segment_query_run(query, psprintf("DELETE FROM segment.%s WHERE id = ANY ($6)", built[i]), false);
	/* caches of bases go by version */
	segment_query_run(query,
					  "UPDATE segment.state s SET version = nextval('segment.version_seq'), size = s.size - c.n FROM ("
					  " SELECT id, sum(segment.and_cardinality(ids, $1))::bigint AS n FROM segment.chunk"
					  " WHERE id = ANY ($2) AND ids" OVERLAPS " GROUP BY id) c WHERE c.id = s.id", false);
	for (int i = 0; i < lengthof(holders); i++)
		segment_query_run(query, psprintf("UPDATE segment.%s SET %s WHERE %s", holders[i].table,
										  holders[i].update, holders[i].holds), false);
	segment_query_end(&guard);
}

/* forget(subject_table, ids) */
Datum
segmentation_forget(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			subject = PG_GETARG_OID(0);
	Datum		ids = PG_GETARG_DATUM(1);
	SegmentQuery query = {0};
	int64		before[lengthof(holders)];
	Scope	   *scope;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	check_caller(subject);
	scope = lock_scope(subject);
	segment_refresh_lock(subject);
	check_gone(scope, ids);
	add_parameters(&query, scope, ids);
	for (int i = 0; i < lengthof(holders); i++)
		before[i] = count_rows(&holders[i], &query);
	remove_ids(&query);
	/* not inserted again meanwhile: what that has written down may be gone */
	check_gone(scope, ids);
	for (int i = 0; i < lengthof(holders); i++)
	{
		Datum		values[3];
		bool		nulls[3] = {false};

		values[0] = ObjectIdGetDatum(segment_table_oid(holders[i].table));
		values[1] = Int64GetDatum(before[i]);
		values[2] = Int64GetDatum(count_rows(&holders[i], &query));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*-------------------------------------------------------------------------
 *
 * functions.c
 *		Operators and functions of segment.bitmap.
 *
 * Arguments are read where they lie (set.c); only a result is built.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "bitmap/builder.h"
#include "bitmap/lookup.h"
#include "bitmap/set.h"
#include "common/pg_prng.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* Declare and begin the C function of an SQL function. */
#define SQL_FUNCTION(name) \
PGDLLEXPORT Datum segmentation_##name(PG_FUNCTION_ARGS); \
PG_FUNCTION_INFO_V1(segmentation_##name); \
Datum \
segmentation_##name(PG_FUNCTION_ARGS)

/*
 * A function that reads its arguments in the scratch arena begins with
 * IN_SCRATCH and returns by RETURN_SET (written in the caller's context) or
 * RETURN_SCALAR.
 */
#define IN_SCRATCH MemoryContext caller = segment_scratch_enter()

#define RETURN_SET(set) return write_set(caller, set)

#define RETURN_SCALAR(type, value) \
	do { \
		__typeof__(value) result = (value); \
\
		segment_scratch_leave(caller); \
		return type##GetDatum(result); \
	} while (0)

#define RETURN_NULL() \
	do { \
		segment_scratch_leave(caller); \
		PG_RETURN_NULL(); \
	} while (0)

static Datum
write_set(MemoryContext caller, SegmentBitmap *set)
{
	Datum		result;

	MemoryContextSwitchTo(caller);
	result = segment_bitmap_to_datum(set);
	segment_scratch_leave(caller);
	return result;
}

/* ---- operators ---- */

#define COMBINATION(name, op, left, right) \
SQL_FUNCTION(name) \
{ \
	IN_SCRATCH; \
	SegmentBitmap *a = left(0); \
\
	RETURN_SET(segment_set_combine(op, a, right(1))); \
}

COMBINATION(bitmap_and, SEGMENT_AND, SEGMENT_GETARG_MEETING, SEGMENT_GETARG_MEETING)
COMBINATION(bitmap_or, SEGMENT_OR, SEGMENT_GETARG, SEGMENT_GETARG)
COMBINATION(bitmap_andnot, SEGMENT_ANDNOT, SEGMENT_GETARG, SEGMENT_GETARG_MEETING)
COMBINATION(bitmap_xor, SEGMENT_XOR, SEGMENT_GETARG, SEGMENT_GETARG)

SQL_FUNCTION(bitmap_contains)
{
	IN_SCRATCH;
	SegmentBitmap *a = SEGMENT_GETARG(0);

	RETURN_SCALAR(Bool, segment_set_is_subset(SEGMENT_GETARG(1), a));
}

SQL_FUNCTION(bitmap_contained)
{
	IN_SCRATCH;
	SegmentBitmap *a = SEGMENT_GETARG(0);

	RETURN_SCALAR(Bool, segment_set_is_subset(a, SEGMENT_GETARG(1)));
}

SQL_FUNCTION(bitmap_overlaps)
{
	IN_SCRATCH;
	SegmentBitmap *a = SEGMENT_GETARG_MEETING(0);

	RETURN_SCALAR(Bool, segment_set_intersects(a, SEGMENT_GETARG_MEETING(1)));
}

SQL_FUNCTION(bitmap_contains_id)
{
	return BoolGetDatum(segment_lookup_contains(PG_GETARG_DATUM(0), PG_GETARG_INT64(1)));
}

SQL_FUNCTION(id_contained)
{
	return BoolGetDatum(segment_lookup_contains(PG_GETARG_DATUM(1), PG_GETARG_INT64(0)));
}

/* An operator of a bitmap and an array, for either order of its arguments.  Negative elements are in no bitmap. */
#define WITH_ARRAY(name, test, all, bitmap, array) \
SQL_FUNCTION(name) \
{ \
	IN_SCRATCH; \
	SegmentBitmap *set = SEGMENT_GETARG(bitmap); \
	bool		missing = false; \
	SegmentBitmap *elements = segment_set_from_array(PG_GETARG_ARRAYTYPE_P(array), &missing); \
\
	RETURN_SCALAR(Bool, !((all) && missing) && test(elements, set)); \
}

WITH_ARRAY(bitmap_contains_array, segment_set_is_subset, true, 0, 1)
WITH_ARRAY(array_contained, segment_set_is_subset, true, 1, 0)
WITH_ARRAY(bitmap_overlaps_array, segment_set_intersects, false, 0, 1)
WITH_ARRAY(array_overlaps, segment_set_intersects, false, 1, 0)

SQL_FUNCTION(is_strict_subset)
{
	IN_SCRATCH;
	SegmentBitmap *a = SEGMENT_GETARG(0);
	SegmentBitmap *b = SEGMENT_GETARG(1);

	RETURN_SCALAR(Bool, segment_bitmap_cardinality(a) < segment_bitmap_cardinality(b) &&
				  segment_set_is_subset(a, b));
}

/* ---- counting ---- */

SQL_FUNCTION(cardinality)
{
	return Int64GetDatum(segment_lookup_cardinality(PG_GETARG_DATUM(0)));
}

SQL_FUNCTION(is_empty)
{
	return BoolGetDatum(segment_lookup_is_empty(PG_GETARG_DATUM(0)));
}

/* Sizes of two sets and of what they share. */
typedef struct Overlap
{
	int64		a;
	int64		b;
	int64		both;
} Overlap;

static Overlap
overlap(FunctionCallInfo fcinfo)
{
	SegmentBitmap *a = SEGMENT_GETARG_MEETING(0);
	SegmentBitmap *b = SEGMENT_GETARG_MEETING(1);
	Overlap		result;

	result.a = segment_bitmap_cardinality(a);
	result.b = segment_bitmap_cardinality(b);
	result.both = segment_bitmap_and_cardinality(a, b);
	return result;
}

SQL_FUNCTION(and_cardinality)
{
	IN_SCRATCH;
	SegmentBitmap *a = SEGMENT_GETARG_MEETING(0);

	RETURN_SCALAR(Int64, segment_bitmap_and_cardinality(a, SEGMENT_GETARG_MEETING(1)));
}

SQL_FUNCTION(or_cardinality)
{
	IN_SCRATCH;
	Overlap		o = overlap(fcinfo);

	RETURN_SCALAR(Int64, o.a + o.b - o.both);
}

SQL_FUNCTION(andnot_cardinality)
{
	IN_SCRATCH;
	Overlap		o = overlap(fcinfo);

	RETURN_SCALAR(Int64, o.a - o.both);
}

SQL_FUNCTION(xor_cardinality)
{
	IN_SCRATCH;
	Overlap		o = overlap(fcinfo);

	RETURN_SCALAR(Int64, o.a + o.b - 2 * o.both);
}

/* NULL for two empty sets, whose index is not defined */
SQL_FUNCTION(jaccard)
{
	IN_SCRATCH;
	Overlap		o = overlap(fcinfo);

	if (o.a + o.b == 0)
		RETURN_NULL();
	RETURN_SCALAR(Float8, (double) o.both / (double) (o.a + o.b - o.both));
}

SQL_FUNCTION(range_cardinality)
{
	IN_SCRATCH;
	int64		first = Max(PG_GETARG_INT64(1), 0);

	RETURN_SCALAR(Int64, segment_bitmap_range_cardinality(SEGMENT_GETARG(0), first, PG_GETARG_INT64(2)));
}

SQL_FUNCTION(min_id)
{
	IN_SCRATCH;
	int64		id = segment_bitmap_min(SEGMENT_GETARG(0));

	if (id < 0)
		RETURN_NULL();
	RETURN_SCALAR(Int64, id);
}

SQL_FUNCTION(max_id)
{
	IN_SCRATCH;
	int64		id = segment_bitmap_max(SEGMENT_GETARG(0));

	if (id < 0)
		RETURN_NULL();
	RETURN_SCALAR(Int64, id);
}

SQL_FUNCTION(rank)
{
	IN_SCRATCH;
	int64		id = PG_GETARG_INT64(1);

	RETURN_SCALAR(Int64, id < 0 ? 0 : segment_set_rank(SEGMENT_GETARG(0), id));
}

/* nth(set, 1) is the least id, nth(set, -1) the greatest; NULL beyond. */
SQL_FUNCTION(nth)
{
	IN_SCRATCH;
	SegmentBitmap *set = SEGMENT_GETARG(0);
	int64		n = PG_GETARG_INT64(1);
	int64		id;

	if (n < 0)
		n += segment_bitmap_cardinality(set) + 1;
	id = n <= 0 ? -1 : segment_set_select(set, n - 1);
	if (id < 0)
		RETURN_NULL();
	RETURN_SCALAR(Int64, id);
}

/* ---- changing ---- */

#define ADDITION(name, bitmap, id) \
SQL_FUNCTION(name) \
{ \
	IN_SCRATCH; \
	SegmentBitmap *set = SEGMENT_GETARG(bitmap); \
\
	segment_bitmap_add(set, segment_check_id(PG_GETARG_INT64(id))); \
	RETURN_SET(set); \
}

ADDITION(add, 0, 1)
ADDITION(id_add_bitmap, 1, 0)

SQL_FUNCTION(remove)
{
	IN_SCRATCH;
	SegmentBitmap *set = SEGMENT_GETARG(0);
	int64		id = PG_GETARG_INT64(1);

	if (id >= 0)
		segment_bitmap_remove(set, id);
	RETURN_SET(set);
}

static void
check_range(int64 first, int64 last)
{
	segment_check_id(first);
	segment_check_id(last);
	if (last < first)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("range ends before it begins"),
				 errdetail("It goes from " INT64_FORMAT " to " INT64_FORMAT ".", first, last)));
}

SQL_FUNCTION(range)
{
	IN_SCRATCH;
	SegmentBitmap *set = segment_bitmap_create();

	check_range(PG_GETARG_INT64(0), PG_GETARG_INT64(1));
	segment_bitmap_add_range(set, PG_GETARG_INT64(0), PG_GETARG_INT64(1));
	RETURN_SET(set);
}

SQL_FUNCTION(add_range)
{
	IN_SCRATCH;
	SegmentBitmap *set = SEGMENT_GETARG(0);

	check_range(PG_GETARG_INT64(1), PG_GETARG_INT64(2));
	segment_bitmap_add_range(set, PG_GETARG_INT64(1), PG_GETARG_INT64(2));
	RETURN_SET(set);
}

SQL_FUNCTION(remove_range)
{
	IN_SCRATCH;
	SegmentBitmap *set = SEGMENT_GETARG(0);

	check_range(PG_GETARG_INT64(1), PG_GETARG_INT64(2));
	segment_bitmap_remove_range(set, PG_GETARG_INT64(1), PG_GETARG_INT64(2));
	RETURN_SET(set);
}

/* What range_cardinality counts. */
SQL_FUNCTION(keep_range)
{
	IN_SCRATCH;
	int64		first = Max(PG_GETARG_INT64(1), 0);

	RETURN_SET(segment_bitmap_extract(SEGMENT_GETARG(0), first, PG_GETARG_INT64(2)));
}

SQL_FUNCTION(flip)
{
	IN_SCRATCH;
	SegmentBitmap *set = SEGMENT_GETARG(0);

	check_range(PG_GETARG_INT64(1), PG_GETARG_INT64(2));
	segment_set_flip(set, PG_GETARG_INT64(1), PG_GETARG_INT64(2));
	RETURN_SET(set);
}

/* Every id plus an offset; those that would leave 0 .. 2^63-1 are dropped. */
SQL_FUNCTION(shift)
{
	IN_SCRATCH;
	RETURN_SET(segment_set_shift(SEGMENT_GETARG(0), PG_GETARG_INT64(1)));
}

SQL_FUNCTION(slice)
{
	IN_SCRATCH;
	SegmentBitmap *set = SEGMENT_GETARG(0);
	int64		limit = PG_GETARG_INT64(1);
	int64		offset = PG_GETARG_INT64(2);
	int64		cardinality = segment_bitmap_cardinality(set);

	if (limit < 0 || offset < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("limit and offset must not be negative")));
	if (limit == 0 || offset >= cardinality)
		RETURN_SET(segment_bitmap_create());
	limit = Min(limit, cardinality - offset);
	RETURN_SET(segment_bitmap_extract(set, segment_set_select(set, offset),
									  segment_set_select(set, offset + limit - 1)));
}

/*
 * n different positions out of total, each set of them equally likely: R. W.
 * Floyd's algorithm (CACM 30, 1987).
 */
static SegmentBitmap *
choose_positions(int64 total, int64 n, int64 seed)
{
	SegmentBitmap *chosen = segment_bitmap_create();
	pg_prng_state state;

	pg_prng_seed(&state, (uint64) seed);
	for (int64 i = total - n; i < total; i++)
	{
		int64		position = (int64) pg_prng_uint64_range(&state, 0, (uint64) i);

		segment_bitmap_add(chosen, segment_bitmap_contains(chosen, position) ? i : position);
	}
	return chosen;
}

/* The ids at these positions: one walk over the set. */
static SegmentBitmap *
take_positions(const SegmentBitmap *set, const SegmentBitmap *positions)
{
	SegmentBuilder *builder = segment_builder_create();
	SegmentIds	ids;
	SegmentIds	wanted;
	int64		position;
	int64		passed = 0;

	segment_ids_begin(&wanted, positions, 0);
	segment_ids_begin(&ids, set, 0);
	position = segment_ids_next(&wanted);
	while (position >= 0 && segment_ids_fill(&ids))
	{
		for (; position >= 0 && position < passed + ids.n; position = segment_ids_next(&wanted))
			segment_builder_add(builder, segment_id_make(ids.high, ids.block[position - passed]));
		passed += ids.n;
	}
	return segment_builder_finish(builder);
}

SQL_FUNCTION(sample)
{
	IN_SCRATCH;
	SegmentBitmap *set = SEGMENT_GETARG(0);
	int64		n = PG_GETARG_INT64(1);
	int64		total = segment_bitmap_cardinality(set);
	SegmentBitmap *left_out;

	if (n < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sample size must not be negative")));
	if (n >= total)
		RETURN_SET(set);
	if (n <= total / 2)
		RETURN_SET(take_positions(set, choose_positions(total, n, PG_GETARG_INT64(2))));

	/* choose what to leave out: it is less */
	left_out = take_positions(set, choose_positions(total, total - n, PG_GETARG_INT64(2)));
	RETURN_SET(segment_set_combine(SEGMENT_ANDNOT, set, left_out));
}

/* Written anew in canonical form: for bytes that another program put there. */
SQL_FUNCTION(run_optimize)
{
	IN_SCRATCH;
	SegmentBitmap *set = SEGMENT_GETARG(0);

	segment_set_canonicalize(set);
	RETURN_SET(set);
}

/* ---- rows ---- */

SQL_FUNCTION(ids)
{
	FuncCallContext *context;
	int64		id;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;

		context = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(context->multi_call_memory_ctx);
		context->user_fctx = palloc(sizeof(SegmentIds));
		segment_ids_begin(context->user_fctx,
						  segment_bitmap_from_datum(PG_GETARG_DATUM(0)), 0);
		MemoryContextSwitchTo(old);
	}

	context = SRF_PERCALL_SETUP();
	id = segment_ids_next(context->user_fctx);
	if (id < 0)
		SRF_RETURN_DONE(context);
	SRF_RETURN_NEXT(context, Int64GetDatum(id));
}

/* Containers of a set by kind. */
typedef struct Statistics
{
	int64		containers[SEGMENT_RUN + 1];
	int64		ids[SEGMENT_RUN + 1];
	int64		bytes[SEGMENT_RUN + 1];
} Statistics;

static void
collect_statistics(const SegmentBitmap *set, Statistics *statistics)
{
	for (uint32 i = 0; i < set->nslots; i++)
	{
		SegmentBucket bucket;

		segment_format_open(set->slots[i].bytes, &bucket);
		for (uint32 j = 0; j < bucket.ncontainers; j++)
		{
			SegmentContainer container;

			segment_format_container(&bucket, j, &container);
			statistics->containers[container.kind]++;
			statistics->ids[container.kind] += container.cardinality;
			statistics->bytes[container.kind] +=
				container.kind == SEGMENT_ARRAY ? 2 * container.cardinality :
				container.kind == SEGMENT_RUN ? 2 + 4 * container.nruns : SEGMENT_BITSET_BYTES;
		}
		CHECK_FOR_INTERRUPTS();
	}
}

SQL_FUNCTION(bitmap_stats)
{
	SegmentBitmap *set = SEGMENT_GETARG(0);
	Statistics	statistics = {0};
	TupleDesc	descriptor;
	Datum		values[14];
	bool		nulls[14] = {0};
	int			n = 0;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	collect_statistics(set, &statistics);

	values[n++] = Int64GetDatum(segment_bitmap_cardinality(set));
	nulls[n] = set->nslots == 0;
	values[n++] = Int64GetDatum(segment_bitmap_min(set));
	nulls[n] = set->nslots == 0;
	values[n++] = Int64GetDatum(segment_bitmap_max(set));
	values[n++] = Int64GetDatum(segment_bitmap_serialized_size(set));
	values[n++] = Int64GetDatum(set->nslots);
	for (SegmentKind kind = SEGMENT_ARRAY; kind <= SEGMENT_RUN; kind++)
	{
		values[n++] = Int64GetDatum(statistics.containers[kind]);
		values[n++] = Int64GetDatum(statistics.ids[kind]);
		values[n++] = Int64GetDatum(statistics.bytes[kind]);
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}

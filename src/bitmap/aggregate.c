/*-------------------------------------------------------------------------
 *
 * aggregate.c
 *		Aggregates over ids and over bitmaps.
 *
 * The state of bitmap_agg, of unions and of symmetric differences is a
 * SegmentBuilder, that of intersections a SegmentBitmap that is changed in
 * place; sets are read where they lie.  Unions are lazy: counts of containers
 * are repaired once at the end.  Between processes a state travels as the
 * portable bytes of its set.
 *
 * NULL inputs are ignored.  Without any other input the sets are NULL, as
 * with array_agg, and the counts 0.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bitmap/builder.h"
#include "bitmap/set.h"
#include "fmgr.h"
#include "utils/memutils.h"

#define SQL_FUNCTION(name) \
PGDLLEXPORT Datum segmentation_##name(PG_FUNCTION_ARGS); \
PG_FUNCTION_INFO_V1(segmentation_##name); \
Datum \
segmentation_##name(PG_FUNCTION_ARGS)

static MemoryContext
aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("function is for use in aggregates only")));
	return context;
}

/* What a transition returns that has nothing to do: its state, which nobody else can give it, or NULL. */
static Datum
unchanged(FunctionCallInfo fcinfo)
{
	if (!PG_ARGISNULL(0))
		PG_RETURN_POINTER(PG_GETARG_POINTER(0));
	aggregate_context(fcinfo);
	PG_RETURN_NULL();
}

/* ---- unions and symmetric differences ---- */

/* The state, new if there is none yet. */
static SegmentBuilder *
get_builder(FunctionCallInfo fcinfo, SegmentOperation op)
{
	MemoryContext context = aggregate_context(fcinfo);
	MemoryContext old;
	SegmentBuilder *builder;

	if (!PG_ARGISNULL(0))
		return (SegmentBuilder *) PG_GETARG_POINTER(0);
	old = MemoryContextSwitchTo(context);
	builder = segment_builder_create();
	builder->op = op;
	MemoryContextSwitchTo(old);
	return builder;
}

static Datum
builder_transition(FunctionCallInfo fcinfo, SegmentOperation op)
{
	SegmentBuilder *builder;
	MemoryContext caller;

	if (PG_ARGISNULL(1))
		return unchanged(fcinfo);
	builder = get_builder(fcinfo, op);
	caller = segment_scratch_enter();
	segment_builder_add_set(builder, SEGMENT_GETARG(1));
	segment_scratch_leave(caller);
	PG_RETURN_POINTER(builder);
}

static Datum
builder_combination(FunctionCallInfo fcinfo, SegmentOperation op)
{
	SegmentBuilder *builder;
	MemoryContext old;

	if (PG_ARGISNULL(1))
		return unchanged(fcinfo);
	builder = get_builder(fcinfo, op);
	old = MemoryContextSwitchTo(builder->context);
	segment_set_accumulate(op, builder->set, segment_builder_finish((SegmentBuilder *) PG_GETARG_POINTER(1)));
	MemoryContextSwitchTo(old);
	PG_RETURN_POINTER(builder);
}

SQL_FUNCTION(bitmap_agg_transfn)
{
	SegmentBuilder *builder;

	if (PG_ARGISNULL(1))
		return unchanged(fcinfo);
	builder = get_builder(fcinfo, SEGMENT_OR);
	segment_builder_add(builder, segment_check_id(PG_GETARG_INT64(1)));
	PG_RETURN_POINTER(builder);
}

SQL_FUNCTION(union_agg_transfn)
{
	return builder_transition(fcinfo, SEGMENT_OR);
}

SQL_FUNCTION(xor_agg_transfn)
{
	return builder_transition(fcinfo, SEGMENT_XOR);
}

SQL_FUNCTION(bitmap_agg_combinefn)
{
	return builder_combination(fcinfo, SEGMENT_OR);
}

SQL_FUNCTION(xor_agg_combinefn)
{
	return builder_combination(fcinfo, SEGMENT_XOR);
}

SQL_FUNCTION(bitmap_agg_serialfn)
{
	aggregate_context(fcinfo);
	PG_RETURN_BYTEA_P(segment_set_to_varlena(segment_builder_finish((SegmentBuilder *) PG_GETARG_POINTER(0))));
}

/* Combine copies what it keeps, so this may live as long as the one call. */
SQL_FUNCTION(bitmap_agg_deserialfn)
{
	SegmentBuilder *builder;

	aggregate_context(fcinfo);
	builder = segment_builder_create();
	builder->set = SEGMENT_GETARG(0);
	PG_RETURN_POINTER(builder);
}

SQL_FUNCTION(bitmap_agg_finalfn)
{
	aggregate_context(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(segment_bitmap_to_datum(segment_builder_finish((SegmentBuilder *) PG_GETARG_POINTER(0))));
}

SQL_FUNCTION(bitmap_agg_count_finalfn)
{
	aggregate_context(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_INT64(0);
	PG_RETURN_INT64(segment_bitmap_cardinality(segment_builder_finish((SegmentBuilder *) PG_GETARG_POINTER(0))));
}

/* ---- intersections ---- */

static Datum
intersect(FunctionCallInfo fcinfo, const SegmentBitmap *input)
{
	MemoryContext old;
	SegmentBitmap *state;

	if (!PG_ARGISNULL(0))
	{
		state = (SegmentBitmap *) PG_GETARG_POINTER(0);
		segment_bitmap_and(state, input);
		PG_RETURN_POINTER(state);
	}
	old = MemoryContextSwitchTo(aggregate_context(fcinfo));
	state = segment_bitmap_copy(input);
	MemoryContextSwitchTo(old);
	PG_RETURN_POINTER(state);
}

/* Is nothing left to be intersected, or nothing given to do it with? */
static bool
is_settled(FunctionCallInfo fcinfo)
{
	return PG_ARGISNULL(1) ||
		(!PG_ARGISNULL(0) && segment_bitmap_is_empty((SegmentBitmap *) PG_GETARG_POINTER(0)));
}

SQL_FUNCTION(intersect_agg_transfn)
{
	MemoryContext caller;
	Datum		state;

	if (is_settled(fcinfo))
		return unchanged(fcinfo);
	caller = segment_scratch_enter();
	state = intersect(fcinfo, PG_ARGISNULL(0) ? SEGMENT_GETARG(1) : SEGMENT_GETARG_MEETING(1));
	segment_scratch_leave(caller);
	return state;
}

SQL_FUNCTION(intersect_agg_combinefn)
{
	if (is_settled(fcinfo))
		return unchanged(fcinfo);
	return intersect(fcinfo, (SegmentBitmap *) PG_GETARG_POINTER(1));
}

SQL_FUNCTION(intersect_agg_serialfn)
{
	aggregate_context(fcinfo);
	PG_RETURN_BYTEA_P(segment_set_to_varlena((SegmentBitmap *) PG_GETARG_POINTER(0)));
}

SQL_FUNCTION(intersect_agg_deserialfn)
{
	aggregate_context(fcinfo);
	PG_RETURN_POINTER(SEGMENT_GETARG(0));
}

SQL_FUNCTION(intersect_agg_finalfn)
{
	aggregate_context(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(segment_bitmap_to_datum((SegmentBitmap *) PG_GETARG_POINTER(0)));
}

SQL_FUNCTION(intersect_agg_count_finalfn)
{
	aggregate_context(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_INT64(0);
	PG_RETURN_INT64(segment_bitmap_cardinality((SegmentBitmap *) PG_GETARG_POINTER(0)));
}

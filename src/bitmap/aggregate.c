/*-------------------------------------------------------------------------
 *
 * aggregate.c
 *		Aggregates over ids and over bitmaps.
 *
 * bitmap_agg's state is a SegmentBuilder; that of the others a SegmentBitmap
 * that is changed in place by inputs read where they lie.  Unions are lazy:
 * counts of containers are repaired once at the end.  Between processes a
 * state travels as the portable bytes of its set.
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

/* ---- from ids ---- */

SQL_FUNCTION(bitmap_agg_transfn)
{
	MemoryContext context = aggregate_context(fcinfo);
	SegmentBuilder *builder = PG_ARGISNULL(0) ? NULL : (SegmentBuilder *) PG_GETARG_POINTER(0);

	if (PG_ARGISNULL(1))
	{
		if (builder == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(builder);
	}
	if (builder == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		builder = segment_builder_create();
		MemoryContextSwitchTo(old);
	}
	segment_builder_add(builder, segment_check_id(PG_GETARG_INT64(1)));
	PG_RETURN_POINTER(builder);
}

SQL_FUNCTION(bitmap_agg_combinefn)
{
	MemoryContext old = MemoryContextSwitchTo(aggregate_context(fcinfo));
	SegmentBuilder *a = PG_ARGISNULL(0) ? NULL : (SegmentBuilder *) PG_GETARG_POINTER(0);

	if (!PG_ARGISNULL(1))
	{
		SegmentBitmap *set = segment_builder_finish((SegmentBuilder *) PG_GETARG_POINTER(1));

		if (a == NULL)
			a = segment_builder_create();
		segment_set_accumulate(SEGMENT_OR, a->set, set);
	}
	MemoryContextSwitchTo(old);
	if (a == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(a);
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

/* ---- from bitmaps ---- */

/* state := state op input; a first input is copied into the state's context. */
static SegmentBitmap *
accumulate(MemoryContext context, SegmentOperation op, SegmentBitmap *state,
		   const SegmentBitmap *input)
{
	if (state == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		state = segment_bitmap_copy(input);
		MemoryContextSwitchTo(old);
	}
	else
		segment_set_accumulate(op, state, input);
	return state;
}

static Datum
set_transition(FunctionCallInfo fcinfo, SegmentOperation op)
{
	MemoryContext context = aggregate_context(fcinfo);
	SegmentBitmap *state = PG_ARGISNULL(0) ? NULL : (SegmentBitmap *) PG_GETARG_POINTER(0);

	if (!PG_ARGISNULL(1) && !(state != NULL && op == SEGMENT_AND && state->nslots == 0))
	{
		MemoryContext caller = segment_scratch_enter();

		state = accumulate(context, op, state, SEGMENT_GETARG(1));
		segment_scratch_leave(caller);
	}
	if (state == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(state);
}

static Datum
set_combination(FunctionCallInfo fcinfo, SegmentOperation op)
{
	MemoryContext context = aggregate_context(fcinfo);
	SegmentBitmap *state = PG_ARGISNULL(0) ? NULL : (SegmentBitmap *) PG_GETARG_POINTER(0);

	if (!PG_ARGISNULL(1))
	{
		SegmentBitmap *input = (SegmentBitmap *) PG_GETARG_POINTER(1);

		segment_set_finish(input);
		state = accumulate(context, op, state, input);
	}
	if (state == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(state);
}

SQL_FUNCTION(union_agg_transfn)
{
	return set_transition(fcinfo, SEGMENT_OR);
}

SQL_FUNCTION(union_agg_combinefn)
{
	return set_combination(fcinfo, SEGMENT_OR);
}

SQL_FUNCTION(intersect_agg_transfn)
{
	return set_transition(fcinfo, SEGMENT_AND);
}

SQL_FUNCTION(intersect_agg_combinefn)
{
	return set_combination(fcinfo, SEGMENT_AND);
}

SQL_FUNCTION(xor_agg_transfn)
{
	return set_transition(fcinfo, SEGMENT_XOR);
}

SQL_FUNCTION(xor_agg_combinefn)
{
	return set_combination(fcinfo, SEGMENT_XOR);
}

SQL_FUNCTION(set_agg_serialfn)
{
	SegmentBitmap *state = (SegmentBitmap *) PG_GETARG_POINTER(0);

	aggregate_context(fcinfo);
	segment_set_finish(state);
	PG_RETURN_BYTEA_P(segment_set_to_varlena(state));
}

SQL_FUNCTION(set_agg_deserialfn)
{
	aggregate_context(fcinfo);
	PG_RETURN_POINTER(SEGMENT_GETARG(0));
}

SQL_FUNCTION(set_agg_finalfn)
{
	SegmentBitmap *state;

	aggregate_context(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	state = (SegmentBitmap *) PG_GETARG_POINTER(0);
	segment_set_finish(state);
	PG_RETURN_DATUM(segment_bitmap_to_datum(state));
}

SQL_FUNCTION(set_agg_count_finalfn)
{
	SegmentBitmap *state;

	aggregate_context(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_INT64(0);
	state = (SegmentBitmap *) PG_GETARG_POINTER(0);
	segment_set_finish(state);
	PG_RETURN_INT64(segment_bitmap_cardinality(state));
}

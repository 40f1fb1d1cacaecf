/*-------------------------------------------------------------------------
 *
 * count.c
 *		segment.count_flip(): when there may next be enough rows, or too few.
 *
 * An aggregate over (counted boolean, flip timestamptz, k bigint), k the same in
 * all rows: the k-th latest flip of the rows counted, or, where fewer than k are
 * counted, the earliest instant at which enough of the others have flipped.
 * compile/count.c says why that is never late.
 *
 * So of the rows counted only the k latest flips matter (NULL, never, is the
 * latest of all), and of the others only the k earliest that are not NULL.  Both
 * are kept as heaps, with the one that goes first on top, in memory that follows
 * min(k, rows).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "testing.h"

PGDLLEXPORT Datum segmentation_count_flip_add(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_count_flip_combine(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_count_flip_serialize(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_count_flip_deserialize(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_count_flip_result(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_count_flip_add);
PG_FUNCTION_INFO_V1(segmentation_count_flip_combine);
PG_FUNCTION_INFO_V1(segmentation_count_flip_serialize);
PG_FUNCTION_INFO_V1(segmentation_count_flip_deserialize);
PG_FUNCTION_INFO_V1(segmentation_count_flip_result);

/* The k greatest keys, the least of them on top. */
typedef struct Heap
{
	int64	   *keys;			/* NULL: room is 0 */
	int			n;
	int			room;
} Heap;

typedef struct FlipState
{
	int64		k;				/* at least 1, or nobody cares */
	int64		counted;		/* rows */
	Heap		in;				/* of those counted: their flips */
	Heap		out;			/* of the others: minus their flips */
} FlipState;

/* ---- the heap ---- */

static void
swap_keys(Heap *heap, int i, int j)
{
	int64		key = heap->keys[i];

	heap->keys[i] = heap->keys[j];
	heap->keys[j] = key;
}

static void
sift_up(Heap *heap, int i)
{
	for (; i > 0 && heap->keys[i] < heap->keys[(i - 1) / 2]; i = (i - 1) / 2)
		swap_keys(heap, i, (i - 1) / 2);
}

static void
sift_down(Heap *heap, int i)
{
	for (;;)
	{
		int			least = i;

		for (int child = 2 * i + 1; child <= 2 * i + 2 && child < heap->n; child++)
			if (heap->keys[child] < heap->keys[least])
				least = child;
		if (least == i)
			return;
		swap_keys(heap, i, least);
		i = least;
	}
}

/* Add a key; of more than k, the least goes. */
static void
put_key(Heap *heap, int64 key, int64 k, MemoryContext context)
{
	if (heap->n >= k)
	{
		if (heap->n > 0 && key > heap->keys[0])
		{
			heap->keys[0] = key;
			sift_down(heap, 0);
		}
		return;
	}
	if (heap->n == heap->room)
	{
		size_t		room = Max(2, (size_t) heap->room * 2);

		if (room > PG_INT32_MAX)
			ereport(ERROR,
					errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					errmsg("too many rows decide when a count changes"));

		heap->keys = heap->room == 0 ? MemoryContextAlloc(context, room * sizeof(int64)) :
			repalloc_huge(heap->keys, room * sizeof(int64));
		heap->room = (int) room;
	}
	heap->keys[heap->n] = key;
	sift_up(heap, heap->n++);
}

static int
compare_keys_down(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* ---- the aggregate ---- */

static MemoryContext
aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("segment.count_flip() is called outside of an aggregate"));
	return context;
}

static FlipState *
make_state(int64 k, MemoryContext context)
{
	FlipState  *state = MemoryContextAllocZero(context, sizeof(FlipState));

	state->k = k;
	return state;
}

Datum
segmentation_count_flip_add(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	FlipState  *state = PG_ARGISNULL(0) ? NULL : (FlipState *) PG_GETARG_POINTER(0);
	TimestampTz flip = PG_ARGISNULL(2) ? DT_NOEND : PG_GETARG_TIMESTAMPTZ(2);

	if (state == NULL)
		state = make_state(PG_ARGISNULL(3) ? 0 : PG_GETARG_INT64(3), context);
	if (!PG_ARGISNULL(1) && PG_GETARG_BOOL(1))
	{
		state->counted++;
		put_key(&state->in, flip, state->k, context);
	}
	else if (flip != DT_NOEND && !SEGMENT_MUTANT("count_entries"))
		put_key(&state->out, -flip, state->k, context);
	PG_RETURN_POINTER(state);
}

static void
merge_heap(Heap *to, const Heap *from, int64 k, MemoryContext context)
{
	for (int i = 0; i < from->n; i++)
		put_key(to, from->keys[i], k, context);
}

Datum
segmentation_count_flip_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	FlipState  *state = PG_ARGISNULL(0) ? NULL : (FlipState *) PG_GETARG_POINTER(0);
	FlipState  *other = PG_ARGISNULL(1) ? NULL : (FlipState *) PG_GETARG_POINTER(1);

	if (other == NULL)
	{
		if (state == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(state);
	}
	if (state == NULL)
		state = make_state(other->k, context);
	state->counted += other->counted;
	merge_heap(&state->in, &other->in, state->k, context);
	merge_heap(&state->out, &other->out, state->k, context);
	PG_RETURN_POINTER(state);
}

static void
send_heap(StringInfo buffer, const Heap *heap)
{
	pq_sendint32(buffer, heap->n);
	for (int i = 0; i < heap->n; i++)
		pq_sendint64(buffer, heap->keys[i]);
}

Datum
segmentation_count_flip_serialize(PG_FUNCTION_ARGS)
{
	FlipState  *state = (FlipState *) PG_GETARG_POINTER(0);
	StringInfoData buffer;

	(void) aggregate_context(fcinfo);
	pq_begintypsend(&buffer);
	pq_sendint64(&buffer, state->k);
	pq_sendint64(&buffer, state->counted);
	send_heap(&buffer, &state->in);
	send_heap(&buffer, &state->out);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buffer));
}

static void
receive_heap(StringInfo buffer, Heap *heap, int64 k)
{
	int			n = pq_getmsgint(buffer, 4);

	for (int i = 0; i < n; i++)
		put_key(heap, pq_getmsgint64(buffer), k, CurrentMemoryContext);
}

Datum
segmentation_count_flip_deserialize(PG_FUNCTION_ARGS)
{
	bytea	   *bytes = PG_GETARG_BYTEA_PP(0);
	StringInfoData buffer;
	FlipState  *state;

	(void) aggregate_context(fcinfo);
	initStringInfo(&buffer);
	appendBinaryStringInfo(&buffer, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	state = make_state(pq_getmsgint64(&buffer), CurrentMemoryContext);
	state->counted = pq_getmsgint64(&buffer);
	receive_heap(&buffer, &state->in, state->k);
	receive_heap(&buffer, &state->out, state->k);
	pq_getmsgend(&buffer);
	PG_RETURN_POINTER(state);
}

/* The state may be asked again, as for a window: it is not changed. */
Datum
segmentation_count_flip_result(PG_FUNCTION_ARGS)
{
	FlipState  *state = PG_ARGISNULL(0) ? NULL : (FlipState *) PG_GETARG_POINTER(0);
	int64		missing;
	int64	   *keys;
	TimestampTz flip;

	if (state == NULL || state->k <= 0)
		PG_RETURN_NULL();
	if (state->counted >= state->k && state->in.n > 0)
	{
		flip = state->in.keys[0];
		if (SEGMENT_MUTANT("count_late") && state->counted > state->k)
			PG_RETURN_NULL();
		if (flip == DT_NOEND)
			PG_RETURN_NULL();
		PG_RETURN_TIMESTAMPTZ(flip);
	}
	missing = state->k - state->counted;
	/* of partial states that do not agree, nothing is known */
	if (missing <= 0 || missing > state->out.n)
		PG_RETURN_NULL();
	keys = palloc(state->out.n * sizeof(int64));
	memcpy(keys, state->out.keys, state->out.n * sizeof(int64));
	qsort(keys, state->out.n, sizeof(int64), compare_keys_down);
	PG_RETURN_TIMESTAMPTZ(-keys[missing - 1]);
}

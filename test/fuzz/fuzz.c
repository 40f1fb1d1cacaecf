/*-------------------------------------------------------------------------
 *
 * fuzz.c
 *		libFuzzer targets for what reads bytes from outside.
 *
 * -DTARGET=target_text	text and hexadecimal input: what is read is written and read back equal
 * -DTARGET=target_bytes	bytea cast and binary input: what we take, CRoaring's 64-bit reader takes too,
 *					and has the same ids in it
 * -DTARGET=target_stored	a damaged page: reading parts of a value, and checking all of it
 * -DTARGET=target_pair	the algebra on two values: results are well formed and add up
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <roaring/roaring64.h>

#include "bitmap/lookup.h"
#include "bitmap/ranges.h"
#include "bitmap/set.h"
#include "fmgr.h"
#include "fuzz.h"
#include "guc.h"
#include "lib/stringinfo.h"

extern Datum segmentation_bitmap_in(PG_FUNCTION_ARGS);
extern Datum segmentation_bitmap_out(PG_FUNCTION_ARGS);
extern Datum segmentation_bitmap_recv(PG_FUNCTION_ARGS);
extern Datum segmentation_bytea_to_bitmap(PG_FUNCTION_ARGS);
extern Datum segmentation_bitmap_cmp(PG_FUNCTION_ARGS);
extern int	LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

static const uint8 *input;
static size_t input_size;

#define REQUIRE(condition) do { if (!(condition)) abort(); } while (0)

static Datum
call(PGFunction function, Datum a, Datum b)
{
	LOCAL_FCINFO(fcinfo, 2);

	memset(fcinfo, 0, SizeForFunctionCallInfo(2));
	fcinfo->nargs = 2;
	fcinfo->args[0].value = a;
	fcinfo->args[1].value = b;
	return function(fcinfo);
}

static Datum
as_varlena(const uint8 *bytes, size_t size)
{
	struct varlena *value = palloc(VARHDRSZ + size);

	SET_VARSIZE(value, VARHDRSZ + size);
	memcpy(VARDATA(value), bytes, size);
	return PointerGetDatum(value);
}

/* A value of ours is well formed and canonical; returns a set that reads it. */
static SegmentBitmap *
require_good(Datum value)
{
	size_t		where;
	SegmentBitmap *copy;
	Datum		again;

	REQUIRE(segment_format_check(VARDATA(value), VARSIZE(value) - VARHDRSZ, &where) == NULL);
	copy = segment_set_argument(value);
	for (uint32 i = 0; i < copy->nslots; i++)
		segment_slot_own(copy, i);
	again = segment_bitmap_to_datum(copy);
	REQUIRE(VARSIZE(again) == VARSIZE(value) &&
			memcmp(DatumGetPointer(again), DatumGetPointer(value), VARSIZE(value)) == 0);
	return segment_set_argument(value);
}

static void
target_text(void)
{
	char	   *string = palloc(input_size + 1);
	Datum		value;

	memcpy(string, input, input_size);
	string[input_size] = '\0';
	value = call(segmentation_bitmap_in, CStringGetDatum(string), 0);
	if (VARSIZE(value) > 10000000)
		return;
	require_good(value);
	for (segment_guc_bitmap_output = SEGMENT_BITMAP_OUTPUT_RANGES;
		 segment_guc_bitmap_output <= SEGMENT_BITMAP_OUTPUT_HEX; segment_guc_bitmap_output++)
	{
		Datum		written;
		Datum		again;

		if (segment_guc_bitmap_output == SEGMENT_BITMAP_OUTPUT_IDS &&
			segment_bitmap_cardinality(segment_set_argument(value)) > 100000)
			continue;
		written = call(segmentation_bitmap_out, value, 0);
		again = call(segmentation_bitmap_in, written, 0);
		REQUIRE(VARSIZE(again) == VARSIZE(value) &&
				memcmp(DatumGetPointer(again), DatumGetPointer(value), VARSIZE(value)) == 0);
	}
}

static void
target_bytes(void)
{
	StringInfoData message = {.data = (char *) input,.len = input_size,.maxlen = input_size};
	Datum		value = call(segmentation_bitmap_recv, PointerGetDatum(&message), 0);
	Datum		same = call(segmentation_bytea_to_bitmap, as_varlena(input, input_size), 0);
	SegmentBitmap *set = require_good(value);
	roaring64_bitmap_t *theirs;
	const char *reason;

	REQUIRE(VARSIZE(value) == VARSIZE(same));
	theirs = roaring64_bitmap_portable_deserialize_safe(VARDATA(value), VARSIZE(value) - VARHDRSZ);
	REQUIRE(theirs != NULL && roaring64_bitmap_internal_validate(theirs, &reason));
	REQUIRE(roaring64_bitmap_get_cardinality(theirs) == segment_bitmap_cardinality(set));
	REQUIRE(set->nslots == 0 || roaring64_bitmap_maximum(theirs) == segment_bitmap_max(set));
	roaring64_bitmap_free(theirs);
}

static Datum stored_value;
static int64 stored_id;

static void
lookup_contains(void)
{
	segment_lookup_contains(stored_value, stored_id);
}

static void
lookup_cardinality(void)
{
	segment_lookup_cardinality(stored_value);
}

static void
lookup_is_empty(void)
{
	segment_lookup_is_empty(stored_value);
}

static void
lookup_all(void)
{
	SegmentBitmap *set = segment_set_argument(stored_value);
	SegmentRanges ranges;
	int64		first;
	int64		last;
	int64		count = 0;

	segment_ranges_begin(&ranges, set);
	while (segment_ranges_next(&ranges, &first, &last))
		count += last - first + 1;
	REQUIRE(count == segment_bitmap_cardinality(set));
	REQUIRE(count == segment_lookup_cardinality(stored_value));
	REQUIRE(segment_bitmap_contains(set, stored_id) == segment_lookup_contains(stored_value, stored_id));
	REQUIRE(segment_set_rank(set, PG_INT64_MAX) == count);
	REQUIRE(count == 0 || segment_set_select(set, count - 1) == segment_bitmap_max(set));
}

/* With a value that differs in one byte: what is looked at is right in both, so results are well formed. */
static void
lookup_meeting(void)
{
	size_t		size = VARSIZE(stored_value) - VARHDRSZ;
	Datum		other = as_varlena((const uint8 *) VARDATA(stored_value), size);
	SegmentBitmap *a;
	SegmentBitmap *b;
	int64		both;
	Datum		rest;
	size_t		where;

	if (size > 0)
		VARDATA(other)[(uint64) stored_id % size] += 1 + (uint64) stored_id / size % 8;
	a = segment_set_argument_meeting(stored_value);
	b = segment_set_argument_meeting(other);
	both = segment_bitmap_and_cardinality(a, b);
	REQUIRE(segment_set_intersects(a, b) == (both > 0));
	REQUIRE(segment_bitmap_cardinality(require_good(segment_bitmap_to_datum(segment_set_combine(SEGMENT_AND, a, b)))) == both);
	a = segment_set_argument(stored_value);
	/* as canonical as what was stored */
	rest = segment_bitmap_to_datum(segment_set_combine(SEGMENT_ANDNOT, a, b));
	REQUIRE(segment_format_check(VARDATA(rest), VARSIZE(rest) - VARHDRSZ, &where) == NULL);
	REQUIRE(segment_lookup_cardinality(rest) == segment_bitmap_cardinality(a) - both);
}

static void
target_stored(void)
{
	if (input_size < 8)
		return;
	memcpy(&stored_id, input, 8);
	stored_value = as_varlena(input + 8, input_size - 8);
	fuzz_run(lookup_contains);
	fuzz_run(lookup_cardinality);
	fuzz_run(lookup_is_empty);
	fuzz_run(lookup_all);
	fuzz_run(lookup_meeting);
}

static void
target_pair(void)
{
	size_t		half;
	Datum		values[2];
	SegmentBitmap *a;
	SegmentBitmap *b;
	int64		counts[4];
	int64		both;
	int64		of_a;
	int64		of_b;

	if (input_size < 2)
		return;
	half = Min((size_t) (input[0] | input[1] << 8), input_size - 2);
	values[0] = call(segmentation_bytea_to_bitmap, as_varlena(input + 2, half), 0);
	values[1] = call(segmentation_bytea_to_bitmap, as_varlena(input + 2 + half, input_size - 2 - half), 0);
	for (SegmentOperation op = SEGMENT_AND; op <= SEGMENT_XOR; op++)
	{
		SegmentBitmap *result = segment_set_combine(op, segment_set_argument(values[0]), segment_set_argument(values[1]));

		counts[op] = segment_bitmap_cardinality(require_good(segment_bitmap_to_datum(result)));
		for (uint32 before = 0; before <= 100; before += 100)
		{
			SegmentBitmap *inplace = segment_bitmap_copy(segment_set_argument(values[0]));

			/* an aggregate at its beginning, and late, where it turns to bitsets */
			inplace->accumulated = before;
			segment_set_accumulate(op, inplace, segment_set_argument(values[1]));
			segment_set_finish(inplace);
			REQUIRE(segment_bitmap_equals(inplace, result));
		}
	}
	a = segment_set_argument(values[0]);
	b = segment_set_argument(values[1]);
	both = segment_bitmap_and_cardinality(a, b);
	of_a = segment_bitmap_cardinality(a);
	of_b = segment_bitmap_cardinality(b);
	REQUIRE(counts[SEGMENT_AND] == both);
	REQUIRE(counts[SEGMENT_OR] == of_a + of_b - both);
	REQUIRE(counts[SEGMENT_ANDNOT] == of_a - both);
	REQUIRE(counts[SEGMENT_XOR] == of_a + of_b - 2 * both);
	REQUIRE(segment_set_intersects(a, b) == (both > 0));
	REQUIRE(segment_set_is_subset(a, b) == (both == of_a));
	REQUIRE((DatumGetInt32(call(segmentation_bitmap_cmp, values[0], values[1])) == 0) ==
			(both == of_a && both == of_b));
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	static bool ready = false;

	if (!ready)
		fuzz_init();
	ready = true;
	input = data;
	input_size = size;
	fuzz_run(TARGET);
	fuzz_forget();
	return 0;
}

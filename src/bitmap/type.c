/*-------------------------------------------------------------------------
 *
 * type.c
 *		segment.bitmap as a type: text, binary form, casts, comparison.
 *
 * Text form: ids and inclusive ranges in braces, {1,5,7-20}; read in any
 * order, with any white space between the parts and any overlap.  Also read,
 * as they are written with segmentation.bitmap_output = hex: \x and the
 * portable bytes in hexadecimal.
 *
 * Bytes from outside (binary input, cast from bytea) are the portable 64-bit
 * Roaring serialisation or, recognised by its cookie, the 32-bit one.
 *
 * Order: sets compare like their ascending lists of ids, so {} is the least,
 * {1} < {1,2} < {1,3} < {2}.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "bitmap/builder.h"
#include "bitmap/ranges.h"
#include "bitmap/toast.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "compat.h"
#include "fmgr.h"
#include "guc.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* How much of a wrong text an error message shows. */
#define SHOWN_TEXT 64

/* Reading text: where we are, and what has gone wrong. */
typedef struct TextReader
{
	const char *start;
	const char *next;
	const char *mistake;		/* NULL so far */
	const char *mistakeAt;
	int			sqlstate;
} TextReader;

static void
skip_space(TextReader *reader)
{
	while (scanner_isspace(*reader->next))
		reader->next++;
}

static bool
fail_as(TextReader *reader, int sqlstate, const char *mistake, const char *at)
{
	reader->sqlstate = sqlstate;
	reader->mistake = mistake;
	reader->mistakeAt = at;
	return false;
}

static bool
fail(TextReader *reader, const char *mistake, const char *at)
{
	return fail_as(reader, ERRCODE_INVALID_TEXT_REPRESENTATION, mistake, at);
}

static bool
read_id(TextReader *reader, int64 *id)
{
	const char *start = reader->next;
	uint64		value = 0;

	if (*start == '-')
		return fail_as(reader, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, "ids are not negative", start);
	if (*start < '0' || *start > '9')
		return fail(reader, *start == '\0' ? "unexpected end" : "an id is expected", start);
	for (; *reader->next >= '0' && *reader->next <= '9'; reader->next++)
	{
		int			digit = *reader->next - '0';

		if (value > ((uint64) PG_INT64_MAX - digit) / 10)
			return fail_as(reader, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, "ids go up to 9223372036854775807", start);
		value = value * 10 + digit;
	}
	*id = (int64) value;
	return true;
}

/* Read one "id" or "first-last" into the builder. */
static bool
read_item(TextReader *reader, SegmentBuilder *builder)
{
	int64		first;
	int64		last;
	const char *at = reader->next;

	if (!read_id(reader, &first))
		return false;
	skip_space(reader);
	if (*reader->next != '-')
	{
		segment_builder_add(builder, first);
		return true;
	}
	reader->next++;
	skip_space(reader);
	if (!read_id(reader, &last))
		return false;
	if (last < first)
		return fail(reader, "the range ends before it begins", at);
	if (!segment_range_fits(first, last))
		return fail_as(reader, ERRCODE_PROGRAM_LIMIT_EXCEEDED, "the range would take more than 1 GB", at);
	segment_builder_add_range(builder, first, last);
	return true;
}

static bool
read_set(TextReader *reader, SegmentBuilder *builder)
{
	skip_space(reader);
	if (*reader->next != '{')
		return fail(reader, "\"{\" is expected", reader->next);
	reader->next++;
	skip_space(reader);
	if (*reader->next == '}')
		reader->next++;
	else
	{
		for (;;)
		{
			skip_space(reader);
			if (!read_item(reader, builder))
				return false;
			CHECK_FOR_INTERRUPTS();
			skip_space(reader);
			if (*reader->next == ',')
				reader->next++;
			else if (*reader->next == '}')
			{
				reader->next++;
				break;
			}
			else
				return fail(reader, *reader->next == '\0' ? "unexpected end" :
							"\",\" or \"}\" is expected", reader->next);
		}
	}
	skip_space(reader);
	if (*reader->next != '\0')
		return fail(reader, "nothing is expected behind \"}\"", reader->next);
	return true;
}

/*
 * Bytes from outside as a set that need not be canonical.  32-bit bytes are
 * told by their cookie; as a number of 64-bit buckets it would be impossible.
 * NULL after an error that "context" has taken.
 */
static SegmentBitmap *
read_foreign(const char *bytes, size_t size, Node *context)
{
	size_t		where;
	size_t		used;
	const char *reason = segment_format_check(bytes, size, &where);
	SegmentBitmap *set;

	if (reason != NULL && size >= 4 &&
		(segment_read32(bytes) == SEGMENT_COOKIE_PLAIN || (segment_read32(bytes) & 0xffff) == SEGMENT_COOKIE_RUNS))
	{
		reason = segment_format_check32(bytes, size, &where, &used);
		if (reason == NULL && used != size)
		{
			reason = "bytes after the end";
			where = used;
		}
		if (reason == NULL)
		{
			char	   *wrapped = MemoryContextAllocHuge(CurrentMemoryContext, 12 + size);

			segment_write64(wrapped, 1);
			segment_write32(wrapped + 8, 0);
			segment_copy(wrapped + 12, bytes, size);
			bytes = wrapped;
		}
	}
	if (reason != NULL)
		ereturn(context, NULL,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid bytes for type %s", "segment.bitmap"),
				 errdetail("At byte %zu of %zu: %s.", where, size, reason)));
	set = segment_set_view_checked(bytes);
	segment_set_canonicalize(set);
	return set;
}

/* The value of a hexadecimal digit, or -1. */
static inline int
hex_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;
	return -1;
}

/* Read pairs of digits, white space between them as bytea has it, up to the end; *size receives the number of bytes. */
static bool
read_hex(TextReader *reader, char *bytes, size_t *size)
{
	char	   *out = bytes;

	for (;;)
	{
		int			high;
		int			low;

		skip_space(reader);
		if (*reader->next == '\0')
			break;
		high = hex_value(reader->next[0]);
		low = high < 0 ? -1 : hex_value(reader->next[1]);
		if (high < 0 || low < 0)
			return fail(reader, "two hexadecimal digits are expected", reader->next);
		*out++ = (char) (high << 4 | low);
		reader->next += 2;
		if ((out - bytes) % SEGMENT_COPY_BLOCK == 0)
			CHECK_FOR_INTERRUPTS();
	}
	*size = out - bytes;
	return true;
}

/* Raise what has gone wrong, or leave it with "context". */
static Datum
report(const TextReader *reader, Node *context)
{
	const char *text = reader->start;
	int			shown = pg_mbcliplen(text, strnlen(text, SHOWN_TEXT + 1), SHOWN_TEXT);
	int			before = reader->mistakeAt - text;

	/* hexadecimal text, of which there may be very much, is ASCII up to there */
	if (text[0] != '\\')
		before = pg_mbstrlen_with_len(text, before);
	ereturn(context, (Datum) 0,
			(errcode(reader->sqlstate),
			 reader->sqlstate == ERRCODE_PROGRAM_LIMIT_EXCEEDED ?
			 errmsg("bitmap is too large") :
			 errmsg("invalid input syntax for type %s: \"%.*s%s\"", "segment.bitmap",
					shown, text, text[shown] == '\0' ? "" : "..."),
			 errdetail("At character %d: %s.", before + 1, reader->mistake)));
}

/* "\x..." as written by segmentation.bitmap_output = hex. */
static Datum
hex_in(TextReader *reader, Node *context)
{
	char	   *bytes = palloc(strlen(reader->start) / 2);
	size_t		size;
	SegmentBitmap *set;

	reader->next += 2;
	if (!read_hex(reader, bytes, &size))
		return report(reader, context);
	set = read_foreign(bytes, size, context);
	return set == NULL ? (Datum) 0 : segment_bitmap_to_datum(set);
}

PGDLLEXPORT Datum segmentation_bitmap_in(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_bitmap_in);
Datum
segmentation_bitmap_in(PG_FUNCTION_ARGS)
{
	const char *text = PG_GETARG_CSTRING(0);
	TextReader	reader = {.start = text,.next = text};
	SegmentBuilder *builder;

	if (text[0] == '\\' && text[1] == 'x')
		return hex_in(&reader, fcinfo->context);
	builder = segment_builder_create();
	builder->alone = true;
	if (!read_set(&reader, builder))
		return report(&reader, fcinfo->context);
	PG_RETURN_DATUM(segment_bitmap_to_datum(segment_builder_finish(builder)));
}

/* Append a number and return the byte behind it; there must be room for 20. */
static inline char *
write_number(char *out, int64 value)
{
	return out + pg_ulltoa_n((uint64) value, out);
}

static void
text_too_large(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("text of the bitmap is too large"),
			 errdetail("A text takes up to 1 GB."),
			 errhint("Use segment.ids() to get the ids as rows, or COPY in binary format.")));
}

/* "{1,5,7-20}" or, without ranges, every id by itself.  NULL: ranges would be longer than text can be. */
static char *
write_text(const SegmentBitmap *set, bool ranges)
{
	StringInfoData out;
	SegmentRanges reader;
	int64		first;
	int64		last;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	segment_ranges_begin(&reader, set);
	while (segment_ranges_next(&reader, &first, &last))
	{
		bool		pair = ranges && last > first;

		for (int64 id = first;; id++)
		{
			char	   *end;

			if (out.len > MaxAllocSize - 64)
			{
				if (!ranges)
					text_too_large();
				pfree(out.data);
				return NULL;
			}
			enlargeStringInfo(&out, 48);
			end = out.data + out.len;
			if (out.len > 1)
				*end++ = ',';
			end = write_number(end, id);
			if (pair)
			{
				*end++ = '-';
				end = write_number(end, last);
			}
			out.len = end - out.data;
			if (pair || id == last)
				break;
			if ((id & 0xffff) == 0)
				CHECK_FOR_INTERRUPTS();
		}
	}
	appendStringInfoChar(&out, '}');
	return out.data;
}

static char *
write_hex(const bytea *value)
{
	const char *bytes = VARDATA_ANY(value);
	size_t		size = VARSIZE_ANY_EXHDR(value);
	char	   *text;

	if (size > (MaxAllocSize - 3) / 2)
		text_too_large();
	text = palloc(2 * size + 3);
	text[0] = '\\';
	text[1] = 'x';
	for (size_t done = 0; done < size; done += SEGMENT_COPY_BLOCK)
	{
		CHECK_FOR_INTERRUPTS();
		hex_encode(bytes + done, Min(size - done, SEGMENT_COPY_BLOCK), text + 2 + 2 * done);
	}
	text[2 + 2 * size] = '\0';
	return text;
}

PGDLLEXPORT Datum segmentation_bitmap_out(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_bitmap_out);
Datum
segmentation_bitmap_out(PG_FUNCTION_ARGS)
{
	SegmentBitmap *set = SEGMENT_GETARG(0);
	char	   *text = NULL;

	if (segment_guc_bitmap_output != SEGMENT_BITMAP_OUTPUT_HEX)
		text = write_text(set, segment_guc_bitmap_output == SEGMENT_BITMAP_OUTPUT_RANGES);
	if (text == NULL)
		text = write_hex(segment_set_to_varlena(set));
	PG_RETURN_CSTRING(text);
}

PGDLLEXPORT Datum segmentation_bitmap_recv(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_bitmap_recv);
Datum
segmentation_bitmap_recv(PG_FUNCTION_ARGS)
{
	StringInfo	message = (StringInfo) PG_GETARG_POINTER(0);
	int			size = message->len - message->cursor;
	const char *bytes = pq_getmsgbytes(message, size);

	PG_RETURN_DATUM(segment_bitmap_to_datum(read_foreign(bytes, size, NULL)));
}

/* bitmap -> bytea, which is also its binary form */
PGDLLEXPORT Datum segmentation_bitmap_to_bytea(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_bitmap_to_bytea);
Datum
segmentation_bitmap_to_bytea(PG_FUNCTION_ARGS)
{
	/* what they hold is for the reader to check, as we do */
	PG_RETURN_BYTEA_P(segment_stored_fetch(PG_GETARG_DATUM(0)));
}

PGDLLEXPORT Datum segmentation_bytea_to_bitmap(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_bytea_to_bitmap);
Datum
segmentation_bytea_to_bitmap(PG_FUNCTION_ARGS)
{
	struct varlena *value = segment_stored_fetch(PG_GETARG_DATUM(0));

	PG_RETURN_DATUM(segment_bitmap_to_datum(read_foreign(VARDATA_ANY(value),
														 VARSIZE_ANY_EXHDR(value), NULL)));
}

/* bitmap -> 32-bit portable bytes, for readers that know no others */
PGDLLEXPORT Datum segmentation_to_bytea32(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_to_bytea32);
Datum
segmentation_to_bytea32(PG_FUNCTION_ARGS)
{
	SegmentBitmap *set = SEGMENT_GETARG(0);
	bytea	   *result;

	if (segment_bitmap_max(set) > PG_UINT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("bitmap does not fit into the 32-bit format"),
				 errdetail("Its largest id is " INT64_FORMAT ".", segment_bitmap_max(set))));
	if (set->nslots == 0)
	{
		result = palloc(VARHDRSZ + 8);
		segment_write32(VARDATA(result), SEGMENT_COOKIE_PLAIN);
		segment_write32(VARDATA(result) + 4, 0);
		SET_VARSIZE(result, VARHDRSZ + 8);
	}
	else
	{
		result = palloc(VARHDRSZ + (Size) set->slots[0].size);
		segment_copy(VARDATA(result), set->slots[0].bytes, set->slots[0].size);
		SET_VARSIZE(result, VARHDRSZ + (Size) set->slots[0].size);
	}
	PG_RETURN_BYTEA_P(result);
}

SegmentBitmap *
segment_set_from_array(ArrayType *array, bool *missing)
{
	SegmentBuilder *builder = segment_builder_create();
	int			n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	bool		wide = ARR_ELEMTYPE(array) == INT8OID;
	const void *ids = ARR_DATA_PTR(array);

	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array of ids must not contain nulls")));
	Assert(wide || ARR_ELEMTYPE(array) == INT4OID);
	builder->alone = true;
	for (int i = 0; i < n; i++)
	{
		int64		id = wide ? ((const int64 *) ids)[i] : ((const int32 *) ids)[i];

		if (id < 0 && missing != NULL)
			*missing = true;
		else
			segment_builder_add(builder, segment_check_id(id));
		if ((i & 0xffff) == 0)
			CHECK_FOR_INTERRUPTS();
	}
	return segment_builder_finish(builder);
}

PGDLLEXPORT Datum segmentation_array_to_bitmap(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_array_to_bitmap);
Datum
segmentation_array_to_bitmap(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(segment_bitmap_to_datum(segment_set_from_array(PG_GETARG_ARRAYTYPE_P(0), NULL)));
}

/* An array for n elements, which the caller writes. */
static ArrayType *
make_array(int64 n, Oid type, size_t width)
{
	ArrayType  *array;
	Size		size = ARR_OVERHEAD_NONULLS(1) + width * n;

	if (n > (MaxAllocSize - ARR_OVERHEAD_NONULLS(1)) / width)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("array of " INT64_FORMAT " ids is too large", n),
				 errhint("Use segment.ids() to get them as rows.")));
	if (n == 0)
		return construct_empty_array(type);

	array = palloc(size);
	memset(array, 0, ARR_OVERHEAD_NONULLS(1));
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = type;
	ARR_DIMS(array)[0] = (int) n;
	ARR_LBOUND(array)[0] = 1;
	return array;
}

PGDLLEXPORT Datum segmentation_bitmap_to_array(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_bitmap_to_array);
Datum
segmentation_bitmap_to_array(PG_FUNCTION_ARGS)
{
	SegmentBitmap *set = SEGMENT_GETARG(0);
	ArrayType  *array = make_array(segment_bitmap_cardinality(set), INT8OID, sizeof(int64));
	int64	   *out = (int64 *) ARR_DATA_PTR(array);
	SegmentIds	ids;

	segment_ids_begin(&ids, set, 0);
	while (segment_ids_fill(&ids))
	{
		for (uint32 i = 0; i < ids.n; i++)
			*out++ = segment_id_make(ids.high, ids.block[i]);
	}
	PG_RETURN_ARRAYTYPE_P(array);
}

PGDLLEXPORT Datum segmentation_bitmap_to_integer_array(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_bitmap_to_integer_array);
Datum
segmentation_bitmap_to_integer_array(PG_FUNCTION_ARGS)
{
	SegmentBitmap *set = SEGMENT_GETARG(0);
	int64		greatest = segment_bitmap_max(set);
	ArrayType  *array;
	int32	   *out;
	SegmentIds	ids;

	if (greatest > PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("id " INT64_FORMAT " is out of range for type integer", greatest),
				 errhint("Cast to bigint[] instead.")));
	array = make_array(segment_bitmap_cardinality(set), INT4OID, sizeof(int32));
	out = (int32 *) ARR_DATA_PTR(array);
	segment_ids_begin(&ids, set, 0);
	while (segment_ids_fill(&ids))
	{
		memcpy(out, ids.block, sizeof(int32) * ids.n);
		out += ids.n;
	}
	PG_RETURN_ARRAYTYPE_P(array);
}

/* Functions of operator classes are called many times in one context: free what was detoasted. */
static void
free_copy(struct varlena *value, Datum datum)
{
	if ((Pointer) value != DatumGetPointer(datum))
		pfree(value);
}

/* memcmp of two of the same size, like segment_copy. */
static bool
same_bytes(const struct varlena *a, const struct varlena *b)
{
	const char *left = VARDATA_ANY(a);
	const char *right = VARDATA_ANY(b);
	size_t		size = VARSIZE_ANY_EXHDR(a);

	for (size_t done = 0; done < size; done += SEGMENT_COPY_BLOCK)
	{
		CHECK_FOR_INTERRUPTS();
		if (memcmp(left + done, right + done, Min(size - done, SEGMENT_COPY_BLOCK)) != 0)
			return false;
	}
	return true;
}

/* Canonical bytes: the same set has the same. */
static bool
same_set(Datum a, Datum b)
{
	struct varlena *left;
	struct varlena *right;
	bool		same;

	if (toast_raw_datum_size(a) != toast_raw_datum_size(b))
		return false;
	left = segment_stored_fetch(a);
	right = segment_stored_fetch(b);
	same = same_bytes(left, right);
	free_copy(left, a);
	free_copy(right, b);
	return same;
}

PGDLLEXPORT Datum segmentation_bitmap_eq(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_bitmap_eq);
Datum
segmentation_bitmap_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(same_set(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)));
}

PGDLLEXPORT Datum segmentation_bitmap_ne(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_bitmap_ne);
Datum
segmentation_bitmap_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!same_set(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)));
}

/* Compare like the ascending lists of ids, run by run. */
static int
compare_runs(Datum a, Datum b)
{
	SegmentRanges left;
	SegmentRanges right;
	int64		first[2];
	int64		last[2];

	segment_ranges_begin(&left, segment_set_argument(a));
	segment_ranges_begin(&right, segment_set_argument(b));
	for (;;)
	{
		bool		more = segment_ranges_next(&left, &first[0], &last[0]);

		if (!segment_ranges_next(&right, &first[1], &last[1]))
			return more ? 1 : 0;
		if (!more)
			return -1;
		if (first[0] != first[1])
			return first[0] < first[1] ? -1 : 1;
		if (last[0] == last[1])
			continue;

		/*
		 * The shorter run is followed by a greater id than the longer one's,
		 * or by none.
		 */
		if (last[0] < last[1])
			return segment_ranges_next(&left, &first[0], &last[0]) ? 1 : -1;
		return segment_ranges_next(&right, &first[1], &last[1]) ? -1 : 1;
	}
}

static int
compare(Datum a, Datum b)
{
	MemoryContext caller = segment_scratch_enter();
	int			result = compare_runs(a, b);

	segment_scratch_leave(caller);
	return result;
}

#define COMPARISON(name, test) \
PGDLLEXPORT Datum segmentation_bitmap_##name(PG_FUNCTION_ARGS); \
PG_FUNCTION_INFO_V1(segmentation_bitmap_##name); \
Datum \
segmentation_bitmap_##name(PG_FUNCTION_ARGS) \
{ \
	PG_RETURN_BOOL(compare(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)) test 0); \
}

COMPARISON(lt, <)
COMPARISON(le, <=)
COMPARISON(gt, >)
COMPARISON(ge, >=)

PGDLLEXPORT Datum segmentation_bitmap_cmp(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_bitmap_cmp);
Datum
segmentation_bitmap_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)));
}

/* Block by block, the hash of each the seed of the next.  Up to there, with seed 0, the lower half is that of hash_bytes. */
static uint64
hash(Datum bitmap, uint64 seed)
{
	struct varlena *value = segment_stored_fetch(bitmap);
	const unsigned char *bytes = (const unsigned char *) VARDATA_ANY(value);
	size_t		size = VARSIZE_ANY_EXHDR(value);

	for (size_t done = 0; done < size; done += SEGMENT_COPY_BLOCK)
	{
		CHECK_FOR_INTERRUPTS();
		seed = hash_bytes_extended(bytes + done, (int) Min(size - done, SEGMENT_COPY_BLOCK), seed);
	}
	free_copy(value, bitmap);
	return seed;
}

PGDLLEXPORT Datum segmentation_bitmap_hash(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_bitmap_hash);
Datum
segmentation_bitmap_hash(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32((int32) hash(PG_GETARG_DATUM(0), 0));
}

PGDLLEXPORT Datum segmentation_bitmap_hash_extended(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_bitmap_hash_extended);
Datum
segmentation_bitmap_hash_extended(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) hash(PG_GETARG_DATUM(0), (uint64) PG_GETARG_INT64(1)));
}

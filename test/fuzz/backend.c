/*-------------------------------------------------------------------------
 *
 * backend.c
 *		As much of a PostgreSQL backend as src/bitmap needs to be fuzzed
 *		outside of one.
 *
 * Memory comes from malloc, so that AddressSanitizer sees every overrun, and
 * is freed by fuzz_run() after the input.  An ERROR jumps back to fuzz_run().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <setjmp.h>

#include "access/detoast.h"
#include "bitmap/library.h"
#include "bitmap/toast.h"
#include "common/hashfn.h"
#include "fuzz.h"
#include "guc.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* Each chunk of memory, in one list. */
typedef struct Chunk
{
	struct Chunk *previous;
	struct Chunk *next;
	size_t		size;
	size_t		magic;
} Chunk;

static Chunk chunks = {&chunks, &chunks, 0, 0};
static sigjmp_buf on_error;
static int	sqlstate;

static MemoryContextData the_context = {.type = T_AllocSetContext};
static MemoryContextData top_context = {.type = T_AllocSetContext};
MemoryContext CurrentMemoryContext = &the_context;
int			work_mem = 4096;
MemoryContext TopMemoryContext = &top_context;
volatile sig_atomic_t InterruptPending = 0;
SegmentCRoaring croaring;
int			segment_guc_bitmap_output = SEGMENT_BITMAP_OUTPUT_RANGES;

void *
palloc(Size size)
{
	Chunk	   *chunk = malloc(sizeof(Chunk) + size);

	if (chunk == NULL || size > FUZZ_MEMORY)
	{
		free(chunk);
		sqlstate = ERRCODE_OUT_OF_MEMORY;
		siglongjmp(on_error, 1);
	}
	chunk->size = size;
	chunk->previous = &chunks;
	chunk->next = chunks.next;
	chunks.next->previous = chunk;
	chunks.next = chunk;
	return chunk + 1;
}

void
pfree(void *pointer)
{
	Chunk	   *chunk = (Chunk *) pointer - 1;

	chunk->previous->next = chunk->next;
	chunk->next->previous = chunk->previous;
	free(chunk);
}

void *
repalloc(void *pointer, Size size)
{
	void	   *larger = palloc(size);

	memcpy(larger, pointer, Min(size, ((Chunk *) pointer - 1)->size));
	pfree(pointer);
	return larger;
}

void *
repalloc_huge(void *pointer, Size size)
{
	return repalloc(pointer, size);
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

void *
MemoryContextAllocHuge(MemoryContext context, Size size)
{
	return palloc(size);
}

/* What outlives the input */
void *
MemoryContextAlloc(MemoryContext context, Size size)
{
	return context == TopMemoryContext ? malloc(size) : palloc(size);
}

/* No arena: AddressSanitizer is to see each chunk */
MemoryContext
segment_scratch_enter(void)
{
	return CurrentMemoryContext;
}

void
segment_scratch_leave(MemoryContext caller)
{
}

static void *
hook_realloc(void *pointer, size_t size)
{
	return pointer == NULL ? palloc(size) : repalloc(pointer, size);
}

static void *
hook_calloc(size_t n, size_t size)
{
	return palloc0(n * size);
}

static void
hook_free(void *pointer)
{
	if (pointer != NULL)
		pfree(pointer);
}

static void *
hook_aligned_malloc(size_t alignment, size_t size)
{
	char	   *chunk = palloc(size + alignment + sizeof(void *));
	char	   *aligned = (char *) TYPEALIGN(alignment, chunk + sizeof(void *));

	((void **) aligned)[-1] = chunk;
	return aligned;
}

static void
hook_aligned_free(void *aligned)
{
	if (aligned != NULL)
		pfree(((void **) aligned)[-1]);
}

void *
segment_scratch_alloc(size_t size)
{
	return palloc(size);
}

void
segment_scratch_free(void *pointer)
{
	hook_free(pointer);
}

void
fuzz_init(void)
{
	static const roaring_memory_t hooks = {
		palloc, hook_realloc, hook_calloc, hook_free, hook_aligned_malloc, hook_aligned_free
	};

#define X(name) croaring.name = roaring_##name;
	SEGMENT_CROARING_FUNCTIONS(X)
#undef X
	croaring.init_memory_hook(hooks);
}

bool
fuzz_run(void (*function) (void))
{
	bool		good = false;

	sqlstate = 0;
	if (sigsetjmp(on_error, 0) == 0)
	{
		function();
		good = true;
	}
	return good;
}

void
fuzz_forget(void)
{
	while (chunks.next != &chunks)
		pfree(chunks.next + 1);
}

/* Errors */
bool
errstart_cold(int elevel, const char *domain)
{
	return elevel >= ERROR;
}

bool
errstart(int elevel, const char *domain)
{
	return elevel >= ERROR;
}

int
errcode(int code)
{
	sqlstate = code;
	return 0;
}

int
errmsg(const char *format,...)
{
	return 0;
}

int
errmsg_internal(const char *format,...)
{
	return 0;
}

int
errdetail(const char *format,...)
{
	return 0;
}

int
errhint(const char *format,...)
{
	return 0;
}

void
errfinish(const char *file, int line, const char *function)
{
	/* an input is refused for these reasons and no others */
	if (sqlstate != ERRCODE_INVALID_BINARY_REPRESENTATION &&
		sqlstate != ERRCODE_INVALID_TEXT_REPRESENTATION &&
		sqlstate != ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE &&
		sqlstate != ERRCODE_PROGRAM_LIMIT_EXCEEDED &&
		sqlstate != ERRCODE_INVALID_PARAMETER_VALUE &&
		sqlstate != ERRCODE_DATA_CORRUPTED)
		abort();
	siglongjmp(on_error, 1);
}

void
ProcessInterrupts(void)
{
}

Size
MemoryContextMemAllocated(MemoryContext context, bool recurse)
{
	return 0;
}

/* Values are never toasted here. */
struct varlena *
segment_stored_fetch(Datum datum)
{
	return (struct varlena *) DatumGetPointer(datum);
}

struct varlena *
pg_detoast_datum(struct varlena *datum)
{
	return datum;
}

struct varlena *
pg_detoast_datum_packed(struct varlena *datum)
{
	return datum;
}

struct varlena *
pg_detoast_datum_copy(struct varlena *datum)
{
	return memcpy(palloc(VARSIZE(datum)), datum, VARSIZE(datum));
}

Size
toast_raw_datum_size(Datum value)
{
	return VARSIZE(DatumGetPointer(value));
}

void
segment_stored_open(SegmentStored *stored, Datum datum)
{
	stored->bytes = VARDATA(DatumGetPointer(datum));
	stored->size = VARSIZE(DatumGetPointer(datum)) - VARHDRSZ;
}

void
segment_stored_close(SegmentStored *stored)
{
}

void
segment_stored_damaged(const char *reason, size_t where)
{
	sqlstate = ERRCODE_DATA_CORRUPTED;
	siglongjmp(on_error, 1);
}

void
segment_stored_read_table(SegmentStored *stored, char *to, size_t offset, size_t n)
{
	abort();
}

/* Text */
void
initStringInfo(StringInfo out)
{
	out->data = palloc(1024);
	out->maxlen = 1024;
	out->len = out->cursor = 0;
}

void
enlargeStringInfo(StringInfo out, int needed)
{
	if (out->len + needed + 1 > out->maxlen)
	{
		out->maxlen = 2 * out->maxlen + needed;
		out->data = repalloc(out->data, out->maxlen);
	}
}

void
appendStringInfoChar(StringInfo out, char c)
{
	enlargeStringInfo(out, 1);
	out->data[out->len++] = c;
	out->data[out->len] = '\0';
}

int
pg_ulltoa_n(uint64 value, char *out)
{
	char		digits[32];
	int			n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long) value);

	memcpy(out, digits, n);
	return n;
}

bool
scanner_isspace(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

int
pg_mbcliplen(const char *text, int length, int limit)
{
	return Min(length, limit);
}

int
pg_mbstrlen_with_len(const char *text, int length)
{
	return length;
}

uint64
hex_encode(const char *bytes, size_t size, char *out)
{
	for (size_t i = 0; i < size; i++)
		sprintf(out + 2 * i, "%02x", (unsigned char) bytes[i]);
	return 2 * size;
}

const char *
pq_getmsgbytes(StringInfo message, int size)
{
	message->cursor += size;
	return message->data + message->cursor - size;
}

/* Not reached */
int
ArrayGetNItems(int ndim, const int *dims)
{
	abort();
}

bool
array_contains_nulls(ArrayType *array)
{
	abort();
}

ArrayType *
construct_empty_array(Oid type)
{
	abort();
}

uint64
hash_bytes_extended(const unsigned char *bytes, int size, uint64 seed)
{
	return 0;
}

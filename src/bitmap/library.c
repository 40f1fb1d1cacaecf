/*-------------------------------------------------------------------------
 *
 * library.c
 *		Opens CRoaring and gives it PostgreSQL's memory.
 *
 * Symbols.  Other extensions carry a CRoaring of their own, exported to the
 * whole process.  A plain link would mix the two copies: whichever was loaded
 * first would answer the calls of both, and half of the functions of one
 * version would work on structures of another.  So nothing is linked: the
 * library is opened with RTLD_LOCAL (nobody sees our copy) and RTLD_DEEPBIND
 * (it sees nobody else's), and called through the table "croaring".
 *
 * Memory.  All memory of CRoaring is palloc'd in the CurrentMemoryContext of
 * the call, huge sizes included, so an ERROR in the middle of an operation
 * (out of memory, a cancel) leaks nothing: the context goes, and the bitmap
 * under change with it.  CRoaring is therefore never called while a bitmap
 * that must survive an ERROR is being changed in place.
 *
 * Interrupts.  For the same reason a call may end by a cancel whenever it takes
 * memory, which operations on 65,536 containers do for each of them.
 *
 * Scratch.  Operations on megabytes spend most of their time on page faults if
 * each of them takes its memory from the operating system and gives it back.
 * So what a call needs for itself only (the bytes of its arguments, the
 * containers of its result before they are written) comes from the arena: one
 * block that a backend keeps, up to SCRATCH_MAX, handed out front to back.
 * The arena is in use exactly while CurrentMemoryContext is the context
 * "scratch"; an ERROR changes that context, so it cannot stay in use by
 * accident.  Nothing in it outlives the SQL function call that entered it.
 * What does not fit is palloc'd in "scratch", and the arena is made larger at
 * the next call.
 *
 * CRoaring keeps one set of memory functions per loaded copy.  An extension
 * that is itself linked with the same system library shares ours from then
 * on.  That is harmless if it uses palloc too, as those for PostgreSQL do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dlfcn.h>

#include "access/xact.h"
#include "bitmap/bitmap.h"
#include "bitmap/library.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#ifndef SEGMENT_CROARING_LIBRARY
#define SEGMENT_CROARING_LIBRARY "libroaring.so.21"
#endif

/* AddressSanitizer refuses RTLD_DEEPBIND, and some C libraries do not have it. */
#if !defined(RTLD_DEEPBIND) || defined(__SANITIZE_ADDRESS__)
#undef RTLD_DEEPBIND
#define RTLD_DEEPBIND 0
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#undef RTLD_DEEPBIND
#define RTLD_DEEPBIND 0
#endif
#endif

#define SCRATCH_MAX		((size_t) 16 * 1024 * 1024)
#define SCRATCH_STEP	((size_t) 1024 * 1024)
#define SCRATCH_ALIGN	16

SegmentCRoaring croaring;

static MemoryContext scratch;
static struct
{
	char	   *start;
	size_t		size;
	size_t		used;
	size_t		missed;			/* bytes that did not fit */
}			arena;

/*
 * Each chunk of the arena is preceded by its size, so that it can be copied
 * when it grows.  NULL when it does not fit.
 */
static void *
arena_alloc(size_t size, size_t alignment)
{
	char	   *chunk = (char *) TYPEALIGN(alignment, arena.start + arena.used + sizeof(size_t));

	if (arena.start == NULL || size > arena.size ||
		(size_t) (chunk - arena.start) > arena.size - size)
	{
		arena.missed += size + alignment + sizeof(size_t);

		return NULL;
	}
	arena.used = chunk + size - arena.start;

	((size_t *) chunk)[-1] = size;
	return chunk;
}

static inline bool
in_arena(const void *chunk)
{
	return (const char *) chunk >= arena.start && (const char *) chunk < arena.start + arena.size;
}

/* Give back what an ERROR has left, even one that was caught. */
static void
at_end_of_transaction(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PARALLEL_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE)
		MemoryContextReset(scratch);
}

MemoryContext
segment_scratch_enter(void)
{
	if (scratch == NULL)
	{
		scratch = AllocSetContextCreate(TopMemoryContext, "segmentation bitmap scratch",
										ALLOCSET_DEFAULT_SIZES);
		RegisterXactCallback(at_end_of_transaction, NULL);
	}
	MemoryContextReset(scratch);
	if (arena.missed > 0 && arena.size < SCRATCH_MAX)
	{
		size_t		wanted = TYPEALIGN(SCRATCH_STEP, arena.used + arena.missed);

		if (arena.start != NULL)
			pfree(arena.start);
		arena.start = NULL;
		arena.size = 0;

		wanted = Min(wanted, SCRATCH_MAX);
		arena.start = MemoryContextAlloc(TopMemoryContext, wanted);
		arena.size = wanted;
	}
	arena.used = 0;
	arena.missed = 0;

	return MemoryContextSwitchTo(scratch);
}

void
segment_scratch_leave(MemoryContext caller)
{
	MemoryContextSwitchTo(caller);
	MemoryContextReset(scratch);
}

static void *
hook_malloc(size_t size)
{
	CHECK_FOR_INTERRUPTS();
	if (CurrentMemoryContext == scratch)
	{
		void	   *chunk = arena_alloc(size, SCRATCH_ALIGN);

		if (chunk != NULL)
			return chunk;
	}
	return MemoryContextAllocExtended(CurrentMemoryContext, Max(size, 1),
									  MCXT_ALLOC_HUGE);
}

void *
segment_scratch_alloc(size_t size)
{
	return hook_malloc(size);
}

static void *
hook_realloc(void *chunk, size_t size)
{
	if (chunk == NULL)
		return hook_malloc(size);
	if (in_arena(chunk))
	{
		size_t		old = ((size_t *) chunk)[-1];
		void	   *larger;

		if (size <= old)
			return chunk;
		larger = hook_malloc(size);
		memcpy(larger, chunk, old);
		return larger;
	}
	return repalloc_huge(chunk, Max(size, 1));
}

static void *
hook_calloc(size_t n, size_t size)
{
	if (size != 0 && n > SIZE_MAX / size)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("bitmap is too large")));
	return memset(hook_malloc(n * size), 0, n * size);
}

static void
hook_free(void *chunk)
{
	if (chunk != NULL && !in_arena(chunk))
		pfree(chunk);
}

void
segment_scratch_free(void *chunk)
{
	hook_free(chunk);
}

/* Over-allocates; the chunk's own address stands just before what is returned. */
static void *
hook_aligned_malloc(size_t alignment, size_t size)
{
	char	   *chunk;
	char	   *aligned;

	CHECK_FOR_INTERRUPTS();
	if (CurrentMemoryContext == scratch)
	{
		aligned = arena_alloc(size, alignment);
		if (aligned != NULL)
			return aligned;
	}
	chunk = MemoryContextAllocExtended(CurrentMemoryContext, size + alignment + sizeof(void *),
									   MCXT_ALLOC_HUGE);
	aligned = (char *) TYPEALIGN(alignment, chunk + sizeof(void *));
	((void **) aligned)[-1] = chunk;
	return aligned;
}

static void
hook_aligned_free(void *aligned)
{
	if (aligned != NULL && !in_arena(aligned))
		pfree(((void **) aligned)[-1]);
}

/* A function of the library; ERROR if it has none of that name. */
static void *
find(void *library, const char *name)
{
	void	   *function = dlsym(library, name);

	if (function == NULL)
	{
		memset(&croaring, 0, sizeof(croaring));
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("CRoaring has no function \"%s\"", name),
				 errhint("Version 4 or later is needed.")));
	}
	return function;
}

/*
 * segment_bitmap_init
 *		Fill the table "croaring"; ERROR when the library or one of its functions is missing.
 */
void
segment_bitmap_init(void)
{
	static const roaring_memory_t hooks = {
		.malloc = hook_malloc,
		.realloc = hook_realloc,
		.calloc = hook_calloc,
		.free = hook_free,
		.aligned_malloc = hook_aligned_malloc,
		.aligned_free = hook_aligned_free,
	};
	void	   *library;

	if (croaring.init_memory_hook != NULL)
		return;

	library = dlopen(SEGMENT_CROARING_LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
	if (library == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FILE),
				 errmsg("could not load CRoaring: %s", dlerror()),
				 errhint("Install the package that contains \"%s\".", SEGMENT_CROARING_LIBRARY)));

#define X(name) croaring.name = (__typeof__(croaring.name)) find(library, "roaring_" #name);
	SEGMENT_CROARING_FUNCTIONS(X)
#undef X

		croaring.init_memory_hook(hooks);
}

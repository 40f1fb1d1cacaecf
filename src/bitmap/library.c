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
 * CRoaring keeps one set of memory functions per loaded copy.  An extension
 * that is itself linked with the same system library shares ours from then
 * on.  That is harmless if it uses palloc too, as those for PostgreSQL do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dlfcn.h>

#include "bitmap/bitmap.h"
#include "bitmap/library.h"
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

SegmentCRoaring croaring;

static void *
hook_malloc(size_t size)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, Max(size, 1),
									  MCXT_ALLOC_HUGE);
}

static void *
hook_realloc(void *chunk, size_t size)
{
	if (chunk == NULL)
		return hook_malloc(size);
	return repalloc_huge(chunk, Max(size, 1));
}

static void *
hook_calloc(size_t n, size_t size)
{
	if (size != 0 && n > SIZE_MAX / size)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("bitmap is too large")));
	return MemoryContextAllocExtended(CurrentMemoryContext, Max(n * size, 1),
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

static void
hook_free(void *chunk)
{
	if (chunk != NULL)
		pfree(chunk);
}

/* Over-allocates; the chunk's own address stands just before what is returned. */
static void *
hook_aligned_malloc(size_t alignment, size_t size)
{
	char	   *chunk = hook_malloc(size + alignment + sizeof(void *));
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

#define X(name) \
	if ((croaring.name = (__typeof__(croaring.name)) dlsym(library, "roaring_" #name)) == NULL) \
	{ \
		memset(&croaring, 0, sizeof(croaring)); \
		ereport(ERROR, \
				(errcode(ERRCODE_UNDEFINED_FUNCTION), \
				 errmsg("CRoaring has no function \"%s\"", "roaring_" #name), \
				 errhint("Version 4 or later is needed."))); \
	}
	SEGMENT_CROARING_FUNCTIONS(X)
#undef X

	croaring.init_memory_hook(hooks);
}

/*-------------------------------------------------------------------------
 *
 * compat.h
 *		Differences between PostgreSQL 15 and 18.  The only file that asks for
 *		the version.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_COMPAT_H
#define SEGMENT_COMPAT_H

/* Soft errors of input functions came with 16. */
#if PG_VERSION_NUM < 160000
#define ereturn(context, value, ...) \
	do { ereport(ERROR, __VA_ARGS__); return (value); } while (0)
#endif

/* An index access method may keep state over index_insert() calls since 17. */
#if PG_VERSION_NUM >= 170000
#define segment_compat_index_insert_cleanup(index, info) index_insert_cleanup(index, info)
#else
#define segment_compat_index_insert_cleanup(index, info) ((void) 0)
#endif

#endif							/* SEGMENT_COMPAT_H */

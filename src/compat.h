/*-------------------------------------------------------------------------
 *
 * compat.h
 *		What differs between PostgreSQL 15 and 18; the only PG_VERSION_NUM.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_COMPAT_H
#define SEGMENT_COMPAT_H

/* An index access method may keep state over index_insert() calls since 17. */
#if PG_VERSION_NUM >= 170000
#define segment_compat_index_insert_cleanup(index, info) index_insert_cleanup(index, info)
#else
#define segment_compat_index_insert_cleanup(index, info) ((void) 0)
#endif

#endif							/* SEGMENT_COMPAT_H */

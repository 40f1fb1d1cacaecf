/*-------------------------------------------------------------------------
 *
 * query.h
 *		SQL on the extension's own tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_QUERY_H
#define SEGMENT_QUERY_H

#include "bitmap/bitmap.h"
#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "funcapi.h"

/* What segment_query_end() puts back. */
typedef struct SegmentQueryGuard
{
	Oid			userId;
	int			context;
	int			nestLevel;
} SegmentQueryGuard;

/*
 * Between these two, queries run with all rights and a search_path of
 * pg_catalog, and SPI is connected.  Whoever calls has checked the rights of
 * the user, and gives no text of his to the queries but as parameters.
 */
extern void segment_query_begin(SegmentQueryGuard *guard);
extern void segment_query_end(SegmentQueryGuard *guard);

/* Parameters of a query; add them in order. */
#define SEGMENT_QUERY_PARAMETERS 8
typedef struct SegmentQuery
{
	int			n;
	Oid			types[SEGMENT_QUERY_PARAMETERS];
	Datum		values[SEGMENT_QUERY_PARAMETERS];
	char		nulls[SEGMENT_QUERY_PARAMETERS];
} SegmentQuery;

extern void segment_query_add(SegmentQuery *query, Oid type, Datum value);
extern void segment_query_add_null(SegmentQuery *query, Oid type);

/*
 * Run one query, under the active snapshot if read_only, else under a new one.
 * Returns the number of rows, which are in SPI_tuptable.
 */
extern uint64 segment_query_run(SegmentQuery *query, const char *sql, bool read_only);

/* Column "column" (from 1) of row "row" (from 0) of the last query. */
extern Datum segment_query_value(uint64 row, int column, bool *isnull);

/* All rows of the last query as the result of a set-returning function. */
extern void segment_query_return(ReturnSetInfo *rsinfo);

/* The OID of type segment.bitmap. */
extern Oid	segment_query_bitmap_type(void);

#endif							/* SEGMENT_QUERY_H */

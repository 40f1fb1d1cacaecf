/*-------------------------------------------------------------------------
 *
 * query.c
 *		SQL on the extension's own tables.
 *
 * Our tables are for nobody to read or write.  Where sets of rows are needed,
 * the extension runs SQL on them through SPI, as PostgreSQL's own foreign keys
 * do: as the bootstrap superuser, marked as a local change of user (SET ROLE is
 * refused meanwhile), with a search_path that only pg_catalog is in, so that no
 * operator or function of anybody else can come in between.  Errors put
 * everything back with the (sub)transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "catalog/query.h"
#include "catalog/registry.h"

void
segment_query_begin(SegmentQueryGuard *guard)
{
	(void) segment_catalog_schema(false);
	GetUserIdAndSecContext(&guard->userId, &guard->context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID,
						   guard->context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	guard->nestLevel = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

void
segment_query_end(SegmentQueryGuard *guard)
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	AtEOXact_GUC(true, guard->nestLevel);
	SetUserIdAndSecContext(guard->userId, guard->context);
}

static void
add(SegmentQuery *query, Oid type, Datum value, char null)
{
	Assert(query->n < SEGMENT_QUERY_PARAMETERS);
	query->types[query->n] = type;
	query->values[query->n] = value;
	query->nulls[query->n++] = null;
}

void
segment_query_add(SegmentQuery *query, Oid type, Datum value)
{
	add(query, type, value, ' ');
}

void
segment_query_add_null(SegmentQuery *query, Oid type)
{
	add(query, type, (Datum) 0, 'n');
}

uint64
segment_query_run(SegmentQuery *query, const char *sql, bool read_only)
{
	SegmentQuery none = {0};
	int			result;

	if (query == NULL)
		query = &none;
	result = SPI_execute_with_args(sql, query->n, query->types, query->values, query->nulls, read_only, 0);
	if (result < 0)
		elog(ERROR, "query on the extension's tables failed: %s", SPI_result_code_string(result));
	return SPI_processed;
}

Datum
segment_query_value(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

void
segment_query_return(ReturnSetInfo *rsinfo)
{
	for (uint64 i = 0; i < SPI_processed; i++)
		tuplestore_puttuple(rsinfo->setResult, SPI_tuptable->vals[i]);
}

Oid
segment_query_bitmap_type(void)
{
	return GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("bitmap"),
						   ObjectIdGetDatum(segment_catalog_schema(false)));
}

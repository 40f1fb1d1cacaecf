/*-------------------------------------------------------------------------
 *
 * schema.c
 *		Schema "segment", whose objects are trusted by their names; owners, dependents.
 *
 * What the extension reads and writes for its users it finds by name in this
 * schema, and uses with all rights (query.c) or without asking for any.  So
 * nobody but a superuser may own the schema or make something in it.
 * CREATE EXTENSION makes it as whoever calls, and takes one that is there as it
 * is; therefore the script takes it over first.  It does not take one that
 * anybody else has had before this transaction: something may be being made in it
 * that cannot be seen yet.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "commands/schemacmds.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "catalog/table.h"

PGDLLEXPORT Datum segmentation_take_schema(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_take_schema);

static Oid
schema_owner(Oid schema)
{
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

static bool
is_superusers(Oid schema)
{
	return superuser_arg(schema_owner(schema));
}

bool
segment_catalog_is_safe(void)
{
	Oid			schema = get_namespace_oid("segment", true);

	return OidIsValid(schema) && is_superusers(schema);
}

Oid
segment_catalog_schema(bool missing_ok)
{
	Oid			schema = get_namespace_oid("segment", missing_ok);

	if (OidIsValid(schema) && !is_superusers(schema))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("schema \"segment\" belongs to \"%s\", who is no superuser", GetUserNameFromId(schema_owner(schema), false)),
				errdetail("What lies in it is used with the rights of a superuser."),
				errhint("Let a superuser run ALTER SCHEMA segment OWNER TO CURRENT_USER."));
	return schema;
}

Oid
segment_catalog_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

List *
segment_catalog_dependents(Oid classId, Oid objectId)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	List	   *rows = NIL;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(classId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(objectId));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		rows = lappend(rows, memcpy(palloc(sizeof(FormData_pg_depend)), GETSTRUCT(tuple), sizeof(FormData_pg_depend)));
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return rows;
}

/* Has this schema been there before the transaction?  Also if it was changed since. */
static bool
is_older(Oid schema)
{
	Relation	catalog = table_open(NamespaceRelationId, AccessShareLock);
	bool		older = false;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_namespace_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(schema));
	scan = systable_beginscan(catalog, InvalidOid, false, SnapshotAny, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		older |= !TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return older;
}

/* ERROR if a user has had the schema in his hands. */
static void
check_is_fresh(Oid schema)
{
	if (!is_superusers(schema) && is_older(schema))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("schema \"segment\" exists already and belongs to no superuser"),
				errhint("Drop it: CREATE EXTENSION makes the schema."));
}

/* ERROR if anything but this extension and this function depends on the schema: objects in it, or default privileges. */
static void
check_is_empty(Oid schema, Oid self)
{
	ListCell   *lc;

	foreach(lc, segment_catalog_dependents(NamespaceRelationId, schema))
	{
		Form_pg_depend row = lfirst(lc);
		ObjectAddress object = {row->classid, row->objid, row->objsubid};

		if (row->classid == ExtensionRelationId || (row->classid == ProcedureRelationId && row->objid == self))
			continue;
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("schema \"segment\" is not empty"),
				errdetail("There is %s.", getObjectDescription(&object, false)),
				errhint("Extension \"segmentation\" needs the schema for itself: drop what is in it, or rename it."));
	}
}

/* ERROR if somebody else has been granted CREATE. */
static void
check_is_private(Oid schema)
{
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
	Oid			owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	bool		isnull;
	Datum		value = SysCacheGetAttr(NAMESPACEOID, tuple, Anum_pg_namespace_nspacl, &isnull);
	Acl		   *acl = isnull ? NULL : DatumGetAclPCopy(value);

	ReleaseSysCache(tuple);
	for (int i = 0; acl != NULL && i < ACL_NUM(acl); i++)
		if ((ACL_DAT(acl)[i].ai_privs & ACL_CREATE) != 0 && ACL_DAT(acl)[i].ai_grantee != owner)
			ereport(ERROR,
					errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("others may create objects in schema \"segment\""),
					errhint("Revoke CREATE on it, or drop the schema."));
}

/* Called by the script of CREATE EXTENSION, which runs as a superuser, before anything else is made. */
Datum
segmentation_take_schema(PG_FUNCTION_ARGS)
{
	Oid			schema = get_namespace_oid("segment", false);

	check_is_fresh(schema);
	check_is_empty(schema, fcinfo->flinfo->fn_oid);
	check_is_private(schema);
	AlterSchemaOwner_oid(schema, GetUserId());
	PG_RETURN_VOID();
}

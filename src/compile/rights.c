/*-------------------------------------------------------------------------
 *
 * rights.c
 *		May the owner of a segment read what its condition reads?
 *
 * Asked when a segment is created, and again at every read: a base at rest must
 * not show what its owner could no longer evaluate.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/acl.h"
#include "utils/rls.h"

#include "compile/compile.h"

bool
segment_compile_may_select(Oid relid, Oid owner, const Bitmapset *columns)
{
	int			column = -1;

	if (pg_class_aclcheck(relid, owner, ACL_SELECT) == ACLCHECK_OK)
		return true;
	if (bms_is_empty((Bitmapset *) columns))
		return pg_attribute_aclcheck_all(relid, owner, ACL_SELECT, ACLMASK_ANY) == ACLCHECK_OK;
	while ((column = bms_next_member(columns, column)) >= 0)
		if (pg_attribute_aclcheck(relid, column, owner, ACL_SELECT) != ACLCHECK_OK)
			return false;
	return true;
}

bool
segment_compile_may_read(const SegmentCompiled *compiled)
{
	ListCell   *lc;

	foreach(lc, compiled->sources)
	{
		SegmentSource *source = lfirst(lc);

		if (!segment_compile_may_select(source->relid, compiled->owner, source->columns) ||
			check_enable_rls(source->relid, compiled->owner, true) == RLS_ENABLED)
			return false;
	}
	foreach(lc, compiled->inner)
		if (pg_class_aclcheck(lfirst_oid(lc), compiled->owner, ACL_SELECT) != ACLCHECK_OK)
		return false;
	return true;
}

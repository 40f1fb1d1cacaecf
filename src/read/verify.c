/*-------------------------------------------------------------------------
 *
 * verify.c
 *		segment.verify(): is what is stored right?
 *
 * Compares, under one snapshot and clock, what a read makes of base and pending
 * subjects with the condition evaluated over everybody.  The two differ only
 * when somebody wrote behind the triggers and the watch on them, or when the
 * files are damaged.  segment.rebuild() mends it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "attempt.h"
#include "bitmap/bitmap.h"
#include "catalog/registry.h"
#include "compat.h"
#include "read/read.h"

PGDLLEXPORT Datum segmentation_verify(PG_FUNCTION_ARGS);

/* One row: (segment, missing, extra, ids, in_full); a segment that is read in full has nothing stored to be wrong. */
static void
verify(Oid viewId, ReturnSetInfo *rsinfo)
{
	SegmentStanding *standing = segment_read_standing(viewId);
	Datum		values[5];
	bool		nulls[5] = {false};

	values[0] = ObjectIdGetDatum(viewId);
	nulls[1] = nulls[2] = nulls[3] = standing->full != FULL_NOT;
	nulls[4] = standing->full == FULL_NOT;
	if (standing->full == FULL_NOT)
	{
		SegmentBitmap *members = segment_bitmap_copy(segment_read_members(viewId));
		SegmentBitmap *truth;
		SegmentBitmap *wrong;
		int64		common;

		segment_read_evaluate(list_make1((void *) standing->compiled), standing->entry, NULL, standing->clock, &truth, NULL);
		common = segment_bitmap_and_cardinality(members, truth);
		values[1] = Int64GetDatum(segment_bitmap_cardinality(truth) - common);
		values[2] = Int64GetDatum(segment_bitmap_cardinality(members) - common);
		wrong = segment_bitmap_copy(members);
		segment_bitmap_xor(wrong, truth);
		values[3] = segment_bitmap_to_datum(wrong);
	}
	else
		values[4] = CStringGetTextDatum(segment_read_full_reason(standing->full));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

typedef struct Verification
{
	Oid			viewId;
	ReturnSetInfo *rsinfo;
} Verification;

static void
try_verify(void *arg)
{
	Verification *this = arg;

	if (segment_catalog_compiled(this->viewId, true) != NULL)
		verify(this->viewId, this->rsinfo);
}

/* verify(segment regclass): NULL verifies all that the caller owns */
PG_FUNCTION_INFO_V1(segmentation_verify);
Datum
segmentation_verify(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	if (!PG_ARGISNULL(0))
	{
		Oid			viewId = PG_GETARG_OID(0);

		(void) segment_catalog_compiled(viewId, false);
		if (!segment_compat_owns(viewId, GetUserId()))
			aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_VIEW, get_rel_name(viewId));
		verify(viewId, rsinfo);
		return (Datum) 0;
	}
	foreach(lc, segment_catalog_all())
	{
		Verification this = {((SegmentEntry *) lfirst(lc))->viewId, rsinfo};
		ErrorData  *error;

		CHECK_FOR_INTERRUPTS();
		if (!segment_compat_owns(this.viewId, GetUserId()))
			continue;
		error = segment_attempt(try_verify, &this);
		if (error != NULL)
			segment_read_left_out(this.viewId, error);
	}
	return (Datum) 0;
}

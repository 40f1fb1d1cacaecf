/*-------------------------------------------------------------------------
 *
 * planner.c
 *		What the planner is told about bitmaps.
 *
 * Where a bitmap is a constant, or what a stable function returns now, its
 * cardinality says how many rows ids() gives and how many pass id <@ bitmap.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "bitmap/lookup.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"

/* Share of rows whose bitmap column contains a given id, when nothing is known; contsel's. */
#define DEFAULT_CONTAINS_SELECTIVITY 0.001

/* ids(constant) gives as many rows as the constant has ids. */
PGDLLEXPORT Datum segmentation_ids_support(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_ids_support);
Datum
segmentation_ids_support(PG_FUNCTION_ARGS)
{
	Node	   *node = (Node *) PG_GETARG_POINTER(0);
	SupportRequestRows *request = (SupportRequestRows *) node;
	Node	   *argument;

	if (!IsA(node, SupportRequestRows) || !is_funcclause(request->node))
		PG_RETURN_POINTER(NULL);
	argument = estimate_expression_value(request->root,
										 linitial(((FuncExpr *) request->node)->args));
	if (!IsA(argument, Const))
		PG_RETURN_POINTER(NULL);
	request->rows = ((Const *) argument)->constisnull ? 0 :
		(double) segment_lookup_cardinality(((Const *) argument)->constvalue);
	PG_RETURN_POINTER(request);
}

/*
 * Share of the rows of a column of ids that are in this bitmap: its ids by
 * those of the column, taking the bitmap for a subset of these, of the rows
 * that have an id at all.
 */
static double
share_of_ids(VariableStatData *ids, Datum bitmap)
{
	bool		unknown;
	double		distinct = get_variable_numdistinct(ids, &unknown);
	double		present = HeapTupleIsValid(ids->statsTuple) ?
	1.0 - ((Form_pg_statistic) GETSTRUCT(ids->statsTuple))->stanullfrac : 1.0;

	/* without statistics take ids for unique */
	if (unknown && ids->rel != NULL && ids->rel->tuples > 0)
		distinct = ids->rel->tuples;
	return present * (double) segment_lookup_cardinality(bitmap) / Max(distinct, 1.0);
}

extern Datum segmentation_bitmap_out(PG_FUNCTION_ARGS);

/* A type whose values are written by our function, which checks what it is called with, are bitmaps. */
static bool
is_bitmap(Oid type)
{
	Oid			output;
	bool		varlena;
	FmgrInfo	info;

	getTypeOutputInfo(type, &output, &varlena);
	if (!varlena || output < FirstNormalObjectId)
		return false;
	fmgr_info(output, &info);
	return info.fn_addr == segmentation_bitmap_out;
}

/* Restriction selectivity of bitmap @> id and id <@ bitmap. */
PGDLLEXPORT Datum segmentation_id_selectivity(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_id_selectivity);
Datum
segmentation_id_selectivity(PG_FUNCTION_ARGS)
{
	PlannerInfo *root = (PlannerInfo *) PG_GETARG_POINTER(0);
	List	   *args = (List *) PG_GETARG_POINTER(2);
	int			varRelid = PG_GETARG_INT32(3);
	VariableStatData variable;
	Node	   *other;
	bool		on_left;
	double		selectivity = DEFAULT_CONTAINS_SELECTIVITY;

	if (!get_restriction_variable(root, args, varRelid, &variable, &other, &on_left))
		PG_RETURN_FLOAT8(selectivity);
	/* anybody may make an operator that asks this for its own types */
	if (IsA(other, Const) && is_bitmap(((Const *) other)->consttype))
	{
		if (((Const *) other)->constisnull)
			selectivity = 0;
		else if (exprType(variable.var) == INT8OID)
			selectivity = share_of_ids(&variable, ((Const *) other)->constvalue);
	}
	ReleaseVariableStats(variable);
	CLAMP_PROBABILITY(selectivity);
	PG_RETURN_FLOAT8(selectivity);
}

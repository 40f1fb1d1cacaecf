/*-------------------------------------------------------------------------
 *
 * planner.c
 *		What the planner is told about bitmaps: rows of ids().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bitmap/lookup.h"
#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"

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

/*-------------------------------------------------------------------------
 *
 * compat.h
 *		What differs between PostgreSQL 15 and 18.
 *
 * The only file that may look at PG_VERSION_NUM.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_COMPAT_H
#define SEGMENT_COMPAT_H

#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "nodes/pathnodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_relation.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/relcache.h"
#if PG_VERSION_NUM >= 170000
#include "utils/jsonpath.h"
#endif
#if PG_VERSION_NUM >= 180000
#include "access/table.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "utils/rel.h"
#endif
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#include "varatt.h"				/* part of postgres.h before */
#endif

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "segmentation supports PostgreSQL 15 to 18"
#endif

/* Functions that do not return are declared by a prefix since 18. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

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

/* What names the storage of a relation. */
#if PG_VERSION_NUM >= 160000
#define segment_compat_locator(relation) ((relation)->rd_locator)
#else
#define segment_compat_locator(relation) ((relation)->rd_node)
#endif

/* The primary key of a relation, a deferrable one never (17 and earlier cannot be asked for it). */
static inline Oid
segment_compat_primary_key(Relation relation)
{
#if PG_VERSION_NUM >= 180000
	return RelationGetPrimaryKeyIndex(relation, false);
#else
	return RelationGetPrimaryKeyIndex(relation);
#endif
}

/* Functions of this name, for any use of their arguments. */
static inline FuncCandidateList
segment_compat_candidates(List *names, int nargs)
{
	return FuncnameGetCandidates(names, nargs, NIL, true, true, false, true);
}

static inline bool
segment_compat_is_string(const A_Const *constant)
{
	return !constant->isnull && nodeTag(&constant->val) == T_String;
}

static inline const char *
segment_compat_string(const A_Const *constant)
{
	return constant->val.sval.sval;
}

/* SQL/JSON constructors and predicates, which PostgreSQL has as nodes of their own from 16 on. */
static inline bool
segment_compat_is_json_expression(Node *node)
{
#if PG_VERSION_NUM >= 160000
	switch (nodeTag(node))
	{
		case T_JsonIsPredicate:
		case T_JsonObjectConstructor:
		case T_JsonArrayConstructor:
#if PG_VERSION_NUM >= 170000
		case T_JsonFuncExpr:
		case T_JsonParseExpr:
		case T_JsonScalarExpr:
		case T_JsonSerializeExpr:
#endif
			return true;
		default:
			return false;
	}
#else
	return false;
#endif
}

/* JSON_VALUE(.. RETURNING type) and its like, from 17 on; after analysis. */
static inline bool
segment_compat_is_json_value(Node *node)
{
#if PG_VERSION_NUM >= 170000
	return IsA(node, JsonExpr);
#else
	return false;
#endif
}

/* Does an SQL/JSON expression ask a path that depends on the zone, and so on the offset of today? */
static inline bool
segment_compat_is_json_of_zone(Node *node)
{
#if PG_VERSION_NUM >= 170000
	JsonExpr   *expr = (JsonExpr *) node;

	return IsA(node, JsonExpr) && (!IsA(expr->path_spec, Const) ||
								   jspIsMutable(DatumGetJsonPathP(((Const *) expr->path_spec)->constvalue),
												expr->passing_names, expr->passing_values));
#else
	return false;
#endif
}

/* A literal integer, as the grammar makes it. */
static inline Node *
segment_compat_int_const(int value, int location)
{
	A_Const    *constant = makeNode(A_Const);

	constant->val.ival.type = T_Integer;
	constant->val.ival.ival = value;
	constant->location = location;
	return (Node *) constant;
}

/* As which user are the rights on this relation checked?  InvalidOid: as the current one. */
static inline Oid
segment_compat_check_as_user(Query *query, RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 160000
	return rte->perminfoindex == 0 ? InvalidOid : getRTEPermissionInfo(query->rteperminfos, rte)->checkAsUser;
#else
	return rte->checkAsUser;
#endif
}

#if PG_VERSION_NUM >= 160000
/* Is this view, or was it before it was pulled up, read in the query, and by whom?  False if it is not. */
static inline bool
segment_compat_reads_view(Query *query, Oid viewId, Oid *userId)
{
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = (RangeTblEntry *) lfirst(lc);

		if (rte->rtekind != RTE_SUBQUERY || rte->relid != viewId)
			continue;
		*userId = segment_compat_check_as_user(query, rte);
		return true;
	}
	return false;
}
#endif

#if PG_VERSION_NUM >= 180000
typedef struct SegmentGenerated
{
	int			varno;
	Relation	rel;
} SegmentGenerated;

static inline Node *
segment_compat_expand_var(Node *node, void *arg)
{
	SegmentGenerated *generated = (SegmentGenerated *) arg;
	Var		   *var = (Var *) node;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && var->varno == generated->varno && var->varlevelsup == 0 && var->varattno > 0 &&
		TupleDescAttr(RelationGetDescr(generated->rel), var->varattno - 1)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
	{
		Node	   *expression = build_generation_expression(generated->rel, var->varattno);

		ChangeVarNodes(expression, 1, var->varno, 0);
		return expression;
	}
	return expression_tree_mutator(node, segment_compat_expand_var, arg);
}
#endif

/* Virtual generated columns of a table as the expressions that they are, as the planner has them. */
static inline Node *
segment_compat_expand_generated(Node *node, int varno, Oid relid)
{
#if PG_VERSION_NUM >= 180000
	SegmentGenerated generated = {varno, table_open(relid, NoLock)};

	node = segment_compat_expand_var(node, &generated);
	table_close(generated.rel, NoLock);
#endif
	return node;
}

/* Has a query the form of a rule: nothing but the same columns of the same table, some of which may not be asked for? */
static inline bool
segment_compat_has_form_of(Query *query, Query *rule, int varno, Oid relid)
{
	ListCell   *lc;
	ListCell   *lc2;

	if (list_length(query->rtable) != list_length(rule->rtable) || list_length(query->targetList) != list_length(rule->targetList) ||
		query->distinctClause != NIL || query->groupClause != NIL || query->groupingSets != NIL || query->sortClause != NIL ||
		query->havingQual != NULL || query->setOperations != NULL || query->limitCount != NULL || query->limitOffset != NULL ||
		query->cteList != NIL || query->rowMarks != NIL || query->hasAggs || query->hasWindowFuncs || query->hasTargetSRFs)
		return false;
	forboth(lc, query->targetList, lc2, rule->targetList)
	{
		Node	   *column = (Node *) ((TargetEntry *) lfirst(lc))->expr;
		Node	   *expected = (Node *) copyObject(((TargetEntry *) lfirst(lc2))->expr);

		if (IsA(column, Const) || equal(column, expected))
			continue;
		expected = segment_compat_expand_generated(expected, varno, relid);
		if (!equal(column, expected) && !equal(column, eval_const_expressions(NULL, expected)))
			return false;
	}
	return true;
}

/*
 * Is the query that is being planned the one of this view, whose rule has this
 * query?  From 16 on nothing in it says so: what reads the view stands around it.
 */
static inline bool
segment_compat_is_query_of(PlannerInfo *root, Oid viewId, Query *rule, int varno, Oid relid)
{
#if PG_VERSION_NUM >= 160000
	Oid			userId;

	return root->parent_root != NULL && segment_compat_reads_view(root->parent_root->parse, viewId, &userId) &&
		segment_compat_has_form_of(root->parse, rule, varno, relid);
#else
	ListCell   *lc;

	/* in it stand OLD and NEW of the rule */
	foreach(lc, root->parse->rtable)
		if (((RangeTblEntry *) lfirst(lc))->relid == viewId)
		return true;
	return false;
#endif
}

/* Does the current user himself read this view in the query that is being planned, where it has been pulled up? */
static inline bool
segment_compat_is_read_beside(PlannerInfo *root, Oid viewId)
{
#if PG_VERSION_NUM >= 160000
	Oid			userId;

	return segment_compat_reads_view(root->parse, viewId, &userId) && !OidIsValid(userId);
#else
	return false;
#endif
}

/* Forget as which user the rights on the tables of a query are checked. */
static inline void
segment_compat_clear_rights(Query *query)
{
	ListCell   *lc;

#if PG_VERSION_NUM >= 160000
	foreach(lc, query->rteperminfos)
		((RTEPermissionInfo *) lfirst(lc))->checkAsUser = InvalidOid;
#else
	foreach(lc, query->rtable)
		((RangeTblEntry *) lfirst(lc))->checkAsUser = InvalidOid;
#endif
}

/* DecodeDateTime() has one argument more since 16. */
static inline int
segment_compat_decode_datetime(char **field, int *ftype, int nf, int *dtype,
							   struct pg_tm *tm, fsec_t *fsec, int *tz)
{
#if PG_VERSION_NUM >= 160000
	DateTimeErrorExtra extra;

	return DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tz, &extra);
#else
	return DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tz);
#endif
}

/* Memory for the "extra" of a setting. */
static inline void *
segment_compat_guc_malloc(size_t size)
{
#if PG_VERSION_NUM >= 160000
	return guc_malloc(LOG, size);
#else
	return malloc(size);
#endif
}

/* An expression of a query with what is behind grouped columns in their place (18). */
static inline Node *
segment_compat_flatten_groups(Query *query, Node *node)
{
#if PG_VERSION_NUM >= 180000
	if (query->hasGroupRTE && node != NULL)
		return flatten_group_exprs(NULL, query, node);
#endif
	return node;
}

/* Leave no range table entry for grouped columns, which nothing refers to any more. */
static inline void
segment_compat_drop_groups(Query *query)
{
#if PG_VERSION_NUM >= 180000
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (rte->rtekind == RTE_GROUP)
		{
			rte->rtekind = RTE_RESULT;
			rte->groupexprs = NIL;
		}
	}
	query->hasGroupRTE = false;
#endif
}

/* Expressions behind a grouped column: only PostgreSQL 18 has a range table entry for them. */
static inline Node *
segment_compat_group_expression(RangeTblEntry *rte, AttrNumber attno)
{
#if PG_VERSION_NUM >= 180000
	if (rte->rtekind == RTE_GROUP)
		return (Node *) list_nth(rte->groupexprs, attno - 1);
#endif
	return NULL;
}

/*
 * Make one table of another query the only table of "query", with the right to
 * SELECT from these columns (offset by FirstLowInvalidHeapAttributeNumber)
 * checked for the current user.
 */
static inline void
segment_compat_set_table(Query *query, Query *from, int rti, Bitmapset *columns)
{
	RangeTblEntry *rte = copyObject((RangeTblEntry *) list_nth(from->rtable, rti - 1));
#if PG_VERSION_NUM >= 160000
	RTEPermissionInfo *info;

	rte->perminfoindex = 0;
	info = addRTEPermissionInfo(&query->rteperminfos, rte);
	info->requiredPerms = ACL_SELECT;
	info->selectedCols = columns;
#else
	rte->requiredPerms = ACL_SELECT;
	rte->selectedCols = columns;
	rte->checkAsUser = InvalidOid;
#endif
	query->rtable = list_make1(rte);
}

/* The columns that "from" reads are now read by "to", which has the same tables. */
static inline void
segment_compat_merge_rights(Query *to, Query *from)
{
	ListCell   *lc;
	ListCell   *lc2;

#if PG_VERSION_NUM >= 160000
	forboth(lc, to->rteperminfos, lc2, from->rteperminfos)
	{
		RTEPermissionInfo *x = (RTEPermissionInfo *) lfirst(lc);
		RTEPermissionInfo *y = (RTEPermissionInfo *) lfirst(lc2);

		x->selectedCols = bms_union(x->selectedCols, y->selectedCols);
	}
#else
	forboth(lc, to->rtable, lc2, from->rtable)
	{
		RangeTblEntry *x = (RangeTblEntry *) lfirst(lc);
		RangeTblEntry *y = (RangeTblEntry *) lfirst(lc2);

		x->selectedCols = bms_union(x->selectedCols, y->selectedCols);
	}
#endif
}

/* A column above an outer join that may have made it NULL. */
static inline void
segment_compat_mark_nullable(Var *var, int joinRti)
{
#if PG_VERSION_NUM >= 160000
	var->varnullingrels = bms_add_member(var->varnullingrels, joinRti);
#endif
}

/* Run a query to its end. */
static inline void
segment_compat_run(QueryDesc *desc)
{
	ExecutorStart(desc, 0);
#if PG_VERSION_NUM >= 180000
	ExecutorRun(desc, ForwardScanDirection, 0);
#else
	ExecutorRun(desc, ForwardScanDirection, 0, true);
#endif
	ExecutorFinish(desc);
	ExecutorEnd(desc);
}

/* Is this user the owner of the relation, or a member of it? */
static inline bool
segment_compat_owns(Oid relid, Oid userId)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relid, userId);
#else
	return pg_class_ownercheck(relid, userId);
#endif
}

/* May this user execute the function? */
static inline bool
segment_compat_may_execute(Oid function, Oid userId)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ProcedureRelationId, function, userId, ACL_EXECUTE) == ACLCHECK_OK;
#else
	return pg_proc_aclcheck(function, userId, ACL_EXECUTE) == ACLCHECK_OK;
#endif
}

/* A 32-bit transaction id at most as new as "now", with its epoch. */
static inline FullTransactionId
segment_compat_widen(FullTransactionId now, TransactionId xid)
{
	uint32		epoch = EpochFromFullTransactionId(now);

	if (xid > XidFromFullTransactionId(now))
		epoch--;
	return FullTransactionIdFromEpochAndXid(epoch, xid);
}

#endif							/* SEGMENT_COMPAT_H */

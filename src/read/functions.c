/*-------------------------------------------------------------------------
 *
 * functions.c
 *		The SQL functions that read segments.
 *
 * Here privileges are checked: reading a segment needs SELECT on its view, and
 * nothing else.  All functions are STABLE, so that they run under the snapshot
 * of the statement that calls them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "attempt.h"
#include "bitmap/bitmap.h"
#include "catalog/registry.h"
#include "compat.h"
#include "compile/combine.h"
#include "definition/definition.h"
#include "read/read.h"

PGDLLEXPORT Datum segmentation_members(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_size(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_contains(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_clock(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_due(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_segments_of(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_explain(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_preview(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_describe(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum segmentation_standing(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_members);
PG_FUNCTION_INFO_V1(segmentation_size);
PG_FUNCTION_INFO_V1(segmentation_contains);
PG_FUNCTION_INFO_V1(segmentation_clock);
PG_FUNCTION_INFO_V1(segmentation_due);
PG_FUNCTION_INFO_V1(segmentation_segments_of);
PG_FUNCTION_INFO_V1(segmentation_explain);
PG_FUNCTION_INFO_V1(segmentation_preview);
PG_FUNCTION_INFO_V1(segmentation_describe);
PG_FUNCTION_INFO_V1(segmentation_standing);

/* How many ids segment.preview() shows. */
#define PREVIEW_IDS 10

void
segment_read_check(Oid viewId)
{
	AclResult	result = pg_class_aclcheck(viewId, GetUserId(), ACL_SELECT);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_VIEW, get_rel_name(viewId));
}

Datum
segmentation_members(PG_FUNCTION_ARGS)
{
	Oid			viewId = PG_GETARG_OID(0);

	segment_read_check(viewId);
	PG_RETURN_DATUM(segment_bitmap_to_datum(segment_read_members(viewId)));
}

Datum
segmentation_size(PG_FUNCTION_ARGS)
{
	Oid			viewId = PG_GETARG_OID(0);

	segment_read_check(viewId);
	PG_RETURN_INT64(segment_read_size(viewId));
}

Datum
segmentation_contains(PG_FUNCTION_ARGS)
{
	Oid			viewId = PG_GETARG_OID(0);

	segment_read_check(viewId);
	PG_RETURN_BOOL(segment_read_contains(viewId, PG_GETARG_INT64(1)));
}

Datum
segmentation_clock(PG_FUNCTION_ARGS)
{
	Oid			viewId = PG_GETARG_OID(0);

	segment_read_check(viewId);
	PG_RETURN_TIMESTAMPTZ(segment_read_standing(viewId)->clock);
}

/* A segment whose condition is something else: what combine() then puts in its place in the result. */
static SegmentCompiled *
with_condition(const SegmentCompiled *compiled, Node *condition)
{
	SegmentCompiled *copy = palloc(sizeof(SegmentCompiled));

	*copy = *compiled;
	copy->condition = condition;
	return copy;
}

/* All subjects of a segment's table. */
static int64
count_subjects(const SegmentStanding *standing)
{
	SegmentBitmap *all;

	segment_read_evaluate(list_make1(with_condition(standing->compiled, makeBoolConst(true, false))),
						  standing->entry, NULL, standing->clock, &all, NULL);
	return segment_bitmap_cardinality(all);
}

Datum
segmentation_due(PG_FUNCTION_ARGS)
{
	Oid			viewId = PG_GETARG_OID(0);
	TimestampTz until = PG_GETARG_TIMESTAMPTZ(1);
	SegmentStanding *standing;
	SegmentBitmap *due = segment_bitmap_create();

	segment_read_check(viewId);
	standing = segment_read_standing(viewId);
	segment_read_nudge(standing);
	if (!standing->hasState || (standing->state.epoch == 0 && standing->full != FULL_EVERYBODY))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("segment \"%s\" is not built", get_rel_name(viewId)),
				errhint("Run REFRESH SEGMENT %s.", quote_identifier(get_rel_name(viewId))));
	if (standing->state.due <= until || standing->state.epoch == 0)
		PG_RETURN_INT64(count_subjects(standing));
	segment_deadline_due(standing->entry->id, until, GetActiveSnapshot(), due);
	PG_RETURN_INT64(segment_bitmap_cardinality(due));
}

/* ---- segments_of ---- */

typedef struct Lookup
{
	Oid			viewId;
	int64		id;
	bool		found;
} Lookup;

static void
look_up(void *arg)
{
	Lookup	   *lookup = arg;

	lookup->found = segment_read_contains(lookup->viewId, lookup->id);
}

void
segment_read_left_out(Oid viewId, ErrorData *error)
{
	if (segment_attempt_is_passing(error))
		ReThrowError(error);
	ereport(WARNING,
			errmsg("segment \"%s\" is left out, as its condition fails", get_rel_name(viewId)),
			segment_compat_owns(viewId, GetUserId()) ? errdetail("%s", error->message) : 0);
}

/* Look a subject up; the condition may have to be evaluated for that, and fail. */
static bool
try_contains(Oid viewId, int64 id)
{
	Lookup		lookup = {.viewId = viewId,.id = id};
	ErrorData  *error = segment_attempt(look_up, &lookup);

	if (error == NULL)
		return lookup.found;
	segment_read_left_out(viewId, error);
	return false;
}

Datum
segmentation_segments_of(PG_FUNCTION_ARGS)
{
	Oid			subject = PG_GETARG_OID(0);
	int64		id = PG_GETARG_INT64(1);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	foreach(lc, segment_catalog_all())
	{
		SegmentEntry *entry = lfirst(lc);
		const SegmentCompiled *compiled;
		ErrorData  *error;
		Datum		value = ObjectIdGetDatum(entry->viewId);
		bool		isnull = false;

		CHECK_FOR_INTERRUPTS();
		if (pg_class_aclcheck(entry->viewId, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			continue;
		compiled = segment_catalog_try_compiled(entry->viewId, &error);
		if (error != NULL)
			segment_read_left_out(entry->viewId, error);
		if (compiled == NULL || compiled->subject != subject)
			continue;
		/* one that fails stops no other */
		if (try_contains(entry->viewId, id))
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}

/* ---- explain ---- */

typedef struct Part
{
	int			depth;
	Node	   *node;
	Node	   *operand;		/* whose value is shown; NULL if none */
	TimestampTz change;			/* when the clock may next change it;
								 * DT_NOEND: never */
} Part;

/* AND, OR and NOT are taken apart; everything below them is one part. */
static void
collect_parts(Node *node, int depth, List **parts)
{
	Part	   *part = palloc0(sizeof(Part));
	ListCell   *lc;

	check_stack_depth();
	part->depth = depth;
	part->node = node;
	*parts = lappend(*parts, part);
	if (IsA(node, BoolExpr))
		foreach(lc, ((BoolExpr *) node)->args)
			collect_parts(lfirst(lc), depth + 1, parts);
	else if (IsA(node, OpExpr) && list_length(((OpExpr *) node)->args) == 2)
		part->operand = linitial(((OpExpr *) node)->args);
	else if (IsA(node, ScalarArrayOpExpr))
		part->operand = linitial(((ScalarArrayOpExpr *) node)->args);
	else if (IsA(node, NullTest))
		part->operand = (Node *) ((NullTest *) node)->arg;
	else if (IsA(node, BooleanTest))
		part->operand = (Node *) ((BooleanTest *) node)->arg;
}

static Node *
as_text(Node *node)
{
	return coerce_to_target_type(NULL, node, exprType(node), TEXTOID, -1,
								 COERCION_EXPLICIT, COERCE_EXPLICIT_CAST, -1);
}

/*
 * May the current user see what the tables of a segment hold?  SELECT on the
 * segment tells who is a member, not what somebody spent.
 */
static bool
may_see_values(const SegmentCompiled *compiled)
{
	ListCell   *lc;

	if (segment_compat_owns(compiled->viewId, GetUserId()))
		return true;
	foreach(lc, compiled->sources)
		if (pg_class_aclcheck(((SegmentSource *) lfirst(lc))->relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK ||
			check_enable_rls(((SegmentSource *) lfirst(lc))->relid, GetUserId(), true) == RLS_ENABLED)
		return false;
	foreach(lc, compiled->inner)
		if (pg_class_aclcheck(lfirst_oid(lc), GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		return false;
	return true;
}

/* When the clock may next change a part for one subject; now, if that cannot be told. */
static TimestampTz
next_change(const SegmentCompiled *compiled, const SegmentEntry *entry, Node *part, const SegmentBitmap *subject,
			TimestampTz clock)
{
	SegmentCompiled *about = with_condition(compiled, part);
	SegmentDeadlines deadlines = {0};
	SegmentBitmap *ignored;
	TimestampTz change;

	if (!compiled->readsClock)
		return DT_NOEND;
	segment_compile_clock(about, part, NULL);
	if (about->opaqueClock)
		return clock;
	about->condition = makeBoolConst(true, false);
	change = segment_read_next_instant(about, entry, clock, DT_NOEND);
	segment_read_evaluate(list_make1(about), entry, subject, clock, &ignored, &deadlines);
	for (size_t i = 0; i < deadlines.n; i++)
		change = Min(change, deadlines.instants[i]);
	return change;
}

/* Several expressions for one subject; to be tried. */
typedef struct Sample
{
	List	   *expressions;	/* of SegmentCompiled * */
	const SegmentEntry *entry;
	const SegmentBitmap *subject;
	TimestampTz clock;
	SegmentValues *values;
	Node	   *part;			/* for "change" */
	TimestampTz change;
} Sample;

static void
find_values(void *arg)
{
	Sample	   *sample = arg;

	sample->values = segment_read_values(sample->expressions, sample->entry, sample->subject, sample->clock);
}

static void
find_change(void *arg)
{
	Sample	   *sample = arg;

	sample->change = next_change(linitial(sample->expressions), sample->entry, sample->part, sample->subject, sample->clock);
}

/*
 * The values of all parts; NULL where there is no such subject.  By itself a part
 * may fail that the condition does not come to: it has no value then.
 */
static SegmentValues *
values_of_parts(Sample *sample)
{
	List	   *all = sample->expressions;
	SegmentValues *values;
	ListCell   *lc;
	int			i = 0;

	if (segment_attempt(find_values, sample) == NULL)
		return sample->values;
	values = palloc(sizeof(SegmentValues));
	values->values = palloc0(sizeof(Datum) * list_length(all));
	values->nulls = palloc(sizeof(bool) * list_length(all));
	foreach(lc, all)
	{
		sample->expressions = list_make1(lfirst(lc));
		if (i == 0)
			find_values(sample);
		else if (segment_attempt(find_values, sample) != NULL)
			sample->values = NULL;
		if (i == 0 && sample->values == NULL)
			return NULL;
		values->nulls[i] = sample->values == NULL || sample->values->nulls[0];
		if (!values->nulls[i])
			values->values[i] = sample->values->values[0];
		i++;
	}
	sample->expressions = all;
	return values;
}

Datum
segmentation_explain(PG_FUNCTION_ARGS)
{
	Oid			viewId = PG_GETARG_OID(0);
	int64		id = PG_GETARG_INT64(1);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const SegmentCompiled *compiled;
	SegmentEntry *entry;
	SegmentBitmap *one = segment_bitmap_create();
	List	   *parts = NIL;
	List	   *expressions = NIL;
	bool		visible;
	SegmentValues *values;
	Sample		sample;
	TimestampTz clock;
	int			column = 0;
	int			number = 0;
	ListCell   *lc;

	segment_read_check(viewId);
	InitMaterializedSRF(fcinfo, 0);
	if (id < 0)
		return (Datum) 0;
	compiled = segment_catalog_compiled(viewId, false);
	entry = segment_catalog_lookup(viewId);
	segment_bitmap_add(one, id);
	collect_parts(compiled->condition, 0, &parts);
	foreach(lc, parts)
	{
		Part	   *part = lfirst(lc);

		expressions = lappend(expressions, with_condition(compiled, part->node));
		if (part->operand != NULL)
			expressions = lappend(expressions, with_condition(compiled, as_text(part->operand)));
	}
	clock = segment_read_standing(viewId)->clock;
	visible = may_see_values(compiled);
	sample = (Sample)
	{
		.expressions = expressions,.entry = entry,.subject = one,.clock = clock
	};
	values = values_of_parts(&sample);
	if (values == NULL)
		return (Datum) 0;		/* no such subject */

	foreach(lc, parts)
	{
		Part	   *part = lfirst(lc);
		Datum		row[6];
		bool		nulls[6] = {false};

		row[0] = Int32GetDatum(++number);
		row[1] = Int32GetDatum(part->depth);
		row[2] = CStringGetTextDatum(segment_compile_print_part(compiled, part->node));
		row[4] = values->values[column];

		/*
		 * of a part, to those who may see what it is made of; of the whole to
		 * all
		 */
		nulls[4] = values->nulls[column++] || (number > 1 && !visible);
		nulls[3] = part->operand == NULL || values->nulls[column] || !visible;
		row[3] = nulls[3] ? (Datum) 0 : values->values[column];
		if (part->operand != NULL)
			column++;
		sample.expressions = list_make1((void *) compiled);
		sample.part = part->node;
		part->change = segment_attempt(find_change, &sample) == NULL ? sample.change : clock;
		nulls[5] = part->change == DT_NOEND || !visible;
		row[5] = TimestampTzGetDatum(part->change);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row, nulls);
	}
	return (Datum) 0;
}

/* ---- preview ---- */

Datum
segmentation_preview(PG_FUNCTION_ARGS)
{
	SegmentDefinitionText definition = segment_definition_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	TupleDesc	desc;
	SegmentCompiled *compiled;
	SegmentBitmap *members;
	SegmentBitmap *everybody;
	Datum		values[3];
	bool		nulls[3] = {false};
	Datum		ids[PREVIEW_IDS];
	int64		size;
	int64		all;
	size_t		n;
	int64	   *list;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	compiled = segment_compile_definition(&definition);
	segment_read_evaluate(list_make1(compiled), NULL, NULL, segment_read_clock(), &members, NULL);
	segment_read_evaluate(list_make1(with_condition(compiled, makeBoolConst(true, false))),
						  NULL, NULL, segment_read_clock(), &everybody, NULL);
	size = segment_bitmap_cardinality(members);
	all = segment_bitmap_cardinality(everybody);
	list = segment_bitmap_ids(members, &n);
	n = Min(n, PREVIEW_IDS);
	for (size_t i = 0; i < n; i++)
		ids[i] = Int64GetDatum(list[i]);

	values[0] = Int64GetDatum(size);
	nulls[1] = all == 0;
	values[1] = all == 0 ? (Datum) 0 : Float8GetDatum((double) size / all);
	values[2] = PointerGetDatum(construct_array(ids, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* ---- what a segment is, and where it stands ---- */

/* (subject_table regclass, definition text); NULL for what is no segment, or cannot be compiled */
Datum
segmentation_describe(PG_FUNCTION_ARGS)
{
	ErrorData  *error;
	const SegmentCompiled *compiled = segment_catalog_try_compiled(PG_GETARG_OID(0), &error);
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false};

	if (error != NULL && segment_attempt_is_passing(error))
		ReThrowError(error);
	if (compiled == NULL)
		PG_RETURN_NULL();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = ObjectIdGetDatum(compiled->subject);
	values[1] = CStringGetTextDatum(psprintf("ON %s WHERE %s",
											 DatumGetCString(DirectFunctionCall1(regclassout, ObjectIdGetDatum(compiled->subject))),
											 segment_compile_print_condition(compiled)));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

typedef struct Standing
{
	Oid			viewId;
	SegmentStanding *standing;	/* NULL: no segment */
} Standing;

static void
find_standing(void *arg)
{
	Standing   *this = arg;

	if (segment_catalog_compiled(this->viewId, true) != NULL)
		this->standing = segment_read_standing(this->viewId);
}

/* One row of segment.status; NULL for a segment that the caller may not read. */
Datum
segmentation_standing(PG_FUNCTION_ARGS)
{
	Standing	this = {.viewId = PG_GETARG_OID(0)};
	Oid			viewId = this.viewId;
	bool		owns;
	SegmentStanding *standing;
	ErrorData  *error;
	TupleDesc	desc;
	Datum		values[14];
	bool		nulls[14] = {false};
	const char *state;
	const char *reason;

	if (!OidIsValid(viewId) || pg_class_aclcheck(viewId, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		PG_RETURN_NULL();
	error = segment_attempt(find_standing, &this);
	standing = this.standing;
	if (error == NULL && standing == NULL)
		PG_RETURN_NULL();
	/* then the row says who refreshes, or why nobody can */
	if (standing != NULL)
		segment_read_nudge(standing);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	/* a message may quote a row */
	owns = segment_compat_owns(viewId, GetUserId());
	if (error != NULL)
	{
		/* it cannot be read, and nothing else is known of it */
		if (segment_attempt_is_passing(error))
			ReThrowError(error);
		memset(nulls, true, sizeof(nulls));
		nulls[0] = false;
		values[0] = CStringGetTextDatum("failed");
		nulls[8] = !owns;
		values[8] = CStringGetTextDatum(error->message);
		PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
	}

	state = !standing->hasState || standing->state.fingerprint != standing->fingerprint ? "unbuilt" :
		standing->state.status == SEGMENT_BUILT ? "built" :
		standing->state.status == SEGMENT_BUILDING ? "building" :
		standing->state.status == SEGMENT_FAILED ? "failed" : "unbuilt";
	if (standing->entry != NULL && !standing->entry->enabled)
		state = "disabled";
	reason = segment_read_full_reason(standing->full);

	values[0] = CStringGetTextDatum(state);
	values[1] = CStringGetTextDatum(reason ? psprintf("in full: %s", reason) : "base and pending");
	if (standing->hasState)
	{
		nulls[2] = nulls[5] = standing->state.epoch == 0 && standing->full != FULL_EVERYBODY;
		values[2] = Int64GetDatum(standing->state.size);
		values[5] = TimestampTzGetDatum(standing->state.epoch != 0 ? standing->epoch.clock : standing->state.refreshedAt);
		values[6] = Float8GetDatum(standing->state.cost);
		values[7] = Int64GetDatum(standing->state.evaluated);
		nulls[7] = standing->state.evaluated < 0;
		nulls[8] = standing->state.message == NULL || !owns;
		values[8] = nulls[8] ? (Datum) 0 : CStringGetTextDatum(standing->state.message);
		nulls[9] = nulls[10] = nulls[11] = standing->state.rest == (Datum) 0;
		if (!nulls[9])
			values[9] = Int64GetDatum(segment_bitmap_cardinality(segment_bitmap_from_datum(standing->state.rest)));
		values[10] = Int64GetDatum(standing->state.total);
		values[11] = TimestampTzGetDatum(standing->state.since);
		values[12] = Int32GetDatum(standing->state.failures);
		values[13] = TimestampTzGetDatum(standing->state.retryAt);
		nulls[13] = standing->state.failures == 0;
	}
	else
		for (int i = 0; i < lengthof(nulls); i++)
			nulls[i] = i == 2 || i >= 5;
	nulls[3] = standing->pending == NULL || standing->full == FULL_EVERYBODY;
	values[3] = nulls[3] ? (Datum) 0 : Int64GetDatum(segment_bitmap_cardinality(standing->pending));
	nulls[4] = !OidIsValid(standing->untracked);
	values[4] = ObjectIdGetDatum(standing->untracked);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

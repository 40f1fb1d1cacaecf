/*-------------------------------------------------------------------------
 *
 * triggers.c
 *		The triggers of a source: make, widen, narrow, judge.
 *
 * A source carries five triggers on segment.capture().  They are told apart by
 * what they fire on (pg_trigger.tgtype), so a renamed one is still known:
 *
 *		before	BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE, statement	ALWAYS
 *		insert	AFTER INSERT, statement, NEW TABLE							ALWAYS
 *		update	AFTER UPDATE, statement, OLD and NEW TABLE					ALWAYS
 *		delete	AFTER DELETE, statement, OLD TABLE							ALWAYS
 *		replica	AFTER INSERT OR UPDATE OR DELETE, row						REPLICA
 *
 * All but the first have the captures of the source as arguments.  The names
 * begin with "00_", so that ours fire before other triggers of their kind: those then
 * find the invalidation written.  They are ordinary triggers, so pg_dump
 * knows them, and depend on the extension, so DROP EXTENSION takes them along.
 *
 * The set is sound when all five are there, once, unaltered, with the same
 * arguments, on a permanent plain table that is in no inheritance tree: through
 * a parent an UPDATE fires the parent's statement triggers only, and of a child's
 * rows the child's triggers tell, not ours.  Whatever is not sound is untracked.
 *
 * Making triggers is ordered so that no base can miss a write: the arguments change
 * under SHARE ROW EXCLUSIVE, so writers that still have the old ones end first;
 * a segment is built later, under a snapshot that sees all they wrote.
 * Where there was no sound set before, or a statement is in flight here,
 * "everybody" is recorded as well, and in a transaction whose snapshot is older
 * than the lock.  After a pure widening it need not be: a segment that was not
 * covered until now has no base to go wrong, and a refresh under an older
 * snapshot is refused (segment_capture_is_seen).
 *
 * Locks: SHARE ROW EXCLUSIVE on the source to make or change triggers; ACCESS
 * EXCLUSIVE to drop them, taken only if it can be had at once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "capture/internal.h"
#include "catalog/registry.h"

/* What one of the five looks like. */
typedef struct Shape
{
	const char *name;
	int16		type;			/* pg_trigger.tgtype */
	char		enabled;		/* pg_trigger.tgenabled */
	bool		hasCaptures;	/* has arguments */
	const char *oldTable;
	const char *newTable;
} Shape;

#define OLD_TABLE "segment_old"
#define NEW_TABLE "segment_new"
#define ANY_WRITE (TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE)

static const Shape shapes[SEGMENT_CAPTURE_TRIGGERS] = {
	{"00_segment_before", TRIGGER_TYPE_BEFORE | ANY_WRITE | TRIGGER_TYPE_TRUNCATE, TRIGGER_FIRES_ALWAYS, false, NULL, NULL},
	{"00_segment_insert", TRIGGER_TYPE_INSERT, TRIGGER_FIRES_ALWAYS, true, NULL, NEW_TABLE},
	{"00_segment_update", TRIGGER_TYPE_UPDATE, TRIGGER_FIRES_ALWAYS, true, OLD_TABLE, NEW_TABLE},
	{"00_segment_delete", TRIGGER_TYPE_DELETE, TRIGGER_FIRES_ALWAYS, true, OLD_TABLE, NULL},
	{"00_segment_replica", TRIGGER_TYPE_ROW | ANY_WRITE, TRIGGER_FIRES_ON_REPLICA, true, NULL, NULL},
};

/* What a relation's cache entry says about our triggers on it. */
typedef struct TriggerSet
{
	int			count;			/* triggers of ours, of whatever shape */
	const Trigger *found[SEGMENT_CAPTURE_TRIGGERS]; /* in the relation cache;
													 * may be NULL */
	bool		sound;			/* all as they must be, and nothing else of
								 * ours */
	List	   *captures;		/* what any of them records, merged */
} TriggerSet;

/* The judgement on a source, kept while its relation cache entry stays the same. */
typedef struct Tracking
{
	Oid			relid;			/* hash key */
	bool		valid;
	bool		sound;			/* but for children, which are looked up each
								 * time */
	MemoryContext context;		/* of captures */
	List	   *captures;
} Tracking;

static HTAB *trackings = NULL;
static uint64 invalidations = 0;	/* of whatever relation */

Oid
segment_capture_function(void)
{
	Oid			schema = segment_catalog_schema(true);
	oidvector  *noArguments;

	if (!OidIsValid(schema))
		return InvalidOid;
	noArguments = buildoidvector(NULL, 0);
	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
						   CStringGetDatum("capture"),
						   PointerGetDatum(noArguments),
						   ObjectIdGetDatum(schema));
}

/* ---- reading triggers ---- */

/* The captures among a trigger's arguments; those that cannot be read are skipped. */
static List *
parse_arguments(int nargs, char **args)
{
	List	   *captures = NIL;

	for (int i = 0; i < nargs; i++)
	{
		SegmentCapture *capture = segment_capture_parse(args[i]);

		if (capture != NULL)
			captures = lappend(captures, capture);
	}
	return captures;
}

static int
shape_of(int16 type)
{
	for (int i = 0; i < SEGMENT_CAPTURE_TRIGGERS; i++)
		if (shapes[i].type == type)
			return i;
	return -1;
}

/* Are a trigger's arguments the text of exactly these captures, in order? */
static bool
has_arguments(const Trigger *trigger, const List *captures)
{
	ListCell   *lc;
	int			i = 0;

	if (trigger->tgnargs != list_length(captures))
		return false;
	foreach(lc, captures)
		if (strcmp(trigger->tgargs[i++], segment_capture_print(lfirst(lc))) != 0)
		return false;
	return true;
}

/* Is a trigger as we make it?  A row trigger that fires ALWAYS does its work too. */
static bool
is_unaltered(const Trigger *trigger, const Shape *shape, const List *captures)
{
	return (trigger->tgenabled == shape->enabled || trigger->tgenabled == TRIGGER_FIRES_ALWAYS) &&
		!trigger->tgdeferrable &&
		trigger->tgqual == NULL &&
		trigger->tgnattr == 0 &&
		(trigger->tgoldtable != NULL) == (shape->oldTable != NULL) &&
		(trigger->tgnewtable != NULL) == (shape->newTable != NULL) &&
		has_arguments(trigger, shape->hasCaptures ? captures : NIL);
}

static TriggerSet
read_set(Relation source)
{
	TriggerSet	set = {0};
	Oid			function = segment_capture_function();
	int			n = source->trigdesc == NULL ? 0 : source->trigdesc->numtriggers;

	for (int i = 0; i < n && OidIsValid(function); i++)
	{
		const Trigger *trigger = &source->trigdesc->triggers[i];
		int			shape = shape_of(trigger->tgtype);

		if (trigger->tgfoid != function)
			continue;
		set.count++;
		set.captures = segment_capture_merge(set.captures,
											 parse_arguments(trigger->tgnargs, trigger->tgargs));
		if (shape >= 0 && set.found[shape] == NULL)
			set.found[shape] = trigger;
	}

	set.sound = set.count == SEGMENT_CAPTURE_TRIGGERS;
	for (int i = 0; i < SEGMENT_CAPTURE_TRIGGERS && set.sound; i++)
		set.sound = set.found[i] != NULL && is_unaltered(set.found[i], &shapes[i], set.captures);
	return set;
}

int
segment_capture_count(Oid relid)
{
	Oid			function = segment_capture_function();
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			count = 0;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		if (OidIsValid(function) && ((Form_pg_trigger) GETSTRUCT(tuple))->tgfoid == function)
			count++;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return count;
}

/* ---- judging ---- */

static void
forget_tracking(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	Tracking   *tracking;

	invalidations++;
	if (relid != InvalidOid)
	{
		tracking = hash_search(trackings, &relid, HASH_FIND, NULL);
		if (tracking != NULL)
			tracking->valid = false;
		return;
	}
	hash_seq_init(&scan, trackings);
	while ((tracking = hash_seq_search(&scan)) != NULL)
		tracking->valid = false;
}

/*
 * Judge a source anew.  Invalidations that arrive meanwhile leave the judgement
 * good for this once.
 */
static void
judge(Tracking *tracking, Relation source)
{
	uint64		before = invalidations;
	bool		permanent = source->rd_rel->relkind == RELKIND_RELATION &&
	source->rd_rel->relpersistence == RELPERSISTENCE_PERMANENT &&
	!has_superclass(RelationGetRelid(source));
	TriggerSet	set = read_set(source);
	MemoryContext old;

	if (tracking->context == NULL)
		tracking->context = AllocSetContextCreate(CacheMemoryContext, "segmentation tracked source",
												  ALLOCSET_SMALL_SIZES);
	MemoryContextReset(tracking->context);
	old = MemoryContextSwitchTo(tracking->context);
	tracking->captures = segment_capture_merge(set.captures, NIL);
	MemoryContextSwitchTo(old);
	tracking->sound = permanent && set.sound;
	tracking->valid = (invalidations == before);
}

static const Tracking *
find_tracking(Relation source)
{
	Oid			relid = RelationGetRelid(source);
	Tracking   *tracking;
	bool		found;

	if (trackings == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(Oid);
		control.entrysize = sizeof(Tracking);
		trackings = hash_create("segmentation tracked sources", 64, &control, HASH_ELEM | HASH_BLOBS);
		CacheRegisterRelcacheCallback(forget_tracking, (Datum) 0);
	}
	tracking = hash_search(trackings, &relid, HASH_ENTER, &found);
	if (!found)
	{
		tracking->valid = false;
		tracking->context = NULL;
	}
	if (!tracking->valid)
		judge(tracking, source);
	return tracking;
}

/* relhassubclass stays set when the last child has gone. */
static bool
has_children(Relation source)
{
	return source->rd_rel->relhassubclass &&
		find_inheritance_children(RelationGetRelid(source), NoLock) != NIL;
}

bool
segment_capture_covers(Relation source, List *captures)
{
	const Tracking *tracking = find_tracking(source);

	return tracking->sound &&
		segment_capture_includes(tracking->captures, captures) &&
		!has_children(source);
}

/* ---- making ---- */

static List *
print_captures(const List *captures)
{
	List	   *printed = NIL;
	ListCell   *lc;

	foreach(lc, captures)
		printed = lappend(printed, makeString(segment_capture_print(lfirst(lc))));
	return printed;
}

static List *
transition_tables(const Shape *shape)
{
	const char *names[2] = {shape->oldTable, shape->newTable};
	List	   *tables = NIL;

	for (int i = 0; i < 2; i++)
	{
		TriggerTransition *table;

		if (names[i] == NULL)
			continue;
		table = makeNode(TriggerTransition);
		table->name = pstrdup(names[i]);
		table->isNew = (i == 1);
		table->isTable = true;
		tables = lappend(tables, table);
	}
	return tables;
}

/* So that DROP EXTENSION takes the trigger along; CREATE OR REPLACE TRIGGER forgets it. */
static void
depend_on_extension(ObjectAddress trigger)
{
	ObjectAddress extension;

	ObjectAddressSet(extension, ExtensionRelationId, get_extension_oid("segmentation", false));
	if (!list_member_oid(getAutoExtensionsOfObject(trigger.classId, trigger.objectId),
						 extension.objectId))
		recordDependencyOn(&trigger, &extension, DEPENDENCY_AUTO_EXTENSION);
}

/* Make the trigger of a shape, or replace the one that is there (under its name). */
static void
make_trigger(Relation source, const Shape *shape, const Trigger *present, const List *captures)
{
	CreateTrigStmt *statement = makeNode(CreateTrigStmt);

	statement->replace = present != NULL;
	statement->trigname = pstrdup(present != NULL ? present->tgname : shape->name);
	statement->funcname = list_make2(makeString("segment"), makeString("capture"));
	statement->args = shape->hasCaptures ? print_captures(captures) : NIL;
	statement->row = (shape->type & TRIGGER_TYPE_ROW) != 0;
	statement->timing = shape->type & TRIGGER_TYPE_TIMING_MASK;
	statement->events = shape->type & TRIGGER_TYPE_EVENT_MASK;
	statement->transitionRels = transition_tables(shape);

	depend_on_extension(CreateTriggerFiringOn(statement, NULL, RelationGetRelid(source),
											  InvalidOid, InvalidOid, InvalidOid, InvalidOid,
											  InvalidOid, NULL, false, false, shape->enabled));
}

/* Bring all of them to these captures; what is right already is left alone. */
static void
make_set(Relation source, const List *captures)
{
	for (int i = 0; i < SEGMENT_CAPTURE_TRIGGERS; i++)
	{
		TriggerSet	set = read_set(source);

		if (set.found[i] == NULL || !is_unaltered(set.found[i], &shapes[i], captures))
		{
			make_trigger(source, &shapes[i], set.found[i], captures);
			CommandCounterIncrement();
		}
	}
}

static void
check_source(Relation source)
{
	AclResult	privilege = pg_class_aclcheck(RelationGetRelid(source), GetUserId(), ACL_TRIGGER);

	if (source->rd_rel->relkind != RELKIND_RELATION ||
		source->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("changes of \"%s\" cannot be tracked", RelationGetRelationName(source)),
				errdetail("Only permanent plain tables can be tracked."));
	if (privilege != ACLCHECK_OK)
		aclcheck_error(privilege, OBJECT_TABLE, RelationGetRelationName(source));
}

/* Do the triggers, judged by themselves, record these captures? */
static bool
is_complete(Relation source, const List *captures)
{
	TriggerSet	set = read_set(source);

	return set.sound && segment_capture_includes(set.captures, captures);
}

bool
segment_capture_is_seen(Oid relid, Snapshot snapshot)
{
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	Oid			function = segment_capture_function();
	bool		seen = true;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (seen && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TransactionId xmin = HeapTupleHeaderGetXmin(tuple->t_data);

		if (((Form_pg_trigger) GETSTRUCT(tuple))->tgfoid == function && TransactionIdIsNormal(xmin))
			seen = TransactionIdIsCurrentTransactionId(xmin) || !XidInMVCCSnapshot(xmin, snapshot);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return seen;
}

bool
segment_capture_install(Oid relid, List *captures)
{
	Relation	source = table_open(relid, AccessShareLock);
	TriggerSet	set;
	bool		complete;

	captures = segment_capture_merge(captures, NIL);
	check_source(source);
	complete = is_complete(source, captures);
	table_close(source, NoLock);
	if (complete)
		return false;

	source = table_open(relid, ShareRowExclusiveLock);
	complete = is_complete(source, captures);	/* somebody was faster */
	if (!complete)
	{
		set = read_set(source);
		make_set(source, segment_capture_merge(set.captures, captures));
		if (!set.sound || segment_capture_in_flight(relid, InvalidCommandId) || IsolationUsesXactSnapshot())
			segment_capture_touch_all(relid);
	}
	table_close(source, NoLock);
	return !complete;
}

static void
set_capture_tag(LOCKTAG *tag, Oid relid)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, get_relname_relid("segment", segment_catalog_schema(false)),
					   relid, 0);
}

bool
segment_capture_lock(Oid relid, LOCKMODE mode, bool wait)
{
	LOCKTAG		tag;

	set_capture_tag(&tag, relid);
	if (LockAcquire(&tag, mode, false, !wait) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	/* who had it may have changed the triggers */
	AcceptInvalidationMessages();
	return true;
}

void
segment_capture_unlock(Oid relid, LOCKMODE mode)
{
	LOCKTAG		tag;

	set_capture_tag(&tag, relid);
	(void) LockRelease(&tag, mode, false);
}

/* ---- every source ---- */

/* The table of a trigger, InvalidOid if it is gone. */
static Oid
trigger_table(Oid triggerId)
{
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	Oid			relid = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(triggerId));
	scan = systable_beginscan(catalog, TriggerOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		relid = ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return relid;
}

List *
segment_capture_tables(void)
{
	Oid			function = segment_capture_function();
	List	   *relids = NIL;
	ListCell   *lc;

	if (!OidIsValid(function))
		return NIL;
	foreach(lc, segment_catalog_dependents(ProcedureRelationId, function))
	{
		Form_pg_depend row = lfirst(lc);
		Oid			relid = row->classid == TriggerRelationId ? trigger_table(row->objid) : InvalidOid;

		if (OidIsValid(relid))
			relids = list_append_unique_oid(relids, relid);
	}
	list_sort(relids, list_oid_cmp);
	return relids;
}

/* ---- narrowing ---- */

static void
drop_set(Relation source)
{
	ObjectAddresses *triggers = new_object_addresses();
	Oid			function = segment_capture_function();
	TriggerDesc *desc = source->trigdesc;

	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		ObjectAddress trigger;

		if (desc->triggers[i].tgfoid != function)
			continue;
		ObjectAddressSet(trigger, TriggerRelationId, desc->triggers[i].tgoid);
		add_exact_object_address(&trigger, triggers);
	}
	performMultipleDeletions(triggers, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	free_object_addresses(triggers);
}

/*
 * "Everybody" is recorded too: a segment that was created meanwhile may need what
 * is taken away here, and must not trust its base when the triggers are
 * widened again.
 */
bool
segment_capture_narrow(Oid relid, List *captures)
{
	LOCKMODE	lock = captures == NIL ? AccessExclusiveLock : ShareRowExclusiveLock;
	Relation	source;
	TriggerSet	set;
	bool		changes;

	if (segment_capture_in_flight(relid, InvalidCommandId) || !ConditionalLockRelationOid(relid, lock))
		return false;
	source = try_relation_open(relid, NoLock);
	if (source == NULL)
		return false;

	captures = segment_capture_merge(captures, NIL);
	set = read_set(source);
	changes = captures == NIL ? set.count > 0 :
		set.sound && segment_capture_includes(set.captures, captures) &&
		!segment_capture_includes(captures, set.captures);
	if (changes)
	{
		segment_capture_touch_all(relid);
		if (captures == NIL)
			drop_set(source);
		else
			make_set(source, captures);
		CommandCounterIncrement();
	}
	/* writers wait for this lock: it is kept for a change only */
	relation_close(source, changes ? NoLock : lock);
	return changes;
}

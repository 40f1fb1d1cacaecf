/*-------------------------------------------------------------------------
 *
 * capture.c
 *		segment.capture(): from a write on a source to an invalidation.
 *
 *		BEFORE STATEMENT  => the source is in flight (flight.c); TRUNCATE: everybody
 *		AFTER STATEMENT   => transition tables => touched keys => one row of
 *							 segment.invalidation per capture (record.c)
 *		AFTER ROW         => the same for one tuple: only in a replica session, where
 *							 an apply worker fires row triggers and no others
 *
 * Rules of this room:
 *
 * - Nothing is evaluated here, no SQL is run, and no content of a row is an error.
 *   Too many keys are harmless, one too few is a wrong answer: whatever is not
 *   understood (an argument, a column, a negative key) is "everybody".
 * - The two transition tables of an UPDATE are walked in lock step.  Whether
 *   they pair the versions of one row does not matter: dropping pairs that are
 *   equal in key and relevant columns leaves the difference of the two multisets
 *   as it was.  Equal means the same bytes (after detoasting), never "=".
 * - Which columns an UPDATE has changed, in any pair, is written beside the keys:
 *	 who reads none of them is not touched.  By the same argument: where no pair
 *	 differs in the key and these columns, their multisets are equal.
 * - Nothing relevant changed: nothing is written, no transaction id is taken.
 *
 * Locks: none on sources, beyond what the statement holds.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "lib/qunique.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "bitmap/bitmap.h"
#include "capture/internal.h"
#include "testing.h"

PGDLLEXPORT Datum segmentation_capture(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(segmentation_capture);

/* pg_attribute.attgenerated of a column that is computed when read (18): never in a trigger's tuples */
#define GENERATED_WHEN_READ 'v'

/* Keys are collected before they go into a bitmap, in pieces of this many. */
#define BATCH_KEYS 8192

/*
 * A piece with more upper halves (key >> 32) than this is sparse: each of them costs
 * the bitmap a container of its own, at a price that grows with those it has if
 * they come in any order.  Sparse keys are collected further and sorted, up to this many.
 */
#define MAX_BATCH_HALVES 16
#define MAX_SPARSE_KEYS (64 * BATCH_KEYS)

/* A set that takes more than this many bytes is not worth having: everybody. */
#define MAX_BITMAP_BYTES (64 * 1024 * 1024)

/* The bytes of a set are looked at when this many keys have been added since. */
#define KEYS_PER_SIZE_CHECK (64 * BATCH_KEYS)

/* One argument of a trigger, laid out for the walk. */
typedef struct Watch
{
	AttrNumber	key;
	Oid			keyType;		/* INT2OID, INT4OID, INT8OID, or InvalidOid:
								 * everybody */
	bool		nullTouchesAll;
	bool		always;			/* every UPDATE counts, comparing is not
								 * possible */
	int			ncolumns;
	AttrNumber *columns;		/* to compare, all within the tuple descriptor */
	int64		mask;			/* their bits */
} Watch;

/*
 * The arguments of a trigger, parsed.  Kept per backend; "valid" falls with the
 * relation cache entry of the source, since columns are looked up here too.
 */
typedef struct Program
{
	Oid			trigger;		/* hash key */
	Oid			relid;
	bool		valid;
	MemoryContext context;		/* of everything below */
	int			nargs;
	char	  **args;			/* what was parsed */
	int			nwatches;
	Watch	   *watches;
	AttrNumber	lastAttno;		/* deform tuples up to here */
} Program;

/* What a statement touched, for one watch. */
typedef struct Touched
{
	bool		everybody;
	int64		columns;		/* bits of those that changed */
	int			nkeys;			/* in keys[] */
	int			maxkeys;
	int64	   *keys;			/* few[], or palloc'd */
	int64		few[8];
	int64		added;			/* keys in set, duplicates counted */
	int64		unchecked;		/* those since its size was looked at */
	SegmentBitmap *set;			/* NULL until a batch is full */
} Touched;

/* One call of the trigger function. */
typedef struct Walk
{
	const Program *program;
	TupleDesc	desc;
	Touched    *touched;		/* one per watch */
	int			open;			/* watches that there is more to learn for */
	MemoryContext detoast;		/* NULL until a value needs detoasting */
} Walk;

static HTAB *programs = NULL;

static int
compare_keys(const void *a, const void *b)
{
	int64		left = *(const int64 *) a;
	int64		right = *(const int64 *) b;

	return left < right ? -1 : left > right;
}

#define ST_SORT sort_keys
#define ST_ELEMENT_TYPE int64
#define ST_COMPARE(a, b) compare_keys(a, b)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/* ---- parsed arguments ---- */

static void
forget_programs(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	Program    *program;

	hash_seq_init(&scan, programs);
	while ((program = hash_seq_search(&scan)) != NULL)
		if (relid == InvalidOid || program->relid == relid)
			program->valid = false;
}

static void
make_programs(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(Program);
	programs = hash_create("segmentation capture programs", 64, &control, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(forget_programs, (Datum) 0);
}

/* Add the columns of a capture to its watch, as far as tuples of this descriptor have them. */
static void
watch_columns(Watch *watch, const Bitmapset *columns, TupleDesc desc)
{
	int			column = -1;

	watch->columns = palloc((bms_num_members(columns) + 1) * sizeof(AttrNumber));
	while ((column = bms_next_member(columns, column)) >= 0)
	{
		Form_pg_attribute attribute;

		if (column > desc->natts)
		{
			watch->always = true;
			continue;
		}
		attribute = TupleDescAttr(desc, column - 1);
		if (attribute->attgenerated == GENERATED_WHEN_READ)
			watch->always = true;
		else if (!attribute->attisdropped)
		{
			watch->columns[watch->ncolumns++] = column;
			watch->mask |= SEGMENT_COLUMN_BIT(column);
		}
	}
}

/*
 * The watch for one argument; an argument that cannot be read is "everybody,
 * always".  Returns false for a key that was dropped: what was tied by it went
 * with it, there is nobody left to tell.
 */
static bool
make_watch(Watch *watch, const char *argument, TupleDesc desc)
{
	SegmentCapture *capture = segment_capture_parse(argument);

	memset(watch, 0, sizeof(Watch));
	if (capture == NULL)
	{
		watch->key = SEGMENT_WHOLE_SOURCE;
		watch->always = true;
		return true;
	}
	watch->key = capture->key;
	watch->nullTouchesAll = capture->nullTouchesAll;
	if (watch->key > 0 && watch->key <= desc->natts)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, watch->key - 1);
		Oid			type = attribute->atttypid;

		if (attribute->attisdropped)
			return false;
		if (attribute->attgenerated != GENERATED_WHEN_READ &&
			(type == INT2OID || type == INT4OID || type == INT8OID))
			watch->keyType = type;
	}
	watch_columns(watch, capture->columns, desc);
	return true;
}

static bool
same_arguments(const Program *program, const Trigger *trigger)
{
	if (program->nargs != trigger->tgnargs)
		return false;
	for (int i = 0; i < program->nargs; i++)
		if (strcmp(program->args[i], trigger->tgargs[i]) != 0)
			return false;
	return true;
}

static void
build_program(Program *program, Relation source, const Trigger *trigger)
{
	TupleDesc	desc = RelationGetDescr(source);
	MemoryContext context;
	MemoryContext old;

	program->valid = false;
	if (program->context != NULL)
		MemoryContextDelete(program->context);
	program->context = NULL;
	context = AllocSetContextCreate(CacheMemoryContext, "segmentation capture program",
									ALLOCSET_SMALL_SIZES);
	program->context = context;
	program->relid = RelationGetRelid(source);
	program->lastAttno = 0;

	old = MemoryContextSwitchTo(context);
	program->nargs = trigger->tgnargs;
	program->nwatches = 0;
	program->args = palloc((program->nargs + 1) * sizeof(char *));
	program->watches = palloc((program->nargs + 1) * sizeof(Watch));
	for (int i = 0; i < program->nargs; i++)
	{
		Watch	   *watch = &program->watches[program->nwatches];

		program->args[i] = pstrdup(trigger->tgargs[i]);
		if (!make_watch(watch, trigger->tgargs[i], desc))
			continue;
		program->nwatches++;
		if (OidIsValid(watch->keyType))
			program->lastAttno = Max(program->lastAttno, watch->key);
		if (watch->ncolumns > 0)
			program->lastAttno = Max(program->lastAttno, watch->columns[watch->ncolumns - 1]);
	}
	MemoryContextSwitchTo(old);
	program->valid = true;
}

/*
 * The parsed arguments of a trigger.  The arguments themselves are compared
 * too: a statement that began before they were changed still has the old ones.
 */
static const Program *
find_program(Relation source, const Trigger *trigger)
{
	Program    *program;
	bool		found;

	if (unlikely(programs == NULL))
		make_programs();
	program = hash_search(programs, &trigger->tgoid, HASH_ENTER, &found);
	if (!found)
	{
		program->valid = false;
		program->context = NULL;
	}
	if (unlikely(!program->valid || !same_arguments(program, trigger)))
		build_program(program, source, trigger);
	return program;
}

/* ---- touched keys ---- */

/* Nothing that comes can add to this: everybody, for all columns. */
static inline bool
is_closed(const Touched *touched)
{
	return touched->everybody && touched->columns == SEGMENT_ALL_COLUMNS;
}

static void
touch_everybody(Walk *walk, Touched *touched)
{
	touched->everybody = true;
	touched->columns = SEGMENT_ALL_COLUMNS;
	walk->open--;
	if (touched->set != NULL)
		segment_bitmap_free(touched->set);
	touched->set = NULL;
	touched->nkeys = 0;
}

/* Sort keys[] and leave each once; returns how many upper halves they have. */
static int
settle_keys(Touched *touched)
{
	int			halves = 1;

	sort_keys(touched->keys, touched->nkeys);
	touched->nkeys = qunique(touched->keys, touched->nkeys, sizeof(int64), compare_keys);
	for (int i = 1; i < touched->nkeys; i++)
		halves += (touched->keys[i] >> 32) != (touched->keys[i - 1] >> 32);
	return halves;
}

static bool
is_sparse(Touched *touched)
{
	for (int i = 1; i < touched->nkeys; i++)
		if ((touched->keys[i] >> 32) != (touched->keys[0] >> 32))
			return settle_keys(touched) > MAX_BATCH_HALVES;
	return false;
}

static void
grow_keys(Touched *touched, int maxkeys)
{
	int64	   *keys = palloc(maxkeys * sizeof(int64));

	memcpy(keys, touched->keys, touched->nkeys * sizeof(int64));
	if (touched->keys != touched->few)
		pfree(touched->keys);
	touched->keys = keys;
	touched->maxkeys = maxkeys;
}

static void
flush_keys(Touched *touched)
{
	if (touched->set == NULL)
		touched->set = segment_bitmap_create();
	segment_bitmap_add_many(touched->set, touched->keys, touched->nkeys);
	touched->added += touched->nkeys;
	touched->unchecked += touched->nkeys;
	touched->nkeys = 0;
}

/* keys[] is full: make it larger, or empty it into the set, or give up. */
static void
make_room(Walk *walk, Touched *touched)
{
	if (touched->maxkeys < BATCH_KEYS)
		grow_keys(touched, BATCH_KEYS);
	else if (!is_sparse(touched))
		flush_keys(touched);
	else if (touched->maxkeys < MAX_SPARSE_KEYS)
		grow_keys(touched, 2 * touched->maxkeys);
	else if (touched->nkeys > touched->maxkeys / 2)
		touch_everybody(walk, touched);

	if (touched->unchecked >= KEYS_PER_SIZE_CHECK)
	{
		touched->unchecked = 0;
		if (segment_bitmap_serialized_size(touched->set) > MAX_BITMAP_BYTES)
			touch_everybody(walk, touched);
	}
}

static inline void
touch_key(Walk *walk, Touched *touched, int64 key)
{
	if (unlikely(key < 0))
	{
		touch_everybody(walk, touched);
		return;
	}
	if (touched->nkeys > 0 && touched->keys[touched->nkeys - 1] == key)
		return;
	if (unlikely(touched->nkeys == touched->maxkeys))
	{
		make_room(walk, touched);
		if (touched->everybody)
			return;
	}
	touched->keys[touched->nkeys++] = key;
}

/* A row counts for a watch without keys: that is everybody, but which columns is still of interest. */
static inline void
touch_keyless(Walk *walk, const Watch *watch, Touched *touched)
{
	touched->everybody = true;
	if ((touched->columns & watch->mask) == watch->mask)
		touch_everybody(walk, touched);
}

/* The row in this slot (deformed) counts for this watch. */
static inline void
touch_row(Walk *walk, const Watch *watch, Touched *touched, const TupleTableSlot *slot)
{
	Datum		value;

	if (is_closed(touched))
		return;
	if (!OidIsValid(watch->keyType))
	{
		touch_keyless(walk, watch, touched);
		return;
	}
	if (slot->tts_isnull[watch->key - 1])
	{
		if (watch->nullTouchesAll)
			touch_everybody(walk, touched);
		return;
	}
	value = slot->tts_values[watch->key - 1];
	touch_key(walk, touched,
			  watch->keyType == INT8OID ? DatumGetInt64(value) :
			  watch->keyType == INT4OID ? DatumGetInt32(value) : DatumGetInt16(value));
}

/* datum_image_eq() in a context of its own: it detoasts. */
static bool
same_detoasted(Walk *walk, Datum a, Datum b)
{
	MemoryContext old;
	bool		same;

	if (walk->detoast == NULL)
		walk->detoast = AllocSetContextCreate(CurrentMemoryContext, "segmentation capture detoast",
											  ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(walk->detoast);
	same = datum_image_eq(a, b, false, -1);
	MemoryContextSwitchTo(old);
	MemoryContextReset(walk->detoast);
	return same;
}

/* Is a column the same in both slots (deformed), as bytes? */
static inline bool
same_column(Walk *walk, AttrNumber column, const TupleTableSlot *a, const TupleTableSlot *b)
{
	Form_pg_attribute attribute = TupleDescAttr(walk->desc, column - 1);
	Datum		left = a->tts_values[column - 1];
	Datum		right = b->tts_values[column - 1];
	Size		size;

	if (a->tts_isnull[column - 1] || b->tts_isnull[column - 1])
		return a->tts_isnull[column - 1] == b->tts_isnull[column - 1];
	if (attribute->attbyval)
		return left == right;
	if (attribute->attlen != -1)
		return datumIsEqual(left, right, false, attribute->attlen);

	size = VARSIZE_ANY(DatumGetPointer(left));
	if (size == VARSIZE_ANY(DatumGetPointer(right)) &&
		memcmp(DatumGetPointer(left), DatumGetPointer(right), size) == 0)
		return true;
	return same_detoasted(walk, left, right);
}

/* The columns of a watch in which two slots differ, of those that are known to only one of many. */
static inline int64
changed_columns(Walk *walk, const Watch *watch, const TupleTableSlot *a, const TupleTableSlot *b, int64 known)
{
	int64		changed = 0;

	if (watch->always)
		return SEGMENT_ALL_COLUMNS;
	for (int i = 0; i < watch->ncolumns - SEGMENT_MUTANT("lossy_filter"); i++)
	{
		int64		bit = SEGMENT_COLUMN_BIT(watch->columns[i]);

		if ((changed == 0 || (known & bit) == 0) && !same_column(walk, watch->columns[i], a, b))
			changed |= bit;
		if (changed != 0 && SEGMENT_MUTANT("first_column"))
			break;
	}
	return changed;
}

/* One row came or went, or (both slots) changed; a slot may be NULL. */
static void
touch_change(Walk *walk, TupleTableSlot *before, TupleTableSlot *after)
{
	const Program *program = walk->program;

	if (program->lastAttno > 0)
	{
		if (before != NULL)
			slot_getsomeattrs(before, program->lastAttno);
		if (after != NULL)
			slot_getsomeattrs(after, program->lastAttno);
	}
	for (int i = 0; i < program->nwatches; i++)
	{
		const Watch *watch = &program->watches[i];
		Touched    *touched = &walk->touched[i];
		int64		changed = SEGMENT_ALL_COLUMNS;

		if (is_closed(touched))
			continue;
		if (before != NULL && after != NULL)
			changed = changed_columns(walk, watch, before, after, touched->columns);
		if (changed == 0)
			continue;
		touched->columns |= changed;
		if (before != NULL && !(SEGMENT_MUTANT("no_old_image") && after != NULL))
			touch_row(walk, watch, touched, before);
		if (after != NULL)
			touch_row(walk, watch, touched, after);
	}
}

/* ---- one call ---- */

static void
begin_walk(Walk *walk, const Program *program, Relation source)
{
	walk->program = program;
	walk->desc = RelationGetDescr(source);
	walk->touched = palloc((program->nwatches + 1) * sizeof(Touched));
	walk->open = program->nwatches;
	walk->detoast = NULL;
	for (int i = 0; i < program->nwatches; i++)
	{
		Touched    *touched = &walk->touched[i];

		touched->everybody = false;
		touched->columns = 0;
		touched->nkeys = 0;
		touched->maxkeys = lengthof(touched->few);
		touched->keys = touched->few;
		touched->added = 0;
		touched->unchecked = 0;
		touched->set = NULL;
	}
}

/* The next tuple of a transition table; NULL behind the last, or without a table. */
static inline TupleTableSlot *
next_tuple(Tuplestorestate *store, TupleTableSlot *slot)
{
	if (store == NULL || !tuplestore_gettupleslot(store, true, false, slot))
		return NULL;
	return slot;
}

static TupleTableSlot *
begin_table(Walk *walk, Tuplestorestate *store)
{
	if (store == NULL)
		return NULL;
	tuplestore_select_read_pointer(store, 0);
	tuplestore_rescan(store);
	return MakeSingleTupleTableSlot(walk->desc, &TTSOpsMinimalTuple);
}

static void
end_table(Tuplestorestate *store, TupleTableSlot *slot)
{
	if (store == NULL)
		return;
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_rescan(store);	/* as we found it, for the next trigger */
}

static void
walk_tables(Walk *walk, Tuplestorestate *oldtable, Tuplestorestate *newtable)
{
	TupleTableSlot *oldslot = begin_table(walk, oldtable);
	TupleTableSlot *newslot = begin_table(walk, newtable);

	while (walk->open > 0)
	{
		TupleTableSlot *before = next_tuple(oldtable, oldslot);
		TupleTableSlot *after = next_tuple(newtable, newslot);

		if (before == NULL && after == NULL)
			break;
		CHECK_FOR_INTERRUPTS();
		touch_change(walk, before, after);
	}
	end_table(oldtable, oldslot);
	end_table(newtable, newslot);
}

/* Write what one watch saw, and the one without a key (NULL: nothing) in the same row. */
static void
record_touched(Touched *touched, const Touched *keyless, Oid relid, AttrNumber key)
{
	int64		columns = touched->columns;

	if (keyless != NULL)
	{
		key |= SEGMENT_ALSO_KEYLESS;
		columns |= keyless->columns;
	}
	if (touched->everybody)
	{
		segment_capture_record(relid, key, columns, (Datum) 0, true);
		return;
	}
	if (touched->nkeys > lengthof(touched->few))
		settle_keys(touched);
	flush_keys(touched);
	if (touched->added > lengthof(touched->few))
		segment_bitmap_optimize(touched->set);
	segment_capture_record(relid, key, columns, segment_bitmap_to_datum(touched->set), false);
	segment_bitmap_free(touched->set);
}

/*
 * Write what was touched: at most one row per key column.  What the watch
 * without a key has to say, that something changed, goes along with another
 * row if there is one.
 */
static void
record_walk(Walk *walk, Oid relid)
{
	Touched    *keyless = NULL;

	for (int i = 0; i < walk->program->nwatches; i++)
		if (walk->program->watches[i].key == 0 && walk->touched[i].everybody)
			keyless = &walk->touched[i];
	for (int i = 0; i < walk->program->nwatches; i++)
	{
		AttrNumber	key = walk->program->watches[i].key;
		Touched    *touched = &walk->touched[i];

		if (key == 0 || (!touched->everybody && touched->nkeys == 0 && touched->set == NULL))
			continue;
		/* a key that could not be read is -1: no room there for a flag */
		record_touched(touched, key > 0 ? keyless : NULL, relid, key);
		if (key > 0)
			keyless = NULL;
	}
	if (keyless != NULL)
		record_touched(keyless, NULL, relid, 0);
}

static void
after_statement(TriggerData *trigdata, const Program *program)
{
	Relation	source = trigdata->tg_relation;
	uint32		event = trigdata->tg_event & TRIGGER_EVENT_OPMASK;
	bool		needsOld = event != TRIGGER_EVENT_INSERT;
	bool		needsNew = event != TRIGGER_EVENT_DELETE;
	Walk		walk;

	if (event == TRIGGER_EVENT_TRUNCATE ||
		(needsOld && trigdata->tg_oldtable == NULL) ||
		(needsNew && trigdata->tg_newtable == NULL))
		segment_capture_touch_all(RelationGetRelid(source));
	else
	{
		begin_walk(&walk, program, source);
		walk_tables(&walk, trigdata->tg_oldtable, trigdata->tg_newtable);
		record_walk(&walk, RelationGetRelid(source));
	}
	segment_flight_pop(RelationGetRelid(source), event);
}

/* While a statement of this kind is in flight here, its AFTER STATEMENT trigger will tell. */
static void
after_row(TriggerData *trigdata, const Program *program)
{
	Relation	source = trigdata->tg_relation;
	uint32		event = trigdata->tg_event & TRIGGER_EVENT_OPMASK;
	Walk		walk;

	if (segment_flight_has(RelationGetRelid(source), event))
		return;
	begin_walk(&walk, program, source);
	if (event == TRIGGER_EVENT_INSERT)
		touch_change(&walk, NULL, trigdata->tg_trigslot);
	else if (event == TRIGGER_EVENT_DELETE)
		touch_change(&walk, trigdata->tg_trigslot, NULL);
	else
		touch_change(&walk, trigdata->tg_trigslot, trigdata->tg_newslot);
	record_walk(&walk, RelationGetRelid(source));
}

/* What a row trigger returns to leave the row as it is. */
static Datum
unchanged_row(const TriggerData *trigdata)
{
	if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
		return PointerGetDatum(trigdata->tg_newtuple);
	return PointerGetDatum(trigdata->tg_trigtuple);
}

/*
 * segmentation_capture
 *		The trigger function.  Fired in a way that we never set up (by hand, BEFORE
 *		ROW or INSTEAD OF), it leaves the row as it is and records nothing.
 */
Datum
segmentation_capture(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	uint32		event;
	Oid			relid;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"segment.capture\" was not called by a trigger"));
	event = trigdata->tg_event;
	relid = RelationGetRelid(trigdata->tg_relation);

	if (TRIGGER_FIRED_FOR_ROW(event))
	{
		if (!TRIGGER_FIRED_AFTER(event))
			return unchanged_row(trigdata);
		after_row(trigdata, find_program(trigdata->tg_relation, trigdata->tg_trigger));
	}
	else if (TRIGGER_FIRED_AFTER(event))
		after_statement(trigdata, find_program(trigdata->tg_relation, trigdata->tg_trigger));
	else if (TRIGGER_FIRED_BY_TRUNCATE(event))
		segment_capture_touch_all(relid);
	else
		segment_flight_push(relid, event & TRIGGER_EVENT_OPMASK);
	return PointerGetDatum(NULL);
}

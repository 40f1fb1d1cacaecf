/*-------------------------------------------------------------------------
 *
 * cache.c
 *		Compiled segments, kept in the backend.
 *
 * Nothing compiled is stored: the rule of the view is the definition, and a
 * SegmentCompiled is made from it on first use.  An entry is stale as soon as
 * the relcache drops one of the relations it was made from (the view, because
 * it was redefined or its registration changed; a table it reads), or a
 * function changes (a segment's fingerprint covers the functions it calls; there
 * is no cheap way to tell which one changed, so all entries are stale then).
 *
 * Who got a pointer may use it to the end of the command.  So stale entries are
 * not freed but handed over to the transaction, when the next one is made.
 *
 * Locks: AccessShareLock on the view while it is compiled.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "attempt.h"
#include "catalog/registry.h"
#include "catalog/table.h"

/* How often a compilation is repeated when what it reads changes under it. */
#define MAX_ATTEMPTS 3

typedef struct CacheEntry
{
	Oid			viewId;			/* hash key */
	MemoryContext context;		/* of what the entry holds */
	bool		stale;
	SegmentEntry *entry;
	SegmentCompiled *compiled;	/* NULL until asked for */
	List	   *relations;		/* OIDs whose change makes it stale, without
								 * the view */
} CacheEntry;

static HTAB *cache = NULL;

/* Counts the invalidations seen, to notice those that arrive during a compilation. */
static uint64 generation = 0;

static void
relation_changed(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	CacheEntry *item;

	if (cache == NULL)
		return;
	generation++;
	hash_seq_init(&status, cache);
	while ((item = hash_seq_search(&status)) != NULL)
		if (!OidIsValid(relid) || item->viewId == relid || list_member_oid(item->relations, relid))
			item->stale = true;
}

static void
function_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	relation_changed(arg, InvalidOid);
}

void
segment_catalog_watch(void)
{
	HASHCTL		control = {.keysize = sizeof(Oid),.entrysize = sizeof(CacheEntry)};

	if (cache != NULL)
		return;
	cache = hash_create("segments", 64, &control, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, function_changed, (Datum) 0);
}

/* Stale entries leave, those of dropped segments too; what they hold lives on to the end of the transaction. */
static void
retire_stale(void)
{
	HASH_SEQ_STATUS status;
	CacheEntry *item;

	hash_seq_init(&status, cache);
	while ((item = hash_seq_search(&status)) != NULL)
	{
		if (!item->stale)
			continue;
		MemoryContextSetParent(item->context, TopTransactionContext);
		(void) hash_search(cache, &item->viewId, HASH_REMOVE, NULL);
	}
}

/*
 * The cached registration of a view, read if need be; NULL if it is no
 * registered segment (which is not remembered: a dump may be being restored).
 */
static CacheEntry *
cached_entry(Oid viewId)
{
	CacheEntry *item;
	SegmentEntry *entry;
	MemoryContext old;
	MemoryContext context;

	segment_catalog_watch();
	item = hash_search(cache, &viewId, HASH_FIND, NULL);
	if (item && !item->stale)
		return item;

	retire_stale();
	context = AllocSetContextCreate(CurrentMemoryContext, "segment", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	entry = segment_catalog_read(viewId);
	MemoryContextSwitchTo(old);
	if (entry == NULL)
	{
		MemoryContextDelete(context);
		return NULL;
	}
	MemoryContextSetParent(context, CacheMemoryContext);
	item = hash_search(cache, &viewId, HASH_ENTER, NULL);
	*item = (CacheEntry)
	{
		.viewId = viewId,.context = context,.entry = entry
	};
	return item;
}

static SegmentEntry *
copy_entry(const SegmentEntry *entry)
{
	SegmentEntry *copy = palloc(sizeof(SegmentEntry));
	ListCell   *lc;

	*copy = *entry;
	copy->settings = NIL;
	copy->options = NIL;
	foreach(lc, entry->settings)
		copy->settings = lappend(copy->settings, pstrdup(lfirst(lc)));
	foreach(lc, entry->options)
		copy->options = lappend(copy->options, pstrdup(lfirst(lc)));
	return copy;
}

SegmentEntry *
segment_catalog_lookup(Oid viewId)
{
	CacheEntry *item = cached_entry(viewId);

	return item ? copy_entry(item->entry) : NULL;
}

/* The query of a view's rule and the view's owner; NULL if the view is gone or is none. */
static Query *
view_query(Oid viewId, Oid *owner)
{
	Relation	view = try_relation_open(viewId, AccessShareLock);
	Query	   *query = NULL;

	if (view == NULL)
		return NULL;
	if (view->rd_rel->relkind == RELKIND_VIEW)
	{
		query = copyObject(get_view_query(view));
		*owner = view->rd_rel->relowner;
	}
	relation_close(view, AccessShareLock);
	return query;
}

/* Every table that a compiled segment was made from. */
static List *
relations_of(const SegmentCompiled *compiled)
{
	List	   *relations = list_make1_oid(compiled->subject);
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, compiled->sources)
	{
		SegmentSource *source = lfirst(lc);

		relations = list_append_unique_oid(relations, source->relid);
		foreach(lc2, source->steps)
			relations = list_append_unique_oid(relations, ((SegmentStep *) lfirst(lc2))->relid);
	}
	return relations;
}

/*
 * Compile into the entry's context.  Returns NULL if the view is no longer the
 * segment that is registered.  Errors of the compiler pass through; the entry
 * then stays without compiled form.
 */
static SegmentCompiled *
compile_view(Oid viewId, int32 id, MemoryContext context, List **relations)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	Oid			owner = InvalidOid;
	Query	   *query = view_query(viewId, &owner);
	SegmentCompiled *compiled = NULL;

	if (query)
		compiled = segment_compile_query(query, owner, NULL);
	if (compiled && compiled->id == id)
	{
		compiled->viewId = viewId;
		*relations = relations_of(compiled);
	}
	else
		compiled = NULL;
	MemoryContextSwitchTo(old);
	return compiled;
}

/* The entry of a view with its compiled form, or NULL. */
static CacheEntry *
compiled_entry(Oid viewId)
{
	CacheEntry *item = NULL;

	for (int attempt = 0; attempt < MAX_ATTEMPTS; attempt++)
	{
		uint64		before;
		int32		id;
		MemoryContext context;
		SegmentCompiled *compiled;
		List	   *relations = NIL;

		item = cached_entry(viewId);
		if (item == NULL || item->compiled)
			return item;
		before = generation;
		id = item->entry->id;
		context = AllocSetContextCreate(CurrentMemoryContext, "segment compiled", ALLOCSET_DEFAULT_SIZES);
		compiled = compile_view(viewId, id, context, &relations);
		if (compiled == NULL)
		{
			MemoryContextDelete(context);
			return NULL;
		}

		/* an invalidation may have retired the entry meanwhile */
		item = cached_entry(viewId);
		if (item == NULL)
			return NULL;
		MemoryContextSetParent(context, item->context);
		item->compiled = compiled;
		item->relations = relations;
		if (before == generation)
			return item;
		item->stale = attempt + 1 < MAX_ATTEMPTS;
	}
	/* it keeps changing: good for this command, and never again */
	item->stale = true;
	return item;
}

static void
raise_no_segment(Oid viewId)
{
	const char *name = get_rel_name(viewId);

	ereport(ERROR,
			errcode(name != NULL ? ERRCODE_WRONG_OBJECT_TYPE : ERRCODE_UNDEFINED_OBJECT),
			name != NULL ? errmsg("\"%s\" is not a segment", name) : errmsg("segment with OID %u does not exist", viewId),
			errhint("SELECT * FROM segment.segments lists the segments."));
}

const SegmentCompiled *
segment_catalog_compiled(Oid viewId, bool missing_ok)
{
	CacheEntry *item = compiled_entry(viewId);

	if (item)
		return item->compiled;
	if (!missing_ok)
		raise_no_segment(viewId);
	return NULL;
}

SegmentEntry *
segment_catalog_require(Oid viewId)
{
	SegmentEntry *entry = segment_catalog_lookup(viewId);

	if (entry == NULL)
		raise_no_segment(viewId);
	return entry;
}

typedef struct Attempt
{
	Oid			viewId;
	const SegmentCompiled *compiled;
} Attempt;

static void
compile(void *arg)
{
	Attempt    *attempt = arg;

	attempt->compiled = segment_catalog_compiled(attempt->viewId, true);
}

const SegmentCompiled *
segment_catalog_try_compiled(Oid viewId, ErrorData **error)
{
	CacheEntry *item = cached_entry(viewId);
	Attempt		attempt = {.viewId = viewId};

	*error = NULL;
	if (item != NULL && item->compiled != NULL)
		return item->compiled;
	*error = segment_attempt(compile, &attempt);
	return *error == NULL ? attempt.compiled : NULL;
}

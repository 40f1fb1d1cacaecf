/*-------------------------------------------------------------------------
 *
 * registry.h
 *		The extension's own tables, and the cache of compiled segments.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_REGISTRY_H
#define SEGMENT_REGISTRY_H

#include "compile/compile.h"
#include "utils/jsonb.h"

/* A row of segment.segment (what is dumped): a registered segment. */
typedef struct SegmentEntry
{
	int32		id;
	Oid			viewId;
	bool		enabled;
	List	   *settings;		/* of "name=value" char *, pinned at creation */
	List	   *options;		/* of "name=value" char *, as given in WITH */
} SegmentEntry;

/* Does the worker refresh it?  WITH (auto_refresh = off) says no. */
extern bool segment_catalog_is_automatic(const SegmentEntry *entry);

/* The next segment id (from the sequence). */
extern int32 segment_catalog_next_id(void);

/* Insert, change, delete rows of segment.segment; bypass privileges; CommandCounterIncrement included. */
extern void segment_catalog_insert(const SegmentEntry *entry);
extern void segment_catalog_update(const SegmentEntry *entry);
extern void segment_catalog_delete(int32 id);

/* The registered segment of a view (NULL if it is none), under the catalog snapshot. */
extern SegmentEntry *segment_catalog_lookup(Oid viewId);

/* The view of the segment with this id, InvalidOid if there is none. */
extern Oid	segment_catalog_view(int32 id);

/* Every registered segment whose view exists: list of SegmentEntry *. */
extern List *segment_catalog_all(void);

/*
 * OID of schema "segment"; with missing_ok InvalidOid where there is none.
 * ERRCODE_INSUFFICIENT_PRIVILEGE when it is in the hands of one who is no superuser.
 */
extern Oid	segment_catalog_schema(bool missing_ok);

/* What depends on an object: list of Form_pg_depend, palloc'd. */
extern List *segment_catalog_dependents(Oid classId, Oid objectId);

/* Between a list of char * and a text[]; NULL elements are left out. */
extern Datum segment_catalog_strings_to_array(List *strings);
extern List *segment_catalog_array_to_strings(Datum datum);

/* Is the schema there, and in the right hands?  For who may raise nothing. */
extern bool segment_catalog_is_safe(void);

/* The owner of a relation; InvalidOid if it is gone. */
extern Oid	segment_catalog_owner(Oid relid);

/* Registered segments whose view is gone, by whatever way: list of SegmentEntry *. */
extern List *segment_catalog_orphans(void);

/*
 * The compiled form of a segment's view, from the backend's cache (valid until
 * the end of the transaction).  NULL with
 * missing_ok, else ERRCODE_WRONG_OBJECT_TYPE when the relation is no segment.
 */
extern const SegmentCompiled *segment_catalog_compiled(Oid viewId, bool missing_ok);

/* The registration of a segment; the same error for what is none. */
extern SegmentEntry *segment_catalog_require(Oid viewId);

/*
 * The same for who looks at many segments: where it cannot be compiled (a view
 * that somebody has redefined, a function that is not what it was) NULL, and why
 * in *error, which is NULL otherwise.  Not in parallel mode.
 */
extern const SegmentCompiled *segment_catalog_try_compiled(Oid viewId, ErrorData **error);

/* Declared links: segment.link */
typedef struct SegmentLink
{
	Oid			source;
	AttrNumber	column;
	Oid			target;
	AttrNumber	key;
} SegmentLink;

extern void segment_catalog_insert_link(const SegmentLink *link);
extern bool segment_catalog_delete_link(Oid source, Oid target);
extern List *segment_catalog_links(Oid source); /* of SegmentLink * */

/* A column of a table has got another name: links by it follow. */
extern void segment_catalog_rename_link_column(Oid relid, const char *old, const char *new);

/* Remove the links from and to tables that no longer exist. */
extern void segment_catalog_forget_links(void);

#endif							/* SEGMENT_REGISTRY_H */

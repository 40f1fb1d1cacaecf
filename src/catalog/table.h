/*-------------------------------------------------------------------------
 *
 * table.h
 *		Access to the extension's own tables, inside the room.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_TABLE_H
#define SEGMENT_TABLE_H

#include "catalog/registry.h"
#include "utils/relcache.h"

/*
 * OID of a relation in schema segment, InvalidOid when it is not there (the
 * extension is being dropped, or is not installed in this database).
 */
extern Oid	segment_catalog_relation(const char *name);

/* Read the row of a view from segment.segment; NULL if there is none. */
extern SegmentEntry *segment_catalog_read(Oid viewId);

/* Register the invalidation callbacks, once per backend. */
extern void segment_catalog_watch(void);

#endif							/* SEGMENT_TABLE_H */

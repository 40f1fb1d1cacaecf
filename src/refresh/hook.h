/*-------------------------------------------------------------------------
 *
 * hook.h
 *		Functions called when members enter or leave.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_HOOK_H
#define SEGMENT_HOOK_H

#include "nodes/pg_list.h"

#define SEGMENT_HOOK_ENTER	'e'
#define SEGMENT_HOOK_EXIT	'x'

/*
 * Set the hook of a segment for one event, in place of the one there is.
 * arguments: list of char *, given to the function behind the ids.  The caller
 * has checked everything.
 */
extern void segment_hook_set(int32 id, char event, Oid owner, Oid function, List *arguments);
extern void segment_hook_remove(int32 id, char event);

/*
 * Call the hooks that these changes (list of SegmentChange *) have.  What goes
 * wrong in one is written to its row, and said in a WARNING.
 */
extern void segment_hook_run(List *changes);

/* ERROR if a hook is running: what must not be done in it, as "cannot %s in a hook". */
extern void segment_hook_refuse(const char *what);

#endif							/* SEGMENT_HOOK_H */

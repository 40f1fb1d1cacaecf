/*-------------------------------------------------------------------------
 *
 * statement.h
 *		Running the statements, inside the room.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_STATEMENT_H
#define SEGMENT_STATEMENT_H

#include "compile/compile.h"
#include "statement/grammar.h"
#include "storage/lock.h"

/*
 * Run one statement.  Returns the segment it was about, InvalidOid if there is
 * none (any more) or several.  CommandCounterIncrement is the caller's.
 */
extern Oid	segment_statement_run(SegmentStatement *statement);

/* Run a utility statement of PostgreSQL as if the client had sent it. */
extern void segment_statement_run_utility(Node *node, const char *text);

/* run.c: a name as messages show it, with its schema if that was given */
extern const char *segment_statement_name(const RangeVar *name);

/* define.c: CREATE SEGMENT, and ALTER SEGMENT of the condition or the options */
extern Oid	segment_statement_create(SegmentStatement *statement);
extern void segment_statement_alter_condition(SegmentStatement *statement, Oid viewId);
extern void segment_statement_alter_options(SegmentStatement *statement, Oid viewId);

/* check.c: what a segment must fulfil that is not the compiler's business */
extern void segment_statement_check_subject(const char *text, Oid subject, RangeVar *name);
extern void segment_statement_check_compiled(const SegmentCompiled *compiled, Oid viewId, const char *name);
extern void segment_statement_check_keys(const SegmentCompiled *compiled);

/* hook.c: ALTER SEGMENT ... ON ENTER | ON EXIT */
extern void segment_statement_alter_hook(SegmentStatement *statement, Oid viewId);

/* settings.c: options, and the settings pinned at creation */
extern List *segment_statement_merge_options(const char *text, List *stored, List *given);
extern void segment_statement_apply_options(List *stored);
extern List *segment_statement_pin_settings(void);

/* link.c */
extern void segment_statement_create_link(SegmentStatement *statement);
extern void segment_statement_drop_link(SegmentStatement *statement);

/* define.c: Make the triggers of its sources record what a segment needs. */
extern void segment_statement_install_captures(const SegmentCompiled *compiled);

#endif							/* SEGMENT_STATEMENT_H */

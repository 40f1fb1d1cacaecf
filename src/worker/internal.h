/*-------------------------------------------------------------------------
 *
 * internal.h
 *		What the files of this room share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_WORKER_INTERNAL_H
#define SEGMENT_WORKER_INTERNAL_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* ---- process.c: being a background worker ---- */

/* Signals, connection, settings; never returns when there is no such database. */
extern void segment_worker_connect(Oid database);

/* Exit if told to, reload the configuration if told to. */
extern void segment_worker_handle_signals(void);

/* Sleep for a time with the latch left as it is; signals still count. */
extern void segment_worker_pause(int64 milliseconds);

/*
 * Run something in a transaction of its own, called "what" in pg_stat_activity and
 * in errors; the string must outlive it.  After an error, which has been reported
 * and rolled back, it says whether that was only the lock of somebody else, here or
 * there: then it is soon worth another try.  Does not return when told to exit meanwhile.
 */
typedef enum SegmentOutcome
{
	OUTCOME_DONE,
	OUTCOME_BLOCKED,
	OUTCOME_FAILED
} SegmentOutcome;

typedef void (*SegmentWorkerTask) (void *arg);
extern SegmentOutcome segment_worker_run(const char *what, SegmentWorkerTask task, void *arg);

/* ---- look.c: what is there to do ---- */

typedef enum SegmentVerdict
{
	VERDICT_STAY,
	VERDICT_NOTHING,			/* no segments: nothing to stay for */
	VERDICT_LEAVE,				/* no extension, or switched off */
	VERDICT_RENEW,				/* other settings: a new process is needed */
	VERDICT_REPLACE				/* another version: the same, but once only */
} SegmentVerdict;

typedef struct SegmentWorkerLook
{
	SegmentVerdict verdict;
	const char *reason;			/* of a verdict to leave */
	bool		failed;			/* an error: nothing below is known */
	bool		blocked;		/* it was a lock of somebody else */
	uint64		prepared;		/* which prepared transactions may have
								 * written something that it did not see, see
								 * doorbell.h */
	bool		intact;			/* no wait that may have swallowed a ring */
	List	   *due;			/* subject tables (Oid), in the worker's
								 * context */
	TimestampTz next;			/* when there will be more with no write */
	Oid			invalidation;	/* OID of segment.invalidation */
} SegmentWorkerLook;

extern void segment_worker_look(SegmentWorkerLook *look);

/* Go on with the settings of this process, though those of the database have changed. */
extern void segment_worker_keep_settings(void);

/* ---- backlog.c: subject tables, their helpers and their failures ---- */

/* Refresh what is due and not put off, a transaction for each; true if anything was done. */
extern bool segment_worker_refresh(List *due, bool rung);

/* When the next subject table that was put off is to be tried again; DT_NOEND: none is. */
extern TimestampTz segment_worker_next_retry(void);

/* Do helpers run? */
extern bool segment_worker_has_helpers(void);

/* Tell all helpers to end. */
extern void segment_worker_end_helpers(void);

/* Be a helper for one subject table. */
extern void segment_worker_help(Oid subject);

#endif							/* SEGMENT_WORKER_INTERNAL_H */

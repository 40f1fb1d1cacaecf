/*-------------------------------------------------------------------------
 *
 * doorbell.h
 *		How sessions wake the worker of their database, or start it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_DOORBELL_H
#define SEGMENT_DOORBELL_H

#include "postmaster/bgworker.h"

/* bgw_type: what pg_stat_activity calls the worker, and how it is told from its helpers */
#define SEGMENT_WORKER_TYPE "segmentation worker"
#define SEGMENT_HELPER_TYPE "segmentation helper"

/* bgw_extra of a worker: what to do when it is not the ordinary one. */
typedef struct SegmentWorkerOrder
{
	Oid			database;
	Oid			subject;		/* a helper: refresh this subject table and
								 * end; InvalidOid: the worker */
	bool		successor;		/* started by a worker of another version of
								 * the library */
} SegmentWorkerOrder;

/* ---- who rings ---- */

/* At module load: before any other callback at the end of transactions, which so run before ours. */
extern void segment_doorbell_init(void);

/*
 * This transaction has written an invalidation (the caller holds ROW EXCLUSIVE
 * on segment.invalidation): ring when it commits.
 */
extern void segment_doorbell_touch(void);

/* The same for a transaction that has changed a definition; takes that lock. */
extern void segment_doorbell_ring(void);

/* A read has found something to do that is committed already: ring now, at most once a second. */
extern void segment_doorbell_nudge(void);

/* ---- who looks after the worker ---- */

typedef enum SegmentWorkerState
{
	WORKER_RUNNING,
	WORKER_STARTING,
	WORKER_ABSENT,				/* none, and none is needed so far as we know */
	WORKER_OFF,					/* segmentation.worker */
	WORKER_STANDBY,				/* the server is in recovery */
	WORKER_NO_SLOT,				/* max_worker_processes are running */
	WORKER_FAILING				/* it ends as soon as it is started */
} SegmentWorkerState;

/* What is known here of the worker of this database; its pid, or 0. */
extern SegmentWorkerState segment_doorbell_state(int *pid);

/* The pid of a database's worker that has promised to look, or 0. */
extern int	segment_doorbell_find(Oid database);

/* Start a worker whatever is known; false when there is no slot. */
extern bool segment_doorbell_start(const SegmentWorkerOrder *order, BackgroundWorkerHandle **handle);

/* ---- the worker's side ---- */

/* This process is a worker, which rings nobody: PostgreSQL is told to treat it like an autovacuum worker. */
extern void segment_doorbell_be_worker(void);

/* Promise to look whenever rung; false when another worker has (it has been rung then). */
extern bool segment_doorbell_promise(void);

/* Take the promise back; false when somebody has rung meanwhile, so look once more. */
extern bool segment_doorbell_withdraw(void);

/* Is there a transaction, prepared ones too, that may have written invalidations? */
extern bool segment_doorbell_writers(Oid invalidation);

/* Which prepared ones are there?  A number that changes with them; 0: none. */
extern uint64 segment_doorbell_prepared(Oid invalidation);

#endif							/* SEGMENT_DOORBELL_H */

/*-------------------------------------------------------------------------
 *
 * worker.h
 *		The background worker that refreshes segments.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_WORKER_H
#define SEGMENT_WORKER_H

/* From _PG_init: register the launcher when the library is preloaded. */
extern void segment_worker_register_launcher(void);

/* From _PG_init: keep plans of background workers off indexes that are too young for them. */
extern void segment_worker_watch_plans(void);

#endif							/* SEGMENT_WORKER_H */

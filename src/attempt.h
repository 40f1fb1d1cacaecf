/*-------------------------------------------------------------------------
 *
 * attempt.h
 *		Running something that may fail without failing the transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_ATTEMPT_H
#define SEGMENT_ATTEMPT_H

/*
 * Run what(arg) in a subtransaction.  NULL when it went well, else its error, in
 * the caller's memory context and cleared away.  A cancel, a shutdown and, in a
 * transaction with one snapshot, a serialization failure are raised again.
 */
extern ErrorData *segment_attempt(void (*what) (void *arg), void *arg);

/*
 * The same, and what takes longer than so many ms (0: no limit) is ended by an
 * error that names the setting they come from; within another one that limit
 * counts.  PostgreSQL leaves its timer running, which sets the latch once, when
 * the time would have been over.
 */
extern ErrorData *segment_attempt_within(int milliseconds, const char *setting, void (*what) (void *arg), void *arg);

/* Of the moment and the machine (a lock, memory, a disk), and not of what was tried, however often? */
extern bool segment_attempt_is_passing(const ErrorData *error);

#endif							/* SEGMENT_ATTEMPT_H */

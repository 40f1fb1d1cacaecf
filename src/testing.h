/*-------------------------------------------------------------------------
 *
 * testing.h
 *		Ways to break the protocol on purpose, and to stop inside it.
 *
 * Only in builds with -DSEGMENTATION_MUTANTS.  SEGMENT_MUTANT("name") is true
 * when the setting segmentation.mutant names that step: the code then leaves
 * it out, and a test must notice.  At SEGMENT_STOP("name") the process dies as
 * by kill -9 when the setting segmentation.stop has that name.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_TESTING_H
#define SEGMENT_TESTING_H

#ifdef SEGMENTATION_MUTANTS
#include <signal.h>
#include <unistd.h>

extern char *segment_mutant;
extern char *segment_stop;
#define SEGMENT_MUTANT(name) (segment_mutant != NULL && strcmp(segment_mutant, name) == 0)
#define SEGMENT_STOP(name) \
	do { if (segment_stop != NULL && strcmp(segment_stop, name) == 0) kill(getpid(), SIGKILL); } while (0)
#else
#define SEGMENT_MUTANT(name) false
#define SEGMENT_STOP(name) ((void) 0)
#endif

#endif							/* SEGMENT_TESTING_H */

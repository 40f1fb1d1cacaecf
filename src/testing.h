/*-------------------------------------------------------------------------
 *
 * testing.h
 *		Ways to break the protocol on purpose, and to stop inside it.
 *
 * Only in builds with -DSEGMENTATION_MUTANTS.  SEGMENT_MUTANT("name") is true
 * when the setting segmentation.mutant names that step: the code then leaves
 * it out, and a test must notice.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_TESTING_H
#define SEGMENT_TESTING_H

#ifdef SEGMENTATION_MUTANTS
extern char *segment_mutant;
#define SEGMENT_MUTANT(name) (segment_mutant != NULL && strcmp(segment_mutant, name) == 0)
#else
#define SEGMENT_MUTANT(name) false
#endif

#endif							/* SEGMENT_TESTING_H */

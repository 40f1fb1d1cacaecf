/*-------------------------------------------------------------------------
 *
 * fuzz.h
 *		Running one input (backend.c).
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_FUZZ_H
#define SEGMENT_FUZZ_H

#define FUZZ_MEMORY ((size_t) 256 * 1024 * 1024)	/* more at once is "out of memory" */

extern void fuzz_init(void);
extern bool fuzz_run(void (*function) (void));	/* false: it raised an ERROR */
extern void fuzz_forget(void);	/* free all memory */

#endif							/* SEGMENT_FUZZ_H */

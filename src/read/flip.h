/*-------------------------------------------------------------------------
 *
 * flip.h
 *		What segment.next_flip() is asked with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_FLIP_H
#define SEGMENT_FLIP_H

#include "datatype/timestamp.h"

/* The clock's side of a comparison, before the interval is added; third argument of segment.next_flip(). */
#define SEGMENT_FLIP_NOW	0	/* now(): the interval's time part is added to
								 * the instant */
#define SEGMENT_FLIP_LOCAL	1	/* localtimestamp: all of it is added to the
								 * local time */
#define SEGMENT_FLIP_DATE	2	/* current_date */

/* The next instant at which the date changes in the session's zone, or an earlier one. */
extern TimestampTz segment_flip_next_midnight(TimestampTz clock);

/* The next instant at which the session's zone changes its offset; DT_NOEND: none is known. */
extern TimestampTz segment_flip_next_zone_change(TimestampTz clock);

#endif							/* SEGMENT_FLIP_H */

/*-------------------------------------------------------------------------
 *
 * instant.h
 *		The instants of flips that time caused.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_INSTANT_H
#define SEGMENT_INSTANT_H

#include "catalog/change.h"
#include "refresh/work.h"

/*
 * Fill in when those entered or left whom time alone made to, between the base
 * of the item, which is true as of its epoch, and this clock.  Raises nothing
 * but cancels.
 */
extern void segment_instant_find(const SegmentWork *item, SegmentChange *change, TimestampTz clock);

#endif							/* SEGMENT_INSTANT_H */

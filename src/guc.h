/*-------------------------------------------------------------------------
 *
 * guc.h
 *		The settings segmentation.*
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_GUC_H
#define SEGMENT_GUC_H

/* segmentation.bitmap_output */
typedef enum SegmentBitmapOutput
{
	SEGMENT_BITMAP_OUTPUT_RANGES,
	SEGMENT_BITMAP_OUTPUT_IDS,
	SEGMENT_BITMAP_OUTPUT_HEX,
} SegmentBitmapOutput;

extern int	segment_guc_bitmap_output;

/* segmentation.read */
typedef enum SegmentReadMode
{
	SEGMENT_READ_EXACT,
	SEGMENT_READ_REFRESHED,
} SegmentReadMode;

extern int	segment_guc_read;

/* segmentation.cache_size, in kB: bases that one session keeps */
extern int	segment_guc_cache_size;

/* segmentation.clock as an instant; 0 = not set: the real clock */
extern int64 segment_guc_clock;

/* Define all settings; from _PG_init. */
extern void segment_guc_init(void);

#endif							/* SEGMENT_GUC_H */

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

/* segmentation.worker: is there one, and does this session ring it? */
extern bool segment_guc_worker;

/* segmentation.refresh_delay, in ms: from being rung to refreshing */
extern int	segment_guc_refresh_delay;

/* segmentation.naptime, in s: how long an idle worker stays; -1: for ever */
extern int	segment_guc_naptime;

/* segmentation.max_refresh_workers: processes that refresh the segments of one database */
extern int	segment_guc_max_refresh_workers;

/* segmentation.refresh_budget: subjects that one transaction of the worker evaluates */
extern int	segment_guc_refresh_budget;

/* segmentation.evaluation_timeout and segmentation.hook_timeout, in ms; 0: no limit */
extern int	segment_guc_evaluation_timeout;
extern int	segment_guc_hook_timeout;

/* segmentation.clock as an instant; 0 = not set: the real clock */
extern int64 segment_guc_clock;

/* segmentation.history_retention and segmentation.consumer_retention, in minutes; -1 = for ever */
extern int	segment_guc_history_retention;
extern int	segment_guc_consumer_retention;

/* Define all settings; from _PG_init. */
extern void segment_guc_init(void);

#endif							/* SEGMENT_GUC_H */

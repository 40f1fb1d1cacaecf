/*-------------------------------------------------------------------------
 *
 * segmentation.c
 *		Module load.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bitmap/bitmap.h"
#include "fmgr.h"
#include "guc.h"
#include "worker/worker.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	segment_bitmap_init();
	segment_guc_init();
	segment_worker_watch_plans();
	segment_worker_register_launcher();
}

/*-------------------------------------------------------------------------
 *
 * segmentation.c
 *		Module load, and the words that the code uses.
 *
 * subject table	the table whose rows are segmented (customers)
 * subject			a row of it, known by its id: an integer key, not negative
 * segment			a named condition on subjects, kept as a view
 * definition		its text: ON table WHERE condition, or AS other segments
 * source			a table that the condition reads, the subject table among them
 * link				how rows of a source belong to subjects
 * capture			what the triggers of a source record of a write
 * invalidation		a row of that record: these keys of this source, by this transaction
 * base				the members as the last refresh has stored them, in chunks
 * epoch			the snapshot and the clock that bases of a refresh stand for
 * pending			subjects for which the base may be wrong: touched since the epoch,
 *					left over by a refresh in parts, or due
 * deadline			when the passing of time may next change a subject
 * refresh			evaluating the pending subjects, and moving base and epoch forward
 * change			a row of the feed: who entered and left a segment in a refresh
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bitmap/bitmap.h"
#include "doorbell.h"
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
	segment_doorbell_init();
	segment_worker_watch_plans();
	segment_worker_register_launcher();
}

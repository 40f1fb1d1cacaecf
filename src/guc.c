/*-------------------------------------------------------------------------
 *
 * guc.c
 *		The settings segmentation.*, all of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "guc.h"
#include "utils/guc.h"

int			segment_guc_bitmap_output = SEGMENT_BITMAP_OUTPUT_RANGES;

static const struct config_enum_entry bitmap_output_options[] = {
	{"ranges", SEGMENT_BITMAP_OUTPUT_RANGES, false},
	{"ids", SEGMENT_BITMAP_OUTPUT_IDS, false},
	{"hex", SEGMENT_BITMAP_OUTPUT_HEX, false},
	{NULL, 0, false}
};

void
segment_guc_init(void)
{
	DefineCustomEnumVariable("segmentation.bitmap_output",
							 "How values of type segment.bitmap are written as text.",
							 "\"ranges\" is the shortest to read, \"ids\" is for programs that know "
							 "no ranges, \"hex\" is the fastest to write and read.",
							 &segment_guc_bitmap_output,
							 SEGMENT_BITMAP_OUTPUT_RANGES,
							 bitmap_output_options,
							 PGC_USERSET,
							 0,
							 NULL, NULL, NULL);

	/* behind the last setting */
	MarkGUCPrefixReserved("segmentation");
}

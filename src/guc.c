/*-------------------------------------------------------------------------
 *
 * guc.c
 *		The settings segmentation.*, all of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "guc.h"
#include "testing.h"
#include "utils/guc.h"

int			segment_guc_bitmap_output = SEGMENT_BITMAP_OUTPUT_RANGES;
int			segment_guc_cache_size = 64 * 1024;
#ifdef SEGMENTATION_MUTANTS
char	   *segment_mutant = NULL;
#endif

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

	DefineCustomIntVariable("segmentation.cache_size",
							"Memory that each session may use to keep the bases of segments.",
							"A base in memory makes a read some microseconds; one that has to be read "
							"from its table again costs about 0.2 ms for each million of dense ids. Raise it where sessions "
							"live long and read many large segments.",
							&segment_guc_cache_size,
							64 * 1024, 0, MAX_KILOBYTES,
							PGC_USERSET,
							GUC_UNIT_KB,
							NULL, NULL, NULL);
#ifdef SEGMENTATION_MUTANTS
	DefineCustomStringVariable("segmentation.mutant",
							   "Names the step of the protocol to leave out, for the tests of the tests.",
							   NULL,
							   &segment_mutant,
							   "",
							   PGC_USERSET,
							   0,
							   NULL, NULL, NULL);
#endif

	/* behind the last setting */
	MarkGUCPrefixReserved("segmentation");
}

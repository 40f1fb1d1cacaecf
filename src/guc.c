/*-------------------------------------------------------------------------
 *
 * guc.c
 *		The settings segmentation.*, all of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "compat.h"
#include "guc.h"
#include "testing.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

int			segment_guc_bitmap_output = SEGMENT_BITMAP_OUTPUT_RANGES;
int			segment_guc_read = SEGMENT_READ_EXACT;
int			segment_guc_cache_size = 64 * 1024;
bool		segment_guc_worker = true;
int			segment_guc_refresh_delay = 500;
int			segment_guc_naptime = 60;
int			segment_guc_max_refresh_workers = 2;
int			segment_guc_refresh_budget = 250000;
int			segment_guc_evaluation_timeout = 10 * 60 * 1000;
int			segment_guc_hook_timeout = 60 * 1000;
int64		segment_guc_clock = 0;
int			segment_guc_history_retention = 90 * 24 * 60;
int			segment_guc_consumer_retention = 30 * 24 * 60;
static char *clock_setting = NULL;
#ifdef SEGMENTATION_MUTANTS
char	   *segment_mutant = NULL;
char	   *segment_stop = NULL;
#endif

static const struct config_enum_entry bitmap_output_options[] = {
	{"ranges", SEGMENT_BITMAP_OUTPUT_RANGES, false},
	{"ids", SEGMENT_BITMAP_OUTPUT_IDS, false},
	{"hex", SEGMENT_BITMAP_OUTPUT_HEX, false},
	{NULL, 0, false}
};

static const struct config_enum_entry read_options[] = {
	{"exact", SEGMENT_READ_EXACT, false},
	{"refreshed", SEGMENT_READ_REFRESHED, false},
	{NULL, 0, false}
};

static int64 *
guc_malloc_int64(int64 value)
{
	/*
	 * what hangs on a setting must come from malloc, or from guc_malloc()
	 * since 16
	 */
	int64	   *copy = segment_compat_guc_malloc(sizeof(int64));

	if (copy != NULL)
		*copy = value;
	return copy;
}

/* An absolute instant, which needs no catalog to be read: 'infinity' and 'now' are none. */
static bool
check_clock(char **newval, void **extra, GucSource source)
{
	char		work[MAXDATELEN + MAXDATEFIELDS];
	char	   *field[MAXDATEFIELDS];
	int			ftype[MAXDATEFIELDS];
	int			nf;
	int			dtype;
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz = 0;
	TimestampTz clock = 0;
	int64	   *result;

	if (**newval != '\0')
	{
		if (ParseDateTime(*newval, work, sizeof(work), field, ftype, MAXDATEFIELDS, &nf) != 0 ||
			segment_compat_decode_datetime(field, ftype, nf, &dtype, &tm, &fsec, &tz) != 0 ||
			dtype != DTK_DATE || tm2timestamp(&tm, fsec, &tz, &clock) != 0)
		{
			GUC_check_errdetail("It must be a date and time, or empty.");
			return false;
		}
		if (clock == 0)
			clock = 1;			/* 2000-01-01 00:00 UTC, a microsecond later */
	}
	result = guc_malloc_int64(clock);
	if (result == NULL)
		return false;
	*extra = result;
	return true;
}

static void
assign_clock(const char *newval, void *extra)
{
	segment_guc_clock = extra ? *(int64 *) extra : 0;
}

/* A worker that leaves sooner than that could not keep its promise, see doorbell.c. */
static bool
check_naptime(int *newval, void **extra, GucSource source)
{
	if (*newval == 0)
	{
		GUC_check_errdetail("It must be -1, or at least one second.");
		return false;
	}
	return true;
}

/* The worker of a database, and how it works. */
static void
define_worker_settings(void)
{
	DefineCustomBoolVariable("segmentation.worker",
							 "Lets a background worker refresh segments.",
							 "Turn it off where workers are scarce or refreshes have their hours, and call segment.refresh_all() "
							 "yourself; reads are exact all the same. For one database: ALTER DATABASE ... SET.",
							 &segment_guc_worker,
							 true,
							 PGC_SUSET,
							 0,
							 NULL, NULL, NULL);

	DefineCustomIntVariable("segmentation.refresh_delay",
							"Time from a commit to the refresh that it causes.",
							"Commits that come within it are refreshed together. Raise it to spend less on refreshes where "
							"writes are frequent; lower it where changes must be announced soon. Reads are exact whatever it is.",
							&segment_guc_refresh_delay,
							500, 0, 3600 * 1000,
							PGC_SUSET,
							GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomIntVariable("segmentation.naptime",
							"Time that the worker stays when there is nothing to do.",
							"A worker takes one of max_worker_processes. Lower it to give that back sooner; raise it, or set -1 for "
							"ever, to spare writers the start of a new one. It is also how long the worker waits at most between looks for COMMIT PREPARED.",
							&segment_guc_naptime,
							60, -1, 24 * 3600,
							PGC_SUSET,
							GUC_UNIT_S,
							check_naptime, NULL, NULL);

	DefineCustomIntVariable("segmentation.max_refresh_workers",
							"Processes that may refresh the segments of one database at a time.",
							"Subject tables are refreshed in parallel where that takes long. Raise it with many large subject tables and "
							"idle processors; 1 keeps refreshes to one process. They count against max_worker_processes.",
							&segment_guc_max_refresh_workers,
							2, 1, 64,
							PGC_SUSET,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("segmentation.refresh_budget",
							"Subjects that the worker evaluates in one transaction.",
							"Lower it where its transactions last too long: they hold back vacuum, and what they did is lost when they "
							"are canceled. Raise it to catch up sooner after bulk loads.",
							&segment_guc_refresh_budget,
							250000, 1, INT_MAX,
							PGC_SUSET,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("segmentation.evaluation_timeout",
							"Time that the worker gives one evaluation.",
							"A condition that takes longer, one that calls a function which waits for something, say, fails like one with an "
							"error, instead of holding up all others. Raise it where whole tables take longer to read; 0 sets no limit.",
							&segment_guc_evaluation_timeout,
							10 * 60 * 1000, 0, INT_MAX,
							PGC_SUSET,
							GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomIntVariable("segmentation.hook_timeout",
							"Time that a refresh gives one call of a hook.",
							"A hook runs in the transaction of the refresh, and others wait for it. One that takes longer fails, and what it did is "
							"undone. Lower it where refreshes must be swift, raise it for hooks with much to do; 0 sets no limit.",
							&segment_guc_hook_timeout,
							60 * 1000, 0, INT_MAX,
							PGC_SUSET,
							GUC_UNIT_MS,
							NULL, NULL, NULL);
}

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

	DefineCustomEnumVariable("segmentation.read",
							 "What reads of segments show.",
							 "\"exact\" is the truth of now. \"refreshed\" is the state of the last refresh, with no evaluation at all: for "
							 "dashboards that prefer microseconds; segment.status shows its age. A segment that is not built is evaluated all the same.",
							 &segment_guc_read,
							 SEGMENT_READ_EXACT,
							 read_options,
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

	DefineCustomStringVariable("segmentation.stop",
							   "Names the point at which the process kills itself, for the tests.",
							   NULL,
							   &segment_stop,
							   "",
							   PGC_USERSET,
							   0,
							   NULL, NULL, NULL);
#endif

	DefineCustomStringVariable("segmentation.clock",
							   "What now() means to segments, instead of the real time.",
							   "For tests, and for reads that ask who will be a member at another time. A clock before that "
							   "of a segment's base means evaluation in full; a refresh stamps the base with it. Empty is the real time.",
							   &clock_setting,
							   "",
							   PGC_SUSET,
							   GUC_NOT_IN_SAMPLE,
							   check_clock, assign_clock, NULL);

	DefineCustomIntVariable("segmentation.history_retention",
							"How long entries and exits of segments are kept.",
							"It is how far back segment.members(segment, at) and its kin can see; -1 keeps all, 0 no more than "
							"consumers need. Lower it where the feed takes too much room, raise it where the past is asked for.",
							&segment_guc_history_retention,
							90 * 24 * 60, -1, INT_MAX,
							PGC_SUSET,
							GUC_UNIT_MIN,
							NULL, NULL, NULL);

	DefineCustomIntVariable("segmentation.consumer_retention",
							"How long entries and exits are kept for a consumer that has not acknowledged them.",
							"A consumer that nobody runs any more would otherwise keep the feed growing for ever. It matters where "
							"it is longer than segmentation.history_retention; -1 sets no limit. A consumer that was left behind is told so.",
							&segment_guc_consumer_retention,
							30 * 24 * 60, -1, INT_MAX,
							PGC_SUSET,
							GUC_UNIT_MIN,
							NULL, NULL, NULL);

	define_worker_settings();

	/* behind the last setting */
	MarkGUCPrefixReserved("segmentation");
}

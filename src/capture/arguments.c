/*-------------------------------------------------------------------------
 *
 * arguments.c
 *		Captures as text, and what one list of captures owes another.
 *
 * The arguments of the triggers of a source are the only place where it is
 * written what to record: they travel with the relation cache, so a writer
 * that holds its lock on the source works by the arguments that are in force.
 *
 *		argument = [ '!' ] key ':' [ column { ',' column } ]
 *
 * key and columns are attribute numbers in decimal.  Printed columns are
 * ascending, each once, and hold the key unless it is 0; printed lists are
 * ascending by key, each key once.  So equal lists print alike.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/attnum.h"
#include "lib/stringinfo.h"

#include "capture/internal.h"

/* A decimal attribute number at *text, which is moved behind it; -1 if there is none. */
static int
parse_number(const char **text)
{
	const char *at = *text;
	int			number = 0;

	if (*at < '0' || *at > '9')
		return -1;
	for (; *at >= '0' && *at <= '9'; at++)
	{
		number = number * 10 + (*at - '0');
		if (number > PG_INT16_MAX)
			return -1;
	}
	*text = at;
	return number;
}

SegmentCapture *
segment_capture_parse(const char *text)
{
	SegmentCapture *capture = palloc0(sizeof(SegmentCapture));
	int			number;

	if (*text == '!')
	{
		capture->nullTouchesAll = true;
		text++;
	}
	number = parse_number(&text);
	if (number < 0 || *text++ != ':')
		return NULL;
	capture->key = number;
	if (capture->key != 0)
		capture->columns = bms_add_member(capture->columns, capture->key);

	while (*text != '\0')
	{
		number = parse_number(&text);
		if (number <= 0)
			return NULL;
		capture->columns = bms_add_member(capture->columns, number);
		if (*text == ',' && text[1] != '\0')
			text++;
		else if (*text != '\0')
			return NULL;
	}
	return capture;
}

char *
segment_capture_print(const SegmentCapture *capture)
{
	StringInfoData text;
	int			column = -1;
	const char *separator = "";

	initStringInfo(&text);
	appendStringInfo(&text, "%s%d:", capture->nullTouchesAll ? "!" : "", capture->key);
	while ((column = bms_next_member(capture->columns, column)) >= 0)
	{
		appendStringInfo(&text, "%s%d", separator, column);
		separator = ",";
	}
	return text.data;
}

/* The capture on a key in a list, or NULL. */
static SegmentCapture *
find_key(const List *captures, AttrNumber key)
{
	ListCell   *lc;

	foreach(lc, captures)
	{
		SegmentCapture *capture = lfirst(lc);

		if (capture->key == key)
			return capture;
	}
	return NULL;
}

static int
compare_keys(const ListCell *a, const ListCell *b)
{
	return ((SegmentCapture *) lfirst(a))->key - ((SegmentCapture *) lfirst(b))->key;
}

/* Add copies of the captures of a list to a merged list. */
static List *
merge_into(List *merged, const List *captures)
{
	ListCell   *lc;

	foreach(lc, captures)
	{
		SegmentCapture *capture = lfirst(lc);
		SegmentCapture *target = find_key(merged, capture->key);

		if (target == NULL)
		{
			target = palloc0(sizeof(SegmentCapture));
			target->key = capture->key;
			if (target->key != 0)
				target->columns = bms_make_singleton(target->key);
			merged = lappend(merged, target);
		}
		target->columns = bms_add_members(target->columns, capture->columns);
		target->nullTouchesAll |= capture->nullTouchesAll;
	}
	return merged;
}

List *
segment_capture_merge(const List *a, const List *b)
{
	List	   *merged = merge_into(merge_into(NIL, a), b);

	list_sort(merged, compare_keys);
	return merged;
}

bool
segment_capture_includes(const List *have, const List *need)
{
	ListCell   *lc;

	foreach(lc, need)
	{
		SegmentCapture *needed = lfirst(lc);
		SegmentCapture *present = find_key(have, needed->key);

		if (present == NULL)
			return false;
		if (needed->nullTouchesAll && !present->nullTouchesAll)
			return false;
		if (!bms_is_subset(needed->columns, present->columns))
			return false;
	}
	return true;
}

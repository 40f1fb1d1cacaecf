/*-------------------------------------------------------------------------
 *
 * set.c
 *		Sets of ids in memory: what bitmap.h offers to the other rooms.
 *
 * A set is an array of slots, one per upper half of an id.  What was read
 * from bytes stays bytes until somebody asks for more than copying: a slot
 * that only one of two operands has is copied through a union as it is, and
 * counts come from its header.  CRoaring then reads the bytes in place (a
 * view); only changing them makes a copy.
 *
 * What is read of the bytes of a view was checked (format.c), since CRoaring
 * trusts them.  A set allocates in its own context only, whatever the current one is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bitmap/set.h"
#include "bitmap/toast.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* Slots that range operations may make: far more than fit into 1 GB. */
#define SEGMENT_MAX_NEW_SLOTS 1200

#define FULL_SLOT PG_UINT32_MAX

/* Results of so many containers are kept as bytes. */
#define COMPACT_FROM 8192

/* An aggregate goes on with bitsets after so many inputs. */
#define BITSETS_FROM 16

void
segment_too_large(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("bitmap is too large"),
			 errdetail("A bitmap takes up to 1 GB.")));
}

int64
segment_check_id(int64 id)
{
	if (id < 0)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("id " INT64_FORMAT " is negative", id),
				 errdetail("Ids of a bitmap are from 0 to 9223372036854775807.")));
	return id;
}

static void
report_mistake(const char *reason, size_t where, size_t size, int errcode_of_mistake)
{
	if (reason != NULL)
		ereport(ERROR,
				(errcode(errcode_of_mistake),
				 errcode_of_mistake == ERRCODE_DATA_CORRUPTED ?
				 errmsg("stored bitmap is damaged") :
				 errmsg("invalid bytes for type %s", "segment.bitmap"),
				 errdetail("At byte %zu of %zu: %s.", where, size, reason)));
}

/* One of two sets has a container that is not right: say where. */
static void
report_damaged(const SegmentBitmap *a, const SegmentBitmap *b)
{
	if (a->unchecked != NULL)
		segment_set_check(VARDATA_ANY(a->unchecked), VARSIZE_ANY_EXHDR(a->unchecked), ERRCODE_DATA_CORRUPTED);
	if (b->unchecked != NULL)
		segment_set_check(VARDATA_ANY(b->unchecked), VARSIZE_ANY_EXHDR(b->unchecked), ERRCODE_DATA_CORRUPTED);
	elog(ERROR, "bitmap changed while it was read");
}

void
segment_set_check(const char *bytes, size_t size, int errcode_of_mistake)
{
	size_t		where;
	const char *reason = segment_format_check(bytes, size, &where);

	report_mistake(reason, where, size, errcode_of_mistake);
}

static SegmentBitmap *
make_set(uint32 allocated)
{
	SegmentBitmap *set = palloc(sizeof(SegmentBitmap));

	set->context = CurrentMemoryContext;
	set->slots = allocated == 0 ? NULL :
		MemoryContextAllocHuge(set->context, sizeof(SegmentSlot) * (Size) allocated);
	set->nslots = 0;
	set->allocated = allocated;
	set->last = 0;
	set->lazy = false;
	set->accumulated = 0;
	set->unchecked = NULL;
	return set;
}

SegmentBitmap *
segment_bitmap_create(void)
{
	return make_set(1);
}

static void
clear_slot(SegmentSlot *slot)
{
	if (slot->map != NULL)
		croaring.bitmap_free(slot->map);
	if (slot->owned)
		segment_scratch_free(unconstify(char *, slot->bytes));
	slot->map = NULL;
	slot->bytes = NULL;
	slot->size = 0;
	slot->owned = false;
}

void
segment_bitmap_free(SegmentBitmap *set)
{
	for (uint32 i = 0; i < set->nslots; i++)
		clear_slot(&set->slots[i]);
	if (set->slots != NULL)
		pfree(set->slots);
	pfree(set);
}

/* Make room for n slots in all. */
static void
make_room(SegmentBitmap *set, uint32 n)
{
	if (n <= set->allocated)
		return;
	set->allocated = Max(n, Max(4, 2 * set->allocated));
	if (set->slots == NULL)
		set->slots = MemoryContextAllocHuge(set->context,
											sizeof(SegmentSlot) * (Size) set->allocated);
	else
		set->slots = repalloc_huge(set->slots, sizeof(SegmentSlot) * (Size) set->allocated);
}

/* Room for one more slot at position i, which the caller fills. */
static SegmentSlot *
insert_slot(SegmentBitmap *set, uint32 i)
{
	make_room(set, set->nslots + 1);
	memmove(set->slots + i + 1, set->slots + i, sizeof(SegmentSlot) * (Size) (set->nslots - i));
	set->nslots++;
	return &set->slots[i];
}

static void
set_slot(SegmentSlot *slot, uint32 high, roaring_bitmap_t *map)
{
	slot->high = high;
	slot->size = 0;
	slot->owned = false;
	slot->bytes = NULL;
	slot->map = map;
}

/* Take away the slots from first up to, not including, last. */
static void
delete_slots(SegmentBitmap *set, uint32 first, uint32 last)
{
	for (uint32 i = first; i < last; i++)
		clear_slot(&set->slots[i]);
	memmove(set->slots + first, set->slots + last,
			sizeof(SegmentSlot) * (Size) (set->nslots - last));
	set->nslots -= last - first;
	set->last = 0;
}

/* Position of the first slot with high >= this one, of those from first up to, not including, end. */
static uint32
find_between(const SegmentBitmap *set, uint32 first, uint32 end, uint32 high)
{
	while (first < end)
	{
		uint32		middle = (first + end) / 2;

		if (set->slots[middle].high < high)
			first = middle + 1;
		else
			end = middle;
	}
	return first;
}

/* The same of those behind "before", which has a lower one: fast where it is not far. */
static uint32
find_behind(const SegmentBitmap *set, uint32 before, uint32 high)
{
	uint32		step = 1;

	while (step < set->nslots - before && set->slots[before + step].high < high)
		step *= 2;
	return find_between(set, before + step / 2 + 1, before + Min(step, set->nslots - before), high);
}

uint32
segment_set_find(const SegmentBitmap *set, uint32 high)
{
	uint32		end = set->nslots;

	if (set->last < end && set->slots[set->last].high == high)
		return set->last;
	if (end > 0 && set->slots[end - 1].high < high)
		return end;
	return ((SegmentBitmap *) set)->last = find_between(set, 0, end, high);
}

static bool
has_slot(const SegmentBitmap *set, uint32 i, uint32 high)
{
	return i < set->nslots && set->slots[i].high == high;
}

roaring_bitmap_t *
segment_slot_map(const SegmentBitmap *set, uint32 i)
{
	SegmentSlot *slot = &set->slots[i];

	if (slot->map == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(set->context);
		SegmentBucket bucket;

		Assert(set->unchecked == NULL);
		segment_format_open(slot->bytes, &bucket);
		slot->map = segment_bucket_view(&bucket);
		MemoryContextSwitchTo(old);
	}
	return slot->map;
}

void
segment_copy(char *to, const char *from, size_t size)
{
	for (size_t done = 0; done < size; done += SEGMENT_COPY_BLOCK)
	{
		CHECK_FOR_INTERRUPTS();
		memcpy(to + done, from + done, Min(size - done, SEGMENT_COPY_BLOCK));
	}
}

/* A copy of a slot, in the current context. */
static void
copy_slot(SegmentSlot *to, const SegmentSlot *from)
{
	set_slot(to, from->high, NULL);
	if (from->bytes != NULL)
	{
		char	   *bytes = segment_scratch_alloc(from->size);

		segment_copy(bytes, from->bytes, from->size);
		to->size = from->size;
		to->bytes = bytes;
		to->owned = true;
	}
	else
		to->map = croaring.bitmap_copy(from->map);
}

/* A copy of a slot's ids as a map of its own, in the current context. */
static roaring_bitmap_t *
copy_map(const SegmentSlot *slot)
{
	if (slot->bytes != NULL)
		return croaring.bitmap_portable_deserialize_safe(slot->bytes, slot->size);
	return croaring.bitmap_copy(slot->map);
}

/* The bytes that segment_map_write() may take. */
static size_t
map_bound(const roaring_bitmap_t *map)
{
	return croaring.bitmap_portable_size_in_bytes(map) + segment_map_written_more(map);
}

/*
 * Turn a map into bytes.  Maps of many containers take several times the
 * memory of their bytes, and a range of ids may make a thousand of them.
 */
static void
compact_slot(SegmentBitmap *set, uint32 i)
{
	MemoryContext old = MemoryContextSwitchTo(set->context);
	SegmentSlot *slot = &set->slots[i];
	uint32		high = slot->high;
	char	   *bytes;
	size_t		size;

	croaring.bitmap_run_optimize(slot->map);
	bytes = segment_scratch_alloc(map_bound(slot->map));
	size = segment_map_write(slot->map, bytes) - bytes;
	clear_slot(slot);
	set_slot(slot, high, NULL);
	slot->bytes = bytes;
	slot->size = (uint32) size;
	slot->owned = true;
	MemoryContextSwitchTo(old);
}

void
segment_set_canonicalize(SegmentBitmap *set)
{
	for (uint32 i = 0; i < set->nslots; i++)
	{
		SegmentBucket bucket;

		CHECK_FOR_INTERRUPTS();
		segment_format_open(set->slots[i].bytes, &bucket);
		if (segment_format_is_canonical(&bucket))
			continue;
		segment_slot_own(set, i);
		compact_slot(set, i);
	}
}

/* Make a slot hold all ids with its upper half.  All such slots share one copy of the bytes. */
static void
fill_slot(SegmentBitmap *set, uint32 high)
{
	static char *bytes = NULL;
	static uint32 size;
	uint32		i = segment_set_find(set, high);

	if (bytes == NULL)
	{
		roaring_bitmap_t *map = croaring.bitmap_from_range(0, (uint64) FULL_SLOT + 1, 1);

		size = (uint32) croaring.bitmap_portable_size_in_bytes(map);
		bytes = MemoryContextAlloc(TopMemoryContext, size);
		croaring.bitmap_portable_serialize(map, bytes);
		croaring.bitmap_free(map);
	}
	if (has_slot(set, i, high))
		clear_slot(&set->slots[i]);
	else
		insert_slot(set, i);
	set_slot(&set->slots[i], high, NULL);
	set->slots[i].bytes = bytes;
	set->slots[i].size = size;
}

roaring_bitmap_t *
segment_slot_own(SegmentBitmap *set, uint32 i)
{
	SegmentSlot *slot = &set->slots[i];

	if (slot->bytes != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(set->context);
		roaring_bitmap_t *map = copy_map(slot);

		clear_slot(slot);
		slot->map = map;
		MemoryContextSwitchTo(old);
	}
	return slot->map;
}

/* The map for ids with this upper half, new if there is none yet.  Caller adds to it. */
static roaring_bitmap_t *
map_for(SegmentBitmap *set, uint32 high)
{
	uint32		i = segment_set_find(set, high);

	if (!has_slot(set, i, high))
	{
		roaring_bitmap_t *map = croaring.bitmap_create_with_capacity(0);

		set_slot(insert_slot(set, i), high, map);
		set->last = i;
	}
	return segment_slot_own(set, i);
}

/* The slot has lost ids: take it away if none is left. */
static void
drop_if_empty(SegmentBitmap *set, uint32 i)
{
	if (croaring.bitmap_is_empty(set->slots[i].map))
		delete_slots(set, i, i + 1);
}

SegmentBitmap *
segment_bitmap_copy(const SegmentBitmap *set)
{
	SegmentBitmap *copy = make_set(set->nslots);

	Assert(!set->lazy);
	for (uint32 i = 0; i < set->nslots; i++)
	{
		copy_slot(&copy->slots[i], &set->slots[i]);
		copy->nslots++;
		CHECK_FOR_INTERRUPTS();
	}
	return copy;
}

void
segment_bitmap_add(SegmentBitmap *set, int64 id)
{
	segment_set_add_ids(set, &id, 1);
}

void
segment_set_add_ids(SegmentBitmap *set, const int64 *ids, size_t n)
{
	MemoryContext old = MemoryContextSwitchTo(set->context);
	uint32		low[SEGMENT_READ_BLOCK];

	for (size_t i = 0; i < n;)
	{
		uint32		high = segment_id_high(ids[i]);
		int			nlow = 0;

		Assert(ids[i] >= 0);
		while (i < n && nlow < SEGMENT_READ_BLOCK && segment_id_high(ids[i]) == high)
			low[nlow++] = segment_id_low(ids[i++]);
		croaring.bitmap_add_many(map_for(set, high), nlow, low);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextSwitchTo(old);
}

/* The part of first .. last with this upper half. */
static inline uint32
range_begin(int64 first, uint32 high)
{
	return segment_id_high(first) == high ? segment_id_low(first) : 0;
}

static inline uint32
range_end(int64 last, uint32 high)
{
	return segment_id_high(last) == high ? segment_id_low(last) : FULL_SLOT;
}

bool
segment_range_fits(int64 first, int64 last)
{
	return segment_id_high(last) - segment_id_high(first) < SEGMENT_MAX_NEW_SLOTS;
}

static void
check_range_size(int64 first, int64 last)
{
	if (!segment_range_fits(first, last))
		segment_too_large();
}

void
segment_bitmap_add_range(SegmentBitmap *set, int64 first, int64 last)
{
	MemoryContext old = MemoryContextSwitchTo(set->context);

	if (first <= last)
	{
		check_range_size(first, last);
		for (uint32 high = segment_id_high(first); high <= segment_id_high(last); high++)
		{
			uint32		begin = range_begin(first, high);
			uint32		end = range_end(last, high);

			if (begin == 0 && end == FULL_SLOT)
				fill_slot(set, high);
			else
				croaring.bitmap_add_range_closed(map_for(set, high), begin, end);
			CHECK_FOR_INTERRUPTS();
		}
	}
	MemoryContextSwitchTo(old);
}

void
segment_bitmap_remove(SegmentBitmap *set, int64 id)
{
	segment_bitmap_remove_range(set, id, id);
}

void
segment_bitmap_remove_range(SegmentBitmap *set, int64 first, int64 last)
{
	MemoryContext old = MemoryContextSwitchTo(set->context);
	uint32		i = first <= last ? segment_set_find(set, segment_id_high(first)) : set->nslots;

	while (i < set->nslots && set->slots[i].high <= segment_id_high(last))
	{
		uint32		high = set->slots[i].high;
		uint32		begin = range_begin(first, high);
		uint32		end = range_end(last, high);
		uint32		before = set->nslots;

		if (begin == 0 && end == FULL_SLOT)
		{
			uint32		j = i + 1;

			while (j < set->nslots && set->slots[j].high < segment_id_high(last))
				j++;
			delete_slots(set, i, j);
			continue;
		}
		if (begin == end)
			croaring.bitmap_remove(segment_slot_own(set, i), begin);
		else
			croaring.bitmap_remove_range_closed(segment_slot_own(set, i), begin, end);
		drop_if_empty(set, i);
		i += 1 - (before - set->nslots);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextSwitchTo(old);
}

void
segment_set_flip(SegmentBitmap *set, int64 first, int64 last)
{
	MemoryContext old = MemoryContextSwitchTo(set->context);

	if (first <= last)
	{
		check_range_size(first, last);
		for (uint32 high = segment_id_high(first); high <= segment_id_high(last); high++)
		{
			uint32		begin = range_begin(first, high);
			uint32		end = range_end(last, high);

			if (begin == 0 && end == FULL_SLOT &&
				!has_slot(set, segment_set_find(set, high), high))
				fill_slot(set, high);
			else
			{
				croaring.bitmap_flip_inplace_closed(map_for(set, high), begin, end);
				drop_if_empty(set, segment_set_find(set, high));
			}
			CHECK_FOR_INTERRUPTS();
		}
	}
	MemoryContextSwitchTo(old);
}

/* Add to "set" the ids of map, whose upper half is high, plus this offset of less than 2^32. */
static void
add_shifted(SegmentBitmap *set, const roaring_bitmap_t *map, int64 high, int64 offset)
{
	roaring_bitmap_t *moved;

	if (high < 0 || high > SEGMENT_HIGH_MAX)
		return;
	moved = croaring.bitmap_add_offset(map, offset);
	if (!croaring.bitmap_is_empty(moved))
		croaring.bitmap_or_inplace(map_for(set, (uint32) high), moved);
	croaring.bitmap_free(moved);
}

SegmentBitmap *
segment_set_shift(const SegmentBitmap *set, int64 offset)
{
	SegmentBitmap *result = make_set(set->nslots + 1);
	int64		high = offset >> 32;	/* towards minus infinity */
	int64		low = offset & 0xffffffff;

	for (uint32 i = 0; i < set->nslots; i++)
	{
		const roaring_bitmap_t *map = segment_slot_map(set, i);

		add_shifted(result, map, set->slots[i].high + high, low);
		if (low != 0)
			add_shifted(result, map, set->slots[i].high + high + 1, low - ((int64) 1 << 32));
		CHECK_FOR_INTERRUPTS();
	}
	return result;
}

bool
segment_bitmap_contains(const SegmentBitmap *set, int64 id)
{
	uint32		high = segment_id_high(id);
	uint32		low = segment_id_low(id);
	uint32		i = segment_set_find(set, high);
	roaring_bulk_context_t context = {0};

	if (!has_slot(set, i, high))
		return false;
	if (set->slots[i].bytes != NULL && set->slots[i].map == NULL)
	{
		SegmentBucket bucket;
		SegmentContainer container;
		uint32		n;

		segment_format_open(set->slots[i].bytes, &bucket);
		n = segment_format_find(&bucket, low >> 16);
		if (n == bucket.ncontainers || segment_bucket_key(&bucket, n) != low >> 16)
			return false;
		segment_format_container(&bucket, n, &container);
		return segment_container_contains(&container, low & 0xffff);
	}
	return croaring.bitmap_contains_bulk(set->slots[i].map, &context, low);
}

bool
segment_bitmap_is_empty(const SegmentBitmap *set)
{
	return set->nslots == 0;
}

/* CRoaring's own comparison of two maps is left alone: it reads views with aligned loads in some versions. */
bool
segment_bitmap_equals(const SegmentBitmap *a, const SegmentBitmap *b)
{
	if (a->nslots != b->nslots)
		return false;
	for (uint32 i = 0; i < a->nslots; i++)
	{
		int64		cardinality = segment_slot_cardinality(a, i);

		if (a->slots[i].high != b->slots[i].high ||
			cardinality != segment_slot_cardinality(b, i))
			return false;
	}
	for (uint32 i = 0; i < a->nslots; i++)
	{
		if (croaring.bitmap_and_cardinality(segment_slot_map(a, i), segment_slot_map(b, i)) !=
			segment_slot_cardinality(a, i))
			return false;
		CHECK_FOR_INTERRUPTS();
	}
	return true;
}

int64
segment_slot_cardinality(const SegmentBitmap *set, uint32 i)
{
	const SegmentSlot *slot = &set->slots[i];
	SegmentBucket bucket;
	int64		count;

	if (slot->bytes == NULL)
		return croaring.bitmap_get_cardinality(slot->map);
	segment_format_open(slot->bytes, &bucket);
	count = bucket.ncontainers;
	for (uint32 j = 0; j < bucket.ncontainers; j++)
		count += segment_read16(bucket.keys + 4 * j + 2);
	return count;
}

int64
segment_bitmap_cardinality(const SegmentBitmap *set)
{
	int64		count = 0;

	for (uint32 i = 0; i < set->nslots; i++)
	{
		count += segment_slot_cardinality(set, i);
		CHECK_FOR_INTERRUPTS();
	}
	return count;
}

int64
segment_bitmap_range_cardinality(const SegmentBitmap *set, int64 first, int64 last)
{
	int64		count = 0;

	if (first > last)
		return 0;
	for (uint32 i = segment_set_find(set, segment_id_high(first));
		 i < set->nslots && set->slots[i].high <= segment_id_high(last); i++)
	{
		uint32		begin = range_begin(first, set->slots[i].high);
		uint32		end = range_end(last, set->slots[i].high);

		if (begin == 0 && end == FULL_SLOT)
			count += segment_slot_cardinality(set, i);
		else
			count += croaring.bitmap_range_cardinality_closed(segment_slot_map(set, i), begin, end);
		CHECK_FOR_INTERRUPTS();
	}
	return count;
}

/* Walk the slots that both sets have. */
#define FOR_COMMON_SLOTS(a, i, b, j) \
	for (uint32 i = 0, j = 0; next_common(a, &i, b, &j); i++, j++)

static bool
next_common(const SegmentBitmap *a, uint32 *i, const SegmentBitmap *b, uint32 *j)
{
	CHECK_FOR_INTERRUPTS();
	while (*i < a->nslots && *j < b->nslots)
	{
		uint32		left = a->slots[*i].high;
		uint32		right = b->slots[*j].high;

		if (left == right)
			return true;
		if (left < right)
			*i = find_behind(a, *i, right);
		else
			*j = find_behind(b, *j, left);
		CHECK_FOR_INTERRUPTS();
	}
	return false;
}

/* Is a slot still nothing but the bytes it was read as? */
static bool
is_bytes(const SegmentBitmap *set, uint32 i)
{
	return set->slots[i].bytes != NULL && set->slots[i].map == NULL;
}

/* Maps with all containers that two slots with the same upper half both have, for reading. */
typedef struct Meeting
{
	roaring_bitmap_t *a;
	roaring_bitmap_t *b;
	bool		made;			/* for this */
} Meeting;

static Meeting
meet(const SegmentBitmap *a, uint32 i, const SegmentBitmap *b, uint32 j)
{
	Meeting		meeting = {.made = is_bytes(a, i) && is_bytes(b, j)};
	SegmentBucket bucketA;
	SegmentBucket bucketB;

	if (!meeting.made)
	{
		meeting.a = segment_slot_map(a, i);
		meeting.b = segment_slot_map(b, j);
		return meeting;
	}
	segment_format_open(a->slots[i].bytes, &bucketA);
	segment_format_open(b->slots[j].bytes, &bucketB);
	if (!segment_buckets_meet(&bucketA, a->unchecked == NULL, &bucketB, b->unchecked == NULL,
							  &meeting.a, &meeting.b))
		report_damaged(a, b);
	return meeting;
}

static void
part(Meeting *meeting)
{
	if (meeting->made)
	{
		croaring.bitmap_free(meeting->a);
		croaring.bitmap_free(meeting->b);
	}
}

int64
segment_bitmap_and_cardinality(const SegmentBitmap *a, const SegmentBitmap *b)
{
	int64		count = 0;

	FOR_COMMON_SLOTS(a, i, b, j)
	{
		Meeting		meeting = meet(a, i, b, j);

		count += croaring.bitmap_and_cardinality(meeting.a, meeting.b);
		part(&meeting);
	}
	return count;
}

bool
segment_set_intersects(const SegmentBitmap *a, const SegmentBitmap *b)
{
	FOR_COMMON_SLOTS(a, i, b, j)
	{
		Meeting		meeting = meet(a, i, b, j);
		bool		found = croaring.bitmap_intersect(meeting.a, meeting.b);

		part(&meeting);
		if (found)
			return true;
	}
	return false;
}

bool
segment_set_is_subset(const SegmentBitmap *a, const SegmentBitmap *b)
{
	uint32		found = 0;

	if (a->nslots > b->nslots)
		return false;
	FOR_COMMON_SLOTS(a, i, b, j)
	{
		if (!croaring.bitmap_is_subset(segment_slot_map(a, i), segment_slot_map(b, j)))
			return false;
		found++;
	}
	return found == a->nslots;
}

int64
segment_bitmap_min(const SegmentBitmap *set)
{
	const SegmentSlot *slot = set->slots;
	SegmentBucket bucket;
	SegmentContainer container;

	if (set->nslots == 0)
		return -1;
	if (slot->bytes == NULL)
		return segment_id_make(slot->high, croaring.bitmap_minimum(slot->map));
	segment_format_open(slot->bytes, &bucket);
	segment_format_container(&bucket, 0, &container);
	return segment_id_make(slot->high,
						   (uint32) container.key << 16 | segment_container_min(&container));
}

int64
segment_bitmap_max(const SegmentBitmap *set)
{
	const SegmentSlot *slot;
	SegmentBucket bucket;
	SegmentContainer container;

	if (set->nslots == 0)
		return -1;
	slot = &set->slots[set->nslots - 1];
	if (slot->bytes == NULL)
		return segment_id_make(slot->high, croaring.bitmap_maximum(slot->map));
	segment_format_open(slot->bytes, &bucket);
	segment_format_container(&bucket, bucket.ncontainers - 1, &container);
	return segment_id_make(slot->high,
						   (uint32) container.key << 16 | segment_container_max(&container));
}

int64
segment_set_rank(const SegmentBitmap *set, int64 id)
{
	int64		count = 0;
	uint32		high = segment_id_high(id);

	for (uint32 i = 0; i < set->nslots && set->slots[i].high <= high; i++)
	{
		if (set->slots[i].high < high)
			count += segment_slot_cardinality(set, i);
		else
			count += croaring.bitmap_rank(segment_slot_map(set, i), segment_id_low(id));
		CHECK_FOR_INTERRUPTS();
	}
	return count;
}

int64
segment_set_select(const SegmentBitmap *set, int64 n)
{
	uint32		low;

	for (uint32 i = 0; n >= 0 && i < set->nslots; i++)
	{
		int64		cardinality = segment_slot_cardinality(set, i);

		if (n < cardinality)
		{
			if (!croaring.bitmap_select(segment_slot_map(set, i), (uint32) n, &low))
				return -1;
			return segment_id_make(set->slots[i].high, low);
		}
		n -= cardinality;
		CHECK_FOR_INTERRUPTS();
	}
	return -1;
}

/* Append a slot that shares another set's memory. */
static void
append_shared(SegmentBitmap *set, const SegmentSlot *slot)
{
	SegmentSlot *shared = insert_slot(set, set->nslots);

	*shared = *slot;
	shared->owned = false;
}

static void
append_map(SegmentBitmap *set, uint32 high, roaring_bitmap_t *map)
{
	if (croaring.bitmap_is_empty(map))
	{
		croaring.bitmap_free(map);
		return;
	}
	set_slot(insert_slot(set, set->nslots), high, map);
	if (map->high_low_container.size >= COMPACT_FROM)
		compact_slot(set, set->nslots - 1);
}

/* Append a op b of two slots with the same upper half. */
static void
append_combined(SegmentBitmap *result, SegmentOperation op, const SegmentBitmap *a, uint32 i,
				const SegmentBitmap *b, uint32 j)
{
	uint32		high = a->slots[i].high;
	SegmentBucket bucketA;
	SegmentBucket bucketB;
	roaring_bitmap_t *map;
	char	   *bytes = NULL;
	size_t		size = 0;

	if (op == SEGMENT_AND)
	{
		Meeting		meeting = meet(a, i, b, j);

		map = croaring.bitmap_and(meeting.a, meeting.b);
		part(&meeting);
	}
	else if (is_bytes(a, i) && is_bytes(b, j))
	{
		segment_format_open(a->slots[i].bytes, &bucketA);
		segment_format_open(b->slots[j].bytes, &bucketB);
		if (!segment_buckets_combine(op, &bucketA, &bucketB, b->unchecked == NULL, &map, &bytes, &size))
			report_damaged(a, b);
	}
	else
		map = segment_maps_combine(op, segment_slot_map(a, i), segment_slot_map(b, j));

	if (map != NULL)
		append_map(result, high, map);
	else if (size > 0)
	{
		SegmentSlot *slot = insert_slot(result, result->nslots);

		set_slot(slot, high, NULL);
		slot->bytes = bytes;
		slot->size = (uint32) size;
		slot->owned = true;
	}
}

SegmentBitmap *
segment_set_combine(SegmentOperation op, const SegmentBitmap *a, const SegmentBitmap *b)
{
	SegmentBitmap *result = make_set(Max(a->nslots, b->nslots));
	uint32		i = 0;
	uint32		j = 0;

	while (i < a->nslots || j < b->nslots)
	{
		const SegmentSlot *left = i < a->nslots ? &a->slots[i] : NULL;
		const SegmentSlot *right = j < b->nslots ? &b->slots[j] : NULL;

		if (right == NULL || (left != NULL && left->high < right->high))
		{
			if (op != SEGMENT_AND)
				append_shared(result, left);
			i++;
		}
		else if (left == NULL || right->high < left->high)
		{
			if (op == SEGMENT_OR || op == SEGMENT_XOR)
				append_shared(result, right);
			j++;
		}
		else
		{
			append_combined(result, op, a, i, b, j);
			i++;
			j++;
		}
		CHECK_FOR_INTERRUPTS();
	}
	return result;
}

/* A map of what "other" has in containers that the set's slot has too, for reading; *made if it is for this. */
static roaring_bitmap_t *
map_for_meeting(const SegmentBitmap *set, uint32 i, const roaring_bitmap_t *other, bool *made)
{
	SegmentBucket bucket;
	roaring_bitmap_t *view;

	*made = is_bytes(set, i);
	if (!*made)
		return segment_slot_map(set, i);
	segment_format_open(set->slots[i].bytes, &bucket);
	if (!segment_bucket_meets_map(&bucket, set->unchecked == NULL, other, &view))
		report_damaged(set, set);
	return view;
}

/* a := a op b for "and" and "andnot" in one slot; true if nothing is left of it. */
static bool
shrink_slot(SegmentOperation op, SegmentBitmap *a, uint32 i, const SegmentBitmap *b, uint32 j)
{
	SegmentSlot *slot = &a->slots[i];

	if (op == SEGMENT_AND && is_bytes(a, i))
	{
		Meeting		meeting = meet(a, i, b, j);
		roaring_bitmap_t *map = croaring.bitmap_and(meeting.a, meeting.b);

		part(&meeting);
		clear_slot(slot);
		slot->map = map;
	}
	else
	{
		roaring_bitmap_t *map = segment_slot_own(a, i);
		bool		made;
		roaring_bitmap_t *other = map_for_meeting(b, j, map, &made);

		if (op == SEGMENT_AND)
			croaring.bitmap_and_inplace(map, other);
		else
			croaring.bitmap_andnot_inplace(map, other);
		if (made)
			croaring.bitmap_free(other);
	}
	return croaring.bitmap_is_empty(slot->map);
}

/* a := a op b for "and" and "andnot": slots only go. */
static void
shrink_by(SegmentOperation op, SegmentBitmap *a, const SegmentBitmap *b)
{
	uint32		kept = 0;
	uint32		j = 0;

	for (uint32 i = 0; i < a->nslots; i++)
	{
		uint32		high = a->slots[i].high;
		bool		keep;

		if (j < b->nslots && b->slots[j].high < high)
			j = find_behind(b, j, high);
		keep = op == SEGMENT_ANDNOT;
		if (has_slot(b, j, high))
			keep = !shrink_slot(op, a, i, b, j);
		if (!keep)
			clear_slot(&a->slots[i]);
		else
			a->slots[kept++] = a->slots[i];
		CHECK_FOR_INTERRUPTS();
	}
	a->nslots = kept;
	a->last = 0;
}

/* Give a, as copies, the slots that only b has, of which there are nnew: from the end, up to where none is missing. */
static void
adopt_slots(SegmentBitmap *a, const SegmentBitmap *b, uint32 nnew)
{
	uint32		i = a->nslots;
	uint32		j = b->nslots;

	make_room(a, a->nslots + nnew);
	for (uint32 n = a->nslots + nnew; n > i;)
	{
		CHECK_FOR_INTERRUPTS();
		if (i == 0 || a->slots[i - 1].high < b->slots[j - 1].high)
		{
			copy_slot(&a->slots[--n], &b->slots[--j]);
			continue;
		}
		j -= a->slots[i - 1].high == b->slots[j - 1].high;
		a->slots[--n] = a->slots[--i];
	}
	a->nslots += nnew;
	a->last = 0;
}

/*
 * Would an aggregate's set do better with bitsets where another one comes in?  To
 * make them and to take them back at the end costs as much as some inputs, so
 * there must have been some; and the set must stay within work_mem, as there may
 * be very many of them.
 */
static bool
better_as_bitsets(const SegmentBitmap *set, const roaring_bitmap_t *map, const roaring_bitmap_t *other)
{
	size_t		needed = set->accumulated < BITSETS_FROM ? 0 : segment_map_bitsets_for(map, other);

	return needed > 0 &&
		MemoryContextMemAllocated(set->context, false) + needed <= (size_t) work_mem * 1024;
}

/* a := a op b for "or" and "xor" in the slots that both have; true if one has become empty. */
static bool
grow_common(SegmentOperation op, SegmentBitmap *a, const SegmentBitmap *b, bool lazily)
{
	bool		emptied = false;

	a->lazy |= lazily;
	FOR_COMMON_SLOTS(a, i, b, j)
	{
		roaring_bitmap_t *map = segment_slot_own(a, i);
		roaring_bitmap_t *other = segment_slot_map(b, j);
		bool		asBitsets = lazily && better_as_bitsets(a, map, other);

		if (op == SEGMENT_OR && lazily)
			croaring.bitmap_lazy_or_inplace(map, other, asBitsets);
		else if (op == SEGMENT_OR)
			croaring.bitmap_or_inplace(map, other);
		else if (lazily)
			segment_map_xor_lazily(map, other, asBitsets);
		else
			segment_map_xor(map, other);
		emptied |= croaring.bitmap_is_empty(map);
	}
	return emptied;
}

/* Take away the slots that have become empty. */
static void
drop_empty(SegmentBitmap *set)
{
	uint32		kept = 0;

	for (uint32 i = 0; i < set->nslots; i++)
	{
		if (set->slots[i].bytes == NULL && croaring.bitmap_is_empty(set->slots[i].map))
			clear_slot(&set->slots[i]);
		else
			set->slots[kept++] = set->slots[i];
		CHECK_FOR_INTERRUPTS();
	}
	set->nslots = kept;
	set->last = 0;
}

/* a := a op b for "or" and "xor": slots come; xor may empty one. */
static void
grow_by(SegmentOperation op, SegmentBitmap *a, const SegmentBitmap *b, bool lazily)
{
	uint32		common = 0;
	bool		emptied;

	FOR_COMMON_SLOTS(a, i, b, j)
		common++;
	emptied = grow_common(op, a, b, lazily);
	if (common < b->nslots)
		adopt_slots(a, b, b->nslots - common);
	if (emptied)
		drop_empty(a);
}

static void
change(SegmentOperation op, SegmentBitmap *a, const SegmentBitmap *b, bool lazily)
{
	MemoryContext old = MemoryContextSwitchTo(a->context);

	if (op == SEGMENT_AND || op == SEGMENT_ANDNOT)
		shrink_by(op, a, b);
	else
		grow_by(op, a, b, lazily);
	MemoryContextSwitchTo(old);
}

void
segment_bitmap_or(SegmentBitmap *a, const SegmentBitmap *b)
{
	if (a != b)
		change(SEGMENT_OR, a, b, false);
}

void
segment_bitmap_and(SegmentBitmap *a, const SegmentBitmap *b)
{
	if (a != b)
		change(SEGMENT_AND, a, b, false);
}

void
segment_bitmap_andnot(SegmentBitmap *a, const SegmentBitmap *b)
{
	if (a != b)
		change(SEGMENT_ANDNOT, a, b, false);
	else
		delete_slots(a, 0, a->nslots);
}

void
segment_bitmap_xor(SegmentBitmap *a, const SegmentBitmap *b)
{
	if (a != b)
		change(SEGMENT_XOR, a, b, false);
	else
		delete_slots(a, 0, a->nslots);
}

void
segment_set_accumulate(SegmentOperation op, SegmentBitmap *a, const SegmentBitmap *b)
{
	a->accumulated++;
	change(op, a, b, true);
}

void
segment_set_finish(SegmentBitmap *set)
{
	if (set->lazy)
	{
		MemoryContext old = MemoryContextSwitchTo(set->context);

		for (uint32 i = 0; i < set->nslots; i++)
		{
			if (set->slots[i].bytes == NULL)
				segment_map_finish(set->slots[i].map);
			CHECK_FOR_INTERRUPTS();
		}
		drop_empty(set);
		set->lazy = false;
		set->accumulated = 0;
		MemoryContextSwitchTo(old);
	}
}

void
segment_ids_begin(SegmentIds *ids, const SegmentBitmap *set, int64 first)
{
	ids->set = set;
	ids->slot = segment_set_find(set, segment_id_high(first));
	ids->iterator = NULL;
	ids->n = ids->next = 0;
	if (has_slot(set, ids->slot, segment_id_high(first)))
	{
		MemoryContext old = MemoryContextSwitchTo(set->context);

		ids->high = set->slots[ids->slot].high;
		ids->iterator = croaring.iterator_create(segment_slot_map(set, ids->slot));
		croaring.uint32_iterator_move_equalorlarger(ids->iterator, segment_id_low(first));
		MemoryContextSwitchTo(old);
	}
}

bool
segment_ids_fill(SegmentIds *ids)
{
	CHECK_FOR_INTERRUPTS();
	ids->next = 0;
	for (;;)
	{
		if (ids->slot >= ids->set->nslots)
		{
			ids->n = 0;
			return false;
		}
		if (ids->iterator == NULL)
		{
			MemoryContext old = MemoryContextSwitchTo(ids->set->context);

			ids->high = ids->set->slots[ids->slot].high;
			ids->iterator = croaring.iterator_create(segment_slot_map(ids->set, ids->slot));
			MemoryContextSwitchTo(old);
		}
		ids->n = croaring.uint32_iterator_read(ids->iterator, ids->block, SEGMENT_READ_BLOCK);
		if (ids->n > 0)
			return true;
		croaring.uint32_iterator_free(ids->iterator);
		ids->iterator = NULL;
		ids->slot++;
	}
}

int64 *
segment_bitmap_ids(const SegmentBitmap *set, size_t *n)
{
	int64	   *result;
	SegmentIds	ids;
	size_t		filled = 0;

	*n = segment_bitmap_cardinality(set);
	result = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(int64) * Max(*n, 1));
	segment_ids_begin(&ids, set, 0);
	while (segment_ids_fill(&ids))
	{
		for (uint32 i = 0; i < ids.n; i++)
			result[filled++] = segment_id_make(ids.high, ids.block[i]);
	}
	Assert(filled == *n);
	return result;
}

/* The ids of a map from begin to end, both inclusive, as a new map. */
static roaring_bitmap_t *
extract_map(const roaring_bitmap_t *map, uint32 begin, uint32 end)
{
	roaring_bitmap_t *range = croaring.bitmap_from_range(begin, (uint64) end + 1, 1);
	roaring_bitmap_t *result = croaring.bitmap_and(map, range);

	croaring.bitmap_free(range);
	return result;
}

SegmentBitmap *
segment_bitmap_extract(const SegmentBitmap *set, int64 first, int64 last)
{
	SegmentBitmap *result = make_set(4);

	if (first > last)
		return result;
	for (uint32 i = segment_set_find(set, segment_id_high(first));
		 i < set->nslots && set->slots[i].high <= segment_id_high(last); i++)
	{
		uint32		high = set->slots[i].high;
		uint32		begin = range_begin(first, high);
		uint32		end = range_end(last, high);

		if (begin == 0 && end == FULL_SLOT)
			copy_slot(insert_slot(result, result->nslots), &set->slots[i]);
		else
			append_map(result, high, extract_map(segment_slot_map(set, i), begin, end));
		CHECK_FOR_INTERRUPTS();
	}
	return result;
}

void
segment_bitmap_optimize(SegmentBitmap *set)
{
	MemoryContext old = MemoryContextSwitchTo(set->context);

	for (uint32 i = 0; i < set->nslots; i++)
	{
		if (set->slots[i].bytes == NULL)
			croaring.bitmap_run_optimize(set->slots[i].map);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextSwitchTo(old);
}

static size_t
slot_size(const SegmentSlot *slot)
{
	if (slot->bytes != NULL)
		return slot->size;
	return croaring.bitmap_portable_size_in_bytes(slot->map);
}

size_t
segment_bitmap_serialized_size(const SegmentBitmap *set)
{
	size_t		size = 8;

	for (uint32 i = 0; i < set->nslots; i++)
	{
		size += 4 + slot_size(&set->slots[i]);
		CHECK_FOR_INTERRUPTS();
	}
	return size;
}

/* Write one slot in canonical form; returns the byte behind it. */
static char *
write_slot(const SegmentBitmap *set, const SegmentSlot *slot, char *out)
{
	segment_write32(out, slot->high);
	out += 4;
	if (slot->bytes == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(set->context);

		out = segment_map_write(slot->map, out);
		MemoryContextSwitchTo(old);
		return out;
	}
	segment_copy(out, slot->bytes, slot->size);
	return out + slot->size;
}

/* The bytes that writing a set may take. */
static size_t
written_bound(const SegmentBitmap *set)
{
	size_t		bound = VARHDRSZ + 8;

	for (uint32 i = 0; i < set->nslots; i++)
	{
		const SegmentSlot *slot = &set->slots[i];

		bound += 4 + (slot->bytes != NULL ? slot->size : map_bound(slot->map));
		CHECK_FOR_INTERRUPTS();
	}
	return bound;
}

bytea *
segment_set_to_varlena(const SegmentBitmap *set)
{
	size_t		bound;
	bytea	   *result;
	char	   *out;

	Assert(!set->lazy);
	bound = written_bound(set);
	if (bound > MaxAllocSize)
	{
		segment_bitmap_optimize((SegmentBitmap *) set);
		bound = written_bound(set);
	}
	if (bound > MaxAllocSize)
		segment_too_large();
	result = palloc(bound);
	out = VARDATA(result);
	segment_write64(out, set->nslots);
	out += 8;
	for (uint32 i = 0; i < set->nslots; i++)
	{
		out = write_slot(set, &set->slots[i], out);
		CHECK_FOR_INTERRUPTS();
	}
	SET_VARSIZE(result, out - (char *) result);
	return result;
}

Datum
segment_bitmap_to_datum(const SegmentBitmap *set)
{
	return PointerGetDatum(segment_set_to_varlena(set));
}

SegmentBitmap *
segment_set_view_checked(const char *bytes)
{
	uint64		nbuckets = segment_read64(bytes);
	SegmentBitmap *set = make_set((uint32) nbuckets);

	bytes += 8;
	for (uint64 i = 0; i < nbuckets; i++)
	{
		SegmentBucket bucket;

		segment_format_open(bytes + 4, &bucket);
		if (bucket.ncontainers > 0)
		{
			SegmentSlot *slot = &set->slots[set->nslots++];

			slot->high = segment_read32(bytes);
			slot->bytes = bucket.bytes;
			slot->size = (uint32) bucket.size;
			slot->owned = false;
			slot->map = NULL;
		}
		bytes += 4 + bucket.size;
		CHECK_FOR_INTERRUPTS();
	}
	return set;
}

SegmentBitmap *
segment_set_view(const char *bytes, size_t size, int errcode_of_mistake)
{
	segment_set_check(bytes, size, errcode_of_mistake);
	return segment_set_view_checked(bytes);
}

SegmentBitmap *
segment_set_argument(Datum datum)
{
	struct varlena *value = segment_stored_fetch(datum);

	return segment_set_view(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), ERRCODE_DATA_CORRUPTED);
}

/* segment_set_check() of a stored value, but for what its containers hold. */
static void
check_outline(const struct varlena *value)
{
	size_t		size = VARSIZE_ANY_EXHDR(value);
	size_t		where;
	const char *reason = segment_format_check_outline(VARDATA_ANY(value), size, &where);

	report_mistake(reason, where, size, ERRCODE_DATA_CORRUPTED);
}

SegmentBitmap *
segment_set_argument_meeting(Datum datum)
{
	struct varlena *value = segment_stored_fetch(datum);
	SegmentBitmap *set;

	check_outline(value);
	set = segment_set_view_checked(VARDATA_ANY(value));
	set->unchecked = value;
	return set;
}

SegmentBitmap *
segment_bitmap_from_datum(Datum datum)
{
	struct varlena *value = segment_stored_fetch(datum);

	if ((Pointer) value == DatumGetPointer(datum))
		value = PG_DETOAST_DATUM_COPY(datum);

	return segment_set_view(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), ERRCODE_DATA_CORRUPTED);
}

/* One bucket with one array container of one id has one form: all of it is compared. */
int64
segment_bitmap_only_id(Datum datum)
{
	struct varlena *value = (struct varlena *) DatumGetPointer(datum);
	const char *bytes;

	if (VARATT_IS_EXTERNAL(value) || VARATT_IS_COMPRESSED(value) || VARSIZE_ANY_EXHDR(value) != 30)
		return -1;
	bytes = VARDATA_ANY(value);
	if (segment_read64(bytes) != 1 || segment_read32(bytes + 8) > SEGMENT_HIGH_MAX ||
		segment_read32(bytes + 12) != SEGMENT_COOKIE_PLAIN || segment_read32(bytes + 16) != 1 ||
		segment_read16(bytes + 22) != 0 || segment_read32(bytes + 24) != 16)
		return -1;
	return segment_id_make(segment_read32(bytes + 8),
						   (uint32) segment_read16(bytes + 20) << 16 | segment_read16(bytes + 28));
}

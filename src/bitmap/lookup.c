/*-------------------------------------------------------------------------
 *
 * lookup.c
 *		Questions that need only a part of a stored bitmap.
 *
 * Only headers are read and, for one id, the one container that may hold it.
 * Buckets are found by walking: each header says where its bucket ends.  Headers
 * are only held against the size of the value before use, as is all that is
 * read here; the container that is searched for an id is checked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bitmap/format.h"
#include "bitmap/lookup.h"
#include "bitmap/set.h"
#include "bitmap/toast.h"
#include "fmgr.h"
#include "miscadmin.h"

/* The header of a bucket; positions are from the start of the value. */
typedef struct Header
{
	uint32		high;
	uint32		ncontainers;
	bool		hasRuns;
	size_t		start;			/* of its 32-bit bytes */
	size_t		keys;
	size_t		offsets;		/* 0: none */
	size_t		containers;
} Header;

static uint16
read16(SegmentStored *stored, size_t where)
{
	char		bytes[2];

	segment_stored_read(stored, bytes, where, 2);
	return segment_read16(bytes);
}

static uint32
read32(SegmentStored *stored, size_t where)
{
	char		bytes[4];

	segment_stored_read(stored, bytes, where, 4);
	return segment_read32(bytes);
}

static uint64
count_buckets(SegmentStored *stored)
{
	char		bytes[8];

	segment_stored_read(stored, bytes, 0, 8);
	return segment_read64(bytes);
}

/* The bucket that begins here. */
static void
read_header(SegmentStored *stored, size_t where, Header *header)
{
	uint32		cookie;

	header->high = read32(stored, where);
	header->start = where + 4;
	cookie = read32(stored, header->start);
	header->hasRuns = cookie != SEGMENT_COOKIE_PLAIN;
	if (!header->hasRuns)
	{
		header->ncontainers = read32(stored, header->start + 4);
		header->keys = header->start + 8;
	}
	else
	{
		header->ncontainers = (cookie >> 16) + 1;
		header->keys = header->start + 4 + (header->ncontainers + 7) / 8;
	}
	if ((header->hasRuns && (cookie & 0xffff) != SEGMENT_COOKIE_RUNS) ||
		header->ncontainers == 0 || header->ncontainers > PG_UINT16_MAX + 1)
		segment_stored_damaged("no Roaring bitmap (unknown cookie)", header->start);
	header->containers = header->keys + 4 * (size_t) header->ncontainers;
	header->offsets = 0;
	if (!header->hasRuns || header->ncontainers >= SEGMENT_OFFSETS_FROM)
	{
		header->offsets = header->containers;
		header->containers += 4 * (size_t) header->ncontainers;
	}
}

static uint32
read_key(SegmentStored *stored, const Header *header, uint32 i)
{
	return read16(stored, header->keys + 4 * (size_t) i);
}

/*
 * Describe container i.  *where receives the position of its bytes, and what
 * is returned is the position behind it.
 */
static size_t
find_container(SegmentStored *stored, const Header *header, uint32 i, SegmentContainer *container,
			   size_t *where)
{
	char		flag = 0;

	if (header->offsets != 0)
		*where = header->start + read32(stored, header->offsets + 4 * (size_t) i);
	else
		*where = i == 0 ? header->containers :
			find_container(stored, header, i - 1, container, where);

	container->key = read_key(stored, header, i);
	container->cardinality = (uint32) read16(stored, header->keys + 4 * (size_t) i + 2) + 1;
	container->nruns = 0;
	if (header->hasRuns)
		segment_stored_read(stored, &flag, header->start + 4 + i / 8, 1);
	if ((flag >> (i % 8) & 1) != 0)
	{
		container->kind = SEGMENT_RUN;
		container->nruns = read16(stored, *where);
		*where += 2;
		return *where + 4 * (size_t) container->nruns;
	}
	if (container->cardinality > SEGMENT_ARRAY_MAX)
	{
		container->kind = SEGMENT_BITSET;
		return *where + SEGMENT_BITSET_BYTES;
	}
	container->kind = SEGMENT_ARRAY;
	return *where + 2 * (size_t) container->cardinality;
}

/* The position behind a bucket. */
static size_t
bucket_end(SegmentStored *stored, const Header *header)
{
	SegmentContainer last;
	size_t		where;

	return find_container(stored, header, header->ncontainers - 1, &last, &where);
}

/* Is the lower half of an id in this bucket? */
static bool
bucket_contains(SegmentStored *stored, const Header *header, uint32 low)
{
	uint32		first = 0;
	uint32		end = header->ncontainers;
	SegmentContainer container;
	size_t		where;
	size_t		size;
	char	   *bytes;
	bool		found;

	while (first < end)
	{
		uint32		middle = (first + end) / 2;

		if (read_key(stored, header, middle) < low >> 16)
			first = middle + 1;
		else
			end = middle;
	}
	if (first == header->ncontainers || read_key(stored, header, first) != low >> 16)
		return false;

	size = find_container(stored, header, first, &container, &where) - where;
	bytes = palloc(size);
	segment_stored_read(stored, bytes, where, size);
	container.bytes = bytes;
	if (!segment_container_is_right(&container))
		segment_stored_damaged("container out of order or with another number of ids than its count", where);
	found = segment_container_contains(&container, low & 0xffff);
	pfree(bytes);
	return found;
}

bool
segment_lookup_contains(Datum bitmap, int64 id)
{
	SegmentStored stored;
	uint64		nbuckets;
	size_t		where = 8;
	bool		found = false;

	if (id < 0)
		return false;
	segment_stored_open(&stored, bitmap);
	nbuckets = count_buckets(&stored);
	for (uint64 i = 0; i < nbuckets; i++)
	{
		Header		header;

		read_header(&stored, where, &header);
		if (header.high >= segment_id_high(id))
		{
			found = header.high == segment_id_high(id) &&
				bucket_contains(&stored, &header, segment_id_low(id));
			break;
		}
		where = bucket_end(&stored, &header);
		CHECK_FOR_INTERRUPTS();
	}
	segment_stored_close(&stored);
	return found;
}

/* Ids of a bucket, by its header. */
static int64
bucket_cardinality(SegmentStored *stored, const Header *header)
{
	char		keys[4 * 512];
	int64		count = 0;

	for (uint32 first = 0; first < header->ncontainers; first += lengthof(keys) / 4)
	{
		uint32		n = Min(header->ncontainers - first, lengthof(keys) / 4);

		segment_stored_read(stored, keys, header->keys + 4 * (size_t) first, 4 * (size_t) n);
		for (uint32 i = 0; i < n; i++)
			count += segment_read16(keys + 4 * i + 2) + 1;
	}
	return count;
}

int64
segment_lookup_cardinality(Datum bitmap)
{
	SegmentStored stored;
	uint64		nbuckets;
	size_t		where = 8;
	int64		count = 0;

	segment_stored_open(&stored, bitmap);
	nbuckets = count_buckets(&stored);
	for (uint64 i = 0; i < nbuckets; i++)
	{
		Header		header;

		read_header(&stored, where, &header);
		count += bucket_cardinality(&stored, &header);
		if (i + 1 < nbuckets)
			where = bucket_end(&stored, &header);
		CHECK_FOR_INTERRUPTS();
	}
	segment_stored_close(&stored);
	return count;
}

bool
segment_lookup_is_empty(Datum bitmap)
{
	SegmentStored stored;
	bool		empty;

	segment_stored_open(&stored, bitmap);
	empty = count_buckets(&stored) == 0;
	segment_stored_close(&stored);
	return empty;
}

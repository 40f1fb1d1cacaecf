/*-------------------------------------------------------------------------
 *
 * toast.c
 *		Reading stored bitmaps, whole or in parts.
 *
 * A bitmap of a megabyte is cut into some 500 chunks in the TOAST table, and
 * fetching each of them through the index takes longer than intersecting two
 * such bitmaps.  But the chunks of a value were written one behind the other,
 * four to a page, and so were the values of a table.  So a chunk is looked for
 * where it should be: counted from a chunk that was found, or, for the first
 * one, where the value began when it was read last, or behind the value that
 * was read last.  A tuple is taken when it carries the value's OID and the
 * number of the wanted chunk and is visible the way TOAST tuples are; the index
 * is unique on these two, so it is the one that the index would have given.
 * Otherwise the index is asked.
 *
 * In the same way a page is looked for first in the buffer that held it when it
 * was read last, which takes no look into the table of buffers.
 *
 * Anything unexpected (another table access method, a chunk of the wrong
 * length, a missing one) is left to PostgreSQL's own functions, which know the
 * right error message.
 *
 * Locks: AccessShareLock on the TOAST table, and on its indexes if they are
 * used, while reading.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/genam.h"
#include "access/heapam.h"
#include "access/heaptoast.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/toast_internals.h"
#include "bitmap/library.h"
#include "bitmap/toast.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

void
segment_stored_damaged(const char *reason, size_t where)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("stored bitmap is damaged"),
			 errdetail("At byte %zu: %s.", where, reason)));
}

typedef struct SegmentPlace Place;

/* A value that was read, and where its first chunk was. */
typedef struct KnownValue
{
	Oid			table;
	Oid			value;
	Place		first;
} KnownValue;

/*
 * The library's memcpy: for a length it knows a bound of, the compiler would
 * write string instructions here, which are slow to start.
 */
static void *(*volatile copy_bytes) (void *, const void *, size_t) = memcpy;

/*
 * Where values were found to begin, by their OIDs, and where the value that was
 * read last ends.  Mere guesses: TOAST tables are rewritten and shrink.
 */
#define KNOWN 4096
static KnownValue known[KNOWN];
static Oid	end_table;
static Place end;

/* Buffers that pages were in. */
#define RECENT 65536
static Buffer recent[RECENT];

/* Where a value is noted; OIDs of one column follow each other in steps. */
static KnownValue *
known_value(Oid value)
{
	return &known[hash_bytes_uint32(value) % KNOWN];
}

static int32
chunk_size(const SegmentStored *stored, int32 chunk)
{
	return Min(TOAST_MAX_CHUNK_SIZE, (int32) stored->size - chunk * TOAST_MAX_CHUNK_SIZE);
}

/* The data of a TOAST tuple if it is this chunk, else NULL. */
static const char *
chunk_data(const SegmentStored *stored, HeapTuple tuple, int32 chunk)
{
	TupleDesc	descriptor = RelationGetDescr(stored->table);
	bool		isnull;
	struct varlena *data;

	if (DatumGetObjectId(fastgetattr(tuple, 1, descriptor, &isnull)) != stored->value || isnull ||
		DatumGetInt32(fastgetattr(tuple, 2, descriptor, &isnull)) != chunk || isnull)
		return NULL;
	data = (struct varlena *) DatumGetPointer(fastgetattr(tuple, 3, descriptor, &isnull));
	if (isnull || (VARATT_IS_EXTENDED(data) && !VARATT_IS_SHORT(data)))
		return NULL;
	if (VARSIZE_ANY_EXHDR(data) != chunk_size(stored, chunk))
		return NULL;
	return VARDATA_ANY(data);
}

/* The place n chunks behind (or, n negative, before) this one, where four are on a page. */
static Place
place_behind(Place place, int32 n)
{
	int64		position = (int64) place.block * EXTERN_TUPLES_PER_PAGE + place.line - 1 + n;

	place.block = (BlockNumber) (Max(position, 0) / EXTERN_TUPLES_PER_PAGE);
	place.line = (OffsetNumber) (Max(position, 0) % EXTERN_TUPLES_PER_PAGE + 1);
	return place;
}

/* Pin the page of a place; InvalidBuffer if the table has no such page. */
static Buffer
read_buffer(SegmentStored *stored, BlockNumber block)
{
	Buffer		buffer;
	Buffer	   *known_buffer = &recent[(block + RelationGetRelid(stored->table) * 1021) % RECENT];

	/* whose buffer that is now, it finds out */
	if (*known_buffer != InvalidBuffer &&
		ReadRecentBuffer(segment_compat_locator(stored->table), MAIN_FORKNUM, block, *known_buffer))
		return *known_buffer;
	if (stored->nblocks == 0)
		stored->nblocks = RelationGetNumberOfBlocks(stored->table);
	if (block >= stored->nblocks)
		return InvalidBuffer;
	buffer = ReadBuffer(stored->table, block);
	if (!BufferIsLocal(buffer))
		*known_buffer = buffer;
	return buffer;
}

/* Note that a chunk was found here. */
static void
found_chunk(SegmentStored *stored, int32 chunk, BlockNumber block, OffsetNumber line)
{
	stored->at = (Place)
	{
		block, line
	};
	stored->atChunk = chunk;
	if (chunk == 0)
		*known_value(stored->value) = (KnownValue)
	{
		RelationGetRelid(stored->table), stored->value, stored->at
	};
}

/*
 * Read chunks from "chunk" on, as long as they stand one behind the other from
 * this place on, on one page.  Returns how many were read; *to moves with them.
 */
static int32
read_page(SegmentStored *stored, Place place, int32 chunk, int32 last, char **to)
{
	Buffer		buffer = read_buffer(stored, place.block);
	OffsetNumber line = place.line;
	int32		first = chunk;
	Page		page;

	if (buffer == InvalidBuffer)
		return 0;
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	for (; chunk <= last && line <= PageGetMaxOffsetNumber(page); chunk++, line++)
	{
		ItemId		item = PageGetItemId(page, line);
		HeapTupleData tuple;
		const char *data;

		if (!ItemIdIsNormal(item))
			break;
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		tuple.t_tableOid = RelationGetRelid(stored->table);
		ItemPointerSet(&tuple.t_self, place.block, line);
		data = chunk_data(stored, &tuple, chunk);
		if (data == NULL || !HeapTupleSatisfiesVisibility(&tuple, &stored->snapshot, buffer))
			break;
		copy_bytes(*to, data, chunk_size(stored, chunk));
		*to += chunk_size(stored, chunk);
		found_chunk(stored, chunk, place.block, line);
	}
	UnlockReleaseBuffer(buffer);
	return chunk - first;
}

/* Read chunks from "chunk" on from where they should be; returns how many that were. */
static int32
read_expected(SegmentStored *stored, int32 chunk, int32 last, char **to)
{
	Place		place;
	int32		n;

	if (stored->atChunk < 0)
	{
		const KnownValue *value = known_value(stored->value);

		if (value->value == stored->value && value->table == RelationGetRelid(stored->table))
			place = place_behind(value->first, chunk);
		else if (end_table == RelationGetRelid(stored->table))
			place = place_behind(end, chunk);
		else
			return 0;
	}
	else
		place = place_behind(stored->at, chunk - stored->atChunk);
	n = read_page(stored, place, chunk, last, to);
	if (n == 0 && place.line > 1 && stored->atChunk >= 0)
		n = read_page(stored, place_behind(place, EXTERN_TUPLES_PER_PAGE + 1 - place.line), chunk, last, to);
	return n;
}

/* Read one chunk through the index; false if it is not as it should be. */
static bool
read_by_index(SegmentStored *stored, int32 chunk, char **to)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	const char *data = NULL;

	if (stored->indexes == NULL)
		stored->index = toast_open_indexes(stored->table, AccessShareLock, &stored->indexes,
										   &stored->nindexes);
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(stored->value));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(chunk));
	scan = systable_beginscan_ordered(stored->table, stored->indexes[stored->index],
									  &stored->snapshot, 2, keys);
	tuple = systable_getnext_ordered(scan, ForwardScanDirection);
	if (tuple != NULL)
		data = chunk_data(stored, tuple, chunk);
	if (data != NULL)
	{
		copy_bytes(*to, data, chunk_size(stored, chunk));
		*to += chunk_size(stored, chunk);
		found_chunk(stored, chunk, ItemPointerGetBlockNumber(&tuple->t_self),
					ItemPointerGetOffsetNumber(&tuple->t_self));
	}
	systable_endscan_ordered(scan);
	return data != NULL;
}

/* Read these chunks, both inclusive; false if one is not as it should be. */
static bool
read_chunks(SegmentStored *stored, char *to, int32 first, int32 last)
{
	for (int32 chunk = first; chunk <= last;)
	{
		int32		n;

		CHECK_FOR_INTERRUPTS();
		n = read_expected(stored, chunk, last, &to);
		if (n == 0)
		{
			if (!read_by_index(stored, chunk, &to))
				return false;
			n = 1;
		}
		chunk += n;
	}
	return true;
}

/* Prepare reading from the TOAST table; false if it is not as we know it. */
static bool
open_table(SegmentStored *stored, struct varlena *pointer)
{
	struct varatt_external external;

	VARATT_EXTERNAL_GET_POINTER(external, pointer);
	if (VARATT_EXTERNAL_IS_COMPRESSED(external))
		return false;

	memset(stored, 0, sizeof(*stored));
	stored->table = table_open(external.va_toastrelid, AccessShareLock);
	if (stored->table->rd_tableam != GetHeapamTableAmRoutine())
	{
		table_close(stored->table, AccessShareLock);
		return false;
	}
	stored->pointer = pointer;
	stored->value = external.va_valueid;
	stored->size = VARATT_EXTERNAL_GET_EXTSIZE(external);
	stored->snapshot.snapshot_type = SNAPSHOT_TOAST;
	stored->atChunk = stored->cachedChunk = -1;
	return true;
}

void
segment_stored_close(SegmentStored *stored)
{
	if (stored->bytes != NULL)
		return;
	if (stored->atChunk >= 0)
	{
		end_table = RelationGetRelid(stored->table);
		end = place_behind(stored->at, (int32) ((stored->size - 1) / TOAST_MAX_CHUNK_SIZE) + 1 - stored->atChunk);
	}
	if (stored->indexes != NULL)
		toast_close_indexes(stored->indexes, stored->nindexes, AccessShareLock);
	table_close(stored->table, AccessShareLock);
}

/* All of a value whose table is open; closes it. */
static struct varlena *
read_whole(SegmentStored *stored, struct varlena *pointer)
{
	struct varlena *value = segment_scratch_alloc(VARHDRSZ + (Size) stored->size);
	bool		good;

	SET_VARSIZE(value, VARHDRSZ + (Size) stored->size);
	good = stored->size == 0 ||
		read_chunks(stored, VARDATA(value), 0, (stored->size - 1) / TOAST_MAX_CHUNK_SIZE);
	segment_stored_close(stored);
	return good ? value : detoast_attr(pointer);
}

/* A value of so many bytes, as many as are on a page, is read whole: that takes as long as a part of it. */
#define WHOLE_MAX (EXTERN_TUPLES_PER_PAGE * TOAST_MAX_CHUNK_SIZE)

void
segment_stored_open(SegmentStored *stored, Datum datum)
{
	struct varlena *value = (struct varlena *) DatumGetPointer(datum);

	if (VARATT_IS_EXTERNAL_ONDISK(value) && open_table(stored, value))
	{
		if (stored->size > WHOLE_MAX)
			return;
		value = read_whole(stored, value);
	}
	else
		value = PG_DETOAST_DATUM_PACKED(datum);
	stored->bytes = VARDATA_ANY(value);
	stored->size = VARSIZE_ANY_EXHDR(value);
}

/* One chunk is odd: read everything in PostgreSQL's own way. */
static void
give_up(SegmentStored *stored)
{
	struct varlena *value = detoast_attr(stored->pointer);

	segment_stored_close(stored);
	stored->bytes = VARDATA(value);
	stored->size = VARSIZE(value) - VARHDRSZ;
}

/* Copy a part of one chunk, through the cache. */
static bool
read_part(SegmentStored *stored, char *to, int32 chunk, size_t offset, size_t n)
{
	if (stored->cachedChunk != chunk)
	{
		if (stored->cache == NULL)
			stored->cache = palloc(TOAST_MAX_CHUNK_SIZE);
		stored->cachedChunk = -1;
		if (!read_chunks(stored, stored->cache, chunk, chunk))
			return false;
		stored->cachedChunk = chunk;
	}
	memcpy(to, stored->cache + offset, n);
	return true;
}

static bool
read_from_table(SegmentStored *stored, char *to, size_t offset, size_t n)
{
	while (n > 0)
	{
		int32		chunk = offset / TOAST_MAX_CHUNK_SIZE;
		size_t		within = offset % TOAST_MAX_CHUNK_SIZE;
		size_t		part = Min(n, chunk_size(stored, chunk) - within);

		if (!read_part(stored, to, chunk, within, part))
			return false;
		to += part;
		offset += part;
		n -= part;
	}
	return true;
}

void
segment_stored_read_table(SegmentStored *stored, char *to, size_t offset, size_t n)
{
	if (!read_from_table(stored, to, offset, n))
	{
		give_up(stored);
		segment_stored_read(stored, to, offset, n);
	}
}

struct varlena *
segment_stored_fetch(Datum datum)
{
	struct varlena *value = (struct varlena *) DatumGetPointer(datum);
	SegmentStored stored;

	if (!VARATT_IS_EXTERNAL_ONDISK(value) || !open_table(&stored, value))
		return PG_DETOAST_DATUM_PACKED(datum);
	return read_whole(&stored, value);
}

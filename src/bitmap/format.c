/*-------------------------------------------------------------------------
 *
 * format.c
 *		The bytes of a bitmap: checking and reading them where they lie.
 *
 * A bitmap is the portable 64-bit Roaring serialisation, all little-endian:
 *
 *		uint64 number of buckets
 *		per bucket, ascending:
 *			uint32 upper 32 bits of its ids
 *			a 32-bit portable Roaring bitmap:
 *				plain:	uint32 12346, uint32 n
 *				runs:	uint16 12347, uint16 n - 1, (n + 7) / 8 bytes of flags
 *				n times	uint16 key, uint16 ids - 1
 *				n times	uint32 offset of the container (runs: only if n >= 4)
 *				n containers:
 *					array	ids times uint16			(ids <= 4096)
 *					bitset	8192 bytes					(ids > 4096)
 *					run		uint16 r, r times (uint16 first, uint16 length - 1)
 *
 * Canonical form.  A set has one representation as segment.bitmap: no empty
 * bucket or container, and each container in its smallest form, an array where
 * an array and runs would be equally long.  So equality is equality of bytes
 * and their hash is the hash of the set.  CRoaring's run_optimize leaves that
 * tie as it finds it; segment_writer_add() decides it.
 *
 * Everything that comes from outside passes segment_format_check(), and so does
 * every stored value before it is read: CRoaring's own functions trust what they
 * read in place.  Of values that are only intersected, subtracted or counted,
 * segment_format_check_outline() sees the keys and where buckets end, and
 * segment_format_check_container() what is looked at.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bitmap/format.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"

/*
 * The loops over every byte of a container decide what reading costs, so they
 * are compiled for several processors where the compiler can.
 */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__gnu_linux__) && \
	!defined(__SANITIZE_ADDRESS__)
#define SEGMENT_FAST_LOOP \
	__attribute__((optimize("O3"), target_clones("default", "popcnt", "avx2")))
#else
#define SEGMENT_FAST_LOOP
#endif

/* Little-endian values at any address, read in a way that loops can be vectorised. */
#ifdef WORDS_BIGENDIAN
#define load16(p) segment_read16(p)
#define load32(p) segment_read32(p)
#define load64(p) segment_read64(p)
#else
typedef uint16 __attribute__ ((aligned(1), may_alias))
loose16;
typedef uint32 __attribute__ ((aligned(1), may_alias))
loose32;
typedef uint64 __attribute__ ((aligned(1), may_alias))
loose64;

#define load16(p) (*(const loose16 *) (p))
#define load32(p) (*(const loose32 *) (p))
#define load64(p) (*(const loose64 *) (p))
#endif

/* Are these values strictly ascending? */
static inline bool
is_ascending_loop(const char *bytes, size_t n)
{
	uint32		bad = 0;

	for (size_t i = 1; i < n; i++)
		bad |= load16(bytes + 2 * (i - 1)) >= load16(bytes + 2 * i);
	return bad == 0;
}

/*
 * The ids of a run container, or 0 if its runs are not ascending, apart and
 * within it.  A run is 32 bits, its first id in the lower half.
 */
static inline uint32
count_runs_loop(const char *runs, size_t nruns)
{
	uint32		before = load32(runs);
	uint32		count = (uint32) nruns + (before >> 16);
	uint32		bad = (before & 0xffff) + (before >> 16) > PG_UINT16_MAX;

	for (size_t i = 1; i < nruns; i++)
	{
		uint32		run = load32(runs + 4 * i);

		before = load32(runs + 4 * (i - 1));
		count += run >> 16;
		bad |= (run & 0xffff) + (run >> 16) > PG_UINT16_MAX;
		bad |= (run & 0xffff) < (before & 0xffff) + (before >> 16) + 2;
	}
	return bad == 0 ? count : 0;
}

/* Are the keys of these headers of containers strictly ascending? */
static inline bool
are_keys_ascending_loop(const char *headers, size_t n)
{
	uint32		bad = 0;

	for (size_t i = 1; i < n; i++)
		bad |= (load32(headers + 4 * (i - 1)) & 0xffff) >= (load32(headers + 4 * i) & 0xffff);
	return bad == 0;
}

/* The same for many of them; for few, getting ready takes longer than the loop. */
#define MANY 16

SEGMENT_FAST_LOOP
static bool
is_ascending_many(const char *bytes, size_t n)
{
	return is_ascending_loop(bytes, n);
}

SEGMENT_FAST_LOOP
static bool
are_keys_ascending_many(const char *headers, size_t n)
{
	return are_keys_ascending_loop(headers, n);
}

SEGMENT_FAST_LOOP
static uint32
count_runs_many(const char *runs, size_t nruns)
{
	return count_runs_loop(runs, nruns);
}

static inline bool
is_ascending(const char *bytes, uint32 n)
{
	return n < MANY ? is_ascending_loop(bytes, n) : is_ascending_many(bytes, n);
}

static inline bool
are_keys_ascending(const char *headers, uint32 n)
{
	return n < MANY ? are_keys_ascending_loop(headers, n) : are_keys_ascending_many(headers, n);
}

uint32
segment_runs_cardinality(const char *runs, uint32 nruns)
{
	return nruns < MANY ? count_runs_loop(runs, nruns) : count_runs_many(runs, nruns);
}

/* Bits set in a bitset container, in four sums that need not wait for each other. */
SEGMENT_FAST_LOOP
static uint32
count_bits(const char *bytes)
{
	uint64		count[4] = {0};

	for (int i = 0; i < SEGMENT_BITSET_BYTES; i += 32)
	{
		count[0] += __builtin_popcountll(load64(bytes + i));
		count[1] += __builtin_popcountll(load64(bytes + i + 8));
		count[2] += __builtin_popcountll(load64(bytes + i + 16));
		count[3] += __builtin_popcountll(load64(bytes + i + 24));
	}
	return (uint32) (count[0] + count[1] + count[2] + count[3]);
}

#define FAIL(reason, position) \
	do { *where = (size_t) (position); return (reason); } while (0)

/*
 * Check one container whose kind and cardinality its header gives; *size receives
 * its bytes.  Without "whole" only that they are there.
 */
static inline const char *
check_container(const char *bytes, size_t available, bool isRun, uint32 cardinality, bool whole,
				size_t *size, size_t *where)
{
	if (isRun)
	{
		uint32		nruns;

		if (available < 2)
			FAIL("truncated run container", 0);
		nruns = load16(bytes);
		if (available - 2 < 4 * (size_t) nruns)
			FAIL("truncated run container", 2);
		if (nruns == 0)
			FAIL("empty run container", 0);
		if (whole && segment_runs_cardinality(bytes + 2, nruns) != cardinality)
			FAIL("runs that overlap, touch, are out of order or do not add up to the container's count", 2);
		*size = 2 + 4 * (size_t) nruns;
	}
	else if (cardinality > SEGMENT_ARRAY_MAX)
	{
		if (available < SEGMENT_BITSET_BYTES)
			FAIL("truncated bitset container", 0);
		if (whole && count_bits(bytes) != cardinality)
			FAIL("bitset container with another number of bits than its count", 0);
		*size = SEGMENT_BITSET_BYTES;
	}
	else
	{
		if (available < 2 * (size_t) cardinality)
			FAIL("truncated array container", 0);
		if (whole && !is_ascending(bytes, cardinality))
			FAIL("array container out of order", 0);
		*size = 2 * (size_t) cardinality;
	}
	return NULL;
}

/*
 * Are all containers right?  The loop of check_bucket() without saying where a
 * mistake is: each container is found by its offset, and whether that is where
 * the one before ends is asked on the side, so none waits for it.
 */
static inline bool
are_containers_right(const char *bytes, size_t size, uint32 n, const uint8 *runFlags, size_t keys,
					 size_t offsets, size_t position, size_t *used)
{
	size_t		wrong = 0;
	int32		previous = -1;

	for (uint32 i = 0; i < n; i++)
	{
		uint32		header = load32(bytes + keys + 4 * i);
		int32		key = header & 0xffff;
		size_t		start = load32(bytes + offsets + 4 * i);
		size_t		length;
		size_t		within;

		if (i % 64 == 0)
			CHECK_FOR_INTERRUPTS();
		if (start > size ||
			check_container(bytes + start, size - start, segment_format_is_run(runFlags, i), (header >> 16) + 1, true,
							&length, &within) != NULL)
			return false;
		wrong |= (start ^ position) | (key <= previous);
		previous = key;
		position = start + length;
	}
	*used = position;
	return wrong == 0;
}

/*
 * Are the keys of a bucket with offsets right, and its last container there?  Then
 * *used receives where the bucket ends.
 */
static inline bool
is_outline_right(const char *bytes, size_t size, uint32 n, const uint8 *runFlags, size_t keys,
				 size_t offsets, size_t containers, size_t *used)
{
	uint32		header = load32(bytes + keys + 4 * (n - 1));
	size_t		start = load32(bytes + offsets + 4 * (n - 1));
	size_t		length;
	size_t		within;

	if (start < containers || start > size || !are_keys_ascending(bytes + keys, n) ||
		check_container(bytes + start, size - start, segment_format_is_run(runFlags, n - 1), (header >> 16) + 1, false,
						&length, &within) != NULL)
		return false;
	*used = start + length;
	return true;
}

/* segment_format_check32, or without "whole" segment_format_check_outline for one bucket. */
static inline const char *
check_bucket(const char *bytes, size_t size, bool whole, size_t *where, size_t *used)
{
	uint32		cookie;
	uint32		n;
	const uint8 *runFlags = NULL;
	size_t		keys;
	size_t		offsets = 0;
	size_t		position;
	int32		previous = -1;

	if (size < 4)
		FAIL("truncated header", 0);
	cookie = segment_read32(bytes);
	if (cookie == SEGMENT_COOKIE_PLAIN)
	{
		if (size < 8)
			FAIL("truncated header", 4);
		n = segment_read32(bytes + 4);
		if (n > PG_UINT16_MAX + 1)
			FAIL("more than 65536 containers", 4);
		keys = 8;
	}
	else if ((cookie & 0xffff) == SEGMENT_COOKIE_RUNS)
	{
		n = (cookie >> 16) + 1;
		runFlags = (const uint8 *) bytes + 4;
		keys = 4 + (n + 7) / 8;
	}
	else
		FAIL("no Roaring bitmap (unknown cookie)", 0);

	position = keys + 4 * (size_t) n;
	if (runFlags == NULL || n >= SEGMENT_OFFSETS_FROM)
	{
		offsets = position;
		position += 4 * (size_t) n;
	}
	if (size < position)
		FAIL("truncated header", keys);
	if (offsets != 0 && n > 0 &&
		(whole ? are_containers_right(bytes, size, n, runFlags, keys, offsets, position, used) :
		 is_outline_right(bytes, size, n, runFlags, keys, offsets, position, used)))
		return NULL;

	for (uint32 i = 0; i < n; i++)
	{
		uint32		header = load32(bytes + keys + 4 * i);
		int32		key = header & 0xffff;
		uint32		cardinality = (header >> 16) + 1;
		const char *reason;
		size_t		length;
		size_t		within;

		if (i % 64 == 0)
			CHECK_FOR_INTERRUPTS();
		if (key <= previous)
			FAIL("containers out of order", keys + 4 * i);
		previous = key;
		if (offsets != 0 && load32(bytes + offsets + 4 * i) != position)
			FAIL("wrong container offset", offsets + 4 * i);
		reason = check_container(bytes + position, size - position, segment_format_is_run(runFlags, i), cardinality, whole,
								 &length, &within);
		if (reason != NULL)
			FAIL(reason, position + within);
		position += length;
	}
	*used = position;
	return NULL;
}

/*
 * segment_format_check32
 *		Check the bytes of one bucket.
 *
 * size: what there is to read.  *used receives the bytes that the bucket takes.
 */
const char *
segment_format_check32(const char *bytes, size_t size, size_t *where, size_t *used)
{
	return check_bucket(bytes, size, true, where, used);
}

static inline const char *
check_buckets(const char *bytes, size_t size, bool whole, size_t *where)
{
	uint64		nbuckets;
	size_t		position = 8;
	int64		previous = -1;

	if (size < 8)
		FAIL("truncated header", 0);
	nbuckets = segment_read64(bytes);
	if (nbuckets > (size - 8) / 12)
		FAIL("more buckets than bytes", 0);

	for (uint64 i = 0; i < nbuckets; i++)
	{
		const char *reason;
		size_t		within;
		size_t		used;
		int64		high;

		if (i % 64 == 0)
			CHECK_FOR_INTERRUPTS();
		if (size - position < 4)
			FAIL("truncated bucket", position);
		high = segment_read32(bytes + position);
		if (high > SEGMENT_HIGH_MAX)
			FAIL("ids above 9223372036854775807", position);
		if (high <= previous)
			FAIL("buckets out of order", position);
		previous = high;
		position += 4;
		reason = check_bucket(bytes + position, size - position, whole, &within, &used);
		if (reason != NULL)
			FAIL(reason, position + within);
		position += used;
	}
	if (position != size)
		FAIL("bytes after the end", position);
	return NULL;
}

const char *
segment_format_check(const char *bytes, size_t size, size_t *where)
{
	return check_buckets(bytes, size, true, where);
}

const char *
segment_format_check_outline(const char *bytes, size_t size, size_t *where)
{
	return check_buckets(bytes, size, false, where);
}

void
segment_format_open(const char *bytes, SegmentBucket *bucket)
{
	uint32		cookie = segment_read32(bytes);

	bucket->bytes = bytes;
	if (cookie == SEGMENT_COOKIE_PLAIN)
	{
		bucket->ncontainers = segment_read32(bytes + 4);
		bucket->runFlags = NULL;
		bucket->keys = bytes + 8;
	}
	else
	{
		bucket->ncontainers = (cookie >> 16) + 1;
		bucket->runFlags = (const uint8 *) bytes + 4;
		bucket->keys = bytes + 4 + (bucket->ncontainers + 7) / 8;
	}
	bucket->containers = bucket->keys + 4 * bucket->ncontainers;
	bucket->offsets = NULL;
	if (bucket->runFlags == NULL || bucket->ncontainers >= SEGMENT_OFFSETS_FROM)
	{
		bucket->offsets = bucket->containers;
		bucket->containers += 4 * bucket->ncontainers;
	}

	if (bucket->ncontainers == 0)
		bucket->size = bucket->containers - bytes;
	else
	{
		SegmentContainer last;

		segment_format_container(bucket, bucket->ncontainers - 1, &last);
		bucket->size = last.bytes - bytes;
		switch (last.kind)
		{
			case SEGMENT_ARRAY:
				bucket->size += 2 * last.cardinality;
				break;
			case SEGMENT_BITSET:
				bucket->size += SEGMENT_BITSET_BYTES;
				break;
			case SEGMENT_RUN:
				bucket->size += 4 * last.nruns;
				break;
		}
	}
}

bool
segment_format_check_container(const SegmentBucket *bucket, uint32 i)
{
	SegmentContainer container;
	size_t		start;
	size_t		length;
	size_t		within;

	if (bucket->offsets == NULL)
	{
		segment_format_container(bucket, i, &container);
		return segment_container_is_right(&container);
	}
	start = segment_read32(bucket->offsets + 4 * i);
	return start >= (size_t) (bucket->containers - bucket->bytes) && start <= bucket->size &&
		check_container(bucket->bytes + start, bucket->size - start, segment_bucket_is_run(bucket, i),
						segment_bucket_cardinality(bucket, i), true, &length, &within) == NULL &&
		start + length == (i + 1 < bucket->ncontainers ? segment_read32(bucket->offsets + 4 * (i + 1)) : bucket->size);
}

bool
segment_container_is_right(const SegmentContainer *container)
{
	switch (container->kind)
	{
		case SEGMENT_ARRAY:
			return is_ascending(container->bytes, container->cardinality);
		case SEGMENT_BITSET:
			return count_bits(container->bytes) == container->cardinality;
		case SEGMENT_RUN:
			return container->nruns > 0 && segment_runs_cardinality(container->bytes, container->nruns) == container->cardinality;
	}
	return false;
}

uint32
segment_format_find(const SegmentBucket *bucket, uint32 key)
{
	uint32		low = 0;
	uint32		high = bucket->ncontainers;

	while (low < high)
	{
		uint32		middle = (low + high) / 2;

		if (segment_bucket_key(bucket, middle) < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * How many of n ascending 16-bit values, "stride" bytes apart, are <= low.
 */
static uint32
count_up_to(const char *bytes, uint32 n, uint32 stride, uint16 low)
{
	uint32		first = 0;

	while (first < n)
	{
		uint32		middle = (first + n) / 2;

		if (segment_read16(bytes + (size_t) middle * stride) <= low)
			first = middle + 1;
		else
			n = middle;
	}
	return first;
}

bool
segment_container_contains(const SegmentContainer *container, uint16 low)
{
	uint32		n;

	switch (container->kind)
	{
		case SEGMENT_BITSET:
			return ((uint8) container->bytes[low / 8] >> (low % 8) & 1) != 0;
		case SEGMENT_ARRAY:
			n = count_up_to(container->bytes, container->cardinality, 2, low);
			return n > 0 && segment_read16(container->bytes + 2 * (n - 1)) == low;
		case SEGMENT_RUN:
			n = count_up_to(container->bytes, container->nruns, 4, low);
			if (n == 0)
				return false;
			return low - segment_read16(container->bytes + 4 * (n - 1)) <=
				segment_read16(container->bytes + 4 * (n - 1) + 2);
	}
	return false;
}

uint32
segment_container_rank(const SegmentContainer *container, uint16 low)
{
	uint32		count = 0;

	switch (container->kind)
	{
		case SEGMENT_BITSET:
			for (int i = 0; i < low / 8; i++)
				count += pg_number_of_ones[(uint8) container->bytes[i]];
			count += pg_number_of_ones[(uint8) container->bytes[low / 8] &
									   ((1 << (low % 8 + 1)) - 1)];
			return count;
		case SEGMENT_ARRAY:
			return count_up_to(container->bytes, container->cardinality, 2, low);
		case SEGMENT_RUN:
			for (uint32 i = 0; i < container->nruns; i++)
			{
				uint32		first = segment_read16(container->bytes + 4 * i);
				uint32		length = segment_read16(container->bytes + 4 * i + 2);

				if (first > low)
					break;
				count += Min(length, low - first) + 1;
			}
			return count;
	}
	return 0;
}

uint16
segment_container_min(const SegmentContainer *container)
{
	if (container->kind == SEGMENT_BITSET)
	{
		int			i = 0;

		while (container->bytes[i] == 0)
			i++;
		return i * 8 + pg_rightmost_one_pos[(uint8) container->bytes[i]];
	}
	return segment_read16(container->bytes);
}

uint16
segment_container_max(const SegmentContainer *container)
{
	const char *last;

	switch (container->kind)
	{
		case SEGMENT_BITSET:
			{
				int			i = SEGMENT_BITSET_BYTES - 1;

				while (container->bytes[i] == 0)
					i--;
				return i * 8 + pg_leftmost_one_pos[(uint8) container->bytes[i]];
			}
		case SEGMENT_ARRAY:
			return segment_read16(container->bytes + 2 * (container->cardinality - 1));
		case SEGMENT_RUN:
			last = container->bytes + 4 * (container->nruns - 1);
			return segment_read16(last) + segment_read16(last + 2);
	}
	return 0;
}

/* Runs of consecutive ids in ascending 16-bit values. */
SEGMENT_FAST_LOOP
static uint32
count_array_runs(const char *bytes, uint32 n)
{
	uint32		runs = 1;

	for (size_t i = 1; i < n; i++)
		runs += (uint16) (load16(bytes + 2 * i) - load16(bytes + 2 * (i - 1))) != 1;
	return runs;
}

/*
 * Runs in a bitset container, or some number above "enough" if there are more.
 * A run begins at each bit whose lower neighbour is clear.
 */
SEGMENT_FAST_LOOP
static uint32
count_bitset_runs(const char *bytes, uint32 enough)
{
	uint32		runs = 0;
	uint64		carry = 0;

	for (int i = 0; i < SEGMENT_BITSET_BYTES && runs <= enough; i += 64)
	{
		for (int j = i; j < i + 64; j += 8)
		{
			uint64		word = load64(bytes + j);

			runs += __builtin_popcountll(word & ~(word << 1 | carry));
			carry = word >> 63;
		}
	}
	return runs;
}

/* The most runs that take less than so many bytes. */
#define RUNS_BELOW(size) (((size) - 3) / 4)

bool
segment_container_is_canonical(const SegmentContainer *container)
{
	switch (container->kind)
	{
		case SEGMENT_ARRAY:
			return container->cardinality <= 3 ||
				count_array_runs(container->bytes, container->cardinality) >
				RUNS_BELOW(2 * container->cardinality);
		case SEGMENT_BITSET:
			return count_bitset_runs(container->bytes, RUNS_BELOW(SEGMENT_BITSET_BYTES)) >
				RUNS_BELOW(SEGMENT_BITSET_BYTES);
		case SEGMENT_RUN:
			return container->nruns <= (container->cardinality > SEGMENT_ARRAY_MAX ?
										RUNS_BELOW(SEGMENT_BITSET_BYTES) :
										container->cardinality < 4 ? 0 :
										RUNS_BELOW(2 * container->cardinality));
	}
	return false;
}

bool
segment_format_is_canonical(const SegmentBucket *bucket)
{
	bool		anyRun = false;

	if (bucket->ncontainers == 0)
		return false;
	if (bucket->runFlags != NULL && bucket->ncontainers % 8 != 0 &&
		bucket->runFlags[bucket->ncontainers / 8] >> (bucket->ncontainers % 8) != 0)
		return false;
	for (uint32 i = 0; i < bucket->ncontainers; i++)
	{
		SegmentContainer container;

		CHECK_FOR_INTERRUPTS();
		segment_format_container(bucket, i, &container);
		if (!segment_container_is_canonical(&container))
			return false;
		anyRun |= container.kind == SEGMENT_RUN;
	}
	return anyRun == (bucket->runFlags != NULL);
}

/* Of so many containers, of which nruns are runs. */
size_t
segment_format_header_size(uint32 n, uint32 nruns)
{
	size_t		size = nruns == 0 ? 8 : 4 + (n + 7) / 8;

	return size + (nruns == 0 || n >= SEGMENT_OFFSETS_FROM ? 8 : 4) * (size_t) n;
}

size_t
segment_container_written_size(const SegmentContainer *container)
{
	if (container->kind == SEGMENT_BITSET)
		return SEGMENT_BITSET_BYTES;
	if (container->kind == SEGMENT_ARRAY || segment_container_becomes_array(container))
		return 2 * (size_t) container->cardinality;
	return 2 + 4 * (size_t) container->nruns;
}

void
segment_writer_begin(SegmentWriter *writer, char *out, uint32 n, uint32 nruns)
{
	writer->start = out;
	writer->runFlags = NULL;
	writer->n = 0;
	if (nruns == 0)
	{
		segment_write32(out, SEGMENT_COOKIE_PLAIN);
		segment_write32(out + 4, n);
		writer->keys = out + 8;
	}
	else
	{
		segment_write32(out, SEGMENT_COOKIE_RUNS | (n - 1) << 16);
		writer->runFlags = (uint8 *) out + 4;
		memset(writer->runFlags, 0, (n + 7) / 8);
		writer->keys = out + 4 + (n + 7) / 8;
	}
	writer->next = writer->keys + 4 * (size_t) n;
	writer->offsets = NULL;
	if (nruns == 0 || n >= SEGMENT_OFFSETS_FROM)
	{
		writer->offsets = writer->next;
		writer->next += 4 * (size_t) n;
	}
}

/* Write runs as an array; returns the byte behind it. */
static char *
write_runs_as_array(const SegmentContainer *container, char *out)
{
	for (uint32 i = 0; i < container->nruns; i++)
	{
		uint32		first = segment_read16(container->bytes + 4 * i);
		uint32		last = first + segment_read16(container->bytes + 4 * i + 2);

		for (uint32 id = first; id <= last; id++)
		{
			segment_write16(out, (uint16) id);
			out += 2;
		}
	}
	return out;
}

void
segment_writer_add(SegmentWriter *writer, const SegmentContainer *container)
{
	uint32		i = writer->n++;

	CHECK_FOR_INTERRUPTS();
	segment_write16(writer->keys + 4 * i, container->key);
	segment_write16(writer->keys + 4 * i + 2, (uint16) (container->cardinality - 1));
	if (writer->offsets != NULL)
		segment_write32(writer->offsets + 4 * i, (uint32) segment_writer_size(writer));
	if (segment_container_becomes_array(container))
		writer->next = write_runs_as_array(container, writer->next);
	else if (container->kind == SEGMENT_RUN)
	{
		writer->runFlags[i / 8] |= 1 << (i % 8);
		segment_write16(writer->next, (uint16) container->nruns);
		memcpy(writer->next + 2, container->bytes, 4 * (size_t) container->nruns);
		writer->next += 2 + 4 * (size_t) container->nruns;
	}
	else
	{
		size_t		size = segment_container_written_size(container);

		memcpy(writer->next, container->bytes, size);
		writer->next += size;
	}
}

/*-------------------------------------------------------------------------
 *
 * format.h
 *		The bytes of a bitmap: checking and reading them where they lie.
 *
 * See format.c for the drawing.  A "bucket" holds the ids that share their
 * upper 32 bits, a "container" of it those that share their upper 48.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SEGMENT_BITMAP_FORMAT_H
#define SEGMENT_BITMAP_FORMAT_H

#define SEGMENT_COOKIE_PLAIN	12346	/* no run containers */
#define SEGMENT_COOKIE_RUNS		12347	/* lower 16 bits; upper: containers -
										 * 1 */
#define SEGMENT_ARRAY_MAX		4096	/* ids in an array container, at most */
#define SEGMENT_BITSET_BYTES	8192
#define SEGMENT_OFFSETS_FROM	4	/* with runs, offsets are there from so
									 * many containers on */
#define SEGMENT_HIGH_MAX		0x7fffffff	/* upper half of PG_INT64_MAX */

/* One bucket, pointing into bytes that were checked. */
typedef struct SegmentBucket
{
	uint32		high;			/* upper 32 bits of its ids */
	uint32		ncontainers;
	const char *bytes;			/* its 32-bit portable bytes */
	size_t		size;
	const uint8 *runFlags;		/* one bit per container, NULL if no runs */
	const char *keys;			/* per container: upper 16 bits, ids - 1 */
	const char *offsets;		/* per container: from "bytes"; NULL if absent */
	const char *containers;		/* the first one */
} SegmentBucket;

typedef enum SegmentKind
{
	SEGMENT_ARRAY,
	SEGMENT_BITSET,
	SEGMENT_RUN,
} SegmentKind;

typedef struct SegmentContainer
{
	SegmentKind kind;
	uint16		key;
	uint32		cardinality;
	const char *bytes;			/* runs: the pairs, behind their number */
	uint32		nruns;
} SegmentContainer;

/* Little-endian values at any address. */
static inline uint16
segment_read16(const char *p)
{
	const uint8 *b = (const uint8 *) p;

	return (uint16) (b[0] | b[1] << 8);
}

static inline uint32
segment_read32(const char *p)
{
	return segment_read16(p) | (uint32) segment_read16(p + 2) << 16;
}

static inline uint64
segment_read64(const char *p)
{
	return segment_read32(p) | (uint64) segment_read32(p + 4) << 32;
}

static inline void
segment_write16(char *p, uint16 v)
{
	p[0] = (char) (v & 0xff);
	p[1] = (char) (v >> 8);
}

static inline void
segment_write32(char *p, uint32 v)
{
	segment_write16(p, (uint16) (v & 0xffff));
	segment_write16(p + 2, (uint16) (v >> 16));
}

static inline void
segment_write64(char *p, uint64 v)
{
	segment_write32(p, (uint32) (v & 0xffffffff));
	segment_write32(p + 4, (uint32) (v >> 32));
}

static inline uint32
segment_bucket_key(const SegmentBucket *bucket, uint32 i)
{
	return segment_read16(bucket->keys + 4 * i);
}

static inline uint32
segment_bucket_cardinality(const SegmentBucket *bucket, uint32 i)
{
	return (uint32) segment_read16(bucket->keys + 4 * i + 2) + 1;
}

/* Is container i one of runs, by its bit in a header?  NULL: none is. */
static inline bool
segment_format_is_run(const uint8 *runFlags, uint32 i)
{
	return runFlags != NULL && (runFlags[i / 8] >> (i % 8) & 1) != 0;
}

static inline bool
segment_bucket_is_run(const SegmentBucket *bucket, uint32 i)
{
	return segment_format_is_run(bucket->runFlags, i);
}

/*
 * Check everything about these bytes.  Return NULL when they are right, else
 * what is wrong; *where then is the offset of the mistake.
 */
extern const char *segment_format_check(const char *bytes, size_t size, size_t *where);
extern const char *segment_format_check32(const char *bytes, size_t size, size_t *where,
										  size_t *used);

/*
 * The same of the headers, but for where containers lie and what they hold: who
 * reads a container has to check it first, by the second function, which says
 * whether it is right.
 */
extern const char *segment_format_check_outline(const char *bytes, size_t size, size_t *where);
extern bool segment_format_check_container(const SegmentBucket *bucket, uint32 i);

/* The bucket whose 32-bit bytes start here, of bytes that were checked. */
extern void segment_format_open(const char *bytes, SegmentBucket *bucket);

/* The bytes that container i takes, which start here. */
static inline size_t
segment_bucket_container_size(const SegmentBucket *bucket, uint32 i, const char *bytes)
{
	uint32		cardinality = segment_bucket_cardinality(bucket, i);

	if (segment_bucket_is_run(bucket, i))
		return 2 + 4 * (size_t) segment_read16(bytes);
	return cardinality > SEGMENT_ARRAY_MAX ? SEGMENT_BITSET_BYTES : 2 * cardinality;
}

/* Container i of a bucket. */
static pg_attribute_always_inline void
segment_format_container(const SegmentBucket *bucket, uint32 i, SegmentContainer *container)
{
	const char *bytes = bucket->containers;

	if (bucket->offsets != NULL)
		bytes = bucket->bytes + segment_read32(bucket->offsets + 4 * i);
	else
	{
		for (uint32 j = 0; j < i; j++)
			bytes += segment_bucket_container_size(bucket, j, bytes);
	}

	container->key = segment_bucket_key(bucket, i);
	container->cardinality = segment_bucket_cardinality(bucket, i);
	container->nruns = 0;
	if (segment_bucket_is_run(bucket, i))
	{
		container->kind = SEGMENT_RUN;
		container->nruns = segment_read16(bytes);
		bytes += 2;
	}
	else
		container->kind = container->cardinality > SEGMENT_ARRAY_MAX ? SEGMENT_BITSET : SEGMENT_ARRAY;
	container->bytes = bytes;
}

/* Position of the first container with a key >= this one. */
extern uint32 segment_format_find(const SegmentBucket *bucket, uint32 key);

/* The ids of so many runs (at least one), or 0 if they are not ascending, apart and within a container. */
extern uint32 segment_runs_cardinality(const char *runs, uint32 nruns);

/* Is what the container holds right?  Its bytes must be there. */
extern bool segment_container_is_right(const SegmentContainer *container);

extern bool segment_container_contains(const SegmentContainer *container, uint16 low);

/* How many ids of the container are <= low. */
extern uint32 segment_container_rank(const SegmentContainer *container, uint16 low);

extern uint16 segment_container_min(const SegmentContainer *container);
extern uint16 segment_container_max(const SegmentContainer *container);

/* Are checked bytes of a bucket, or is one container, in canonical form? */
extern bool segment_format_is_canonical(const SegmentBucket *bucket);
extern bool segment_container_is_canonical(const SegmentContainer *container);

/* Would these runs be no longer as an array?  Then they are written as one. */
static inline bool
segment_container_becomes_array(const SegmentContainer *container)
{
	return container->kind == SEGMENT_RUN &&
		container->cardinality <= SEGMENT_ARRAY_MAX &&
		container->cardinality <= 2 * container->nruns + 1;
}

/*
 * Writing the bytes of a bucket: begin with the number of its containers and
 * of those among them that are runs and stay so, add each in order, and take the
 * size.  "out" has room for segment_format_header_size() of the same numbers
 * and segment_container_written_size() of each container.
 */
typedef struct SegmentWriter
{
	char	   *start;
	uint8	   *runFlags;		/* NULL: no runs */
	char	   *keys;
	char	   *offsets;		/* NULL: none */
	char	   *next;
	uint32		n;				/* written so far */
} SegmentWriter;

extern size_t segment_format_header_size(uint32 n, uint32 nruns);
extern size_t segment_container_written_size(const SegmentContainer *container);
extern void segment_writer_begin(SegmentWriter *writer, char *out, uint32 n, uint32 nruns);
extern void segment_writer_add(SegmentWriter *writer, const SegmentContainer *container);
#define segment_writer_size(writer) ((size_t) ((writer)->next - (writer)->start))

#endif							/* SEGMENT_BITMAP_FORMAT_H */

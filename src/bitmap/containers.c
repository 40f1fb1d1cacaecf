/*-------------------------------------------------------------------------
 *
 * containers.c
 *		CRoaring's maps and our buckets, container by container.
 *
 * CRoaring works on maps of containers.  What is stored is bytes, and most
 * operations need few of them: of an intersection the containers whose keys both
 * sides have, of a union the others are copied as they are.  So a map is made
 * that has just the containers CRoaring is to look at, pointing into the bytes (a
 * view, in the form of CRoaring's own portable "frozen" maps), and what it makes
 * of them is put between those that are copied.
 *
 * Two short arrays, the usual content of sparse sets, are united without a map:
 * CRoaring's vector loop ends with a call of qsort(), which takes as long as the
 * whole merge of short ones.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <roaring/containers/containers.h>

#include "bitmap/containers.h"
#include "miscadmin.h"

/* Arrays of so many ids are short. */
#define SHORT_ARRAY 96

typedef union AnyContainer
{
	array_container_t array;
	bitset_container_t bitset;
	run_container_t run;
} AnyContainer;

/* A view that is being made. */
typedef struct View
{
	roaring_bitmap_t *map;
	uint32		n;
	container_t **containers;
	AnyContainer *own;			/* what they are */
	uint16	   *keys;
	uint8	   *types;
} View;

/* One block of memory, as CRoaring has it: bitmap_free gives back nothing else of a frozen map. */
static void
view_begin(View *view, uint32 capacity)
{
	view->map = segment_scratch_alloc(sizeof(roaring_bitmap_t) +
									  capacity * (sizeof(container_t *) + sizeof(AnyContainer) +
												  sizeof(uint16) + sizeof(uint8)));
	view->n = 0;
	view->containers = (container_t **) (view->map + 1);
	view->own = (AnyContainer *) (view->containers + capacity);
	view->keys = (uint16 *) (view->own + capacity);
	view->types = (uint8 *) (view->keys + capacity);
}

static pg_attribute_always_inline void
view_add(View *view, const SegmentContainer *container)
{
	uint32		n = view->n++;
	AnyContainer *own = &view->own[n];

	view->containers[n] = own;
	view->keys[n] = container->key;
	switch (container->kind)
	{
		case SEGMENT_ARRAY:
			view->types[n] = ARRAY_CONTAINER_TYPE;
			own->array.cardinality = own->array.capacity = (int32) container->cardinality;
			own->array.array = (uint16 *) container->bytes;
			break;
		case SEGMENT_BITSET:
			view->types[n] = BITSET_CONTAINER_TYPE;
			own->bitset.cardinality = (int32) container->cardinality;
			own->bitset.words = (uint64 *) container->bytes;
			break;
		case SEGMENT_RUN:
			view->types[n] = RUN_CONTAINER_TYPE;
			own->run.n_runs = own->run.capacity = (int32) container->nruns;
			own->run.runs = (rle16_t *) container->bytes;
			break;
	}
}

static roaring_bitmap_t *
view_end(View *view)
{
	roaring_array_t *array = &view->map->high_low_container;

	array->size = array->allocation_size = (int32) view->n;
	array->containers = view->containers;
	array->keys = view->keys;
	array->typecodes = view->types;
	array->flags = ROARING_FLAG_FROZEN;
	return view->map;
}

roaring_bitmap_t *
segment_bucket_view(const SegmentBucket *bucket)
{
	View		view;
	SegmentContainer container;

	view_begin(&view, bucket->ncontainers);
	for (uint32 i = 0; i < bucket->ncontainers; i++)
	{
		segment_format_container(bucket, i, &container);
		view_add(&view, &container);
	}
	return view_end(&view);
}

/* Add container i to a view; false if it was not checked and is not right. */
static pg_attribute_always_inline bool
view_bucket(View *view, const SegmentBucket *bucket, uint32 i, bool checked)
{
	SegmentContainer container;

	if (!checked && !segment_format_check_container(bucket, i))
		return false;
	segment_format_container(bucket, i, &container);
	view_add(view, &container);
	return true;
}

bool
segment_buckets_meet(const SegmentBucket *a, bool aChecked, const SegmentBucket *b, bool bChecked,
					 roaring_bitmap_t **viewA, roaring_bitmap_t **viewB)
{
	uint32		capacity = Min(a->ncontainers, b->ncontainers);
	View		left;
	View		right;
	uint32		i = 0;
	uint32		j = 0;

	view_begin(&left, capacity);
	view_begin(&right, capacity);
	while (i < a->ncontainers && j < b->ncontainers)
	{
		uint32		keyA = segment_bucket_key(a, i);
		uint32		keyB = segment_bucket_key(b, j);

		CHECK_FOR_INTERRUPTS();
		if (keyA == keyB &&
			!(view_bucket(&left, a, i, aChecked) && view_bucket(&right, b, j, bChecked)))
			return false;
		i += keyA <= keyB;
		j += keyB <= keyA;
	}
	*viewA = view_end(&left);
	*viewB = view_end(&right);
	return true;
}

bool
segment_bucket_meets_map(const SegmentBucket *bucket, bool checked, const roaring_bitmap_t *map,
						 roaring_bitmap_t **view)
{
	const roaring_array_t *array = &map->high_low_container;
	View		made;
	uint32		i = 0;
	int32		j = 0;

	view_begin(&made, Min(bucket->ncontainers, (uint32) array->size));
	while (i < bucket->ncontainers && j < array->size)
	{
		uint32		key = segment_bucket_key(bucket, i);
		uint32		other = array->keys[j];

		CHECK_FOR_INTERRUPTS();
		if (key == other && !view_bucket(&made, bucket, i, checked))
			return false;
		i += key <= other;
		j += other <= key;
	}
	*view = view_end(&made);
	return true;
}

roaring_bitmap_t *
segment_maps_combine(SegmentOperation op, const roaring_bitmap_t *a, const roaring_bitmap_t *b)
{
	switch (op)
	{
		case SEGMENT_AND:
			return croaring.bitmap_and(a, b);
		case SEGMENT_OR:
			return croaring.bitmap_or(a, b);
		case SEGMENT_ANDNOT:
			return croaring.bitmap_andnot(a, b);
		case SEGMENT_XOR:
			return croaring.bitmap_xor(a, b);
	}
	return NULL;
}

/* Container i of a map. */
static inline void
map_container(const roaring_bitmap_t *map, int32 i, SegmentContainer *result)
{
	const roaring_array_t *array = &map->high_low_container;
	const AnyContainer *container = array->containers[i];

	result->key = array->keys[i];
	result->nruns = 0;
	switch (array->typecodes[i])
	{
		case BITSET_CONTAINER_TYPE:
			result->kind = SEGMENT_BITSET;
			result->cardinality = (uint32) container->bitset.cardinality;
			result->bytes = (const char *) container->bitset.words;
			break;
		case RUN_CONTAINER_TYPE:
			result->kind = SEGMENT_RUN;
			result->nruns = (uint32) container->run.n_runs;
			result->bytes = (const char *) container->run.runs;
			result->cardinality = segment_runs_cardinality(result->bytes, result->nruns);
			if (result->cardinality == 0)
				elog(ERROR, "runs of a container touch");
			break;
		default:
			Assert(array->typecodes[i] == ARRAY_CONTAINER_TYPE);
			result->kind = SEGMENT_ARRAY;
			result->cardinality = (uint32) container->array.cardinality;
			result->bytes = (const char *) container->array.array;
			break;
	}
}

/* The containers of a bucket to be, in order. */
typedef struct Parts
{
	SegmentContainer *containers;
	uint32		n;
} Parts;

/*
 * What a map consists of, in canonical form but for runs that are written as
 * arrays.  Most results are canonical as they come, and finding that out takes
 * less time than run_optimize.
 */
static void
list_map(Parts *parts, roaring_bitmap_t *map)
{
	bool		canonical = true;

	parts->n = (uint32) map->high_low_container.size;
	parts->containers = segment_scratch_alloc(sizeof(SegmentContainer) * parts->n);
	for (uint32 i = 0; i < parts->n && canonical; i++)
	{
		SegmentContainer *container = &parts->containers[i];

		CHECK_FOR_INTERRUPTS();
		map_container(map, i, container);
		canonical = segment_container_becomes_array(container) || segment_container_is_canonical(container);
	}
	if (canonical)
		return;
	croaring.bitmap_run_optimize(map);
	for (uint32 i = 0; i < parts->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		map_container(map, i, &parts->containers[i]);
	}
}

static uint32
count_runs(const Parts *parts)
{
	uint32		nruns = 0;

	for (uint32 i = 0; i < parts->n; i++)
		nruns += parts->containers[i].kind == SEGMENT_RUN && !segment_container_becomes_array(&parts->containers[i]);
	return nruns;
}

static char *
write_parts(const Parts *parts, uint32 nruns, char *out)
{
	SegmentWriter writer;

	segment_writer_begin(&writer, out, parts->n, nruns);
	for (uint32 i = 0; i < parts->n; i++)
		segment_writer_add(&writer, &parts->containers[i]);
	return writer.next;
}

char *
segment_map_write(roaring_bitmap_t *map, char *out)
{
	Parts		parts;

	list_map(&parts, map);
	out = write_parts(&parts, count_runs(&parts), out);
	segment_scratch_free(parts.containers);
	return out;
}

/* ---- combining ---- */

/* Two buckets that are being combined. */
typedef struct Combination
{
	SegmentOperation op;
	const SegmentBucket *a;
	const SegmentBucket *b;
	bool		bChecked;
	Parts		result;			/* a container without ids stands for what
								 * CRoaring makes of two */
	uint32		nleft;			/* of those to CRoaring */
	View		left;
	View		right;
	char	   *merged;			/* room for ids of short arrays; NULL: not
								 * asked for yet */
	char	   *nextMerged;
} Combination;

/* Ascending ids that are being merged; positions count ids. */
typedef struct Merge
{
	const char *a;
	const char *b;
	char	   *out;
	size_t		na;
	size_t		nb;
	size_t		i;
	size_t		j;
	size_t		n;
} Merge;

/*
 * One step, for which both sides must have ids; "either" leaves out what both
 * have.  Without branches: which side is next cannot be foretold.
 */
static pg_attribute_always_inline void
merge_step(Merge *m, bool either)
{
	uint16		left = segment_read16(m->a + 2 * m->i);
	uint16		right = segment_read16(m->b + 2 * m->j);

	segment_write16(m->out + 2 * m->n, Min(left, right));
	m->n += !either | (left != right);
	m->i += left <= right;
	m->j += right <= left;
}

/* How many steps there are at least. */
static pg_attribute_always_inline size_t
merge_steps(const Merge *m)
{
	return Min(m->na - m->i, m->nb - m->j);
}

static pg_attribute_always_inline void
merge_rest(Merge *m, bool either)
{
	while (m->i < m->na && m->j < m->nb)
		merge_step(m, either);
	memcpy(m->out + 2 * m->n, m->a + 2 * m->i, 2 * (m->na - m->i));
	m->n += m->na - m->i;
	memcpy(m->out + 2 * m->n, m->b + 2 * m->j, 2 * (m->nb - m->j));
	m->n += m->nb - m->j;
}

/*
 * The ids of two arrays, without those that both have if "either"; returns how
 * many.  A step waits for the one before, so the ids below the middle of a and
 * those from there on are merged side by side.
 */
static pg_attribute_always_inline uint32
merge_arrays(const SegmentContainer *a, const SegmentContainer *b, bool either, char *out)
{
	size_t		middle = a->cardinality / 2;
	uint16		id = segment_read16(a->bytes + 2 * middle);
	size_t		split = id == 0 ? 0 : segment_container_rank(b, id - 1);
	Merge		low = {.a = a->bytes,.na = middle,.b = b->bytes,.nb = split,.out = out};
	Merge		high = {.a = a->bytes + 2 * middle,.na = a->cardinality - middle,
	.b = b->bytes + 2 * split,.nb = b->cardinality - split,.out = out + 2 * (middle + split)};

	for (;;)
	{
		size_t		n = Min(merge_steps(&low), merge_steps(&high));

		if (n < 4)
			break;
		for (; n > 0; n--)
		{
			merge_step(&low, either);
			merge_step(&high, either);
		}
	}
	merge_rest(&low, either);
	merge_rest(&high, either);
	memmove(out + 2 * low.n, high.out, 2 * high.n);
	return (uint32) (low.n + high.n);
}

/* Unite two short arrays; false if the result would not be canonical as an array. */
static bool
merge_short(Combination *c, const SegmentContainer *a, const SegmentContainer *b)
{
	SegmentContainer *result = &c->result.containers[c->result.n];

	if (c->merged == NULL)
		c->merged = c->nextMerged = segment_scratch_alloc(2 * (size_t) SHORT_ARRAY * sizeof(uint16) *
														  Min(c->a->ncontainers, c->b->ncontainers));
	*result = *a;
	result->bytes = c->nextMerged;
	result->cardinality = c->op == SEGMENT_XOR ? merge_arrays(a, b, true, c->nextMerged) :
		merge_arrays(a, b, false, c->nextMerged);
	if (result->cardinality > 0)
	{
		if (!segment_container_is_canonical(result))
			return false;
		c->nextMerged += 2 * result->cardinality;
		c->result.n++;
	}
	return true;
}

/* Containers with the same key; false if that of b was not checked and is not right. */
static bool
add_pair(Combination *c, uint32 i, uint32 j)
{
	SegmentContainer left;
	SegmentContainer right;

	if (!c->bChecked && !segment_format_check_container(c->b, j))
		return false;
	segment_format_container(c->a, i, &left);
	segment_format_container(c->b, j, &right);
	if (c->op != SEGMENT_ANDNOT && left.kind == SEGMENT_ARRAY && right.kind == SEGMENT_ARRAY &&
		left.cardinality <= SHORT_ARRAY && right.cardinality <= SHORT_ARRAY && merge_short(c, &left, &right))
		return true;
	view_add(&c->left, &left);
	view_add(&c->right, &right);
	left.cardinality = 0;
	c->result.containers[c->result.n++] = left;
	c->nleft++;
	return true;
}

static bool
collect_parts(Combination *c)
{
	const SegmentBucket *a = c->a;
	const SegmentBucket *b = c->b;
	uint32		i = 0;
	uint32		j = 0;

	while (i < a->ncontainers || j < b->ncontainers)
	{
		uint32		keyA = i < a->ncontainers ? segment_bucket_key(a, i) : PG_UINT32_MAX;
		uint32		keyB = j < b->ncontainers ? segment_bucket_key(b, j) : PG_UINT32_MAX;

		CHECK_FOR_INTERRUPTS();
		if (keyA < keyB)
			segment_format_container(a, i, &c->result.containers[c->result.n++]);
		else if (keyB < keyA)
		{
			if (c->op != SEGMENT_ANDNOT)
				segment_format_container(b, j, &c->result.containers[c->result.n++]);
		}
		else if (!add_pair(c, i, j))
			return false;
		i += keyA <= keyB;
		j += keyB <= keyA;
	}
	return true;
}

/* Put what CRoaring made where it belongs, and take away places that stay empty. */
static void
fill_parts(Parts *result, const Parts *made)
{
	uint32		n = 0;
	uint32		next = 0;

	for (uint32 i = 0; i < result->n; i++)
	{
		if (result->containers[i].cardinality > 0)
			result->containers[n++] = result->containers[i];
		else if (next < made->n && made->containers[next].key == result->containers[i].key)
			result->containers[n++] = made->containers[next++];
	}
	Assert(next == made->n);
	result->n = n;
}

static size_t
make_bytes(const Parts *parts, char **bytes)
{
	uint32		nruns = count_runs(parts);
	size_t		size = segment_format_header_size(parts->n, nruns);
	char	   *end PG_USED_FOR_ASSERTS_ONLY;

	for (uint32 i = 0; i < parts->n; i++)
		size += segment_container_written_size(&parts->containers[i]);
	*bytes = segment_scratch_alloc(size);
	end = write_parts(parts, nruns, *bytes);
	Assert(end == *bytes + size);
	return size;
}

bool
segment_buckets_combine(SegmentOperation op, const SegmentBucket *a, const SegmentBucket *b, bool bChecked,
						roaring_bitmap_t **map, char **bytes, size_t *size)
{
	Combination c = {.op = op,.a = a,.b = b,.bChecked = bChecked};
	uint32		capacity = Min(a->ncontainers, b->ncontainers);
	roaring_bitmap_t *made = NULL;

	Assert(op != SEGMENT_AND);
	c.result.containers = segment_scratch_alloc(sizeof(SegmentContainer) * ((size_t) a->ncontainers + b->ncontainers));
	view_begin(&c.left, capacity);
	view_begin(&c.right, capacity);
	if (!collect_parts(&c))
		return false;
	*size = 0;
	*bytes = NULL;
	if (c.nleft > 0)
		made = segment_maps_combine(op, view_end(&c.left), view_end(&c.right));
	if (c.nleft < c.result.n)
	{
		Parts		fromMap = {0};

		if (made != NULL)
			list_map(&fromMap, made);
		fill_parts(&c.result, &fromMap);
		*size = make_bytes(&c.result, bytes);
		segment_scratch_free(fromMap.containers);
		croaring.bitmap_free(made);
		made = NULL;
	}
	*map = made;
	segment_scratch_free(c.left.map);
	segment_scratch_free(c.right.map);
	segment_scratch_free(c.merged);
	segment_scratch_free(c.result.containers);
	return true;
}

/* ---- changing maps in place ---- */

/* Bitsets are worth while from so many times the bytes of what comes in, and so many bytes per container, on. */
#define BITSETS_FROM_TIMES 6
#define BITSETS_FROM_EACH 128

/* "xor" with so many containers, or more, makes a new map: in place, all behind one that comes or goes are moved. */
#define ANEW_FROM 1024

void
segment_map_xor(roaring_bitmap_t *map, const roaring_bitmap_t *other)
{
	if (other->high_low_container.size >= ANEW_FROM)
	{
		roaring_bitmap_t *anew = croaring.bitmap_xor(map, other);
		roaring_bitmap_t before = *map;

		*map = *anew;
		*anew = before;
		croaring.bitmap_free(anew);
	}
	else
		croaring.bitmap_xor_inplace(map, other);
}

/* The position of a container with a key >= this one, from "from" on: fast where it is not far. */
static int32
find_key(const roaring_array_t *array, int32 from, uint16 key)
{
	int32		step = 1;
	int32		end;

	while (from + step <= array->size && array->keys[from + step - 1] < key)
	{
		from += step;
		step *= 2;
	}
	end = Min(from + step - 1, array->size);
	while (from < end)
	{
		int32		middle = (from + end) / 2;

		if (array->keys[middle] < key)
			from = middle + 1;
		else
			end = middle;
	}
	return from;
}

/* The bytes of a container, nearly. */
static size_t
container_bytes(const roaring_array_t *array, int32 i)
{
	const AnyContainer *container = array->containers[i];

	return array->typecodes[i] == BITSET_CONTAINER_TYPE ? SEGMENT_BITSET_BYTES :
		array->typecodes[i] == RUN_CONTAINER_TYPE ? sizeof(rle16_t) * container->run.n_runs :
		sizeof(uint16) * container->array.cardinality;
}

/*
 * Uniting containers of runs or arrays takes time for all that they hold, setting
 * bits only for what comes in.  So what is there must have grown much larger than
 * that.
 */
size_t
segment_map_bitsets_for(const roaring_bitmap_t *map, const roaring_bitmap_t *other)
{
	const roaring_array_t *array = &map->high_low_container;
	const roaring_array_t *others = &other->high_low_container;
	size_t		n = 0;
	size_t		there = 0;
	size_t		coming = 0;

	for (int32 i = 0, j = 0; i < others->size; i++)
	{
		j = find_key(array, j, others->keys[i]);
		if (j == array->size)
			break;
		if (array->keys[j] != others->keys[i] || array->typecodes[j] == BITSET_CONTAINER_TYPE)
			continue;
		n++;
		there += container_bytes(array, j);
		coming += container_bytes(others, i);
	}
	return there >= Max(BITSETS_FROM_TIMES * coming, BITSETS_FROM_EACH * n) ? n * SEGMENT_BITSET_BYTES : 0;
}

/*
 * Make bitsets of the containers that other has too: by uniting them lazily with
 * one of their own ids each.
 */
static void
make_bitsets(roaring_bitmap_t *map, const roaring_bitmap_t *other)
{
	const roaring_array_t *array = &map->high_low_container;
	const roaring_array_t *keys = &other->high_low_container;
	uint16	   *ids = segment_scratch_alloc(sizeof(uint16) * keys->size);
	View		anchors;
	int32		j = 0;

	view_begin(&anchors, keys->size);
	for (int32 i = 0; i < keys->size; i++)
	{
		SegmentContainer container = {.kind = SEGMENT_ARRAY,.key = keys->keys[i],.cardinality = 1,.bytes = (const char *) &ids[i]};

		j = find_key(array, j, keys->keys[i]);
		if (j == array->size)
			break;
		if (array->keys[j] != keys->keys[i] || array->typecodes[j] == BITSET_CONTAINER_TYPE)
			continue;
		ids[i] = array->typecodes[j] == RUN_CONTAINER_TYPE ?
			((const run_container_t *) array->containers[j])->runs[0].value :
			((const array_container_t *) array->containers[j])->array[0];
		view_add(&anchors, &container);
	}
	if (anchors.n > 0)
		croaring.bitmap_lazy_or_inplace(map, view_end(&anchors), true);
	segment_scratch_free(anchors.map);
	segment_scratch_free(ids);
}

/* Flip in a bitset container what another container holds. */
static void
flip_bits(bitset_container_t *bitset, const SegmentContainer *container)
{
	const char *bytes = container->bytes;

	bitset->cardinality = BITSET_UNKNOWN_CARDINALITY;
	switch (container->kind)
	{
		case SEGMENT_ARRAY:
			for (uint32 i = 0; i < container->cardinality; i++)
			{
				uint16		id = segment_read16(bytes + 2 * i);

				bitset->words[id / 64] ^= UINT64CONST(1) << (id % 64);
			}
			break;
		case SEGMENT_BITSET:
			for (uint32 i = 0; i < BITSET_CONTAINER_SIZE_IN_WORDS; i++)
				bitset->words[i] ^= segment_read64(bytes + 8 * i);
			break;
		case SEGMENT_RUN:
			for (uint32 i = 0; i < container->nruns; i++)
			{
				uint32		first = segment_read16(bytes + 4 * i);

				bitset_flip_range(bitset->words, first, first + segment_read16(bytes + 4 * i + 2) + 1);
			}
			break;
	}
}

void
segment_map_xor_lazily(roaring_bitmap_t *map, const roaring_bitmap_t *other, bool asBitsets)
{
	roaring_array_t *array = &map->high_low_container;
	const roaring_array_t *others = &other->high_low_container;
	View		rest;
	int32		j = 0;

	if (asBitsets)
		make_bitsets(map, other);
	view_begin(&rest, others->size);
	for (int32 i = 0; i < others->size; i++)
	{
		SegmentContainer container;

		CHECK_FOR_INTERRUPTS();
		map_container(other, i, &container);
		j = find_key(array, j, container.key);
		if (j < array->size && array->keys[j] == container.key && array->typecodes[j] == BITSET_CONTAINER_TYPE)
			flip_bits(array->containers[j], &container);
		else
			view_add(&rest, &container);
	}
	if (rest.n >= ANEW_FROM)
		segment_map_finish(map);
	segment_map_xor(map, view_end(&rest));
	segment_scratch_free(rest.map);
}

static bool
is_zero(const bitset_container_t *bitset)
{
	for (uint32 i = 0; i < BITSET_CONTAINER_SIZE_IN_WORDS; i++)
		if (bitset->words[i] != 0)
			return false;
	return true;
}

void
segment_map_finish(roaring_bitmap_t *map)
{
	static const uint16 all[2] = {0, PG_UINT16_MAX};
	roaring_array_t *array = &map->high_low_container;
	SegmentContainer full = {.kind = SEGMENT_RUN,.cardinality = PG_UINT16_MAX + 1,.nruns = 1,.bytes = (const char *) all};
	View		empty;

	/* CRoaring's lazy operations leave none without ids */
	view_begin(&empty, array->size);
	for (int32 i = 0; i < array->size; i++)
	{
		bitset_container_t *bitset = array->containers[i];

		CHECK_FOR_INTERRUPTS();
		if (array->typecodes[i] != BITSET_CONTAINER_TYPE || !is_zero(bitset))
			continue;
		bitset->cardinality = 0;
		full.key = array->keys[i];
		view_add(&empty, &full);
	}
	if (empty.n > 0)
		croaring.bitmap_andnot_inplace(map, view_end(&empty));
	segment_scratch_free(empty.map);
	croaring.bitmap_repair_after_lazy(map);
}

/*-------------------------------------------------------------------------
 *
 * croaring.c
 *		The data of the bitmap benchmark, and CRoaring's own figures on it.
 *
 * croaring generate DIRECTORY	writes SHAPE.copy, rows "number, 32-bit portable bytes"
 * croaring run					prints lines "shape operation microseconds"
 *
 * Shapes are subsets of 10,000,000 ids: uniform_P and clustered_P, P the
 * density in per mille; clustered ones have runs of 250 ids on average.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <roaring/roaring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define UNIVERSE 10000000
#define MEAN_RUN 250
#define ROUNDS 5

typedef struct Shape
{
	const char *name;
	double		density;
	int			clustered;
	int			rows;
} Shape;

static const Shape shapes[] = {
	{"uniform_1", 0.001, 0, 1000}, {"uniform_10", 0.01, 0, 1000},
	{"uniform_100", 0.1, 0, 200}, {"uniform_500", 0.5, 0, 200},
	{"clustered_1", 0.001, 1, 1000}, {"clustered_10", 0.01, 1, 1000},
	{"clustered_100", 0.1, 1, 1000}, {"clustered_500", 0.5, 1, 1000},
};

static uint64_t state;

/* splitmix64 */
static uint64_t
next_random(void)
{
	uint64_t	z = (state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* geometric with this mean, at least 1 */
static uint32_t
next_length(double mean)
{
	double		u = ((next_random() >> 11) + 1) * (1.0 / 9007199254740993.0);

	return mean <= 1 ? 1 : 1 + (uint32_t) (log(u) / log(1 - 1 / mean));
}

static roaring_bitmap_t *
make_bitmap(const Shape *shape, int row)
{
	roaring_bitmap_t *bitmap = roaring_bitmap_create_with_capacity(0);
	double		run = shape->clustered ? MEAN_RUN : 1;
	double		gap = run * (1 - shape->density) / shape->density;
	uint64_t	id = 0;

	state = 1000003 * (uint64_t) row + (uint64_t) (shape->density * 1000) + 7 * shape->clustered;
	if (!shape->clustered)
	{
		uint64_t	limit = (uint64_t) (shape->density * 18446744073709551615.0);

		for (id = 0; id < UNIVERSE; id++)
			if (next_random() < limit)
				roaring_bitmap_add(bitmap, (uint32_t) id);
	}
	else
	{
		for (id = next_length(gap); id < UNIVERSE; id += next_length(gap))
		{
			uint64_t	end = id + next_length(run);

			roaring_bitmap_add_range_closed(bitmap, (uint32_t) id,
											(uint32_t) (end > UNIVERSE ? UNIVERSE : end) - 1);
			id = end;
		}
	}
	roaring_bitmap_run_optimize(bitmap);
	return bitmap;
}

static void
generate(const char *directory)
{
	for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++)
	{
		char		path[1000];
		FILE	   *out;

		snprintf(path, sizeof(path), "%s/%s.copy", directory, shapes[s].name);
		out = fopen(path, "w");
		if (out == NULL)
		{
			perror(path);
			exit(1);
		}
		for (int row = 0; row < shapes[s].rows; row++)
		{
			roaring_bitmap_t *bitmap = make_bitmap(&shapes[s], row);
			size_t		size = roaring_bitmap_portable_size_in_bytes(bitmap);
			char	   *bytes = malloc(size);

			roaring_bitmap_portable_serialize(bitmap, bytes);
			fprintf(out, "%d\t\\\\x", row);
			for (size_t i = 0; i < size; i++)
			{
				static const char digits[] = "0123456789abcdef";

				putc(digits[(unsigned char) bytes[i] >> 4], out);
				putc(digits[bytes[i] & 15], out);
			}
			putc('\n', out);
			free(bytes);
			roaring_bitmap_free(bitmap);
		}
		fclose(out);
	}
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int
by_value(const void *a, const void *b)
{
	double		d = *(const double *) a - *(const double *) b;

	return (d > 0) - (d < 0);
}

static uint64_t sink;

/* One statement per pair of neighbours, median of the rounds, per pair. */
#define MEASURE(operation, count, statement) \
	do { \
		double times[ROUNDS]; \
		for (int round = 0; round < ROUNDS; round++) \
		{ \
			double start = now(); \
			for (int i = 0; i < (count); i++) \
			{ \
				const roaring_bitmap_t *a = all[i]; \
				const roaring_bitmap_t *b = all[(i + 1) % rows]; \
				(void) a; (void) b; \
				statement; \
			} \
			times[round] = (now() - start) / (count); \
		} \
		qsort(times, ROUNDS, sizeof(double), by_value); \
		printf("%s %s %.2f\n", shape->name, operation, times[ROUNDS / 2]); \
	} while (0)

#define RESULT(call) \
	do { \
		roaring_bitmap_t *r = call; \
		sink += roaring_bitmap_get_cardinality(r); \
		roaring_bitmap_free(r); \
	} while (0)

static void
run(const Shape *shape)
{
	int			rows = shape->rows;
	roaring_bitmap_t **all = malloc(sizeof(*all) * rows);
	uint32_t   *ids = malloc(sizeof(uint32_t) * UNIVERSE);

	for (int i = 0; i < rows; i++)
		all[i] = make_bitmap(shape, i);
	MEASURE("and", rows, RESULT(roaring_bitmap_and(a, b)));
	MEASURE("or", rows, RESULT(roaring_bitmap_or(a, b)));
	MEASURE("andnot", rows, RESULT(roaring_bitmap_andnot(a, b)));
	MEASURE("xor", rows, RESULT(roaring_bitmap_xor(a, b)));
	MEASURE("and_cardinality", rows, sink += roaring_bitmap_and_cardinality(a, b));
	MEASURE("or_cardinality", rows, sink += roaring_bitmap_or_cardinality(a, b));
	MEASURE("andnot_cardinality", rows, sink += roaring_bitmap_andnot_cardinality(a, b));
	MEASURE("xor_cardinality", rows, sink += roaring_bitmap_xor_cardinality(a, b));
	MEASURE("cardinality", rows, sink += roaring_bitmap_get_cardinality(a));
	MEASURE("contains", rows, sink += roaring_bitmap_contains(a, 5000000));
	MEASURE("ids", 5, roaring_bitmap_to_uint32_array(a, ids));
	for (int lazy = 0; lazy < 1; lazy++)
	{
		MEASURE("or_agg", 1,
				{
					roaring_bitmap_t *r = roaring_bitmap_copy(all[0]);
					for (int j = 1; j < rows; j++)
						roaring_bitmap_or_inplace(r, all[j]);
					sink += roaring_bitmap_get_cardinality(r);
					roaring_bitmap_free(r);
				});
		MEASURE("or_agg_many", 1, RESULT(roaring_bitmap_or_many(rows, (const roaring_bitmap_t **) all)));
		MEASURE("and_agg", 1,
				{
					roaring_bitmap_t *r = roaring_bitmap_copy(all[0]);
					for (int j = 1; j < rows; j++)
						roaring_bitmap_and_inplace(r, all[j]);
					sink += roaring_bitmap_get_cardinality(r);
					roaring_bitmap_free(r);
				});
	}
	for (int i = 0; i < rows; i++)
		roaring_bitmap_free(all[i]);
	free(all);
	free(ids);
}

int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "generate") == 0)
		generate(argv[2]);
	else if (argc == 2 && strcmp(argv[1], "run") == 0)
	{
		for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++)
			run(&shapes[s]);
	}
	else
	{
		fprintf(stderr, "usage: croaring generate DIRECTORY | croaring run\n");
		return 2;
	}
	return 0;
}

# segmentation: build, install, test.
#
#   make, make install      as every PGXS extension: PG_CONFIG=/path/to/pg_config chooses the PostgreSQL (15 to 18)
#   make demo               a company, a dozen segments, writes and reads, on a throwaway server; KEEP=1 keeps it
#   make test               every test, on throwaway servers; ONLY="regress isolation tap property ..." for some kinds
#   make soak               the random and the real-data tests for long: SOAK=minutes
#   make lint               house checks, under 10 seconds
#   make indent             indents src/ as make lint wants it
#   make bench              the figures of test/bench; SCALE=0.1 for a tenth of the data, BENCH=refresh|soak|freshness for others
#   make setup              install what is missing for all of these (Debian, as root or with sudo)
#
# Against a server that is running and has the extension installed:
#   make installcheck REGRESS=bitmap
#   make installcheck REGRESS= ISOLATION=two_writers
#   make prove_installcheck PROVE_TESTS=test/t/003_crash.pl

MODULE_big = segmentation
EXTENSION = segmentation
srcdir := $(or $(VPATH),.)
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(srcdir)/segmentation.control)

ROOMS = bitmap capture catalog compile definition read refresh statement worker
SOURCES := $(wildcard $(srcdir)/src/*.c $(foreach room,$(ROOMS),$(srcdir)/src/$(room)/*.c))
OUR_HEADERS := $(wildcard $(srcdir)/src/*.h $(srcdir)/src/*/*.h)
OBJS := $(patsubst $(srcdir)/%.c,%.o,$(SOURCES))

# The install script is one file made of one part per room, in this order.
PARTS = schema bitmap definition catalog capture read refresh feed statement worker
DATA_built = segmentation--$(EXTVERSION).sql

# The system's CRoaring, by pkg-config where it knows it.
ROARING_CFLAGS ?= $(shell pkg-config --cflags roaring 2>/dev/null)
ROARING_LIBS ?= $(or $(shell pkg-config --libs roaring 2>/dev/null),-lroaring)

# It is opened at run time, by the name that a link would have recorded (src/bitmap/library.c says why).
ROARING_SONAME ?= $(shell objdump -p "`$(CC) -print-file-name=libroaring.so`" 2>/dev/null | sed -n 's/^ *SONAME *//p')
ROARING_DEFINE = $(if $(ROARING_SONAME),-DSEGMENT_CROARING_LIBRARY='"$(ROARING_SONAME)"')

# On PostgreSQL 15 an exported symbol is what PGDLLEXPORT marks only with both flags.
PG_CPPFLAGS = -I$(srcdir)/src -fvisibility=hidden -DPGDLLEXPORT='__attribute__((visibility("default")))' $(ROARING_CFLAGS) $(ROARING_DEFINE) -DSEGMENT_VERSION='"$(EXTVERSION)"'
SHLIB_LINK = -ldl

# Only our own CI makes warnings errors: from the command line, since other people's CI sets CI=true as well.
ifeq ($(origin CI),command line)
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare
endif

REGRESS ?= $(sort $(basename $(notdir $(wildcard $(srcdir)/sql/*.sql))))
REGRESS_OPTS = --inputdir=$(srcdir)
ISOLATION ?= $(sort $(basename $(notdir $(wildcard $(srcdir)/test/isolation/specs/*.spec))))
ISOLATION_OPTS = --inputdir=$(srcdir)/test/isolation
PROVE_TESTS ?= $(sort $(wildcard $(srcdir)/test/t/*.pl))
EXTRA_CLEAN = segmentation--*.sql .work
NO_INSTALLCHECK = 1

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

.DEFAULT_GOAL := all

ifneq ($(wildcard $(PGXS)),)
include $(PGXS)

ifneq ($(filter-out 15 16 17 18,$(MAJORVERSION)),)
$(error segmentation needs PostgreSQL 15 to 18, and $(PG_CONFIG) belongs to $(VERSION))
endif

segmentation--$(EXTVERSION).sql: $(foreach part,$(PARTS),$(srcdir)/sql/install/$(part).sql) $(srcdir)/segmentation.control
	cat $(filter %.sql,$^) > $@

# PGXS tracks no headers unless PostgreSQL was configured to, so any header rebuilds everything.
$(OBJS) $(OBJS:.o=.bc): $(OUR_HEADERS) $(srcdir)/Makefile
$(OBJS): | roaring-version
ifdef VPATH
$(shell mkdir -p $(sort $(dir $(OBJS))))
endif

roaring-version:
	@version=`printf '#include <roaring/roaring_version.h>\nversion ROARING_VERSION\n' | \
		$(CC) $(ROARING_CFLAGS) $(CPPFLAGS) -E -P - 2>/dev/null | sed -n 's/^version "\(.*\)"/\1/p'`; \
	case $$version in [4-9]*|[1-9][0-9]*) ;; *) \
		echo "segmentation needs CRoaring 4 or newer (found: $${version:-none}): run 'make setup' as root on Debian, elsewhere install libroaring 4 where pkg-config finds it." >&2; exit 1;; esac

# Instead of PGXS's own: each file of sql/ runs in a database of its own, so that none leans on another.
installcheck:
	@rm -rf regression.all; status=0; \
	for test in $(REGRESS); do \
		$(pg_regress_installcheck) $(REGRESS_OPTS) $$test || status=1; \
		if [ -e regression.diffs ]; then cat regression.diffs >>regression.all; fi; \
	done; \
	if [ -e regression.all ]; then mv regression.all regression.diffs; fi; \
	if [ -n "$(strip $(ISOLATION))" ]; then $(pg_isolation_regress_installcheck) $(ISOLATION_OPTS) $(ISOLATION) || status=1; fi; \
	exit $$status

prove_installcheck:
	$(prove_installcheck)

else
all install installdirs uninstall installcheck prove_installcheck clean:
	@echo "segmentation needs PGXS: install postgresql-server-dev-N for a PostgreSQL 15 to 18 ('make setup' as root does on Debian), or give PG_CONFIG=/path/to/pg_config." >&2; exit 1
endif

# The targets below find PostgreSQL by themselves, or install it, and leave the source tree alone.
export PG_CONFIG KEEP ONLY SOAK SCALE ROUNDS CLOCK
ifeq ($(origin CI),command line)
export CI
else
unexport CI
endif

setup:
	@$(srcdir)/test/setup/setup

demo:
	@$(srcdir)/test/demo/demo

test:
	@$(srcdir)/test/run

soak: SOAK := $(or $(SOAK),60)
soak:
	@ONLY='property concurrency purchases feed' $(srcdir)/test/run

lint:
	@$(srcdir)/test/lint/lint

indent:
	@FIX=1 $(srcdir)/test/lint/lint

bench:
	@$(srcdir)/test/bench/$(or $(BENCH),bench)

.PHONY: all install installdirs uninstall installcheck prove_installcheck clean roaring-version setup demo test soak lint indent bench

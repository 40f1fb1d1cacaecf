# segmentation: build, install and test.  `make demo` and `make test` are the two commands of the README.
MODULE_big = segmentation
EXTENSION = segmentation
EXTVERSION = 0.1.0

ROOMS = bitmap capture catalog compile definition read refresh statement
OBJS = $(patsubst $(srcdir)/%.c,%.o,$(wildcard $(srcdir)/src/*.c $(addsuffix /*.c,$(addprefix $(srcdir)/src/,$(ROOMS)))))

# The install script is one file made of one part per room, in this order.
PARTS = schema bitmap definition catalog capture read refresh statement
DATA_built = segmentation--$(EXTVERSION).sql

PG_CPPFLAGS = -I$(srcdir)/src -fvisibility=hidden -DPGDLLEXPORT='__attribute__((visibility("default")))'
SHLIB_LINK = -lroaring

REGRESS ?= $(sort $(basename $(notdir $(wildcard $(srcdir)/sql/*.sql))))
REGRESS_OPTS = --inputdir=$(srcdir)
EXTRA_CLEAN = segmentation--$(EXTVERSION).sql

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
srcdir ?= .
include $(PGXS)

segmentation--$(EXTVERSION).sql: $(addprefix $(srcdir)/sql/install/,$(addsuffix .sql,$(PARTS)))
	cat $^ > $@

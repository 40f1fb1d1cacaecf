# shellcheck shell=bash
# lib.sh: what the set-up, the tests, the demo and the bench share.  Sourced, never run.
#
# Every server that these start is a throwaway: a private copy of the PostgreSQL
# installation and a cluster of its own under one temporary directory, on a unix
# socket, run by an unprivileged user (postgres when we are root, else oneself).
# So nothing on the machine is changed, no system-wide install is needed, and
# leave_nothing puts everything back however a run ends.

# Variables for those who source this file: not all are used here.
# shellcheck disable=SC2034

TREE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CI_CFLAGS="-Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare"
PROGRAMS="postgres initdb pg_ctl pg_config psql pgbench pg_isready pg_dump pg_dumpall pg_restore pg_basebackup
	pg_rewind pg_resetwal pg_controldata pg_checksums pg_verifybackup pg_waldump pg_receivewal pg_recvlogical
	pg_upgrade pg_amcheck pg_combinebackup pg_createsubscriber createdb dropdb createuser dropuser vacuumdb
	reindexdb clusterdb pg_archivecleanup"

say() { printf '%s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# is_pg_config PROG: does it belong to a PostgreSQL 15 to 18 that extensions can be built for, with its server?
is_pg_config() {
	local major
	major=$("$1" --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p')
	[ -n "$major" ] && [ "$major" -ge 15 ] && [ "$major" -le 18 ] &&
		[ -e "$("$1" --pgxs)" ] && [ -e "$("$1" --includedir-server)/postgres.h" ] && [ -x "$("$1" --bindir)/postgres" ]
}

# find_pg_config: print the pg_config to use; what the user names goes before what is found.
find_pg_config() {
	local candidate
	if [ -n "${PG_CONFIG-}" ] && [ "$PG_CONFIG" != pg_config ]; then
		is_pg_config "$PG_CONFIG" && command -v "$PG_CONFIG"
		return
	fi
	for candidate in pg_config /usr/lib/postgresql/{18,17,16,15}/bin/pg_config /usr/pgsql-{18,17,16,15}/bin/pg_config; do
		if is_pg_config "$candidate"; then
			command -v "$candidate"
			return
		fi
	done
	return 1
}

# find_indent: print the path of pg_bsd_indent, which is a package of its own or comes with the server's headers.
find_indent() {
	local candidate
	for candidate in pg_bsd_indent /usr/lib/postgresql/{18,17,16}/bin/pg_bsd_indent /usr/pgsql-{18,17,16}/bin/pg_bsd_indent; do
		if command -v "$candidate"; then return; fi
	done
	return 1
}

# roaring_version: print the version of the CRoaring that a build would use, nothing if there is none.
roaring_version() {
	# shellcheck disable=SC2046,SC2086  # flags are words
	printf '#include <roaring/roaring_version.h>\nversion ROARING_VERSION\n' |
		${CC:-cc} $(pkg-config --cflags roaring 2>/dev/null) ${CPPFLAGS-} -E -P - 2>/dev/null |
		sed -n 's/^version "\(.*\)"/\1/p'
}

# as_user COMMAND...: run as the user who may run a server.
as_user() {
	if [ "$(id -u)" = 0 ]; then
		runuser -u "$SERVER_USER" -- "$@"
	else
		"$@"
	fi
}

# server_user: who runs servers.  PostgreSQL refuses to run as root.
server_user() {
	if [ "$(id -u)" != 0 ]; then
		id -un
	elif id postgres >/dev/null 2>&1; then
		echo postgres
	else
		echo nobody
	fi
}

# make_work NAME: make the temporary directory WORK, given back by leave_nothing at exit.
make_work() {
	SERVER_USER=$(server_user)
	WORK=$(mktemp -d "${TMPDIR:-/tmp}/segmentation-$1.XXXXXX")
	chmod 755 "$WORK"
	mkdir "$WORK/sock" "$WORK/t"
	export TMPDIR=$WORK/t		# whatever is left there goes with the rest
	trap leave_nothing EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	if [ "$(id -u)" = 0 ]; then chown "$SERVER_USER" "$WORK" "$WORK/sock" "$WORK/t"; fi
	# another directory than the caller's, which the server's user may not be able to read
	cd "$WORK" || exit 1
}

# small_disk SIZE: a file system of that size at WORK/small, the server's; fails where that is not allowed.
small_disk() {
	mkdir "$WORK/small" && mount -t tmpfs -o "size=$1,mode=700,uid=$(id -u "$SERVER_USER"),gid=$(id -g "$SERVER_USER")" none "$WORK/small" 2>/dev/null
}

# leave_nothing: stop the server if it runs and delete WORK, unless KEEP_WORK is set.
leave_nothing() {
	local status=$?
	trap - EXIT INT TERM HUP
	[ -n "${KEEP_WORK-}" ] || {
		stop_server
		cd / || true
		if mountpoint -q "$WORK/small" 2>/dev/null; then umount -l "$WORK/small"; fi
		rm -rf "$WORK"
	}
	exit "$status"
}

# copy_tree: a copy of the source tree in WORK/src, owned by the server's user.
copy_tree() {
	mkdir "$WORK/src"
	if git -C "$TREE" -c safe.directory="$TREE" rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		(cd "$TREE" && git -c safe.directory="$TREE" ls-files -z -co --exclude-standard |
			while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
			tar --null -T - -cf -) | tar -C "$WORK/src" -xf -
	else
		tar -C "$TREE" --exclude=./.git --exclude=./.work --exclude='*.o' --exclude='*.so' --exclude='*.bc' -cf - . |
			tar -C "$WORK/src" -xf -
	fi
	if [ "$(id -u)" = 0 ]; then chown -R "$SERVER_USER" "$WORK/src"; fi
}

# private_postgres: a private copy of the installation of PG_CONFIG under WORK/pg; sets PG_CONFIG and BIN to it.
# PostgreSQL finds its files relative to its own programs, so the programs are
# copied and everything else is linked; what `make install` adds is private.
private_postgres() {
	local bin dir program
	bin=$("$PG_CONFIG" --bindir)
	as_user mkdir -p "$WORK/pg$bin"
	for program in $PROGRAMS; do
		[ ! -x "$bin/$program" ] || as_user cp "$bin/$program" "$WORK/pg$bin/"
	done
	for dir in "$("$PG_CONFIG" --pkglibdir)" "$("$PG_CONFIG" --sharedir)"; do
		as_user mkdir -p "$WORK/pg$dir"
		as_user cp -rs "$dir/." "$WORK/pg$dir/"
	done
	for dir in "$("$PG_CONFIG" --includedir)" "$("$PG_CONFIG" --pkgincludedir)" "$("$PG_CONFIG" --includedir-server)" "$("$PG_CONFIG" --libdir)"; do
		[ -e "$WORK/pg$dir" ] || {
			as_user mkdir -p "$(dirname "$WORK/pg$dir")"
			as_user ln -s "$dir" "$WORK/pg$dir"
		}
	done
	BIN=$WORK/pg$bin
	PG_CONFIG=$BIN/pg_config
	PATH=$BIN:$PATH
	export PG_CONFIG PATH
}

# build LOG [MAKE ARGUMENT...]: build the copied tree and install it into the private PostgreSQL.
build() {
	local log=$1
	shift
	as_user make -C "$WORK/src" -s --no-print-directory -j"$(nproc 2>/dev/null || echo 2)" with_llvm=no PG_CONFIG="$PG_CONFIG" "$@" all >"$log" 2>&1 &&
		as_user make -C "$WORK/src" -s --no-print-directory with_llvm=no PG_CONFIG="$PG_CONFIG" "$@" install >>"$log" 2>&1
}

# start_server [CONFIGURATION LINE...]: a cluster in WORK/data, reachable by the usual PG* variables.  INITDB_OPTIONS go to initdb.
# Without a worker, so that a test refreshes when it says so; the last line about a setting counts.
start_server() {
	local line locale
	locale=$(locale -a 2>/dev/null | grep -ix -m1 -e 'c.utf-\?8' || echo C)
	as_user env LC_ALL="$locale" "$BIN/initdb" -D "$WORK/data" -U postgres -A trust -E UTF8 --locale="$locale" -N ${INITDB_OPTIONS-} \
		>"$WORK/initdb.log" 2>&1 || { cat "$WORK/initdb.log" >&2; return 1; }
	for line in "listen_addresses = ''" "unix_socket_directories = '$WORK/sock'" "fsync = off" "log_line_prefix = '%m [%p] %a '" \
		"segmentation.worker = off" "$@"; do
		say "$line"
	done | as_user tee -a "$WORK/data/postgresql.conf" >/dev/null
	as_user "$BIN/pg_ctl" -D "$WORK/data" -l "$WORK/server.log" -w -t 120 start >/dev/null ||
		{ tail -20 "$WORK/server.log" >&2; return 1; }
	export PGHOST=$WORK/sock PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
}

# stop_server: stop it, by the ordinary way or, when that does not end it, by the fast one.
stop_server() {
	[ -e "$WORK/data/postmaster.pid" ] || return 0
	as_user "$BIN/pg_ctl" -D "$WORK/data" -m fast -w -t 60 stop >/dev/null 2>&1 ||
		as_user "$BIN/pg_ctl" -D "$WORK/data" -m immediate -w -t 60 stop >/dev/null 2>&1 || true
}

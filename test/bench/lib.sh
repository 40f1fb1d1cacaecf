# shellcheck shell=bash
# lib.sh: what the benchmarks share.  Sourced, never run.

# shellcheck source=../setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../setup/lib.sh"

CLOCK_INSTANT="2026-01-01 00:00:00+00"		# what ref_now() is, and where the company's data ends
# shellcheck disable=SC2034  # used by those who source this
RESULTS=$TREE/test/bench/results

sql() { psql -Xq -v ON_ERROR_STOP=1 "$@"; }
median() { sort -g | awk '{ v[NR] = $1 } END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2; else print "-" }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else print "-" }'; }
clocked() { if [ "$CLOCK" = now ]; then sed 's/ref_now()/now()/g' "$1"; else cat "$1"; fi; }
load_now() { cut -d' ' -f1 /proc/loadavg; }

# listed LIST: the values of a blank-separated list, one per line; span: the smallest and the largest
listed() { tr ' ' '\n' <<<"$1" | grep .; }
span() { listed "$1" | sort -g | sed -n '1p;$p' | paste -sd' '; }

# On a machine that measures other things too: TURNS names a file whose lock is held while something is measured.
take_turn() { [ -z "${TURNS-}" ] || { exec 9>"$TURNS" && flock 9; }; }
end_turn() { [ -z "${TURNS-}" ] || exec 9>&-; }

# prepare NAME [CONFIGURATION LINE...]: a throwaway server with the extension installed; sets HERE to this directory's copy.
prepare() {
	local name=$1 memory
	shift
	"$TREE/test/setup/setup" install build || exit 1
	PG_CONFIG=$(find_pg_config) || die "PG_CONFIG=${PG_CONFIG-} is no PostgreSQL 15 to 18 with its server and extension headers."
	make_work "$name"
	private_postgres
	copy_tree
	HERE=$WORK/src/test/bench
	build "$WORK/build.log" || { cat "$WORK/build.log"; die "the build failed"; }
	memory=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
	start_server "shared_buffers = $((memory / 8))MB" "max_wal_size = 16GB" "checkpoint_timeout = 1h" "work_mem = 128MB" "maintenance_work_mem = 256MB" \
		"jit = off" "timezone = UTC" "$@" || exit 1
	say "$("$PG_CONFIG" --version), CRoaring $(roaring_version), $(nproc) processors; SCALE=$SCALE CLOCK=$CLOCK; load $(load_now)"
}

# load_company DATABASE: customers, orders and events at SCALE, as of CLOCK.
load_company() {
	local until=$CLOCK_INSTANT
	CUSTOMERS=$(awk "BEGIN { printf \"%d\", 1000000 * $SCALE }")
	ORDERS=$((CUSTOMERS * 5)) EVENTS=$((CUSTOMERS * 10))
	if [ "$CLOCK" = now ]; then until=$(sql -Atc "SELECT date_trunc('second', now())"); fi
	createdb "$1"
	PGDATABASE=$1 FOREIGN_KEYS=${FOREIGN_KEYS-} "$WORK/src/test/company/load" "$CUSTOMERS" "$ORDERS" "$EVENTS" "$until" || die "loading failed"
	sql -d "$1" -c "CREATE FUNCTION ref_now() RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS \$\$ SELECT timestamptz '$CLOCK_INSTANT' \$\$"
}

# A copied database has no hint bits to set and is not in the cache: read it once.
warm() {
	sql -d "$1" -Atc "SET max_parallel_workers_per_gather = 0; SELECT count(name), count(lon) FROM customers; SELECT sum(amount) FROM orders; SELECT count(url) FROM events" >"$WORK/warm"
}

create_links() {
	[ -n "${FOREIGN_KEYS-}" ] || sql -d "$1" -c 'DO LANGUAGE segment $$ CREATE LINK ON orders (customer_id) REFERENCES customers; CREATE LINK ON events (customer_id) REFERENCES customers $$'
}

# declare_segments DATABASE: the extension, links and the 24 segments
declare_segments() {
	sql -d "$1" -c "SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS segmentation" || return
	create_links "$1" || return
	clocked "$HERE/segments.sql" | sql -d "$1" -v VERBOSITY=terse 2>"$WORK/notices" || { cat "$WORK/notices" >&2; return 1; }
}

segments_of_sql() { sed -n 's/.*CREATE SEGMENT \(s[0-9a-z_]*\).*/\1/p' "$HERE/segments.sql"; }

refresh_all() { sql -d "$1" -c 'DO LANGUAGE segment $$ REFRESH SEGMENT ALL $$'; }

# view_query NAME: the defining query of a materialized view; plain_query NAME: the same, combinations inlined
view_query() {
	clocked "$HERE/views.sql" | awk -v name="mv.$1" 'index($0, "CREATE MATERIALIZED VIEW " name " AS") { on = 1; next } on { print } on && /;$/ { exit }' | sed 's/;$//'
}
plain_query() {
	local query inner
	query=$(view_query "$1")
	# shellcheck disable=SC2013  # names are words
	for inner in $(grep -o 'mv\.s[0-9a-z_]*' <<<"$query" | sort -u); do
		query=${query//$inner/"($(plain_query "${inner#mv.}")) AS ${inner#mv.}"}
	done
	say "$query"
}

# check_segments DATABASE: each segment's members against plain SQL, one statement each; prints what differs.
check_segments() {
	local name differs=0
	for name in $(segments_of_sql); do
		sql -d "$1" -Atc "SELECT count(*) FROM ((SELECT segment.ids(segment.members('$name')) EXCEPT ALL SELECT id FROM ($(plain_query "$name")) q)
			UNION ALL (SELECT id FROM ($(plain_query "$name")) q EXCEPT ALL SELECT segment.ids(segment.members('$name')))) d" >"$WORK/differs" || return 1
		[ "$(cat "$WORK/differs")" = 0 ] || { say "  DIFFERENT: $name in $(cat "$WORK/differs") ids"; differs=$((differs + 1)); }
	done
	say "oracle: $(segments_of_sql | wc -l) segments compared with plain SQL, $differs differ"
	[ "$differs" = 0 ]
}

# children_cpu: CPU milliseconds of all ended children of the postmaster: sessions and their parallel workers.
# server_cpu: those of the whole server, running processes too.
children_cpu() {
	awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($14 + $15) * 1000 / hz }' "/proc/$(head -1 "$WORK/data/postmaster.pid")/stat"
}
server_cpu() {
	local postmaster pid
	sleep 0.3		# who has just ended is on the way from its own times to its parent's
	postmaster=$(head -1 "$WORK/data/postmaster.pid")
	for pid in $postmaster $(pgrep -P "$postmaster"); do cat "/proc/$pid/stat" 2>/dev/null; done |
		awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); all += $12 + $13 + $14 + $15 } END { print all * 1000 / hz }'
}

# Does this build have the background worker?
has_worker() { [ -n "$(sql -d "$1" -Atc "LOAD 'segmentation'; SELECT 1 FROM pg_settings WHERE name = 'segmentation.worker'")" ]; }

# worker on|off DATABASE: the background worker, or, where there is none, a session that calls refresh_all() once a second.
worker() {
	if has_worker "$2"; then
		sql -d "$2" -c "ALTER DATABASE \"$2\" SET segmentation.worker = $1"
		[ "$1" = on ] || sql -d "$2" -Atc "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '$2' AND backend_type LIKE 'segmentation%'" >"$WORK/stopped"
	elif [ "$1" = on ]; then
		psql -Xq -d "$2" >"$WORK/loop.log" 2>&1 <<-'END' &
			SET application_name = 'refresh loop';
			CALL segment.refresh_all() \watch 1
		END
		LOOP=$!
	elif [ -n "${LOOP-}" ]; then
		kill "$LOOP" 2>/dev/null
		wait "$LOOP" 2>/dev/null
		LOOP=
	fi
}

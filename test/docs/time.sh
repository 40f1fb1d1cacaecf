# shellcheck shell=bash
# time.sh: is docs/time.md right about each form?  Sourced by run, which brings check() and the database.
#
# The rows of its three tables are declared as segments.  Those of the first list must still be read by base and
# pending subjects years after a refresh, those of the second be evaluated for everybody by then, and those of the
# third be refused, unless max_staleness is given and the table says so.

# shellcheck disable=SC2154  # here, database and passed are run's

time_page=$here/../../docs/time.md
time_schema=time_$$

time_run() { PGOPTIONS="-c search_path=$time_schema,segment -c client_min_messages=warning" psql -XqAt -v ON_ERROR_STOP=1 -d "$database" "$@"; }

# forms SECTION COLUMN: the code in a column of the table below a heading
forms() {
	awk -v section="### $1" -v column="$2" '
		/^##/ { on = $0 == section; rows = 0; next }
		on && /^\|/ && ++rows > 2 {
			gsub(/\\\|/, "\001"); split($0, cell, "|"); text = cell[column + 1]
			gsub("\001", "|", text); gsub(/^ *`?|`? *$/, "", text); print text
		}' "$time_page"
}

# how_read CONDITION: of a segment refreshed, 900 days later
how_read() {
	time_run <<-END
		SET segmentation.clock = '2026-06-10 10:00+00';
		DO LANGUAGE segment \$\$ CREATE SEGMENT example ON customers WHERE $1 \$\$;
		DO LANGUAGE segment \$\$ REFRESH SEGMENT example \$\$;
		SELECT 'now: ' || reads || ', ' || pending FROM segment.standing('example');
		SET segmentation.clock = '2028-11-26 10:00+00';
		SELECT 'later: ' || reads FROM segment.standing('example');
		SELECT 'exact: ' || (count(*) = segment.size('example')) FROM example;
		DROP VIEW example;
	END
}

expect_read() {
	local got
	got=$(how_read "$1") || { time_run -c "DROP VIEW IF EXISTS example"; return 1; }
	[ "$got" = "now: base and pending, 0
later: $2
exact: true" ] || { echo "$got"; return 1; }
}

# expect_refused CONDITION OPTIONS yes|no: is it refused, as the third list says?
expect_refused() {
	local output
	if output=$(time_run -c "BEGIN; DO LANGUAGE segment \$\$ CREATE SEGMENT example ON customers $2 WHERE $1 \$\$; ROLLBACK" 2>&1); then
		[ "$3" = no ] || { echo "accepted"; return 1; }
	else
		[ "$3" = yes ] || { echo "$output"; return 1; }
		case $output in *"LINE "*) ;; *) echo "no place is told: $output"; return 1 ;; esac
	fi
}

run -c "CREATE SCHEMA $time_schema"
check "the tables of docs/time.md" time_run -c "$(awk '/^```/ { on = /sql$/; next } on' "$time_page")
	INSERT INTO customers SELECT i, '2026-06-01'::timestamptz + i * interval '9 hours', '2026-06-01'::timestamp + i * interval '7 hours',
		'1986-06-01'::date + i * 400, make_interval(days => i), '2026-06-01'::timestamptz + i * interval '20 hours', i FROM generate_series(1, 30) i;
	INSERT INTO orders SELECT i, 1 + i % 27, '2026-05-01'::timestamptz + i * interval '11 hours', '2026-06-01'::date + i % 20, '1 year', i FROM generate_series(1, 100) i"
count=$passed
while IFS= read -r form; do
	check "exact per subject: $form" expect_read "$form" "base and pending"
done < <(forms "Exact per subject" 2)
while IFS= read -r form; do
	check "everybody, at known instants: $form" expect_read "$form" "in full: a change touched everybody"
done < <(forms "Everybody, at known instants" 2)
while IFS=$'\t' read -r form accepted; do
	check "refused: $form" expect_refused "$form" "" yes
	check "with max_staleness: $form" expect_refused "$form" "WITH (max_staleness = '15 min')" "$([ "$accepted" = yes ] && echo no || echo yes)"
done < <(paste <(forms "Refused" 1) <(forms "Refused" 2))
check "the tables of docs/time.md are found" test $((passed - count)) -gt 40

# shellcheck shell=bash
# feed.sh: is docs/feed.md right?  Sourced by run, which brings check() and the database.
#
# The statements of the page run from top to bottom, in one session and a database of its own.  A result behind a
# statement's end is compared: columns with "|", rows with a blank between them.

# shellcheck disable=SC2154  # here and database are run's

feed_page=$here/../../docs/feed.md

# The page as a psql script: what is printed behind "@@ line" is the result of the statement that ends at that line.
feed_script() {
	perl -ne '
		if (/^```/) { $on = /sql$/; next }
		next unless $on;
		s/\s+-- .*// if /^(SELECT|TABLE).*;\s+-- /;
		print "\\echo @@ $.\n" if /^(SELECT|TABLE)\b/;
		print;' "$feed_page"
}

# What the page says: "@@ line result".
feed_wanted() {
	perl -ne '
		if (/^```/) { $on = /sql$/; next }
		next unless $on;
		$line = $. if /^(SELECT|TABLE)\b/;
		print "@@ $line $1\n" if /^(?:SELECT|TABLE).*;\s+-- (.*?)\s*$/;' "$feed_page"
}

feed_results() {
	feed_script | PGOPTIONS="-c search_path=public,segment -c client_min_messages=warning" psql -XqAt -v ON_ERROR_STOP=1 -d "${database}_feed" |
		perl -0777 -ne 'for (split /^(?=@@ )/m) { my ($mark, @rows) = split /\n/; print "$mark @rows\n" }'
}

expect_feed() {
	local results
	results=$(feed_results) || return 1
	diff <(feed_wanted) <(printf '%s\n' "$results" | grep -F -f <(feed_wanted | cut -d' ' -f1,2 | sed 's/$/ /'))
}

psql -Xq -d postgres -c "CREATE DATABASE ${database}_feed"
psql -Xq -d "${database}_feed" -c "CREATE EXTENSION segmentation"
check "docs/feed.md" expect_feed
psql -Xq -d postgres -c "DROP DATABASE ${database}_feed WITH (FORCE)"

# Moments: zones, intervals and conditions of the clock test.
#
# A condition is made as a pair: as a segment says it, and as plain SQL.  Where
# they read the clock both hold a placeholder ({now}, {today}, {local}, {stamp}),
# which in a segment stands for now() and its like, and in plain SQL for a literal.
package Moments;

use strict;
use warnings;
use Exporter 'import';
use Chance;
our @EXPORT = qw(zones special_moments intervals random_condition in_segment_text in_plain_text);

# zone => instants around which something happens in it (UTC)
my %zones = (
	'UTC' => [],
	'Europe/Berlin' => [ '2024-03-31 01:00', '2024-10-27 01:00', '2025-03-30 01:00' ],
	'America/New_York' => [ '2024-03-10 07:00', '2024-11-03 06:00' ],
	'Australia/Lord_Howe' => [ '2024-04-06 15:00', '2024-10-05 15:30' ],	# half an hour
	'Asia/Kolkata' => [],
	'America/Sao_Paulo' => [ '2018-11-04 03:00', '2019-02-17 02:00', '2017-10-15 03:00' ],	# no midnight, or two
	'Atlantic/Azores' => [ '2024-03-31 01:00', '2024-10-27 01:00' ],	# midnight comes again after an hour
	'America/Havana' => [ '2024-03-10 05:00', '2024-11-03 05:00' ],
	'America/St_Johns' => [ '2006-04-02 03:31', '2006-10-29 02:31' ],	# at 00:01, back to yesterday
	'America/Nuuk' => [ '2024-03-31 01:00', '2025-03-30 01:00', '2024-10-27 01:00' ],	# no last hour of a day
	'Pacific/Apia' => [ '2011-12-30 10:00' ],	# left out a day
);
my @everywhere = ('2024-02-28 12:00', '2024-02-29 12:00', '2023-02-28 12:00', '2024-12-31 12:00', '2025-01-31 06:00', '2024-03-31 12:00',
	'2024-05-31 18:00', '2000-02-29 00:00', '2024-06-12 10:00', '2023-03-28 12:00', '2024-04-30 22:00');

sub zones { return sort keys %zones; }

sub special_moments { my ($zone) = @_; return (@{ $zones{$zone} }, @{ $zones{$zone} }, @everywhere); }

# Shapes: fixed, days, months (clamped), mixed ones, negative parts, none at all.
sub intervals
{
	return ('90 minutes', '26 hours', '1 hour', '7 days', '30 days', '1 day', '1 month', '3 months', '1 year', '1 month 1 day',
		'1 month -1 day', '1 day 02:30', '2 months 3 days 5 hours', '12 months 1 day', '-1 month', '0', '00:00:00.000001', '1 month -720 hours', '4 years');
}

# table => columns: [name, type, may be infinite]
our %columns = (
	customers => [ [ 'created_at', 'timestamptz' ], [ 'seen', 'timestamp' ], [ 'birth', 'date' ], [ 'due', 'timestamptz', 1 ] ],
	orders => [ [ 'placed_at', 'timestamptz' ], [ 'shipped', 'timestamp' ], [ 'day', 'date' ], [ 'valid', 'timestamptz', 1 ] ],
	events => [ [ 'at', 'timestamptz' ], [ 'noted', 'timestamp' ], [ 'on_day', 'date' ], [ 'till', 'date', 1 ] ],
);
# interval columns
my %span = (customers => 'trial', orders => 'span', events => 'life');

sub in_segment_text
{
	my ($text) = @_;
	$text =~ s/\{now\}/now()/g;
	$text =~ s/\{stamp\}/current_timestamp/g;
	$text =~ s/\{today\}/current_date/g;
	$text =~ s/\{local\}/localtimestamp/g;
	$text =~ s/\{age (.*?)\}/age($1)/g;
	return $text;
}

# $clock: a literal with its offset; cast in the zone that is in force.
sub in_plain_text
{
	my ($text, $clock) = @_;
	$text =~ s/\{now\}|\{stamp\}/(timestamptz '$clock')/g;
	$text =~ s/\{today\}/((timestamptz '$clock')::date)/g;
	$text =~ s/\{local\}/((timestamptz '$clock')::timestamp)/g;
	$text =~ s/\{age (.*?)\}/age((timestamptz '$clock')::date, $1)/g;
	return $text;
}

sub op { return pick('<', '<=', '>', '>=', '>', '<', '=', '<>'); }

sub interval { my ($case) = @_; return "interval '" . pick(@{ $case->{intervals} }) . "'"; }

# What now() may be written as.
sub clock { return pick('{now}', '{now}', '{now}', '{stamp}', '{local}', '{today}', '{now}::date', '{now}::timestamp'); }

# The clock, moved.
sub moved
{
	my ($case, $table, $span) = @_;
	my $i = interval($case);
	return weighted(
		[ 4, clock() ],
		[ 12, clock() . pick(' - ', ' - ', ' + ') . $i ],
		[ 2, "$i + " . clock() ],
		[ 3, pick('{today}', '{now}::date') . pick(' - ', ' + ') . between(0, 40) ],
		[ 3, clock() . pick(' - ', ' + ') . $span ],
		[ 1, '({now} - ' . $i . ')' . pick('::timestamp', '::date') ]);
}

# Comparisons below CASE and COALESCE, some of which fail where they are not to be looked at.
sub branches
{
	my ($case, $table, $p) = @_;
	my $column = pick(grep { !$_->[2] } @{ $columns{$table} });
	my $c = "$p$column->[0]";
	my ($one, $two, $three) = map { comparison($case, $table, $p, 1) } 1 .. 3;
	my $n = between(0, 9);
	return weighted(
		[ 3, "CASE $c" . "::date WHEN {today} THEN true WHEN {today} - " . between(1, 3) . " THEN $one ELSE $two END" ],
		[ 2, "CASE ${p}n WHEN $n THEN $one WHEN 4 THEN NOT ($two) ELSE $three END" ],
		[ 2, "CASE WHEN $one THEN $two ELSE $three END" ],
		[ 4, "CASE WHEN ${p}n < $n THEN $one WHEN ${p}n <> 0 THEN $c + interval '6 days' / ${p}n " . op() . " {now} ELSE $two END" ],
		[ 2, "coalesce(nullif(${p}n, 0) > $n, interval '1 day' / (${p}n + 1) < {now} - $p" . (grep { $_->[1] ne 'date' } @{ $columns{$table} })[0][0] . ')' ]);
}

# One comparison of a row of $table (columns are prefixed $p) with the clock.
sub comparison
{
	my ($case, $table, $p, $plain) = @_;
	return branches($case, $table, $p) if !$plain && chance(8);
	my @columns = @{ $columns{$table} };
	my $column = pick(@columns);
	my ($c, $type, $infinite) = ("$p$column->[0]", $column->[1], $column->[2]);
	my ($finite) = pick(grep { !$_->[2] } @columns);
	my $f = "$p$finite->[0]";
	my $span = "$p$span{$table}";
	my ($i, $j) = (interval($case), interval($case));
	my $difference = $finite->[1] eq 'date' ? "{today} - $f " . op() . ' ' . between(-3, 40)
	  : weighted([ 3, pick('{now}', '{local}', '{today}') . " - $f " . op() . " $i" ], [ 1, "$f - " . clock() . ' ' . op() . " $i" ], [ 1, "$i " . op() . " {now} - $f" ],
		[ 1, "{now} - $f " . op() . " $span" ]);
	return weighted(
		[ 10, "$c " . op() . ' ' . moved($case, $table, $span) ],
		[ 5, moved($case, $table, $span) . ' ' . op() . " $c" ],
		[ 6, "$c" . pick(' + ', ' - ') . "$i " . op() . ' ' . clock() ],
		[ 4, "$c + $span " . op() . ' ' . clock() ],
		[ 5, $difference ],
		[ 5, "$c BETWEEN " . pick('', 'SYMMETRIC ') . moved($case, $table, $span) . ' AND ' . moved($case, $table, $span) ],
		[ 4, moved($case, $table, $span) . " BETWEEN $c AND $f + $i" ],
		[ 2, "NOT ($c " . op() . ' ' . moved($case, $table, $span) . ')' ]);
}

# One form that changes for everybody, at known instants.
sub calendar
{
	my ($case, $table, $p) = @_;
	my $column = pick(grep { !$_->[2] } @{ $columns{$table} });
	my $c = "$p$column->[0]";
	my $date = $column->[1] eq 'date';
	my $field = pick(qw(day week month quarter year day week month), $date ? () : qw(hour));
	my $extract = pick(qw(day month dow isodow doy week quarter isoyear), $date ? () : qw(hour));
	my $now = pick('{now}', '{now}', '{local}', '{today}');
	$now = '{now}' if $extract eq 'hour' || $field eq 'hour';
	my $i = interval($case);
	return weighted(
		[ 4, "date_trunc('$field', $c) = date_trunc('$field', $now)" ],
		[ 4, "$c >= date_trunc('$field', $now)" ],
		[ 4, "$c < date_trunc('$field', $now) " . pick('-', '+') . " $i" ],
		[ 3, "date_trunc('$field', $c) = date_trunc('$field', $now - interval '" . pick('1 month', '1 day', '90 minutes', '7 minutes', '1 day 12 hours') . "')" ],
		[ 4, "extract($extract from $c) " . op() . " extract($extract from $now)" ],
		[ 2, "extract($extract from $now) > " . between(0, 12) ],
		[ 1, "extract($extract from $now) IN (1, 3, 5, 12)" ],
		[ 1, "coalesce({today}, $c) > $c" ],
		[ 2, "date_part('$extract', $now) = date_part('$extract', $c)" ],
		[ 2, "to_char($c, 'MM-DD') = to_char({today}, 'MM-DD')" ],
		[ 4, "{age $c} " . op() . " $i" ],
		[ 2, "age({today}, $c) " . op() . " $i" ],
		[ 2, "extract(year from {age $c}) >= 1" ],
		[ 2, "$c IS DISTINCT FROM {today} - 1" ],
		[ 2, "({now} AT TIME ZONE '" . pick(@{ $case->{zones} }) . "')::date - 1 = ${c}::date" ],
		[ 1, "${c}::date IN ({today}, {today} - 1, {today} - 7)" ],
		[ 1, "(extract(month from $c), extract(day from $c)) = (extract(month from {today}), extract(day from {today}))" ]);
}

# A condition on a source's rows, in which the clock may stand more than once; $p for the row's columns.
sub window
{
	my ($case, $table, $p) = @_;
	my $subject_column = pick('created_at', 'due', 'seen', 'birth');
	my $other = pick(grep { !$_->[2] } @{ $columns{$table} });
	my $one = chance(12) && !$case->{exact_only} ? calendar($case, $table, $p) : comparison($case, $table, $p);
	return weighted(
		[ 8, $one ],
		[ 4, "$one AND " . comparison($case, $table, $p) ],
		[ 3, "$one OR " . comparison($case, $table, $p) ],
		[ 3, "$one AND $p$other->[0] > customers.$subject_column" . pick('', ' + ' . interval($case)) ],
		[ 2, "$one AND customers.$subject_column + " . interval($case) . ' ' . op() . ' {now}' ],
		[ 2, "$p" . "n > 2 AND $one" ]);
}

# (as a segment says it, as plain SQL)
sub aggregate
{
	my ($case) = @_;
	my $table = pick('orders', 'events');
	my $w = window($case, $table, "$table.");
	my $column = pick(grep { !$_->[2] } @{ $columns{$table} });
	my $c = "$table.$column->[0]";
	my $i = interval($case);
	my $number = between(0, 3);
	my ($call, $rest) = @{ weighted(
		[ 8, [ "count($table) FILTER (WHERE $w)", op() . " $number" ] ],
		[ 3, [ "count(*) FILTER (WHERE $w)", op() . " $number" ] ],
		[ 2, [ "count($c) FILTER (WHERE $w)", 'BETWEEN ' . ($number - 1) . ' AND ' . ($number + below(3)) ] ],
		[ 1, [ "count(DISTINCT $c) FILTER (WHERE $w)", op() . " $number" ] ],
		[ 4, [ "sum(CASE WHEN $w THEN $table.n ELSE 0 END)", op() . ' ' . between(0, 12) ] ],
		[ 3, [ "bool_or($w)", pick('', 'IS NOT TRUE', 'IS NULL') ] ],
		[ 2, [ "bool_and($w)", '' ] ],
		[ 4, [ pick('max', 'min') . "($c)", op() . ' ' . moved($case, $table, $i) ] ],
		[ 3, [ pick('max', 'min') . "($c) FILTER (WHERE $w)", op() . ' ' . moved($case, $table, $i) ] ],
		[ 3, [ pick('max', 'min') . "($c) + $i", op() . ' ' . clock() ] ]) };
	# count(*) must name its table to the segment
	$w = '', $call = "count(*) FILTER (WHERE $table.n >= 0 AND ($1))" if $call =~ /^count\(\*\) FILTER \(WHERE (.*)\)$/s;
	(my $plain = $call) =~ s/count\($table\)/count(*)/;
	return ("$call $rest", "(SELECT $plain FROM $table WHERE $table.customer_id = customers.id) $rest");
}

sub subquery
{
	my ($case) = @_;
	my $table = pick('orders', 'events');
	my $w = window($case, $table, 'r.');
	my $column = pick(grep { !$_->[2] } @{ $columns{$table} });
	my $c = "r.$column->[0]";
	my $tie = 'r.customer_id = customers.id';
	my $i = interval($case);
	my $from = "FROM $table r";
	return weighted(
		[ 5, "EXISTS (SELECT 1 $from WHERE $tie AND ($w))" ],
		[ 5, "NOT EXISTS (SELECT 1 $from WHERE $tie AND ($w))" ],
		[ 4, "id IN (SELECT r.customer_id $from WHERE $w)" ],
		[ 3, "id NOT IN (SELECT r.customer_id $from WHERE r.customer_id IS NOT NULL AND ($w))" ],
		[ 1, "id NOT IN (SELECT r.customer_id $from WHERE $w)" ],
		[ 3, "id IN (SELECT r.customer_id $from GROUP BY r.customer_id HAVING " . pick('max', 'min') . "($c) " . op() . ' ' . moved($case, $table, $i) . ')' ],
		[ 2, "id IN (SELECT r.customer_id $from WHERE $w GROUP BY r.customer_id HAVING count(*) >= 2)" ],
		[ 2, "(SELECT max($c) $from WHERE $tie AND ($w)) " . op() . ' ' . moved($case, $table, $i) ],
		[ 2, "(SELECT count(*) $from WHERE $tie AND ($w)) > " . below(3) ],
		[ 2, below(5) . ' ' . op() . " (SELECT count(*) FILTER (WHERE r.n > 1) $from WHERE $tie AND ($w))" ],
		[ 2, "EXISTS (WITH w AS (SELECT * $from WHERE $w) SELECT 1 FROM w WHERE w.customer_id = customers.id)" ],
		[ 1, "(WITH w AS (SELECT r.customer_id, r.n $from WHERE $w), v AS (SELECT w.n FROM w WHERE w.customer_id = customers.id) SELECT count(*) FROM v) >= " . below(3) ],
		[ 2, "(SELECT s.n FROM $table s WHERE s.customer_id = customers.id AND EXISTS (SELECT 1 $from WHERE r.id = s.id AND ($w)) ORDER BY s.id LIMIT 1) >= 2" ],
		[ 2, "EXISTS (SELECT 1 FROM (SELECT * $from WHERE $w) t WHERE t.customer_id = customers.id)" ],
		[ 1, "EXISTS (SELECT 1 $from JOIN orders o ON o.customer_id = r.customer_id AND o.placed_at > {now} - $i WHERE $tie AND ($w))" ],
		[ 1, "{now} - $i > ALL (SELECT $c $from WHERE $tie)" ],
		[ 1, "{today} = ANY (SELECT $c" . "::date $from WHERE $tie)" ],
		[ 1, "{today} - 3 IN (SELECT $c" . "::date $from WHERE $tie)" ],
		[ 1, "(SELECT count(DISTINCT $c" . "::date) $from WHERE $tie AND $c" . "::date BETWEEN {today} - 6 AND {today}) >= 2" ],
		[ 1, "(SELECT count(*) FROM generate_series({today} - 2, {today}, interval '1 day') AS d(d) WHERE EXISTS (SELECT 1 $from WHERE $tie AND $c" . "::date = d.d::date)) >= 1" ],
		[ 8, layered($case, $table, $c) ],
		$case->{exact_only} ? () : [ 6, ranked($case, $table, $c) ]);
}

# Comparisons above, below and beside what picks or counts rows of one subject: aggregates with no row or none that
# passes FILTER, LIMIT, DISTINCT ON, windows, set operations, joins.
sub layered
{
	my ($case, $table, $c) = @_;
	my ($w, $v) = map { window($case, $table, 'r.') } 1 .. 2;
	my $t = comparison($case, $table, 't.');
	my $e = window($case, 'events', 'e.');
	my ($i, $op, $n, $few) = (interval($case), op(), between(0, 9), below(3));
	my $moved = moved($case, $table, $i);
	my $extreme = pick('max', 'min');
	my $tie = 'r.customer_id = customers.id';
	my $from = "FROM $table r";
	my $truth = pick('', 'IS NOT TRUE', 'IS NULL', 'IS NOT FALSE');
	my $order = 'ORDER BY r.n' . pick('', ' DESC') . ' NULLS LAST, r.id';
	return pick(
		"(SELECT $extreme($c) FILTER (WHERE r.n > $n) $op $moved $from WHERE $tie) $truth",
		"(SELECT $extreme($c) $op $moved $from WHERE $tie AND r.n > $n) $truth",
		"(SELECT $extreme($c) FILTER (WHERE $w) $op $moved $from WHERE $tie) $truth",
		"EXISTS (SELECT 1 $from WHERE $tie AND r.n < $n HAVING $extreme($c) $op $moved)",
		"EXISTS (SELECT 1 $from WHERE $tie AND ($w) HAVING count(*) <= $few)",
		"EXISTS (SELECT 1 $from WHERE $tie AND ($w) GROUP BY " . pick('r.n', 'ROLLUP (r.n)', 'GROUPING SETS ((r.n), ())') . ' HAVING count(*) >= 2)',
		"EXISTS (SELECT 1 FROM (SELECT DISTINCT ON (r.customer_id) r.* $from WHERE $w ORDER BY r.customer_id, r.n, r.id) t WHERE t.customer_id = customers.id AND ($t))",
		"EXISTS (SELECT 1 FROM (SELECT r.*, row_number() OVER (PARTITION BY r.customer_id $order) AS k $from WHERE $w) t WHERE t.customer_id = customers.id AND t.k = 2)",
		"EXISTS (SELECT 1 FROM (SELECT r.*, row_number() OVER (PARTITION BY r.customer_id $order) AS k $from) t WHERE t.customer_id = customers.id AND t.k = 1 AND ($t))",
		"(SELECT bool_or(t.b) FROM (SELECT lag($w) OVER (ORDER BY r.id) AS b $from WHERE $tie) t) $truth",
		"(SELECT $c $from WHERE $tie AND r.n < $n $order LIMIT 1) $op $moved",
		"(SELECT $c $op $moved $from WHERE $tie $order OFFSET 1 LIMIT 1) $truth",
		"(SELECT r.n $from WHERE $tie AND ($w) $order LIMIT 1) > $n",
		"EXISTS (SELECT 1 $from WHERE $tie AND ($w) OFFSET $few)",
		"(SELECT count(*) $from WHERE $tie AND ($w)) % 2 = 1",
		"(SELECT count(*) FILTER (WHERE $w) - count(*) FILTER (WHERE $v) $from WHERE $tie) $op 0",
		"(SELECT array_agg(r.n ORDER BY r.n) $from WHERE $tie AND ($w)) @> ARRAY[$n]",
		"coalesce((SELECT sum(r.n) $from WHERE $tie AND ($w)), -1) $op (SELECT count(*) $from WHERE $tie AND ($v))",
		pick('coalesce', 'greatest', 'least') . "((SELECT $extreme($c)::timestamp $from WHERE $tie), seen) $op $moved",
		"id IN (SELECT r.customer_id $from WHERE $w " . pick('UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT') . " SELECT e.customer_id FROM events e WHERE $e)",
		"EXISTS (SELECT r.n $from WHERE $tie AND ($w) " . pick('EXCEPT', 'EXCEPT ALL', 'INTERSECT') . " SELECT e.n FROM events e WHERE e.customer_id = customers.id AND ($e))",
		"EXISTS (SELECT 1 $from, LATERAL (SELECT e.n FROM events e WHERE e.customer_id = r.customer_id AND ($e) ORDER BY e.n, e.id LIMIT 1) l WHERE $tie AND l.n $op r.n)",
		"EXISTS (SELECT 1 $from LEFT JOIN events e ON e.customer_id = r.customer_id AND e.n > r.n WHERE $tie AND ($e) $truth AND ($w))",
		"EXISTS (SELECT 1 FROM events e RIGHT JOIN $table r ON e.customer_id = r.customer_id AND e.n = r.n WHERE $tie AND e.id IS NULL AND ($w))",
		"EXISTS (SELECT 1 $from WHERE $tie AND r.n = (SELECT max(t.n) FROM $table t WHERE t.customer_id = r.customer_id AND ($t)))",
		"EXISTS (SELECT 1 $from WHERE $tie AND ($w) AND r.n NOT IN (SELECT e.n FROM events e WHERE e.customer_id = customers.id AND ($e)))",
		"EXISTS (SELECT 1 $from JOIN customers c ON c.n = r.n AND c.id <> r.customer_id WHERE $tie AND (" . window($case, 'customers', 'c.') . '))',
		"CASE WHEN EXISTS (SELECT 1 $from WHERE $tie AND ($w)) THEN (SELECT $extreme($c) $from WHERE $tie) $op $moved ELSE n > $n END",
		"EXISTS (SELECT 1 $from JOIN (SELECT {now} - $i AS k) k ON ${c}::timestamptz $op k.k WHERE $tie)",
		"$n IN (SELECT r.n $from WHERE $tie AND ($w))",
		"(n = ANY (ARRAY(SELECT r.n $from WHERE $tie AND ($w)))) $truth",
		"(id IN (SELECT r.customer_id $from WHERE $w)) = (id IN (SELECT e.customer_id FROM events e WHERE $e))",
		"((id, n) IN (SELECT r.customer_id, r.n $from WHERE $w)) $truth");
}

# What a row of somebody else decides.
sub ranked
{
	my ($case, $table, $c) = @_;
	my $w = window($case, $table, 'r.');
	my ($n, $few, $op, $i) = (between(0, 9), between(1, 4), op(), interval($case));
	my $moved = moved($case, $table, $i);
	my $order = 'ORDER BY r.n' . pick('', ' DESC') . ' NULLS LAST, r.id';
	my $from = "FROM $table r";
	my $not = pick('', '', 'NOT ');
	return pick(
		"id ${not}IN (SELECT r.customer_id $from WHERE $w $order LIMIT $few)",
		"id ${not}IN (SELECT r.customer_id $from WHERE $w $order OFFSET $few)",
		"id ${not}IN (SELECT r.customer_id $from WHERE r.n < $n $order LIMIT $few) AND created_at $op $moved",
		"id ${not}IN (SELECT DISTINCT ON (r.n) r.customer_id $from WHERE $w ORDER BY r.n, r.id)",
		"id ${not}IN (SELECT t.customer_id FROM (SELECT DISTINCT ON (r.n) r.* $from ORDER BY r.n, r.id) t WHERE " . window($case, $table, 't.') . ')',
		"id ${not}IN (SELECT r.customer_id $from WHERE $w GROUP BY r.customer_id ORDER BY count(*) DESC, 1 LIMIT $few)",
		"id ${not}IN (SELECT t.customer_id FROM (SELECT r.*, rank() OVER (PARTITION BY r.n ORDER BY r.id) AS k $from WHERE $w) t WHERE t.k = 1)",
		"id = (SELECT r.customer_id $from WHERE $w $order LIMIT 1)",
		"(SELECT count(*) $from WHERE $w) $op " . between(5, 30),
		"n $op (SELECT avg(r.n) $from WHERE $w)",
		"(SELECT max($c) $from WHERE r.n = $n) $op $moved",
		"EXISTS (SELECT 1 $from WHERE r.customer_id > customers.id AND r.n = customers.n AND ($w))",
		"EXISTS (SELECT 1 FROM (SELECT r.* $from WHERE $w $order LIMIT " . between(3, 12) . ") t WHERE t.customer_id = customers.id)");
}

# One condition: (as a segment says it, as plain SQL, does it only hold forms that are exact per subject?)
sub random_condition
{
	my ($case, $depth) = @_;
	$depth //= 0;
	if ($case->{calendar} && !$case->{exact_only} && !$depth && chance(70))
	{
		# what changes for everybody, with what changes for some
		my $calendar = calendar($case, 'customers', '');
		my @other = random_condition($case, 2);
		my $join = pick('AND', 'OR', 'AND NOT', 'OR NOT');
		return ("($calendar) $join ($other[0])", "($calendar) $join ($other[1])");
	}
	if ($depth < 2 && chance($depth ? 20 : 35))
	{
		my @one = random_condition($case, $depth + 1);
		my @two = random_condition($case, $depth + 1);
		my $join = pick('AND', 'OR', 'AND', 'OR', 'AND NOT');
		return ("($one[0]) $join ($two[0])", "($one[1]) $join ($two[1])");
	}
	my $kind = weighted([ 10, 'comparison' ], [ 10, 'aggregate' ], [ 10, 'subquery' ], [ $case->{exact_only} ? 0 : 5, 'calendar' ], [ 3, 'inner' ]);
	if ($kind eq 'inner' && @{ $case->{segments} })
	{
		my $inner = pick(@{ $case->{segments} });
		my $not = pick('', 'NOT ');
		# its zone may be another: then plain SQL asks its own oracle
		return ("${not}in_segment('$inner->{name}')", "$not(customers.id IN (SELECT oracle_$inner->{number}('{clock}')))");
	}
	return aggregate($case) if $kind eq 'aggregate';
	my $text = $kind eq 'subquery' ? subquery($case) : $kind eq 'calendar' ? calendar($case, 'customers', '') : comparison($case, 'customers', '');
	return ($text, $text);
}

1;

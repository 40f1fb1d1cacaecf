# Condition: random conditions of the definition language, each written twice from one tree.
#
# A node is a sub that renders itself: $node->('define', $env) as definition text, $node->('oracle', $env) as plain
# SQL.  Templates share what is SQL in both and differ where the language has its own forms:
#
#   <orders>      a table: "orders" or "public.orders" in a definition, always "public.orders" in the oracle
#   [customers.x] a column of the subject: qualified or not in a definition, always qualified in the oracle
#
# An aggregate becomes the correlated scalar subquery it means; in_segment('x') becomes (the condition of x) IS TRUE
# on the same row; time zone dependent functions get the zone pinned at creation as an explicit argument.
#
# $env: segments => { name => { condition => node, zone => text } }, zone => the zone in force.
package Condition;

use strict;
use warnings;
use Chance;

# How rows of each source belong to a subject: FROM and WHERE of the correlated subquery, and which tables can be named.
my %sources = (
	customers => {
		orders => { from => '<orders>', tie => 'orders.customer_id = customers.id', tables => ['orders'], weight => 8 },
		events => { from => '<events>', tie => 'events.customer_id = customers.id', tables => ['events'], weight => 5 },
		order_items => { from => '<order_items> JOIN <orders> ON orders.id = order_items.order_id', tie => 'orders.customer_id = customers.id',
			tables => [ 'order_items', 'orders' ], weight => 4 },
		sms => { from => '<sms>', tie => 'sms.phone = customers.phone', tables => ['sms'], weight => 3 },
		mails => { from => '<mails>', tie => 'mails.email = customers.email', tables => ['mails'], weight => 2 },
	},
	accounts => {
		customers => { from => '<customers>', tie => 'customers.account_id = accounts.id', tables => ['customers'], weight => 4 },
		orders => { from => '<orders> JOIN <customers> ON customers.id = orders.customer_id', tie => 'customers.account_id = accounts.id',
			tables => [ 'orders', 'customers' ], weight => 4 },
		order_items => { from => '<order_items> JOIN <orders> ON orders.id = order_items.order_id JOIN <customers> ON customers.id = orders.customer_id',
			tie => 'customers.account_id = accounts.id', tables => [ 'order_items', 'orders', 'customers' ], weight => 3 },
		invoices => { from => '<invoices>', tie => 'invoices.account_id = accounts.id', tables => ['invoices'], weight => 4 },
	});

# $class->new(company => Company, subject => table, segments => [names], links => { sms => 1, ... }, local => bool, timed => bool)
# local: nothing by design is evaluated in full (averages over everybody), so that pending subjects are what counts
sub new
{
	my ($class, %self) = @_;
	return bless { named => 1, %self }, $class;
}

# Render text with <table> and [subject.column] marks.
sub text
{
	my ($self, $template) = @_;
	my $qualify = chance(50);
	my $public = chance(15);
	my $define = $template;
	$define =~ s/<(\w+)>/$public ? "public.$1" : $1/ge;
	$define =~ s/\[(\w+)\.(\w+)\]/$qualify ? "$1.$2" : $2/ge;
	my $oracle = $template;
	$oracle =~ s/<(\w+)>/public.$1/g;
	$oracle =~ s/\[(\w+)\.(\w+)\]/$1.$2/g;
	return sub { my ($form) = @_; return $form eq 'define' ? $define : $oracle; };
}

# node('(%s AND %s)', $a, $b): a template over other nodes
sub node
{
	my ($self, $template, @parts) = @_;
	my $outer = $self->text($template);
	return sub { my ($form, $env) = @_; return sprintf($outer->($form), map { $_->($form, $env) } @parts); };
}

# The same meaning, two spellings; the oracle may use {zone}.
sub spelled
{
	my ($self, $define, $oracle) = @_;
	my ($d, $o) = ($self->text($define), $self->text($oracle));
	return sub {
		my ($form, $env) = @_;
		return $d->($form) if $form eq 'define';
		my $text = $o->($form);
		$text =~ s/\{zone\}/'$env->{zone}'/g;
		return $text;
	};
}

sub literal { my ($self, $kind) = @_; return $self->{company}->literal($kind); }

# ---- boolean conditions ----

sub condition
{
	my ($self, $depth) = @_;
	$depth //= weighted([ 3, 1 ], [ 4, 2 ], [ 1, 3 ]);
	if ($depth > 0)
	{
		my $inner = sub { $self->condition($depth - 1) };
		my $form = weighted([ 6, 'and' ], [ 5, 'or' ], [ 4, 'not' ], [ 2, 'truth' ], [ 1, 'case' ], [ 1, 'coalesce' ], [ 1, 'compare' ], [ 4, 'leaf' ], [1, 'comment']);
		return $self->node('(%s AND %s)', $inner->(), $inner->()) if $form eq 'and';
		return $self->node('(%s OR %s)', $inner->(), $inner->()) if $form eq 'or';
		return $self->node('NOT (%s)', $inner->()) if $form eq 'not';
		return $self->node('((%s) ' . pick('IS TRUE', 'IS NOT TRUE', 'IS FALSE', 'IS NOT FALSE', 'IS UNKNOWN', 'IS NOT UNKNOWN') . ')', $inner->()) if $form eq 'truth';
		if ($form eq 'case')
		{
			my @parts = ($inner->(), $inner->(), chance(70) ? $self->leaf : ());
			return $self->node('CASE WHEN %s THEN %s ' . (@parts == 3 ? 'ELSE %s ' : '') . 'END', @parts);
		}
		return $self->node('COALESCE(%s, %s)', $inner->(), $inner->()) if $form eq 'coalesce';
		return $self->node('((%s) ' . pick('=', '<>', 'IS DISTINCT FROM', 'IS NOT DISTINCT FROM') . ' (%s))', $inner->(), $inner->()) if $form eq 'compare';
		if ($form eq 'comment')
		{
			my $part = $inner->();
			my $mark = pick("/* a 'comment' ; */ ", "-- it's ; a line\n", "/* /* nested */ */");
			return sub { my ($f, $env) = @_; return $f eq 'define' ? $mark . $part->($f, $env) : $part->($f, $env); };
		}
	}
	return $self->leaf;
}

sub leaf
{
	my ($self) = @_;
	my $kind = weighted([ 6, 'column' ], [ 10, 'aggregate' ], [ 3, 'bool_aggregate' ], [ 10, 'subquery' ], [ 4, 'in_segment' ], [ 3, 'numbers' ], [ $self->{timed} ? 12 : 2, 'clock' ], [ 2, 'zone' ]);
	$kind = 'aggregate' if $kind eq 'in_segment' && !@{ $self->{segments} };
	return $self->column if $kind eq 'column';
	return $self->in_segment if $kind eq 'in_segment';
	return $self->bool_aggregate if $kind eq 'bool_aggregate';
	return $self->subquery if $kind eq 'subquery';
	return $self->clock if $kind eq 'clock';
	return $self->zone if $kind eq 'zone';
	return $self->node('%s ' . $self->comparison . ' %s', $self->number(1), $self->number(1)) if $kind eq 'numbers';
	return $self->node('%s ' . $self->comparison . ' ' . between(0, 6), $self->count_aggregate) if chance(30);
	return $self->node('%s ' . $self->comparison . ' ' . $self->literal('money'), $self->number_aggregate) if chance(65);
	return $self->text_aggregate;
}

sub comparison { return weighted([ 4, '>' ], [ 3, '>=' ], [ 3, '<' ], [ 2, '<=' ], [ 2, '=' ], [ 1, '<>' ], [ 1, 'IS DISTINCT FROM' ]); }

# Conditions on the subject's own columns.
sub column
{
	my ($self) = @_;
	my $l = sub { $self->literal(@_) };
	if ($self->{subject} eq 'accounts')
	{
		return $self->text(pick(
			'[accounts.plan] = ' . $l->('plan'), '[accounts.seats] > ' . below(9), '[accounts.active]', 'NOT [accounts.active]',
			'[accounts.plan] IS NULL', '[accounts.id] % 2 = 0', '[accounts.seats] NOT IN (1, 2, NULL)'));
	}
	return $self->text(pick(
		'[customers.country] = ' . $l->('country'), '[customers.country] IN (' . $l->('country') . ', ' . $l->('country') . ')',
		'[customers.country] NOT IN (' . $l->('country') . ', NULL)', '[customers.country] <> ' . $l->('country'),
		'[customers.age] BETWEEN ' . between(15, 40) . ' AND ' . between(30, 70), '[customers.age] > ' . $l->('age'), '[customers.score] < ' . $l->('money'),
		'[customers.vip]', 'NOT [customers.vip]', '[customers.vip] IS NULL', '[customers.vip] IS NOT TRUE',
		'[customers.name] LIKE ' . "'%%" . pick('a', 'e', 'o') . "%%'", "[customers.name] ~ '^[abc]'", '[customers.account_id] IS NULL',
		'[customers.phone] = ' . $l->('phone'), "[customers.tags] @> ARRAY['x']", "'y' = ANY ([customers.tags])", "[customers.tags] && ARRAY['x','z']",
		"([customers.data] ->> 'k')::int > " . between(0, 5), "[customers.data] \@> '{\"k\": 3}'", '[customers.birth] < ' . $l->('date'),
		'[customers.id] % ' . between(2, 4) . ' = 0', '[customers.id] = ' . $l->('customer'), '[customers.score] > [customers.age]', 'customers IS NOT NULL',
		'upper([customers.country]) = ' . $l->('country'), 'length([customers.name]) = 4', '([customers.country], [customers.vip]) = (' . $l->('country') . ', true)',
		"[customers.grade]::text LIKE 'silver%%'", '[customers.grade] > (enum_range(NULL::grade))[2]', '[customers.grade] = enum_last(NULL::grade)',
		'[customers.referrer_id] IS NOT NULL', '[customers.age] IS DISTINCT FROM NULL', 'NULL', 'true', '[customers.created_at] < ' . $l->('stamp'),
		'[customers.age] = ANY (ARRAY[20, 30, NULL])', '[customers.age] <> ALL (ARRAY[20, 30])', 'graded([customers.score]) > 2', "graded([customers.name]) = 'ANNA'", 'graded([customers.country]) = ' . $l->('country'), '[customers.country] > [customers.name]'));
}

# ---- aggregates over a linked source ----

sub source
{
	my ($self) = @_;
	my $all = $sources{ $self->{subject} };
	my @names = grep { ($_ ne 'sms' && $_ ne 'mails') || $self->{links}{$_} } sort keys %$all;
	my $name = weighted(map { [ $all->{$_}{weight}, $_ ] } @names);
	return ($name, $all->{$name});
}

# aggregate($what, $source, $filter): $what and $filter are nodes; $star says that $what is count(source)
sub aggregate
{
	my ($self, $define_what, $oracle_what, $source, $filter) = @_;
	my $from = $self->text($source->{from});
	my $subject = $self->{subject};
	return sub {
		my ($form, $env) = @_;
		if ($form eq 'define')
		{
			return $define_what->($form, $env) . ($filter ? ' FILTER (WHERE ' . $filter->($form, $env) . ')' : '');
		}
		return '(SELECT ' . $oracle_what->($form, $env) . ($filter ? ' FILTER (WHERE ' . $filter->($form, $env) . ')' : '') . ' FROM '
		  . $from->($form) . " WHERE $source->{tie})";
	};
}

# A filter over the source's rows.  Columns unqualified (names resolve inside first) only where one table is in scope.
sub filter
{
	my ($self, $name, $source, $must) = @_;
	return undef unless $must || chance(65);
	my @conditions = map { $self->filter_term($name, $source, $_ == 0 && $must) } 0 .. (chance(35) ? 1 : 0);
	return $conditions[0] if @conditions == 1;
	return $self->node(pick('%s AND %s', '(%s OR %s)', '%s AND NOT (%s)'), @conditions);
}

# A condition on a column of the source's rows, as a node.
sub filter_term
{
	my ($self, $name, $source, $own) = @_;
	my $subject = $self->{subject};
	my $single = @{ $source->{tables} } == 1;
	my $table = $own ? $name : pick(@{ $source->{tables} });
	my $l = sub { $self->literal(@_) };
	my @terms = @{ {
		orders => [ 'orders.status = ' . $l->('status'), 'orders.status IN (' . $l->('status') . ', ' . $l->('status') . ')', 'orders.amount > ' . $l->('money'),
			'orders.category = ' . $l->('category'), 'orders.coupon IS NOT NULL', 'orders.placed_at > ' . $l->('stamp'), 'orders.id % 2 = 0', 'graded(orders.amount) >= 2', 'orders.coupon = ' . below(9),
			('orders.placed_at > now() - interval \'' . between(100, 1500) . ' hours\'') x ($self->{timed} ? 5 : 1), 'orders.coupon IN (SELECT r.code FROM <rates> r WHERE r.rate > ' . $l->('money') . ')' ],
		events => [ 'events.kind = ' . $l->('kind'), 'events.value >= ' . below(9), 'events.at < ' . $l->('stamp'), 'events.product_id IS NULL',
			('events.at < now()', "events.at BETWEEN now() - interval '" . between(20, 900) . " hours' AND now() + interval '90 minutes'") x ($self->{timed} ? 3 : 1), 'events.product_id IN (SELECT p.id FROM <products> p WHERE p.category = ' . $l->('category') . ')' ],
		order_items => [ 'order_items.qty > ' . below(9), 'order_items.price < ' . $l->('money'), 'order_items.product_id = ' . between(-2, 5),
			'order_items.product_id IN (SELECT p.id FROM <products> p WHERE p.price > ' . $l->('money') . ')' ],
		sms => [ 'sms.cost > ' . below(9), 'sms.body = ' . $l->('word'), 'sms.phone > 107' ],
		mails => [ 'mails.opened', 'mails.opened IS NULL', 'mails.id < 15' ],
		customers => [ 'customers.country = ' . $l->('country'), 'customers.age > ' . $l->('age'), 'customers.vip', 'customers.score > ' . $l->('money') ],
		invoices => [ 'invoices.paid', 'NOT invoices.paid', 'invoices.total > ' . $l->('money') ],
	}->{$table} };
	# names of the subject row are seen from inside, too
	push @terms, 'orders.placed_at > customers.created_at', 'orders.amount > customers.score', "orders.placed_at < customers.created_at + interval '900 hours'" if $subject eq 'customers' && $table eq 'orders';
	push @terms, 'events.at < customers.created_at', 'events.value < customers.age / 10' if $subject eq 'customers' && $table eq 'events';
	push @terms, 'invoices.total > accounts.seats * 20' if $subject eq 'accounts' && $table eq 'invoices';
	my $term = pick(@terms);
	my $oracle = $term;
	my $define = $term;
	# unqualified names find the source only where something else in the aggregate names it
	if ($single && $self->{named} && chance(40))
	{
		# drop the source's own qualifier; columns of the subject keep theirs unless the source has none of that name
		$define =~ s/\b\Q$table\E\.//g;
		$define =~ s/\bcustomers\.(score|created_at|age)\b/$1/g if $subject eq 'customers';
	}
	return $self->spelled($define, $oracle);
}

sub count_aggregate
{
	my ($self) = @_;
	my ($name, $source) = $self->source;
	my @distinct = @{ { orders => [ 'orders.category', 'orders.status' ], events => [ 'events.kind', 'events.product_id' ], order_items => [ 'order_items.product_id' ],
		sms => ['sms.body'], mails => ['mails.opened'], customers => [ 'customers.country', 'customers.city_id' ], invoices => ['invoices.paid'] }->{$name} };
	my $form = weighted([ 6, 'rows' ], [ 4, 'distinct' ], [ 2, 'column' ], [ 1, 'star' ]);
	my $column = pick(@distinct);
	return $self->aggregate($self->text("count($name)"), $self->text('count(*)'), $source, $self->filter($name, $source)) if $form eq 'rows';
	if ($form eq 'star')
	{
		local $self->{named} = 0;
		return $self->aggregate($self->text('count(*)'), $self->text('count(*)'), $source, $self->filter($name, $source, 1));
	}
	my $what = $form eq 'distinct' ? "count(DISTINCT $column)" : "count($column)";
	return $self->aggregate($self->text($what), $self->text($what), $source, $self->filter($name, $source));
}

# a numeric column of a source, as an expression
sub measured
{
	my ($self, $name) = @_;
	return pick(@{ { orders => [ 'orders.amount', 'orders.amount', 'orders.coupon', 'orders.amount * 2', 'orders.amount - coalesce(orders.coupon, 0)' ],
		events => [ 'events.value', 'events.value + 1', 'nullif(events.value, 3)' ],
		order_items => [ 'order_items.qty * order_items.price', 'order_items.qty', 'order_items.price' ],
		sms => ['sms.cost'], mails => [ 'mails.id', 'length(mails.email)' ], customers => [ 'customers.score', 'customers.age' ], invoices => ['invoices.total'] }->{$name} });
}

sub number_aggregate
{
	my ($self) = @_;
	my ($name, $source) = $self->source;
	my $x = $self->measured($name);
	my $what = weighted([ 8, "sum($x)" ], [ 3, "avg($x)" ], [ 3, "max($x)" ], [ 3, "min($x)" ], [ 1, "sum(DISTINCT $x)" ],
		[ 1, "percentile_disc(0.5) WITHIN GROUP (ORDER BY $x)" ], [ 1, "(max($x) - min($x))" ], [ 1, "stddev((${x})::numeric)" ]);
	my $filter = $self->filter($name, $source);
	if ($what =~ /^\(max/)
	{
		return $self->node('(%s - %s)', $self->aggregate($self->text("max($x)"), $self->text("max($x)"), $source, $filter),
			$self->aggregate($self->text("min($x)"), $self->text("min($x)"), $source, $filter));
	}
	return $self->aggregate($self->text($what), $self->text($what), $source, $filter);
}

sub bool_aggregate
{
	my ($self) = @_;
	my ($name, $source) = $self->source;
	local $self->{named} = 0;
	my $term = $self->filter_term($name, $source, 1);
	my $function = pick(qw(bool_or bool_and every));
	my $filter = $self->filter($name, $source);
	return $self->aggregate($self->node("$function(%s)", $term), $self->node("$function(%s)", $term), $source, $filter);
}

sub text_aggregate
{
	my ($self) = @_;
	my ($name, $source) = $self->source;
	my ($column, $kind) = @{ pick(@{ { orders => [ [ 'orders.category', 'category' ], [ 'orders.status', 'status' ] ], events => [ [ 'events.kind', 'kind' ] ],
		order_items => [ [ 'order_items.product_id::text', 'word' ], [ 'orders.category', 'category', 1 ] ], sms => [ [ 'sms.body', 'word' ] ], mails => [ [ 'mails.email', 'address' ] ],
		customers => [ [ 'customers.country', 'country' ] ], invoices => [ [ 'invoices.paid::text', 'word' ] ] }->{$name} }) };
	my $value = $self->literal($kind);
	my ($what, $test) = @{ pick(
		[ "mode() WITHIN GROUP (ORDER BY $column)", "= $value" ], [ "max($column)", "= $value" ], [ "min($column)", "> $value" ],
		[ "array_agg(DISTINCT $column ORDER BY $column)", "@> ARRAY[$value]" ], [ "array_agg(DISTINCT $column)", "&& ARRAY[$value]" ],
		[ "string_agg(DISTINCT $column, ',' ORDER BY $column)", "LIKE '%%a%%'" ], [ "max($column)", 'IS NULL' ]) };
	# an argument that names only a table on the way needs the source in its filter
	my $filter = $self->filter($name, $source, $column !~ /^\Q$name\E\./);
	return $self->node("%s $test", $self->aggregate($self->text($what), $self->text($what), $source, $filter));
}

# ---- numbers ----

sub number
{
	my ($self, $depth) = @_;
	my $kind = weighted([ 5, 'aggregate' ], [ 3, 'count' ], [ 2, 'column' ], [ 2, 'literal' ], [ 2, 'subquery' ], [ $depth > 0 ? 6 : 0, 'arithmetic' ]);
	return $self->number_aggregate if $kind eq 'aggregate';
	return $self->count_aggregate if $kind eq 'count';
	return $self->text($self->literal(pick(qw(money small age)))) if $kind eq 'literal';
	if ($kind eq 'column')
	{
		return $self->text('[accounts.seats]') if $self->{subject} eq 'accounts';
		return $self->text(pick('[customers.age]', '[customers.score]', 'coalesce([customers.score], 0)', 'cardinality([customers.tags])', 'length([customers.name])'));
	}
	return $self->number_subquery if $kind eq 'subquery';
	my ($a, $b) = ($self->number($depth - 1), $self->number($depth - 1));
	return $self->node(pick('(%s + %s)', '(%s - %s)', '(%s * %s)', '(%s / nullif(%s, 0))', 'coalesce(%s, %s)', 'greatest(%s, %s)', 'least(%s, %s)', 'nullif(%s, %s)'), $a, $b);
}

sub number_subquery
{
	my ($self) = @_;
	my $l = sub { $self->literal(@_) };
	return $self->text(pick('(SELECT count(*) FROM <invoices> i WHERE i.account_id = accounts.id)', '(SELECT avg(a.seats) FROM <accounts> a)')) if $self->{subject} eq 'accounts';
	return $self->text(pick(
		'(SELECT count(*) FROM <orders> o WHERE o.customer_id = customers.id AND o.amount > ' . $l->('money') . ')',
		'(SELECT o.amount FROM <orders> o WHERE o.customer_id = customers.id ORDER BY o.placed_at DESC NULLS LAST, o.id DESC LIMIT 1)',
		'(SELECT o.amount FROM <orders> o WHERE customers.id = o.customer_id ORDER BY o.id OFFSET 1 LIMIT 1)',
		$self->{local} ? () : ('(SELECT avg(c.score) FROM <customers> c)', '(SELECT max(o.amount) FROM <orders> o)',
			'(SELECT avg(c.score) FROM <customers> c WHERE c.country = customers.country)'),
		'(SELECT sum(i.total) FROM <invoices> i WHERE i.account_id = customers.account_id)',
		'(SELECT c.population FROM <city> c WHERE c.id = customers.city_id)',
		'(SELECT max(s.cost) FROM <sms> s WHERE s.phone = customers.phone)',
		'(SELECT p.weight FROM <picked> p WHERE p.customer_id = customers.id ORDER BY p.id LIMIT 1)',
		'(SELECT sum(x.n) FROM (SELECT count(*) AS n FROM <orders> o WHERE o.customer_id = customers.id GROUP BY o.status) x)'));
}

# ---- other segments ----

sub in_segment
{
	my ($self) = @_;
	my $name = pick(@{ $self->{segments} });
	my $spelling = chance(20) ? "public.$name" : $name;
	my $call = sub {
		my ($form, $env) = @_;
		return "in_segment('$spelling')" if $form eq 'define';
		my $segment = $env->{segments}{$name} or die "no segment $name";
		return '((' . $segment->{condition}->('oracle', { %$env, zone => $segment->{zone} }) . ') IS TRUE)';
	};
	return chance(40) ? $self->node('NOT %s', $call) : $call;
}

# ---- subqueries ----

sub subquery
{
	my ($self) = @_;
	my $l = sub { $self->literal(@_) };
	my ($money, $status, $kind) = ($l->('money'), $l->('status'), $l->('kind'));
	my $not = pick('', '', 'NOT ');
	if ($self->{subject} eq 'accounts')
	{
		return $self->text($not . pick(
			"EXISTS (SELECT 1 FROM <customers> c WHERE c.account_id = accounts.id AND c.vip)",
			"EXISTS (SELECT 1 FROM <customers> c JOIN <orders> o ON o.customer_id = c.id WHERE c.account_id = accounts.id AND o.status = $status)",
			"accounts.id IN (SELECT c.account_id FROM <customers> c GROUP BY c.account_id HAVING count(*) > 3)",
			"accounts.id IN (SELECT c.account_id FROM <customers> c WHERE c.id IN (SELECT o.customer_id FROM <orders> o WHERE o.amount > $money))",
			"EXISTS (SELECT 1 FROM <invoices> i WHERE i.account_id = accounts.id AND i.total > (SELECT avg(j.total) FROM <invoices> j))"));
	}
	my @local = (
		# tied through the link
		"EXISTS (SELECT 1 FROM <orders> o WHERE o.customer_id = customers.id AND o.amount > $money)",
		"EXISTS (SELECT FROM <orders> o WHERE customers.id = o.customer_id AND o.status = $status AND o.coupon IS NULL)",
		"EXISTS (SELECT 1 FROM <events> v JOIN <order_items> i ON i.product_id = v.product_id JOIN <orders> o ON o.id = i.order_id "
		  . "WHERE v.customer_id = customers.id AND o.customer_id = customers.id AND o.placed_at > v.at)",
		"EXISTS (SELECT 1 FROM <events> a, <events> b WHERE a.customer_id = customers.id AND b.customer_id = a.customer_id AND a.kind = 'view' AND b.kind = 'buy' AND b.at > a.at)",
		"EXISTS (SELECT 1 FROM <orders> o LEFT JOIN <order_items> i ON i.order_id = o.id WHERE o.customer_id = customers.id AND i.id IS NULL)",
		"EXISTS (SELECT 1 FROM <orders> o WHERE o.customer_id = customers.id GROUP BY o.status HAVING count(*) > 1)",
		"EXISTS (SELECT 1 FROM <orders> o, LATERAL (SELECT count(*) AS n FROM <order_items> i WHERE i.order_id = o.id) x WHERE o.customer_id = customers.id AND x.n > 1)",
		"EXISTS (WITH mine AS (SELECT o.amount FROM <orders> o WHERE o.customer_id = customers.id) SELECT 1 FROM mine WHERE mine.amount > $money)",
		"EXISTS (SELECT 1 FROM <orders> o WHERE o.customer_id = customers.id AND o.amount > (SELECT avg(p.amount) FROM <orders> p WHERE p.customer_id = customers.id))",
		"EXISTS (SELECT 1 FROM <orders> o WHERE o.customer_id = customers.id AND EXISTS (SELECT 1 FROM <order_items> i WHERE i.order_id = o.id AND i.qty > 5))",
		"$status = ANY (ARRAY(SELECT o.status FROM <orders> o WHERE o.customer_id = customers.id))",
		"[customers.score] > ALL (SELECT o.amount FROM <orders> o WHERE o.customer_id = customers.id)",
		"$status = (SELECT o.status FROM <orders> o WHERE o.customer_id = customers.id ORDER BY o.placed_at DESC NULLS LAST, o.id DESC LIMIT 1)",
		# per subject, uncorrelated
		"customers.id IN (SELECT o.customer_id FROM <orders> o WHERE o.status = $status)",
		"customers.id IN (SELECT e.customer_id FROM <events> e WHERE e.kind = $kind AND e.value > " . below(9) . ')',
		"customers.id NOT IN (SELECT e.customer_id FROM <events> e WHERE e.kind = $kind)",
		"[customers.id] IN (SELECT o.customer_id FROM <orders> o GROUP BY o.customer_id HAVING sum(o.amount) > $money)",
		"customers.id IN (SELECT w.customer_id FROM (SELECT o.customer_id, o.amount, row_number() OVER (PARTITION BY o.customer_id ORDER BY o.placed_at DESC, o.id) AS rn FROM <orders> o) w "
		  . "WHERE w.rn = 1 AND w.amount > $money)",
		"customers.id IN (SELECT d.customer_id FROM (SELECT DISTINCT ON (o.customer_id) o.customer_id, o.status FROM <orders> o ORDER BY o.customer_id, o.placed_at DESC, o.id) d WHERE d.status = $status)",
		"customers.id IN (SELECT DISTINCT o.customer_id FROM <orders> o JOIN <order_items> i ON i.order_id = o.id WHERE i.qty > 4)",
		"customers.id IN (SELECT o.customer_id FROM <orders> o UNION SELECT e.customer_id FROM <events> e)",
		"customers.id IN (SELECT o.customer_id FROM <orders> o EXCEPT SELECT e.customer_id FROM <events> e WHERE e.kind = $kind)",
		"customers.id IN (SELECT o.customer_id FROM <orders> o WHERE o.amount > (SELECT avg(p.amount) FROM <orders> p WHERE p.customer_id = o.customer_id))",
		# tables that subjects or linked rows reference
		"[customers.city_id] IN (SELECT c.id FROM <city> c WHERE c.population > " . between(15, 70) . ')',
		"(SELECT c.region FROM <city> c WHERE c.id = customers.city_id) = 'north'",
		"EXISTS (SELECT 1 FROM <accounts> a WHERE a.id = customers.account_id AND a.plan = 'pro')",
		"EXISTS (SELECT 1 FROM <orders> o JOIN <order_items> i ON i.order_id = o.id JOIN <products> p ON p.id = i.product_id WHERE o.customer_id = customers.id AND p.price > $money)",
		"(SELECT a.seats FROM <accounts> a JOIN <city> c ON c.population > a.seats WHERE a.id = customers.account_id AND c.id = customers.city_id) > 3",
		# tied by something else than the link
		"EXISTS (SELECT 1 FROM <customers> c WHERE c.account_id = customers.account_id AND c.id <> customers.id AND c.age > " . $l->('age') . ')',
		"(SELECT sum(i.total) FROM <invoices> i WHERE i.account_id = customers.account_id AND NOT i.paid) > $money",
		"EXISTS (SELECT 1 FROM <sms> s WHERE s.phone = customers.phone AND s.cost > " . below(9) . ')',
		"EXISTS (SELECT 1 FROM <mails> m WHERE m.email = customers.email AND m.opened)",
		"(SELECT max(o.amount) FROM <orders> o WHERE o.customer_id IN (SELECT c.id FROM <customers> c WHERE c.account_id = customers.account_id)) > $money",
		"EXISTS (SELECT 1 FROM <orders> o JOIN <customers> c ON c.id = o.customer_id WHERE c.account_id = customers.account_id AND o.status = $status)",
		"EXISTS (SELECT 1 FROM <orders> o WHERE o.customer_id = customers.referrer_id AND o.amount > $money)",
		"EXISTS (SELECT 1 FROM <customers> k WHERE k.referrer_id = customers.id)",
		"(SELECT r.country FROM <customers> r WHERE r.id = customers.referrer_id) = " . $l->('country'),
		"(SELECT count(*) FROM <customers> k WHERE k.referrer_id = customers.id AND k.age > 30) > 1",
		"EXISTS (SELECT 1 FROM <customers> c WHERE c.phone = customers.phone AND c.id > customers.id)",
		"EXISTS (SELECT 1 FROM <sms> s JOIN <mails> m ON m.id = s.id WHERE s.phone = customers.phone AND m.email = customers.email)",
		"EXISTS (SELECT 1 FROM <events> e WHERE e.value = customers.age % 10 AND e.kind = $kind)",
		"customers.account_id IN (SELECT c.account_id FROM <customers> c JOIN <orders> o ON o.customer_id = c.id GROUP BY c.account_id HAVING sum(o.amount) > 300)",
		"[customers.phone] IN (SELECT s.phone FROM <sms> s GROUP BY s.phone HAVING count(*) > 1)",
		# NULLs of an outer join among what NOT IN looks at
		"customers.id NOT IN (SELECT o.customer_id FROM <city> c LEFT JOIN <orders> o ON o.coupon = c.id)",
		"customers.id NOT IN (SELECT e.customer_id FROM <orders> o LEFT JOIN <events> e ON e.customer_id = o.customer_id AND e.kind = $kind WHERE o.amount > $money)",
		"(customers.id IN (SELECT e.customer_id FROM <events> e RIGHT JOIN <products> p ON p.id = e.product_id)) IS NOT NULL",
		"customers.id NOT IN (SELECT o.customer_id FROM <orders> o FULL JOIN <rates> r ON r.code = o.coupon)",
		# IN where NULL is not as good as false
		"(customers.id IN (SELECT e.customer_id FROM <events> e WHERE e.kind = $kind)) IS NOT FALSE",
		"CASE WHEN customers.id IN (SELECT o.customer_id FROM <orders> o) THEN [customers.vip] ELSE [customers.age] > 40 END",
		"([customers.city_id] NOT IN (SELECT c.id FROM <city> c WHERE c.population > 40))",
		"([customers.city_id] IN (SELECT c.population FROM <city> c)) IS UNKNOWN",
		"([customers.account_id], customers.id) NOT IN (SELECT c.account_id, c.referrer_id FROM <customers> c)",
		"([customers.account_id], [customers.city_id]) IN (SELECT c.account_id, c.city_id FROM <customers> c WHERE c.vip)",
		"(customers.id IN (SELECT p.customer_id FROM <picked> p)) = (customers.id IN (SELECT o.customer_id FROM <orders> o))",
		"customers.id NOT IN (SELECT x.customer_id FROM (SELECT e.customer_id, max(e.value) AS m FROM <events> e GROUP BY e.customer_id) x WHERE x.m > 4)",
		"customers.id NOT IN (SELECT o.customer_id FROM <orders> o JOIN <order_items> i ON i.order_id = o.id)",
		# joins of subqueries, outer joins, set operations
		"EXISTS (SELECT 1 FROM (SELECT o.customer_id, sum(o.amount) AS total FROM <orders> o GROUP BY o.customer_id) t WHERE t.customer_id = customers.id AND t.total > $money)",
		"EXISTS (SELECT 1 FROM (SELECT o.customer_id, i.product_id FROM <orders> o JOIN <order_items> i ON i.order_id = o.id) t JOIN <events> e ON e.customer_id = t.customer_id AND e.product_id = t.product_id WHERE t.customer_id = customers.id)",
		"EXISTS (SELECT 1 FROM (SELECT o.customer_id, o.amount FROM <orders> o ORDER BY o.amount DESC NULLS LAST, o.id LIMIT 10) t WHERE t.customer_id = customers.id)",
		"EXISTS (SELECT 1 FROM (SELECT o.customer_id, rank() OVER (ORDER BY o.amount DESC NULLS LAST, o.id) AS r FROM <orders> o) t WHERE t.customer_id = customers.id AND t.r < 12)",
		"EXISTS (SELECT 1 FROM (SELECT o.customer_id, lag(o.amount) OVER (PARTITION BY o.customer_id ORDER BY o.id) AS before, o.amount FROM <orders> o) t WHERE t.customer_id = customers.id AND t.amount > t.before)",
		"EXISTS (SELECT 1 FROM (SELECT DISTINCT o.customer_id, o.category FROM <orders> o) t WHERE t.customer_id = customers.id GROUP BY t.customer_id HAVING count(*) > 1)",
		"EXISTS (SELECT 1 FROM (SELECT o.customer_id FROM <orders> o WHERE o.coupon = 3 UNION ALL SELECT e.customer_id FROM <events> e WHERE e.value = 3) t WHERE t.customer_id = customers.id)",
		"EXISTS (SELECT o.status FROM <orders> o WHERE o.customer_id = customers.id INTERSECT SELECT p.status FROM <orders> p WHERE p.customer_id = customers.referrer_id)",
		"EXISTS (SELECT 1 FROM <orders> o LEFT JOIN <events> e ON e.customer_id = o.customer_id AND e.at > o.placed_at WHERE o.customer_id = customers.id AND e.id IS NULL)",
		"EXISTS (SELECT 1 FROM <events> e RIGHT JOIN <orders> o ON o.customer_id = e.customer_id WHERE o.customer_id = customers.id AND (e.id IS NULL OR e.value > 7))",
		"EXISTS (SELECT 1 FROM <orders> o LEFT JOIN <order_items> i ON i.order_id = o.id AND o.customer_id = customers.id WHERE i.qty > 7 AND o.status = $status)",
		"EXISTS (SELECT 1 FROM (<orders> o LEFT JOIN <order_items> i ON i.order_id = o.id) JOIN <products> p ON p.id = i.product_id WHERE o.customer_id = customers.id AND p.price > $money)",
		"EXISTS (SELECT 1 FROM <accounts> a LEFT JOIN (<invoices> v JOIN <customers> c ON c.account_id = v.account_id AND c.vip) ON v.account_id = a.id WHERE a.id = customers.account_id AND v.id IS NULL)",
		"EXISTS (SELECT 1 FROM <orders> o JOIN <events> e USING (customer_id) WHERE customer_id = customers.id AND e.value > 5)",
		"EXISTS (SELECT 1 FROM <orders> o NATURAL JOIN <rates> r WHERE o.customer_id = customers.id)",
		"(SELECT sum((SELECT count(*) FROM <order_items> i WHERE i.order_id = o.id)) FROM <orders> o WHERE o.customer_id = customers.id) > 2",
		"(SELECT count(*) FROM <orders> o WHERE o.customer_id = customers.id AND o.id IN (SELECT i.order_id FROM <order_items> i WHERE i.qty > 4)) > 0",
		"EXISTS (SELECT 1 FROM <orders> o WHERE o.customer_id = customers.id AND o.id NOT IN (SELECT i.order_id FROM <order_items> i WHERE i.qty > 4))",
		"EXISTS (SELECT 1 FROM <customers> c WHERE c.id = customers.referrer_id AND EXISTS (SELECT 1 FROM <orders> o WHERE o.customer_id = c.id AND o.amount > $money))",
		"EXISTS (SELECT 1 FROM <customers> c JOIN <customers> d ON d.referrer_id = c.id WHERE c.referrer_id = customers.id AND d.age > 20)",
		"customers.id IN (SELECT c.referrer_id FROM <customers> c WHERE c.vip)", "[customers.referrer_id] IN (SELECT o.customer_id FROM <orders> o WHERE o.status = $status)",
		"[customers.referrer_id] NOT IN (SELECT o.customer_id FROM <orders> o WHERE o.customer_id IS NOT NULL)",
		"EXISTS (WITH RECURSIVE chain AS (SELECT c.id, c.referrer_id FROM <customers> c WHERE c.id = customers.referrer_id UNION SELECT c.id, c.referrer_id FROM <customers> c JOIN chain ON c.id = chain.referrer_id) SELECT 1 FROM chain JOIN <orders> o ON o.customer_id = chain.id WHERE o.amount > $money)",
		"(SELECT count(*) FROM <orders> o WHERE o.customer_id = customers.id) > (SELECT count(*) FROM <events> e WHERE e.customer_id = customers.id)",
		"(SELECT count(*) FROM <sms> s WHERE s.phone::int = customers.phone::int) > 1", "EXISTS (SELECT 1 FROM <sms> s WHERE s.phone = customers.phone + 1)");
	my @everybody = (
		"[customers.score] > (SELECT avg(c.score) FROM <customers> c)",
		"(SELECT sum(o.amount) FROM <orders> o WHERE o.customer_id = customers.id) > (SELECT avg(o.amount) * 2 FROM <orders> o)",
		"customers.id IN (SELECT o.customer_id FROM <orders> o GROUP BY o.customer_id ORDER BY sum(o.amount) DESC NULLS LAST, o.customer_id LIMIT " . between(2, 8) . ')',
		"customers.id IN (SELECT w.id FROM (SELECT c.id, ntile(4) OVER (ORDER BY c.score DESC NULLS LAST, c.id) AS q FROM <customers> c) w WHERE w.q = 1)",
		"customers.id IN (SELECT w.customer_id FROM (SELECT o.customer_id, row_number() OVER (PARTITION BY o.category ORDER BY o.amount DESC NULLS LAST, o.id) AS rn FROM <orders> o) w WHERE w.rn <= 2)",
		"customers.id IN (SELECT o.customer_id FROM <orders> o WHERE o.amount > (SELECT avg(p.amount) FROM <orders> p))",
		"customers.id = (SELECT o.customer_id FROM <orders> o ORDER BY o.amount DESC NULLS LAST, o.id LIMIT 1)",
		"EXISTS (SELECT 1 FROM <orders> o WHERE o.customer_id = customers.id + 1)",
		"EXISTS (SELECT 1 FROM <orders> o WHERE o.customer_id = customers.id OR o.amount > 199.5)",
		"EXISTS (SELECT 1 FROM <orders> o WHERE o.customer_id <> customers.id AND o.amount = customers.score)",
		"EXISTS (SELECT 1 FROM <orders> o WHERE o.customer_id > customers.id AND o.status = $status)",
		"[customers.id] IN (SELECT p.customer_id FROM <picked> p)", "customers.id NOT IN (SELECT p.customer_id FROM <picked> p WHERE p.customer_id IS NOT NULL)",
		"customers.id NOT IN (SELECT p.customer_id FROM <picked> p)", "[customers.score] < ALL (SELECT r.rate FROM <rates> r WHERE r.code > 4)",
		"[customers.age] > (SELECT min(r.rate) FROM <rates> r)", "(SELECT count(*) FROM <rates>) > 4",
		"([customers.country], [customers.age]) IN (SELECT c.country, c.age FROM <customers> c WHERE c.id <> customers.id)",
		"NOT EXISTS (SELECT 1 FROM <products> p WHERE p.category = 'shoes' AND NOT EXISTS (SELECT 1 FROM <order_items> i JOIN <orders> o ON o.id = i.order_id WHERE o.customer_id = customers.id AND i.product_id = p.id))",
		"EXISTS (SELECT 1 FROM <city> c LEFT JOIN <orders> o ON o.customer_id = customers.id AND o.category = c.name WHERE o.id IS NULL)",
		"EXISTS (SELECT 1 FROM <events> v WHERE v.customer_id = customers.id AND v.value > (SELECT avg(e.value) FROM <events> e WHERE e.kind = v.kind))",
		"EXISTS (SELECT 1 FROM <orders> o FULL JOIN <events> e ON e.customer_id = o.customer_id AND e.customer_id = customers.id WHERE o.id IS NULL AND e.value > 8)",
		"(SELECT bool_or(o.amount > c.score) FROM <orders> o JOIN <customers> c ON c.id = o.customer_id WHERE c.country = customers.country)",
		"[customers.age] IN (VALUES (20), (30), (NULL::int), (40), (50))",
		"(SELECT count(DISTINCT o.customer_id) FROM <orders> o WHERE o.category = [customers.country]) = 0");
	return $self->text($not . pick(@local, $self->{local} ? () : @everybody));
}

# ---- time ----

# Conditions on the clock; values lie half an hour off the full hour (Company::stamp), so none flips while a case runs.
sub clock
{
	my ($self) = @_;
	my $hours = between(100, 1900);
	return $self->text(pick('(SELECT count(*) FROM <customers> c WHERE c.account_id = accounts.id AND c.created_at > now() - interval \'900 hours\') > 0')) if $self->{subject} eq 'accounts';
	return $self->spelled(@{ pick(
		[ ("[customers.created_at] > now() - interval '$hours hours'") x 2 ],
		[ ("now() < [customers.created_at] + interval '$hours hours'") x 2 ],
		[ ("[customers.created_at] <= current_timestamp") x 2 ],
		[ ("EXISTS (SELECT 1 FROM <orders> o WHERE o.customer_id = customers.id AND o.placed_at BETWEEN now() - interval '$hours hours' AND now())") x 2 ],
		[ ("max(orders.placed_at) < now() - interval '$hours hours'"), "(SELECT max(orders.placed_at) FROM <orders> WHERE orders.customer_id = customers.id) < now() - interval '$hours hours'" ],
		[ ("[customers.created_at] - interval '$hours hours' < now() AND [customers.created_at] IS NOT NULL") x 2 ],
		[ ("(now() < [customers.created_at]) IS NOT TRUE") x 2 ],
		[ ("CASE WHEN [customers.vip] THEN [customers.created_at] < now() - interval '$hours hours' ELSE [customers.created_at] > now() END") x 2 ],
		[ ("(SELECT o.status FROM <orders> o WHERE o.customer_id = customers.id AND o.placed_at <= now() ORDER BY o.placed_at DESC, o.id LIMIT 1) = 'paid'") x 2 ],
		[ ("EXISTS (SELECT 1 FROM <events> a JOIN <events> b ON b.customer_id = a.customer_id AND b.at > a.at WHERE a.customer_id = customers.id AND a.at > now() - interval '$hours hours' AND b.at < now())") x 2 ],
		[ ("customers.id IN (SELECT o.customer_id FROM <orders> o WHERE o.placed_at > now() - interval '$hours hours' GROUP BY o.customer_id HAVING count(*) > 1)") x 2 ],
		[ "count(orders) FILTER (WHERE orders.placed_at > now() - interval '$hours hours') > 1", "(SELECT count(*) FILTER (WHERE orders.placed_at > now() - interval '$hours hours') FROM <orders> WHERE orders.customer_id = customers.id) > 1" ],
		[ "sum(orders.amount) FILTER (WHERE now() - interval '72 hours' < placed_at) > sum(orders.amount) FILTER (WHERE placed_at < now() - interval '$hours hours') / 2",
			"(SELECT sum(orders.amount) FILTER (WHERE now() - interval '72 hours' < orders.placed_at) FROM <orders> WHERE orders.customer_id = customers.id) > (SELECT sum(orders.amount) FILTER (WHERE orders.placed_at < now() - interval '$hours hours') FROM <orders> WHERE orders.customer_id = customers.id) / 2" ],
		[ "[customers.created_at] > now() - interval '1 month'", "customers.created_at > ((now() AT TIME ZONE {zone}) - interval '1 month') AT TIME ZONE {zone}" ],
		[ "date_trunc('month', [customers.created_at]) = date_trunc('month', now())",
			"date_trunc('month', customers.created_at AT TIME ZONE {zone}) = date_trunc('month', now() AT TIME ZONE {zone})" ],
		[ "[customers.created_at]::date > current_date - 30", "(customers.created_at AT TIME ZONE {zone})::date > (now() AT TIME ZONE {zone})::date - 30" ],
		[ 'extract(month FROM [customers.birth]) = extract(month FROM now())', 'extract(month FROM customers.birth) = extract(month FROM now() AT TIME ZONE {zone})' ]) });
}

# Conditions whose meaning hangs on the zone (or date style) pinned at creation.
sub zone
{
	my ($self) = @_;
	return $self->text('[accounts.active] IS NOT NULL') if $self->{subject} eq 'accounts';
	my $hour = between(0, 23);
	return $self->spelled(@{ pick(
		[ "extract(hour FROM [customers.created_at]) < $hour", "extract(hour FROM customers.created_at AT TIME ZONE {zone}) < $hour" ],
		[ "[customers.created_at]::date = date_trunc('month', [customers.created_at])::date + 3",
			"(customers.created_at AT TIME ZONE {zone})::date = date_trunc('month', customers.created_at AT TIME ZONE {zone})::date + 3" ],
		[ "to_char([customers.created_at], 'HH24') > '$hour'", "to_char(customers.created_at AT TIME ZONE {zone}, 'HH24') > '$hour'" ],
		[ "[customers.created_at] > '2000-01-01 00:00'", "customers.created_at > timestamp '2000-01-01 00:00' AT TIME ZONE {zone}" ],
		[ "[customers.birth]::timestamptz < [customers.created_at] - interval '20 years'",
			"(customers.birth::timestamp AT TIME ZONE {zone}) < ((customers.created_at AT TIME ZONE {zone}) - interval '20 years') AT TIME ZONE {zone}" ],
		[ "count(orders) FILTER (WHERE orders.placed_at::date = orders.placed_at) = 0",
			"(SELECT count(*) FILTER (WHERE (orders.placed_at AT TIME ZONE {zone})::date::timestamp AT TIME ZONE {zone} = orders.placed_at) FROM <orders> WHERE orders.customer_id = customers.id) = 0" ],
		[ "count(DISTINCT orders.placed_at::date) > 1",
			"(SELECT count(DISTINCT (orders.placed_at AT TIME ZONE {zone})::date) FROM <orders> WHERE orders.customer_id = customers.id) > 1" ],
		[ "[customers.birth]::text LIKE '%%-0%%'", "to_char(customers.birth, 'YYYY-MM-DD') LIKE '%%-0%%'" ]) });
}

1;

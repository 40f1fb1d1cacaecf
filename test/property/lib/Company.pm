# Company: the tables of the property test, their random data and random writes on them.
#
# Each way a source can belong to a subject is here once: foreign keys (orders, events), a chain of them
# (order_items -> orders -> customers -> accounts), a declared link (sms by phone number, mails by address), a table
# that subjects reference (city, accounts, products), a self reference (customers.referrer_id), a tie through a shared
# column (invoices by account), and none at all (rates, picked).
package Company;

use strict;
use warnings;
use Chance;

# Column kinds: how a random literal is made, and which comparisons make sense in a condition.
my %literal = (
	customer => sub { my ($c) = @_; $c->customer_id },
	account  => sub { between(1, 7) },
	city     => sub { between(1, 5) },
	product  => sub { between(-2, 5) },	# keys that are no subjects' may be negative
	order    => sub { between(1, 90) },
	small    => sub { between(0, 9) },
	age      => sub { between(15, 70) },
	money    => sub { between(0, 200) . '.' . pick('00', '50', '99') },
	phone    => sub { between(100, 115) },
	bool     => sub { pick('true', 'false') },
	country  => sub { "'" . pick(qw(DE PL FR IT)) . "'" },
	status   => sub { "'" . pick(qw(paid open void)) . "'" },
	category => sub { "'" . pick(qw(shoes books games)) . "'" },
	kind     => sub { "'" . pick(qw(view click buy)) . "'" },
	plan     => sub { "'" . pick(qw(free pro big)) . "'" },
	word     => sub { "'" . pick(qw(anna bert cleo dora emil)) . "'" },
	address  => sub { "'" . pick('a' .. 'l') . "'" },
	grade    => sub { '(enum_range(NULL::grade))[' . between(1, 3) . ']' },	# whatever its label is now
	region   => sub { "'" . pick(qw(north south)) . "'" },
	tags     => sub { "'{" . join(',', some(between(0, 2), qw(x y z))) . "}'::text[]" },
	json     => sub { q('{"k": ) . between(0, 5) . q(}'::jsonb) },
	date     => sub { sprintf("date '%d-%02d-%02d'", between(1960, 2005), between(1, 12), between(1, 28)) },
	stamp    => sub { my ($c) = @_; $c->stamp(between(-2000, 200)) },
);

# table => [ key kind, [column, type, kind, percent of NULLs, constraint], ... ]
my @layout = (
	[ 'city', 'city', [ 'name', 'text', 'word', 10 ], [ 'population', 'int', 'age', 10 ], [ 'region', 'text', 'region', 10 ] ],
	[ 'accounts', 'account', [ 'plan', 'text', 'plan', 10 ], [ 'seats', 'int', 'small', 10 ], [ 'active', 'bool', 'bool', 10 ] ],
	[ 'products', 'product', [ 'category', 'text', 'category', 10 ], [ 'price', 'numeric(10,2)', 'money', 10 ] ],
	[ 'customers', 'customer', [ 'name', 'text', 'word', 10 ], [ 'country', 'text', 'country', 15 ], [ 'age', 'int', 'age', 15 ],
	  [ 'score', 'numeric(10,2)', 'money', 10 ], [ 'vip', 'bool', 'bool', 30 ],
	  [ 'account_id', 'int', 'account', 20, 'REFERENCES accounts ON DELETE SET NULL ON UPDATE CASCADE' ],
	  [ 'city_id', 'int', 'city', 20, 'REFERENCES city ON DELETE SET NULL ON UPDATE CASCADE' ],
	  [ 'referrer_id', 'KEY', 'customer', 60, 'REFERENCES customers ON DELETE SET NULL ON UPDATE CASCADE' ],
	  [ 'phone', 'bigint', 'phone', 20 ], [ 'email', 'text', 'address', 20 ], [ 'tags', 'text[]', 'tags', 20 ],
	  [ 'data', 'jsonb', 'json', 20 ], [ 'grade', 'grade', 'grade', 20 ], [ 'birth', 'date', 'date', 20 ], [ 'created_at', 'timestamptz', 'stamp', 10 ] ],
	[ 'orders', 'order', [ 'customer_id', 'KEY', 'customer', 10, 'REFERENCES customers ON DELETE CASCADE ON UPDATE CASCADE' ],
	  [ 'status', 'text', 'status', 10 ], [ 'amount', 'numeric(10,2)', 'money', 10 ], [ 'category', 'text', 'category', 10 ],
	  [ 'coupon', 'int', 'small', 50 ], [ 'placed_at', 'timestamptz', 'stamp', 10 ] ],
	[ 'order_items', 'item', [ 'order_id', 'int', 'order', 5, 'REFERENCES orders ON DELETE CASCADE ON UPDATE CASCADE' ],
	  [ 'product_id', 'int', 'product', 15, 'REFERENCES products ON DELETE SET NULL' ], [ 'qty', 'int', 'small', 10 ], [ 'price', 'numeric(10,2)', 'money', 10 ] ],
	[ 'events', 'event', [ 'customer_id', 'KEY', 'customer', 10, 'REFERENCES customers ON DELETE SET NULL ON UPDATE CASCADE' ],
	  [ 'kind', 'text', 'kind', 10 ], [ 'value', 'int', 'small', 20 ], [ 'product_id', 'int', 'product', 30 ], [ 'at', 'timestamptz', 'stamp', 10 ] ],
	[ 'sms', 'sms', [ 'phone', 'bigint', 'phone', 10 ], [ 'cost', 'int', 'small', 10 ], [ 'body', 'text', 'word', 10 ] ],
	[ 'mails', 'mail', [ 'email', 'text', 'address', 10 ], [ 'opened', 'bool', 'bool', 20 ] ],
	[ 'invoices', 'invoice', [ 'account_id', 'int', 'account', 10, 'REFERENCES accounts ON DELETE CASCADE ON UPDATE CASCADE' ],
	  [ 'total', 'numeric(10,2)', 'money', 10 ], [ 'paid', 'bool', 'bool', 20 ] ],
	[ 'rates', 'rate', [ 'code', 'int', 'small', 10 ], [ 'rate', 'numeric(10,2)', 'money', 10 ] ],
	[ 'picked', 'pick', [ 'customer_id', 'KEY', 'customer', 15 ], [ 'weight', 'int', 'small', 20 ] ],
);

# rows at the start, and highest key used for tables whose keys nobody references
my %rows = (city => 5, accounts => 7, products => 8, customers => 40, orders => 80, order_items => 110, events => 90, sms => 30, mails => 25,
	invoices => 15, rates => 5, picked => 8);
my %key_limit = (item => 150, event => 130, sms => 50, mail => 40, invoice => 30, rate => 12, pick => 14);

# A company for one case: the key type, where ids begin, and whether there are indexes differ.
sub new
{
	my ($class) = @_;
	my $key = pick(qw(int int bigint bigint smallint));
	my $base = $key eq 'smallint' ? 0 : $key eq 'int' ? pick(0, 0, 65500, 1000000) : pick(0, 65500, 2**32 - 20, 2**40, 9223372036854775807 - 60);
	my $self = bless { key => $key, base => $base, anchor => time(), index => chance(70), self_reference => chance(60), tables => {}, order => [] }, $class;
	for my $table (@layout)
	{
		my ($name, $kind, @columns) = @$table;
		push @{ $self->{order} }, $name;
		$self->{tables}{$name} = { kind => $kind, columns => [ map { { name => $_->[0], type => $_->[1] eq 'KEY' ? $key : $_->[1], kind => $_->[2], nulls => $_->[3], extra => $_->[4] // '' } } @columns ] };
	}
	if (!$self->{self_reference})
	{
		$_->{name} eq 'referrer_id' and $_->{extra} = '' for @{ $self->{tables}{customers}{columns} };
	}
	return $self;
}

sub customer_id { my ($self) = @_; return $self->{base} + between(1, 45); }

# A time literal some hours from now, half an hour off the full hour: no comparison with now() and whole hours flips during a case.
sub stamp
{
	my ($self, $hours) = @_;
	my @t = gmtime($self->{anchor} + $hours * 3600 + 1800);
	return sprintf("timestamptz '%04d-%02d-%02d %02d:%02d:%02d+00'", $t[5] + 1900, $t[4] + 1, @t[ 3, 2, 1, 0 ]);
}

sub tables { my ($self) = @_; return @{ $self->{order} }; }

# A random key of a table (it may exist or not).
sub key
{
	my ($self, $table) = @_;
	my $kind = $self->{tables}{$table}{kind};
	return $key_limit{$kind} ? between(1, $key_limit{$kind}) : $literal{$kind}->($self);
}

# A random literal for a column; with $null, NULL now and then.
sub value
{
	my ($self, $column, $null) = @_;
	return 'NULL' if $null && chance($column->{nulls});
	return $literal{ $column->{kind} }->($self);
}

sub literal { my ($self, $kind) = @_; return $literal{$kind}->($self); }

sub column
{
	my ($self, $table, $name) = @_;
	my ($column) = grep { $_->{name} eq $name } @{ $self->{tables}{$table}{columns} };
	return $column;
}

sub columns { my ($self, $table) = @_; return @{ $self->{tables}{$table}{columns} }; }

# "(1, 'a', NULL)" for a new row
sub row
{
	my ($self, $table, $key) = @_;
	return '(' . join(', ', $key, map { $self->value($_, 1) } $self->columns($table)) . ')';
}

# Statements that make the tables and fill them.
sub setup
{
	my ($self) = @_;
	my @sql = "CREATE TYPE grade AS ENUM ('iron', 'silver', 'gold')";
	for my $table ($self->tables)
	{
		my $key_type = $table eq 'customers' ? $self->{key} : $table eq 'events' ? 'bigint' : 'int';
		push @sql, "CREATE TABLE $table (id $key_type PRIMARY KEY, " . join(', ', map { "$_->{name} $_->{type} $_->{extra}" } $self->columns($table)) . ')';
	}
	if ($self->{index})
	{
		push @sql, 'CREATE INDEX ON orders (customer_id)', 'CREATE INDEX ON order_items (order_id)', 'CREATE INDEX ON events (customer_id, at)',
		  'CREATE INDEX ON customers (phone)', 'CREATE INDEX ON customers (account_id)';
	}
	for my $table ($self->tables)
	{
		my $n = $rows{$table};
		my %seen;
		my @keys = $table eq 'customers' ? map { $self->{base} + $_ } 1 .. $n : $table eq 'products' ? (-2 .. $n - 3) : (1 .. $n);
		# rows come in key order, so a reference to the own table must look back
		my @values;
		for my $key (@keys)
		{
			my $row = $self->row($table, $key);
			push @values, $row;
		}
		if ($table eq 'customers' && $self->{self_reference})
		{
			push @sql, "SET session_replication_role = replica";
			push @sql, "INSERT INTO $table VALUES " . join(', ', @values);
			push @sql, "UPDATE customers c SET referrer_id = NULL WHERE NOT EXISTS (SELECT 1 FROM customers r WHERE r.id = c.referrer_id)";
			push @sql, "RESET session_replication_role";
		}
		else
		{
			my $text = join(', ', @values);
			push @sql, "INSERT INTO $table SELECT * FROM (VALUES $text) AS v(" . join(', ', 'id', map { $_->{name} } $self->columns($table)) . ')'
			  . $self->reference_filter($table);
		}
	}
	return @sql;
}

# Of random rows, keep those whose references exist.  Text literals in VALUES come typed, so no casts are needed but for NULL columns.
sub reference_filter
{
	my ($self, $table) = @_;
	my @conditions;
	for my $column ($self->columns($table))
	{
		next unless $column->{extra} =~ /REFERENCES (\w+)/;
		push @conditions, "(v.$column->{name} IS NULL OR EXISTS (SELECT 1 FROM $1 p WHERE p.id = v.$column->{name}))";
	}
	return @conditions ? ' WHERE ' . join(' AND ', @conditions) : '';
}

# ---- random writes ----

# A random condition on the rows of one table, for UPDATE and DELETE.
sub where
{
	my ($self, $table, $alias) = @_;
	$alias = defined $alias ? "$alias." : '';
	my $key = $self->key($table);
	my @columns = $self->columns($table);
	my $column = pick(@columns);
	return weighted(
		[ 5, "${alias}id = $key" ],
		[ 2, "${alias}id IN ($key, " . $self->key($table) . ', ' . $self->key($table) . ')' ],
		[ 2, "$alias$column->{name} = " . $self->value($column) ],
		[ 1, "$alias$column->{name} IS NULL" ],
		[ 1, "${alias}id % 5 = " . below(5) ],
		[ 1, "${alias}id BETWEEN $key AND $key + " . between(1, 4) ]);
}

# A random SET list.
sub changes
{
	my ($self, $table) = @_;
	my @columns = some(weighted([ 4, 1 ], [ 2, 2 ], [ 1, 3 ]), $self->columns($table));
	return join(', ', map {
		my $name = $_->{name};
		$_->{kind} =~ /^(small|money)$/ && chance(30) ? "$name = $name + 1"
		  : chance(8) ? "$name = $name"
		  : "$name = " . $self->value($_, 1)
	} @columns);
}

# The next table to write to, those that matter more often.
sub busy_table
{
	return weighted([ 12, 'customers' ], [ 14, 'orders' ], [ 9, 'order_items' ], [ 9, 'events' ], [ 5, 'sms' ], [ 4, 'mails' ], [ 4, 'accounts' ],
		[ 4, 'invoices' ], [ 3, 'city' ], [ 3, 'products' ], [ 3, 'rates' ], [ 4, 'picked' ]);
}

# One random writing statement: { sql => text } or { copy => table, rows => [...] }.
sub write_statement
{
	my ($self, $table) = @_;
	$table //= busy_table();
	my $names = join(', ', 'id', map { $_->{name} } $self->columns($table));
	my $set = $self->changes($table);
	my $kind = weighted([ 22, 'insert' ], [ 34, 'update' ], [ 14, 'delete' ], [ 6, 'upsert' ], [ 3, 'ignore' ], [ 6, 'merge' ], [ 5, 'copy' ],
		[ 4, 'rekey' ], [ 3, 'update_from' ], [ 3, 'insert_select' ], [ 1, 'truncate' ], [ 4, 'cte' ], [ 2, 'move' ], [ 2, 'swap' ], [ 2, 'nothing' ]);
	my @rows = map { $self->row($table, $self->key($table)) } 1 .. weighted([ 4, 1 ], [ 2, 2 ], [ 1, 6 ]);
	if ($kind eq 'insert')
	{
		my $only = chance(60) ? ' ON CONFLICT DO NOTHING' : '';
		return { sql => "INSERT INTO $table VALUES " . join(', ', @rows) . $only };
	}
	return { sql => "UPDATE $table SET $set WHERE " . $self->where($table) } if $kind eq 'update';
	return { sql => "DELETE FROM $table WHERE " . $self->where($table) } if $kind eq 'delete';
	if ($kind eq 'upsert')
	{
		my ($column) = some(1, $self->columns($table));
		return { sql => "INSERT INTO $table VALUES $rows[0] ON CONFLICT (id) DO UPDATE SET $column->{name} = EXCLUDED.$column->{name}" . (chance(30) ? ', ' . 'id = EXCLUDED.id' : '') };
	}
	return { sql => "INSERT INTO $table VALUES " . join(', ', @rows) . ' ON CONFLICT (id) DO NOTHING' } if $kind eq 'ignore';
	if ($kind eq 'merge')
	{
		my $delete = chance(40) ? 'WHEN MATCHED AND t.id % 2 = 0 THEN DELETE ' : '';
		my ($column) = some(1, $self->columns($table));
		my $values = join(', ', map { $self->row($table, $_) } $self->key($table), $self->key($table) + 0);
		my %seen;
		return { sql => "MERGE INTO $table t USING (SELECT DISTINCT ON (id) * FROM (VALUES $values) AS w($names) ORDER BY id) AS v ON t.id = v.id ${delete}"
			  . "WHEN MATCHED THEN UPDATE SET $column->{name} = v.$column->{name}::$column->{type} WHEN NOT MATCHED THEN INSERT (id) VALUES (v.id)" };
	}
	if ($kind eq 'copy')
	{
		return { copy => "COPY $table ($names) FROM STDIN", rows => [ map { $self->copy_row($table) } 1 .. between(1, 4) ] };
	}
	if ($kind eq 'rekey')
	{
		$table = pick('customers', 'customers', 'accounts', 'orders', 'events');
		return { sql => "UPDATE $table SET id = " . $self->key($table) . ' WHERE id = ' . $self->key($table) };
	}
	if ($kind eq 'update_from')
	{
		return { sql => 'UPDATE orders o SET ' . pick("amount = o.amount + 1", "status = c.country", 'customer_id = c.referrer_id', "coupon = 3")
			  . ' FROM customers c WHERE c.id = o.customer_id AND ' . $self->where('customers', 'c') };
	}
	if ($kind eq 'insert_select')
	{
		my $offset = between(1, 30);
		return { sql => "INSERT INTO $table SELECT * FROM $table WHERE " . $self->where($table) . ' ON CONFLICT DO NOTHING' } if $table eq 'customers' || chance(20);
		my $columns = join(', ', map { $_->{name} } $self->columns($table));
		return { sql => "INSERT INTO $table (id, $columns) SELECT id + $offset, $columns FROM $table WHERE " . $self->where($table) . ' ON CONFLICT DO NOTHING' };
	}
	if ($kind eq 'truncate')
	{
		my @order = (('order_items', 'events', 'sms', 'mails', 'invoices', 'rates', 'picked') x 3, 'orders', 'customers', 'accounts');
		return { sql => 'TRUNCATE ' . pick(@order) . (chance(70) ? ' CASCADE' : '') };
	}
	if ($kind eq 'cte')
	{
		my $other = busy_table();
		return { sql => "WITH gone AS (DELETE FROM $table WHERE " . $self->where($table) . " RETURNING id) UPDATE $other SET " . $self->changes($other)
			  . ' WHERE ' . $self->where($other) . ' AND (SELECT count(*) FROM gone) >= 0' };
	}
	if ($kind eq 'move')
	{
		my ($from, $to) = ($self->customer_id, $self->customer_id);
		return { sql => 'UPDATE ' . pick('orders', 'events', 'picked') . " SET customer_id = $to WHERE customer_id = $from" };
	}
	if ($kind eq 'swap')
	{
		my ($one, $two) = ($self->customer_id, $self->customer_id);
		return { sql => "UPDATE orders SET customer_id = CASE customer_id WHEN $one THEN $two ELSE $one END WHERE customer_id IN ($one, $two)" };
	}
	return { sql => "UPDATE $table SET id = id" . (chance(50) ? '' : ' WHERE ' . $self->where($table)) };
}

# A line for COPY, made from literals: strip quoting and casts.
sub copy_row
{
	my ($self, $table) = @_;
	my @fields = ($self->key($table));
	for my $column ($self->columns($table))
	{
		my $text = $self->value($column, 1);
		$text = '\N' if $text eq 'NULL' || $text =~ /^\(/;
		$text =~ s/^(?:date|timestamptz) //;
		$text =~ s/^'(.*)'(?:::[\w\[\]]+)?$/$1/;
		push @fields, $text;
	}
	return join("\t", @fields) . "\n";
}

1;

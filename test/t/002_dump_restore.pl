# pg_dump and pg_restore (and plain SQL) keep definitions, links, grants and comments; what is materialised is not dumped,
# and reads are exact before anything was refreshed.  The new database takes further segments.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('dump');
$node->init;
$node->append_conf('postgresql.conf', 'segmentation.worker = off');
$node->start;
my $dir = $node->basedir;

$node->safe_psql('postgres', 'CREATE ROLE analyst');
$node->safe_psql('postgres', 'CREATE ROLE keeper');
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', q{
	CREATE EXTENSION segmentation;
	CREATE SCHEMA crm;
	CREATE TABLE customers (id int PRIMARY KEY, country text, phone bigint, "odd Name" text, joined timestamptz);
	CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, amount numeric, status text);
	CREATE TABLE calls (id int PRIMARY KEY, phone bigint, minutes int);
	INSERT INTO customers SELECT i, (ARRAY['DE', 'PL', NULL])[1 + i % 3], 100 + i % 7, 'n' || i, '2026-01-01 23:30+00'::timestamptz + i * interval '1 hour' FROM generate_series(1, 60) i;
	INSERT INTO orders SELECT i, 1 + i % 60, i % 50, CASE WHEN i % 4 = 0 THEN 'void' ELSE 'paid' END FROM generate_series(1, 300) i;
	INSERT INTO calls SELECT i, 100 + i % 9, i % 10 FROM generate_series(1, 40) i;
	GRANT SELECT ON ALL TABLES IN SCHEMA public TO keeper;
	GRANT TRIGGER ON ALL TABLES IN SCHEMA public TO keeper;
	GRANT CREATE ON SCHEMA public TO keeper;
});
$node->safe_psql('shop', q{
	DO LANGUAGE segment $$ CREATE LINK ON calls (phone) REFERENCES customers (phone) $$;
	SET TimeZone = 'Pacific/Chatham';
	DO LANGUAGE segment $$
		CREATE SEGMENT spender ON customers WHERE sum(orders.amount) FILTER (WHERE orders.status = 'paid') > 80;
		CREATE SEGMENT talker ON customers WHERE sum(calls.minutes) > 20;
		CREATE SEGMENT crm.early ON customers WHERE extract(hour FROM joined) < 12;
		CREATE SEGMENT "Odd ""one""" ON customers WHERE "odd Name" LIKE '%1%';
		CREATE SEGMENT quiet_spender ON customers WHERE in_segment('spender') AND NOT in_segment('talker');
		CREATE SEGMENT any_of AS spender | talker;
		COMMENT ON SEGMENT spender IS 'spends a lot';
		REFRESH SEGMENT ALL
	$$;
	GRANT SELECT ON spender TO analyst;
});
$node->safe_psql('shop', "SET ROLE keeper; DO LANGUAGE segment 'CREATE SEGMENT kept ON customers WHERE count(orders) > 4'");

my %oracle = (
	spender => "(SELECT sum(amount) FROM orders o WHERE o.customer_id = customers.id AND status = 'paid') > 80",
	talker => '(SELECT sum(minutes) FROM calls c WHERE c.phone = customers.phone) > 20',
	'crm.early' => "extract(hour FROM joined AT TIME ZONE 'Pacific/Chatham') < 12",
	'"Odd ""one"""' => q("odd Name" LIKE '%1%'),
	kept => '(SELECT count(*) FROM orders o WHERE o.customer_id = customers.id) > 4');
$oracle{quiet_spender} = "($oracle{spender}) IS TRUE AND ($oracle{talker}) IS NOT TRUE";
$oracle{any_of} = "($oracle{spender}) OR ($oracle{talker})";

sub check_segments
{
	my ($database, $when) = @_;
	for my $name (sort keys %oracle)
	{
		my $result = $node->safe_psql($database, qq{
			SELECT segment.members('$name')::bigint[]::text = ARRAY(SELECT id::bigint FROM customers WHERE $oracle{$name} ORDER BY id)::text,
				ARRAY(SELECT id FROM $name ORDER BY id) = ARRAY(SELECT id FROM customers WHERE $oracle{$name} ORDER BY id), segment.size('$name') > 0});
		is($result, 't|t|t', "$name is right $when");
	}
}

# What must come through: definitions as shown, owners, grants, comments, links, options.
sub description
{
	my ($database) = @_;
	return $node->safe_psql($database, q{
		SELECT c.oid::regclass, pg_get_viewdef(c.oid), pg_get_userbyid(c.relowner), c.relacl, obj_description(c.oid, 'pg_class')
		FROM pg_class c WHERE relkind = 'v' AND relnamespace IN ('public'::regnamespace, 'crm'::regnamespace) ORDER BY c.oid::regclass::text;
		SELECT * FROM segment.link;
		SELECT tgrelid::regclass, tgname, tgenabled, tgtype, encode(tgargs, 'escape') FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2});
}

check_segments('shop', 'at first');
my $before = description('shop');
for my $way ('custom', 'plain', 'schema and data apart', 'parallel directory')
{
	(my $database = "copy_$way") =~ s/ /_/g;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	if ($way eq 'custom')
	{
		$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/shop.dump", $node->connstr('shop') ], 'pg_dump -Fc');
		$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr($database), "$dir/shop.dump" ], 'pg_restore');
	}
	elsif ($way eq 'plain')
	{
		$node->command_ok([ 'pg_dump', '-f', "$dir/shop.sql", $node->connstr('shop') ], 'pg_dump, plain');
		$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($database), '-f', "$dir/shop.sql" ], 'psql');
		unlike(slurp_file("$dir/shop.sql"), qr/COPY segment\.(?:chunk|invalidation|state|epoch) /, 'nothing materialised is dumped');
	}
	elsif ($way eq 'parallel directory')
	{
		$node->command_ok([ 'pg_dump', '-Fd', '-j', '2', '-f', "$dir/shop.dir", $node->connstr('shop') ], 'pg_dump -Fd');
		$node->command_ok([ 'pg_restore', '-j', '2', '--exit-on-error', '-d', $node->connstr($database), "$dir/shop.dir" ], 'pg_restore -j');
	}
	else
	{
		$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/apart.dump", $node->connstr('shop') ], 'pg_dump');
		for my $part ([ '--schema-only' ], [ '--data-only', '--disable-triggers' ])
		{
			$node->command_ok([ 'pg_restore', '--exit-on-error', @$part, '-d', $node->connstr($database), "$dir/apart.dump" ], "pg_restore @$part");
		}
	}
	check_segments($database, "restored ($way), before any refresh");
	my $after = description($database);
	# rows of segment.link and ENABLE TRIGGER states come as dumped, in whatever order
	is(join("\n", sort split /\n/, $after), join("\n", sort split /\n/, $before), "everything came through ($way)") unless $way =~ /apart/;
	$node->safe_psql($database, "DO LANGUAGE segment 'REFRESH SEGMENT ALL'");
	check_segments($database, "restored ($way) and refreshed");
	$node->safe_psql($database, "INSERT INTO orders SELECT 1000 + i, 1 + i % 60, 30, 'paid' FROM generate_series(1, 50) i; UPDATE calls SET phone = phone + 1 WHERE id % 3 = 0; DELETE FROM orders WHERE id % 7 = 0; "
		  . "UPDATE customers SET \"odd Name\" = 'n1' WHERE id = 3; UPDATE customers SET joined = joined + interval '7 hours' WHERE id < 30");
	check_segments($database, "restored ($way) and written to");
	is($node->safe_psql($database, "SET ROLE analyst; SELECT count(*) > 0 FROM spender"), 't', "the grant came along ($way)");
	my ($code, $out, $error) = $node->psql($database, 'SET ROLE analyst; SELECT count(*) FROM talker');
	isnt($code, 0, "no grant came from nowhere ($way)");

	# more segments afterwards: ids and names do not clash
	$node->safe_psql($database, "DO LANGUAGE segment 'CREATE SEGMENT later ON customers WHERE avg(orders.amount) > 20 AND in_segment(''talker''); REFRESH SEGMENT ALL'");
	is($node->safe_psql($database, "UPDATE orders SET amount = amount + 3 WHERE id % 2 = 0; SELECT segment.members('later')::bigint[]::text = ARRAY(SELECT id::bigint FROM customers WHERE (SELECT avg(amount) FROM orders o WHERE o.customer_id = customers.id) > 20 AND ($oracle{talker}) ORDER BY id)::text"),
		't', "a new segment in the copy ($way)");
	check_segments($database, "beside the new segment ($way)");
	$node->safe_psql($database, "DO LANGUAGE segment 'DROP SEGMENT spender CASCADE'; DROP EXTENSION segmentation CASCADE");
	is($node->safe_psql($database, "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal"), '0', "no trigger is left behind ($way)");
}
$node->stop;
done_testing();

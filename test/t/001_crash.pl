# The postmaster is killed while several sessions write and refresh.  Whatever committed counts after recovery, whatever
# did not leaves nothing behind, and the next refresh keeps everything right.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
$node->append_conf('postgresql.conf', "segmentation.worker = off\nfsync = on\nautovacuum_naptime = 1s\nrestart_after_crash = off\ncheckpoint_timeout = 30s");
$node->start;

my %condition = (
	spender => "(SELECT sum(amount) FROM orders o WHERE o.customer_id = customers.id) > 300",
	german => "country = 'DE'",
	buyer => "EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = customers.id AND o.amount > 90)");

$node->safe_psql('postgres', q{
	CREATE EXTENSION segmentation;
	CREATE TABLE customers (id bigint PRIMARY KEY, country text);
	CREATE TABLE orders (id bigserial PRIMARY KEY, customer_id bigint REFERENCES customers ON DELETE CASCADE, amount int);
	CREATE INDEX ON orders (customer_id);
	INSERT INTO customers SELECT i, CASE WHEN i % 3 = 0 THEN 'DE' ELSE 'PL' END FROM generate_series(1, 2000) i;
	INSERT INTO orders (customer_id, amount) SELECT 1 + i % 2000, i % 100 FROM generate_series(1, 8000) i;
});
$node->safe_psql('postgres', q{
	DO LANGUAGE segment $$
		CREATE SEGMENT spender ON customers WHERE sum(orders.amount) > 300;
		CREATE SEGMENT german ON customers WHERE country = 'DE';
		CREATE SEGMENT buyer ON customers WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = customers.id AND o.amount > 90)
	$$;
});
$node->safe_psql('postgres', "DO LANGUAGE segment 'REFRESH SEGMENT ALL'");

# Every segment by every way of reading, against the condition as plain SQL, one statement each.
sub check_segments
{
	my ($when) = @_;
	for my $name (sort keys %condition)
	{
		my $result = $node->safe_psql('postgres', qq{
			WITH o AS MATERIALIZED (SELECT id FROM customers WHERE $condition{$name}),
				m AS (SELECT unnest(segment.members('$name')::bigint[]) AS id)
			SELECT (SELECT count(*) FROM (SELECT id FROM o EXCEPT ALL SELECT id FROM m) x),
				(SELECT count(*) FROM (SELECT id FROM m EXCEPT ALL SELECT id FROM o) x),
				(SELECT count(*) FROM (SELECT id FROM o EXCEPT ALL SELECT id FROM $name) x),
				(SELECT count(*) FROM (SELECT id FROM $name EXCEPT ALL SELECT id FROM o) x),
				segment.size('$name') - (SELECT count(*) FROM o)});
		is($result, '0|0|0|0|0', "$name equals its condition $when");
	}
}

# Sessions that write, undo and refresh until the server is gone.
my @scripts = (
	(q{BEGIN; INSERT INTO orders (customer_id, amount) VALUES (1 + (random() * 1999)::int, (random() * 200)::int); SAVEPOINT p;
		DELETE FROM orders WHERE customer_id = 1 + (random() * 1999)::int; ROLLBACK TO p;
		UPDATE customers SET country = CASE country WHEN 'DE' THEN 'PL' ELSE 'DE' END WHERE id = 1 + (random() * 1999)::int; COMMIT;}) x 2,
	q{BEGIN; UPDATE orders SET amount = amount + 50 WHERE customer_id BETWEEN 100 AND 300; DELETE FROM orders WHERE id % 500 = (random() * 499)::int; COMMIT;},
	q{DO LANGUAGE segment 'REFRESH SEGMENT ALL';},
	q{DO LANGUAGE segment 'REFRESH SEGMENT spender';});

check_segments('at the start');
for my $round (1 .. 3)
{
	my @sessions;
	my $script = $node->basedir . "/script";
	for my $i (0 .. $#scripts)
	{
		append_to_file("$script.$round.$i", "$scripts[$i]\n" x 3000);
		my ($out, $err) = ('', '');
		push @sessions, IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-f', "$script.$round.$i" ], '>', \$out, '2>', \$err);
	}
	usleep(300_000 + 350_000 * $round);
	if ($round < 3)
	{
		# everything dies at once, as by a power cut without the power cut
		$node->stop('immediate');
	}
	else
	{
		$node->kill9;
	}
	for my $session (@sessions)
	{
		eval { $session->finish };
	}
	# backends left alone end by themselves when they notice; the new postmaster waits for them
	my $started = 0;
	for (1 .. 50)
	{
		last if $started = $node->start(fail_ok => 1);
		$node->stop('fast', fail_ok => 1);
		usleep(300_000);
	}
	ok($started, "started again after crash $round");
	check_segments("after crash $round");
	$node->safe_psql('postgres', "DO LANGUAGE segment 'REFRESH SEGMENT ALL'");
	check_segments("after crash $round and a refresh");
	$node->safe_psql('postgres', "INSERT INTO orders (customer_id, amount) SELECT 7, 400; UPDATE customers SET country = 'DE' WHERE id < 50");
	check_segments("after crash $round and more writes");
}
$node->stop;
done_testing();

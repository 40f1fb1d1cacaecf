# A streaming standby reads every segment exactly: before and after refreshes on the primary, with invalidations pending,
# while it lags, in one old snapshot, and after promotion, where it goes on writing.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "autovacuum = off\nsegmentation.worker = off");
$primary->start;
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = 60s\nhot_standby_feedback = on\nwal_receiver_status_interval = 1s");
$standby->start;

my %oracle = (
	spender => '(SELECT sum(amount) FROM orders o WHERE o.customer_id = customers.id) > 100',
	german => "country = 'DE'",
	rich => 'EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = customers.id AND o.amount > (SELECT avg(amount) FROM orders))',
	recent => "(SELECT max(placed_at) FROM orders o WHERE o.customer_id = customers.id) > now() - interval '30 days'");
$oracle{pair} = "(($oracle{spender}) AND ($oracle{german}))";

$primary->safe_psql('postgres', q{
	CREATE EXTENSION segmentation;
	CREATE TABLE customers (id int PRIMARY KEY, country text);
	CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers ON DELETE CASCADE, amount int, placed_at timestamptz);
	INSERT INTO customers SELECT i, CASE WHEN i % 2 = 0 THEN 'DE' ELSE 'PL' END FROM generate_series(1, 100) i;
	INSERT INTO orders SELECT i, 1 + i % 100, i % 60, now() - i * interval '5 hours' FROM generate_series(1, 400) i;
});
$primary->safe_psql('postgres', q{
	DO LANGUAGE segment $$
		CREATE SEGMENT spender ON customers WHERE sum(orders.amount) > 100;
		CREATE SEGMENT german ON customers WHERE country = 'DE';
		CREATE SEGMENT rich ON customers WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = customers.id AND o.amount > (SELECT avg(amount) FROM orders));
		CREATE SEGMENT recent ON customers WHERE max(orders.placed_at) > now() - interval '30 days';
		CREATE SEGMENT pair AS spender & german
	$$;
});

sub comparison
{
	my ($name) = @_;
	return qq{WITH o AS MATERIALIZED (SELECT id::bigint FROM customers WHERE $oracle{$name})
		SELECT segment.members('$name')::bigint[] = ARRAY(SELECT id FROM o ORDER BY id), ARRAY(SELECT id::bigint FROM $name ORDER BY id) = ARRAY(SELECT id FROM o ORDER BY id),
			segment.size('$name') = (SELECT count(*) FROM o), bool_and(segment.contains('$name', id) = (id::bigint IN (SELECT id FROM o))) FROM customers};
}

sub check_segments
{
	my ($node, $when) = @_;
	for my $name (sort keys %oracle)
	{
		is($node->safe_psql('postgres', comparison($name)), 't|t|t|t', "$name is right $when");
	}
}

sub catch_up { $primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert')); }

catch_up();
check_segments($standby, 'on the standby, never refreshed');
$primary->safe_psql('postgres', "DO LANGUAGE segment 'REFRESH SEGMENT ALL'");
catch_up();
check_segments($standby, 'on the standby, refreshed');
for my $round (1 .. 3)
{
	$primary->safe_psql('postgres', "INSERT INTO orders SELECT 1000 * $round + i, c.id, 40, now() FROM generate_series(1, 30) i JOIN customers c ON c.id = 1 + i; DELETE FROM customers WHERE id % 31 = $round; UPDATE orders SET customer_id = 50 + $round WHERE id % 17 = $round AND EXISTS (SELECT 1 FROM customers WHERE id = 50 + $round)");
	catch_up();
	check_segments($standby, "on the standby with invalidations pending ($round)");
	$primary->safe_psql('postgres', "DO LANGUAGE segment 'REFRESH SEGMENT spender'");
	catch_up();
	check_segments($standby, "on the standby, one segment refreshed ($round)");
	$primary->safe_psql('postgres', "DO LANGUAGE segment 'REFRESH SEGMENT ALL'") if $round > 1;
	catch_up();
	check_segments($standby, "on the standby after round $round");
}

# one snapshot on the standby while the primary writes and refreshes on
SKIP:
{
	skip 'no DBD::Pg', 5 unless eval { require DBI; require DBD::Pg; 1 };
	my $reader = DBI->connect('dbi:Pg:host=' . $standby->host . ';port=' . $standby->port . ';dbname=postgres', undef, undef, { RaiseError => 1, PrintError => 0 });
	$reader->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
	$reader->do('SELECT count(*) FROM customers');
	# the primary must have heard of this snapshot before it cleans up what the snapshot still sees
	$primary->poll_query_until('postgres', 'SELECT backend_xmin IS NOT NULL FROM pg_stat_replication');
	$primary->safe_psql('postgres', "DELETE FROM orders WHERE id % 2 = 0");
	$primary->safe_psql('postgres', "DO LANGUAGE segment 'REFRESH SEGMENT ALL'");
	$primary->safe_psql('postgres', "INSERT INTO orders VALUES (9999, 50, 500, now())");
	$primary->safe_psql('postgres', "DO LANGUAGE segment 'REFRESH SEGMENT ALL'");
	catch_up();
	for my $name (sort keys %oracle)
	{
		is(join('|', map { $_ ? 't' : 'f' } @{ $reader->selectrow_arrayref(comparison($name)) }), 't|t|t|t', "$name is right in an old snapshot on the standby");
	}
	$reader->do('COMMIT');
	$reader->disconnect;
}

# what a standby cannot do is an error, not a crash
my ($code, $out, $error) = $standby->psql('postgres', "DO LANGUAGE segment 'REFRESH SEGMENT ALL'");
isnt($code, 0, 'no refresh on a standby');
like($error, qr/read-only|recovery/, 'and the error says why');
check_segments($standby, 'after the refused refresh');

# the feed and the history are read there; batches are not, as they lock; a failover goes on where the consumer was
$primary->safe_psql('postgres', q{SELECT segment.create_consumer('mailer', '{german}', true)});
$primary->safe_psql('postgres', "UPDATE customers SET country = 'DE' WHERE id = 1; DO LANGUAGE segment 'REFRESH SEGMENT ALL'");
$primary->safe_psql('postgres', q{SELECT segment.ack('mailer', 'german', (SELECT min(number) FROM segment.changes('german')))});
catch_up();
is($standby->safe_psql('postgres', $_), $primary->safe_psql('postgres', $_), "the same on the standby: $_")
  for "SELECT * FROM segment.changes('german')", "SELECT segment.members('german', 'infinity')", "SELECT * FROM segment.memberships_history('customers', 1)",
  'SELECT name, segment, position, behind FROM segment.consumers';
($code, $out, $error) = $standby->psql('postgres', "SELECT * FROM segment.next_batch('mailer')");
like($error, qr/read-only/, 'no batch on a standby');
my $waiting = $primary->safe_psql('postgres', "SELECT number, entered, exited FROM segment.next_batch('mailer')");
isnt($waiting, '', 'a change is waiting');

is($standby->safe_psql('postgres', 'SELECT worker_state FROM segment.activity'), 'none: this is a standby', 'a standby has no worker');
is($standby->safe_psql('postgres', 'SELECT DISTINCT refresher FROM segment.status'), 'primary', 'its segments are refreshed on the primary');
$standby->append_conf('postgresql.conf', 'segmentation.worker = on');
$standby->reload;
$standby->promote;
check_segments($standby, 'after promotion');
is($standby->safe_psql('postgres', "SELECT number, entered, exited FROM segment.next_batch('mailer')"), $waiting, 'no change is lost by a failover');
$standby->safe_psql('postgres', "UPDATE orders SET amount = amount + 20 WHERE id % 3 = 0; UPDATE customers SET country = 'DE' WHERE id % 9 = 1");
check_segments($standby, 'after promotion and writes');
$standby->safe_psql('postgres', "DO LANGUAGE segment 'REFRESH SEGMENT ALL'");
check_segments($standby, 'after promotion and a refresh');
$standby->stop;
$primary->stop;
done_testing();

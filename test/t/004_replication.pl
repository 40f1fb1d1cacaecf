# Rows that arrive by logical replication are captured like any others: inserts, updates, deletes and truncations applied
# by a subscription, and its initial copy.  And the publisher may publish everything it has.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = PostgreSQL::Test::Cluster->new('publisher');
$publisher->init(allows_streaming => 'logical');
$publisher->append_conf('postgresql.conf', 'segmentation.worker = off');
$publisher->start;
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init(allows_streaming => 'logical');
$subscriber->append_conf('postgresql.conf', 'segmentation.worker = off');
$subscriber->start;

my $tables = q{
	CREATE TABLE customers (id int PRIMARY KEY, country text);
	CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, amount int);
	ALTER TABLE orders REPLICA IDENTITY FULL;
};
$publisher->safe_psql('postgres', $tables);
$publisher->safe_psql('postgres', "INSERT INTO customers SELECT i, 'DE' FROM generate_series(1, 50) i; INSERT INTO orders SELECT i, 1 + i % 50, i % 40 FROM generate_series(1, 100) i");

my %oracle = (
	spender => '(SELECT sum(amount) FROM orders o WHERE o.customer_id = customers.id) > 45',
	german => "country = 'DE'",
	buyer => 'EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = customers.id)');
$subscriber->safe_psql('postgres', "CREATE EXTENSION segmentation; $tables");
$subscriber->safe_psql('postgres', q{
	DO LANGUAGE segment $$
		CREATE SEGMENT spender ON customers WHERE sum(orders.amount) > 45;
		CREATE SEGMENT german ON customers WHERE country = 'DE';
		CREATE SEGMENT buyer ON customers WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = customers.id)
	$$;
});
$subscriber->safe_psql('postgres', "DO LANGUAGE segment 'REFRESH SEGMENT ALL'");

sub check_segments
{
	my ($node, $when) = @_;
	for my $name (sort keys %oracle)
	{
		my $result = $node->safe_psql('postgres', qq{WITH o AS MATERIALIZED (SELECT id::bigint FROM customers WHERE $oracle{$name})
			SELECT segment.members('$name')::bigint[] = ARRAY(SELECT id FROM o ORDER BY id), ARRAY(SELECT id::bigint FROM $name ORDER BY id) = ARRAY(SELECT id FROM o ORDER BY id), (SELECT count(*) FROM o)});
		like($result, qr/^t\|t\|/, "$name is right $when ($result)");
	}
}

$publisher->safe_psql('postgres', 'CREATE PUBLICATION shop FOR TABLE customers, orders');
my $connection = $publisher->connstr . " dbname=postgres";
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION shop CONNECTION '$connection' PUBLICATION shop");
$subscriber->wait_for_subscription_sync($publisher, 'shop') if $subscriber->can('wait_for_subscription_sync');
$subscriber->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_subscription_rel WHERE srsubstate NOT IN ('r', 's')");
$publisher->wait_for_catchup('shop');
check_segments($subscriber, 'after the initial copy');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM orders'), '100', 'the rows are there');

my $round = 0;
for my $write (
	"INSERT INTO orders SELECT 1000 + i, 1 + i % 50, 30 FROM generate_series(1, 20) i",
	"UPDATE orders SET amount = amount + 10 WHERE id % 3 = 0",
	"UPDATE orders SET customer_id = 7 WHERE id % 5 = 0",
	"UPDATE customers SET country = 'PL' WHERE id % 4 = 0",
	"DELETE FROM orders WHERE id % 7 = 0",
	"UPDATE orders SET id = id + 5000 WHERE id % 11 = 0",
	"BEGIN; DELETE FROM orders WHERE customer_id = 9; SAVEPOINT p; DELETE FROM orders; ROLLBACK TO p; DELETE FROM customers WHERE id = 9; COMMIT",
	"TRUNCATE orders",
	"INSERT INTO orders SELECT i, 1 + i % 8, 30 FROM generate_series(1, 20) i",
	"TRUNCATE customers, orders",
	"INSERT INTO customers SELECT i, 'DE' FROM generate_series(1, 10) i; INSERT INTO orders SELECT i, 1 + i % 8, 30 FROM generate_series(1, 20) i")
{
	$round++;
	$publisher->safe_psql('postgres', $write);
	$publisher->wait_for_catchup('shop');
	check_segments($subscriber, "after $write");
	next if $round % 2;
	$subscriber->safe_psql('postgres', "DO LANGUAGE segment 'REFRESH SEGMENT ALL'");
	check_segments($subscriber, "refreshed after $write");
}
is($subscriber->safe_psql('postgres', "SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL"), '1', 'the apply worker is alive');
unlike(slurp_file($subscriber->logfile), qr/logical replication apply worker.*ERROR|ERROR:.*segment/, 'it met no error of ours');

# the subscriber publishes everything, our own tables with it, and refreshes still work
$subscriber->safe_psql('postgres', 'CREATE PUBLICATION everything FOR ALL TABLES');
$subscriber->safe_psql('postgres', "UPDATE orders SET amount = 60 WHERE id < 5");
$subscriber->safe_psql('postgres', "DO LANGUAGE segment 'REFRESH SEGMENT ALL'");
$subscriber->safe_psql('postgres', "DELETE FROM orders WHERE id < 3");
$subscriber->safe_psql('postgres', "DO LANGUAGE segment 'REFRESH SEGMENT ALL'");
check_segments($subscriber, 'with a publication of all tables');

# what is applied wakes the worker
$subscriber->append_conf('postgresql.conf', "segmentation.worker = on\nsegmentation.refresh_delay = 10ms");
$subscriber->reload;
$subscriber->safe_psql('postgres', 'SELECT segment.start_worker()');
my $size = $subscriber->safe_psql('postgres', "SELECT segment.size('buyer')");
$publisher->safe_psql('postgres', "INSERT INTO customers VALUES (900, 'PL'); INSERT INTO orders VALUES (900, 900, 1)");
ok($subscriber->poll_query_until('postgres', "SELECT size = $size + 1 FROM segment.state WHERE id = (SELECT id FROM segment.segment WHERE view = 'buyer'::regclass)"),
	'rows that arrive by replication are refreshed');
check_segments($subscriber, 'refreshed by the worker');

$subscriber->stop;
$publisher->stop;
done_testing();

# The change feed outlives what is materialised: a dump and a crash.  After a restore there are no bases, and the first refresh
# tells what has changed since the last one, not everybody anew; consumers and hooks go on where they were.  When the server is
# killed, every committed change is delivered, in order, and what was not acknowledged comes again.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('feed');
$node->init;
$node->append_conf('postgresql.conf', "segmentation.worker = off\nfsync = on\nrestart_after_crash = off");
$node->start;
my $dir = $node->basedir;

$node->safe_psql('postgres', 'CREATE ROLE mailer');
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', q{
	CREATE EXTENSION segmentation;
	CREATE TABLE customers (id int PRIMARY KEY, country text);
	CREATE TABLE outbox (ids segment.bitmap, note text);
	INSERT INTO customers SELECT i, CASE WHEN i % 2 = 0 THEN 'DE' ELSE 'PL' END FROM generate_series(1, 20) i;
	CREATE FUNCTION note_entry(ids segment.bitmap, note text) RETURNS void LANGUAGE sql AS 'INSERT INTO outbox VALUES ($1, $2)';
	DO LANGUAGE segment $$
		CREATE SEGMENT german ON customers WHERE country = 'DE';
		CREATE SEGMENT polish ON customers WHERE country = 'PL';
		CREATE SEGMENT nobody ON customers WHERE country = 'XX';
		ALTER SEGMENT german ON ENTER EXECUTE FUNCTION note_entry('hello');
	$$;
	GRANT SELECT ON german, polish TO mailer;
	SELECT segment.refresh();
	UPDATE customers SET country = 'DE' WHERE id IN (1, 3);
	SELECT segment.refresh();
});
$node->safe_psql('shop', q{SET ROLE mailer; SELECT segment.create_consumer('mails', from_start => true); SELECT segment.ack('mails', 'german', 1)});

sub feed
{
	my ($database, $columns) = @_;
	return $node->safe_psql($database, "SELECT s.view, $columns FROM segment.segment s, segment.changes(s.view) c ORDER BY s.view::text, c.number");
}

# ---- dump and restore ----

my $told = feed('shop', 'c.*');
my $consumers = $node->safe_psql('shop', 'SELECT name, owner, segment, position, behind, lost FROM segment.consumers ORDER BY 1, segment::text');
for my $way ('custom', 'plain')
{
	my $database = "copy_$way";
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	if ($way eq 'custom')
	{
		$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/feed.dump", $node->connstr('shop') ], 'pg_dump -Fc');
		$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr($database), "$dir/feed.dump" ], 'pg_restore');
	}
	else
	{
		$node->command_ok([ 'pg_dump', '-f', "$dir/feed.sql", $node->connstr('shop') ], 'pg_dump, plain');
		$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($database), '-f', "$dir/feed.sql" ], 'psql');
	}
	is(feed($database, 'c.*'), $told, "the feed came through ($way)");
	is($node->safe_psql($database, 'SELECT name, owner, segment, position, behind, lost FROM segment.consumers ORDER BY 1, segment::text'),
		$consumers, "the consumers came through ($way)");
	is($node->safe_psql($database, "SELECT segment.members('german', 'infinity')"), '{1-4,6,8,10,12,14,16,18,20}', "the history came through ($way)");
	$node->safe_psql($database, 'TRUNCATE outbox');
	is($node->safe_psql($database, 'SELECT segment.refresh()'), '', "first refresh ($way)");
	is(feed($database, 'c.*'), $told, "nothing is told twice ($way)");
	is($node->safe_psql($database, 'TABLE outbox'), '', "no hook is called again ($way)");

	# what changed before the first refresh of another copy is told by it
	$node->safe_psql('postgres', "DROP DATABASE IF EXISTS changed");
	$node->safe_psql('postgres', "CREATE DATABASE changed");
	$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('changed'), '-f', "$dir/feed.sql" ], 'psql, again') if $way eq 'plain';
	$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('changed'), "$dir/feed.dump" ], 'pg_restore, again') if $way eq 'custom';
	$node->safe_psql('changed', q{
		TRUNCATE outbox;
		DELETE FROM customers WHERE id = 20;
		UPDATE customers SET country = 'DE' WHERE id = 5;
		UPDATE customers SET country = 'PL' WHERE id = 1;
		SELECT segment.refresh();
	});
	is($node->safe_psql('changed', "SELECT reason, entered, exited FROM segment.changes('german') ORDER BY number DESC LIMIT 1"), 'built|{5}|{1,20}', "the difference is told ($way)");
	is($node->safe_psql('changed', "SELECT entered, exited FROM segment.changes('polish') ORDER BY number DESC LIMIT 1"), '{1}|{5}', "of the other segment too ($way)");
	is($node->safe_psql('changed', 'TABLE outbox'), '{5}|hello', "the hook came through ($way)");
	is($node->safe_psql('changed', 'SELECT count(*) = count(DISTINCT number) FROM segment.change'), 't', "numbers go on ($way)");
	is($node->safe_psql('changed', "SET ROLE mailer; SELECT entered, exited FROM segment.next_batch('mails')"), "{1,3,5,7,9,11,13,15,17,19}|{}\n{}|{1,3}\n{1}|{5}",
		"the consumer goes on ($way)");
}

# ---- kill -9 ----

# A session writes and refreshes, two others work on the feed: each notes what it got, and acknowledges it, in one transaction.
my $batch = q{
	WITH b AS MATERIALIZED (SELECT * FROM segment.next_batch('all', 2)),
		noted AS (INSERT INTO delivered SELECT segment, number FROM b)
	SELECT segment.ack('all', segment, max(number)) FROM b GROUP BY segment;
};
my @scripts = (
	q{BEGIN; UPDATE customers SET country = (ARRAY['DE', 'PL', 'XX'])[1 + (random() * 2)::int] WHERE id = 1 + (random() * 19)::int; COMMIT;
		SELECT segment.refresh();},
	$batch, $batch);

sub bring_back
{
	my $started = 0;
	for (1 .. 50)
	{
		last if $started = $node->start(fail_ok => 1);
		$node->stop('fast', fail_ok => 1);
		usleep(300_000);
	}
	return $started;
}

$node->safe_psql('shop', q{
	CREATE TABLE delivered (segment regclass, number bigint);
	SELECT segment.create_consumer('all', from_start => true);
});
for my $round (1 .. 3)
{
	my @sessions;
	for my $i (0 .. $#scripts)
	{
		my $script = "$dir/script.$round.$i";
		my ($out, $err) = ('', '');
		append_to_file($script, "$scripts[$i]\n" x 3000);
		push @sessions, IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('shop'), '-f', $script ], '>', \$out, '2>', \$err);
	}
	usleep(500_000 + 400_000 * $round);
	$node->kill9;
	for my $session (@sessions)
	{
		eval { $session->finish };
	}
	ok(bring_back(), "started again after kill $round");
	is($node->safe_psql('shop', q{
		SELECT count(*) FROM segment.segment s WHERE segment.members(s.view, 'infinity')
			OPERATOR(segment.<>) (SELECT COALESCE(segment.union_agg(ids), '{}') FROM segment.chunk WHERE id = s.id)}), '0', "feed and bases are as one after kill $round");
	1 while $node->safe_psql('shop', $batch) ne '';
	is($node->safe_psql('shop', q{
		SELECT s.view, c.number FROM segment.segment s, segment.changes(s.view) c EXCEPT ALL SELECT segment, number FROM delivered}),
		'', "no change is lost after kill $round");
	is($node->safe_psql('shop', 'SELECT segment, number FROM delivered GROUP BY 1, 2 HAVING count(*) > 1'),
		'', "and none twice, as work and acknowledgement are one, after kill $round");
	cmp_ok($node->safe_psql('shop', 'SELECT count(*) FROM delivered'), '>', 6, "there were changes by kill $round");
}
# ---- by the worker ----

$node->safe_psql('shop', "UPDATE customers SET country = 'PL' WHERE id = 7; SELECT segment.refresh(); TRUNCATE outbox");
$node->safe_psql('shop', 'ALTER DATABASE shop SET segmentation.worker = on');
$node->safe_psql('shop', "UPDATE customers SET country = 'DE' WHERE id = 7");
ok($node->poll_query_until('shop', "SELECT count(*) = 1 FROM outbox WHERE ids::text = '{7}' AND note = 'hello'"), 'the worker calls hooks');
is($node->safe_psql('shop', "SELECT entered FROM segment.changes('german') ORDER BY number DESC LIMIT 1"), '{7}', 'and fills the feed');
$node->stop;
done_testing();

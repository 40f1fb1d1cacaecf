#!/usr/bin/perl
# faults.pl: kill things under load, and compare with the oracle.  Run by test/faults/run.
#
#   faults.pl ROUNDS      the server of the PG* variables, its directory in PGDATA
#
# Two writers change customers and orders, the worker refreshes, and a consumer copies the change feed into a table, in
# transactions that it gives up now and then.  Each round kills one of them, or the whole server, at a random moment; or
# has the worker kill itself at a named point of a refresh.  After each recovery every segment, read under one snapshot and
# clock, is what its condition says.  At the end the consumer has seen every change, once or more often, and what
# it saw adds up to the members.  Then the disk is full in the middle of a refresh.
use strict;
use warnings;
use Cwd 'abs_path';
use File::Basename;
use lib dirname(abs_path($0)) . '/../property/lib';
use Chance;
use DBI;
use POSIX ();
use Time::HiRes qw(sleep time);

my ($rounds) = @ARGV;
my $seed = $ENV{SEED} // int(rand(1_000_000));
seed_chance($seed);
print "# faults: seed $seed, $rounds rounds\n";

my %condition = (
	spender => '(SELECT sum(amount) FROM orders o WHERE o.customer_id = customers.id) > 300',
	german => "country = 'DE'",
	recent => "(SELECT max(placed_at) FROM orders o WHERE o.customer_id = customers.id) > segment.clock('recent') - interval '2 seconds'",
	average => '(SELECT count(*) FROM orders o WHERE o.customer_id = customers.id) > (SELECT count(*) / 500.0 FROM orders)');
$condition{duo} = "$condition{spender} AND $condition{german}";

# Where a refresh kills itself, in the order in which it comes there.
my @points = qw(locked evaluated chunk_written epoch_written stored fed collected);

my ($passed, $failed) = (0, 0);
my $main = $$;
my $stop = "$ENV{PGDATA}.stop";
my @children;

sub ok
{
	my ($fine, $what) = @_;
	if ($fine) { $passed++; }
	else { $failed++; print "not ok: $what\n"; }
	return $fine;
}

sub connection
{
	return DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoInactiveDestroy => 1, pg_server_prepare => 0 });
}

# Wait until the server is there, so many seconds.
sub connect_when_up
{
	my ($patience) = @_;
	my $until = time() + $patience;
	while (1)
	{
		my $handle = eval { connection() };
		return $handle if $handle;
		return if -e $stop || time() > $until;
		sleep(0.1);
	}
}

# Do something on the server, again from the start when the server goes away meanwhile.
sub on_server
{
	my ($what, $work) = @_;
	for (1 .. 200)
	{
		my $handle = connect_when_up(60) or last;
		my $result = eval { $work->($handle) };
		my $error = $@;
		eval { $handle->disconnect };
		return $result if !$error;
		die $error if $error !~ /server closed|terminating connection|connection to server|starting up|recovery|accepting|no connection/;
		sleep(0.2);
	}
	ok(0, "no server: $what");
	return;
}

sub spawn
{
	my ($work) = @_;
	my $pid = fork() // die "fork: $!";
	if (!$pid)
	{
		seed_chance($seed, $$);
		while (!-e $stop)
		{
			my $handle = connect_when_up(60) or last;
			eval { $work->($handle) while !-e $stop; 1 };
			eval { $handle->disconnect };
		}
		POSIX::_exit(0);
	}
	push @children, $pid;
	return;
}

sub some_customer { return 1 + below(500); }

sub write_something
{
	my ($handle) = @_;
	my $kind = below(10);
	if ($kind < 5) { $handle->do('INSERT INTO orders (customer_id, amount, placed_at) VALUES (?, ?, clock_timestamp())', undef, some_customer(), below(120)); }
	elsif ($kind < 7) { $handle->do("UPDATE customers SET country = CASE country WHEN 'DE' THEN 'PL' ELSE 'DE' END WHERE id = ?", undef, some_customer()); }
	elsif ($kind < 8) { $handle->do('DELETE FROM orders WHERE customer_id = ?', undef, some_customer()); }
	else
	{
		$handle->begin_work;
		$handle->do('UPDATE orders SET customer_id = ? WHERE customer_id = ?', undef, some_customer(), some_customer());
		$handle->do('SAVEPOINT s');
		$handle->do('DELETE FROM orders WHERE customer_id = ?', undef, some_customer());
		$handle->do('ROLLBACK TO s') if chance(50);
		if (chance(20)) { $handle->rollback; }
		else { $handle->commit; }
	}
	sleep(0.005) if chance(30);
	return;
}

# The next batch into a table, and acknowledged, in one transaction; or given up.
sub consume
{
	my ($handle) = @_;
	$handle->begin_work;
	my $rows = $handle->selectall_arrayref("SELECT segment::text, number, entered, exited FROM segment.next_batch('audit', 20)");
	for my $row (@$rows)
	{
		$handle->do('INSERT INTO audit VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING', undef, @$row);
	}
	$handle->do("SELECT segment.ack('audit', ?::regclass, ?)", undef, $rows->[-1][0], $rows->[-1][1]) if @$rows;
	if (chance(20)) { $handle->rollback; }
	else { $handle->commit; }
	sleep(0.02) if !@$rows;
	return scalar @$rows;
}

# Every segment against its condition, all under one snapshot and clock.
sub check
{
	my ($when) = @_;
	my $wrong = on_server("check $when", sub {
		my ($handle) = @_;
		$handle->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
		return { map { $_ => ($handle->selectrow_array(
			"SELECT segment.members('$_') OPERATOR(segment.#) coalesce(segment.bitmap_agg(id), '{}') FROM customers WHERE $condition{$_}"))[0] } keys %condition };
	}) or return;
	ok($wrong->{$_} eq '{}', "$_ is wrong for $wrong->{$_} $when") for sort keys %condition;
	return;
}

sub pid_of
{
	my ($handle, $where) = @_;
	my ($pid) = $handle->selectrow_array("SELECT pid FROM pg_stat_activity WHERE $where AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1");
	return $pid;
}

sub postmaster
{
	open my $in, '<', "$ENV{PGDATA}/postmaster.pid" or return;
	my $pid = <$in>;
	return $pid + 0;
}

sub set_stop
{
	my ($point) = @_;
	on_server('setting', sub {
		my ($handle) = @_;
		$handle->do("LOAD 'segmentation'");		# which knows the setting
		$handle->do("ALTER SYSTEM SET segmentation.stop = '$point'");
		$handle->do('SELECT pg_reload_conf()');
		return 1;
	});
	return;
}

# Have the worker kill itself at a point of a refresh: the server's start time changes.
sub kill_at
{
	my ($point) = @_;
	my $crashes = sub { my $n = () = slurp($ENV{SERVER_LOG}) =~ /was terminated by signal 9/g; return $n; };
	my $before = $crashes->();
	my $died;
	set_stop($point);
	for (1 .. 300)
	{
		sleep(0.1);
		last if $died = $crashes->() > $before;
	}
	set_stop('');
	ok($died, "no refresh came to $point");
	return "the worker at $point";
}

sub slurp
{
	my ($file) = @_;
	open my $in, '<', $file or return '';
	local $/ = undef;
	return <$in> // '';
}

# Kill somebody now.  Returns whom.
sub kill_one
{
	my $kind = weighted([ 4, 'worker' ], [ 3, 'writer' ], [ 3, 'server' ], [ 5, 'point' ]);
	return kill_at(pick(@points)) if $kind eq 'point';
	my $pid = $kind eq 'server' ? postmaster() :
		on_server('pid', sub { pid_of($_[0], $kind eq 'worker' ? "backend_type LIKE 'segmentation%'" : "backend_type = 'client backend'") });
	return "no $kind" if !$pid;
	kill 'KILL', $pid;
	if ($kind eq 'server')
	{
		# backends left alone end by themselves; the new server waits for them
		for (1 .. 100)
		{
			sleep(0.1);
			last if system("pg_ctl -D '$ENV{PGDATA}' -l '$ENV{SERVER_LOG}' -w -t 60 start >/dev/null 2>&1") == 0;
		}
	}
	return "the $kind";
}

sub setup
{
	my $handle = connection();
	$handle->do($_) for (
		'CREATE EXTENSION segmentation',
		'CREATE TABLE customers (id bigint PRIMARY KEY, country text)',
		'CREATE TABLE orders (id bigserial PRIMARY KEY, customer_id bigint REFERENCES customers, amount int, placed_at timestamptz)',
		'CREATE INDEX ON orders (customer_id)',
		"INSERT INTO customers SELECT i, CASE WHEN i % 3 = 0 THEN 'DE' ELSE 'PL' END FROM generate_series(1, 500) i",
		'INSERT INTO orders (customer_id, amount, placed_at) SELECT 1 + i % 500, i % 100, clock_timestamp() FROM generate_series(1, 2000) i',
		'CREATE TABLE audit (segment text, number bigint, entered segment.bitmap, exited segment.bitmap, PRIMARY KEY (segment, number))',
		"SELECT segment.create_consumer('audit')",
		q{DO LANGUAGE segment $$
			CREATE SEGMENT spender ON customers WHERE sum(orders.amount) > 300;
			CREATE SEGMENT german ON customers WHERE country = 'DE';
			CREATE SEGMENT duo AS spender & german;
			CREATE SEGMENT recent ON customers WHERE max(orders.placed_at) > now() - interval '2 seconds';
			CREATE SEGMENT average ON customers WHERE count(orders) > (SELECT count(*) / 500.0 FROM orders)
		$$});
	$handle->disconnect;
	return;
}

# Nobody writes any more: drain the feed, and compare what was seen with what is.
sub check_feed
{
	my $handle = connect_when_up(60) or return ok(0, 'no server at the end');
	$handle->do("LOAD 'segmentation'");
	$handle->do('ALTER SYSTEM SET segmentation.worker = off');
	$handle->do('SELECT pg_reload_conf()');
	sleep(3);					# nobody is recent any more
	for (1 .. 100)
	{
		last if !pid_of($handle, "backend_type LIKE 'segmentation%'");
		sleep(0.1);
	}
	my $idle = 0;
	while ($idle < 20)
	{
		$handle->do("DO LANGUAGE segment 'REFRESH SEGMENT ALL'") if $idle == 0;
		$idle = eval { consume($handle) } ? 0 : $idle + 1;
		eval { $handle->rollback if !$handle->{AutoCommit} };
	}
	$handle->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
	for my $name (sort keys %condition)
	{
		my ($lost, $seen) = $handle->selectrow_array("SELECT count(*) FILTER (WHERE a.number IS NULL), count(*)
			FROM segment.changes('$name') c LEFT JOIN audit a ON a.segment = '$name' AND a.number = c.number");
		ok($seen > 0 && $lost == 0, "$name: $lost of $seen changes were not seen");
		my $rows = $handle->selectall_arrayref('SELECT entered, exited FROM audit WHERE segment = ? ORDER BY number', undef, $name);
		my $sum = '{}';
		for my $row (@$rows)
		{
			($sum) = $handle->selectrow_array('SELECT (?::segment.bitmap OPERATOR(segment.-) ?) OPERATOR(segment.|) ?', undef, $sum, $row->[1], $row->[0]);
		}
		$handle->do("SET LOCAL segmentation.read = refreshed");
		my ($wrong) = $handle->selectrow_array("SELECT segment.members('$name') OPERATOR(segment.#) ?::segment.bitmap", undef, $sum);
		ok($wrong eq '{}', "$name: the changes seen add up to something else for $wrong");
		$handle->do("SET LOCAL segmentation.read = exact");
	}
	$handle->do('COMMIT');
	$handle->disconnect;
	return;
}

# A disk that is full, as a pair of functions (fill it, make room): a small tablespace for bases, where the directory SMALL is
# a file system of its own; elsewhere a limit on the size of files, for the process that refreshes.
sub small_disk
{
	my ($handle) = @_;
	if (length($ENV{SMALL} // ''))
	{
		$handle->do("CREATE TABLESPACE small LOCATION '$ENV{SMALL}'");
		$handle->do('ALTER TABLE segment.chunk SET TABLESPACE small');
		my $fill = sub {
			$handle->do('CREATE TABLE filler (page text) TABLESPACE small');
			$handle->do('ALTER TABLE filler ALTER page SET STORAGE PLAIN');
			for my $rows (1000, 100, 10, 1)
			{
				while (eval { $handle->do("INSERT INTO filler SELECT repeat('x', 8000) FROM generate_series(1, $rows)"); 1 }) { }
			}
			print "# the tablespace is full: ", $handle->errstr =~ s/\n.*//sr, "\n";
		};
		return ('tablespace', $fill, sub { $handle->do('DROP TABLE filler') });
	}
	if (system('prlimit --version >/dev/null 2>&1') == 0)
	{
		my ($pid) = $handle->selectrow_array('SELECT pg_backend_pid()');
		my $limit = sub { system("prlimit --pid $pid --fsize=$_[0]:unlimited") == 0 or die 'prlimit' };
		return ('limit', sub { $limit->(1100000) }, sub { $limit->('unlimited') });
	}
	return;
}

# The disk is full in the middle of a refresh.
sub check_full_disk
{
	my $handle = connect_when_up(60) or return ok(0, 'no server');
	my ($kind, $fill, $make_room) = small_disk($handle);
	if (!$kind) { print "# neither a small tablespace nor prlimit: disk full is skipped\n"; return; }
	print "# disk full: $kind\n";
	$handle->do('SET segmentation.worker = off');
	$handle->do('CREATE TABLE crowd (id bigint PRIMARY KEY, here bool)');
	$handle->do('INSERT INTO crowd SELECT i * 37, true FROM generate_series(1, 400000) i');
	$handle->do('DO LANGUAGE segment $$ CREATE SEGMENT here ON crowd WITH (auto_refresh = off) WHERE here $$');
	my $check = "SELECT segment.size('here') = (SELECT count(*) FROM crowd WHERE here)";
	my $refresh = sub { return eval { $handle->do("DO LANGUAGE segment 'REFRESH SEGMENT here'"); 1 } };
	my $refuse = sub {
		my ($what) = @_;
		my $done = $refresh->();
		ok(!$done && $handle->errstr =~ /could not (extend|write)/, "$what on a full disk: " . ($done ? 'went on' : $handle->errstr));
		ok(($handle->selectrow_array($check))[0], "right after $what while the disk is full");
	};
	$fill->();
	$refuse->('a build');
	$make_room->();
	$handle->do('UPDATE crowd SET here = false WHERE id % 1000 = 0');
	ok(($handle->selectrow_array($check))[0], 'right before there is a base');
	ok($refresh->(), 'a refresh when there is room again');
	ok(($handle->selectrow_array($check))[0], 'right afterwards');
	ok(($handle->selectrow_array("SELECT state FROM segment.status WHERE segment = 'here'::regclass"))[0] eq 'built', 'built in the end');
	if ($kind eq 'tablespace')
	{
		# the same with a base there, which must not be lost
		$handle->do('UPDATE crowd SET here = NOT here WHERE id % 3 = 0');
		$fill->();
		$refuse->('a refresh');
		$make_room->();
		ok($refresh->(), 'a refresh goes on when there is room');
		ok(($handle->selectrow_array($check))[0], 'right in the end');
	}
	$handle->disconnect;
	return;
}

unlink $stop;
setup();
spawn(\&write_something) for 1 .. 2;
spawn(\&consume);
for my $round (1 .. $rounds)
{
	sleep(0.2 + below(1000) / 1000);
	check("after round $round, when " . kill_one() . ' was killed');
}
sleep(1);
open my $mark, '>', $stop or die;
close $mark;
waitpid $_, 0 for @children;
check('at rest');
check_feed();
check_full_disk();
unlink $stop;
print "$passed passed, $failed failed\n";
exit($failed != 0);

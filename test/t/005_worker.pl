# The background worker: it is there when there is something to do, does it, is gone when there is not, and stands in
# nobody's way.  Bases are looked at in segment.state, which wakes nobody, where the test is that a write alone does.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

$PostgreSQL::Test::Utils::timeout_default = 60;

my $node = PostgreSQL::Test::Cluster->new('worker');
$node->init;
$node->append_conf('postgresql.conf', qq{
autovacuum = off
segmentation.refresh_delay = 50ms
segmentation.naptime = 1h
deadlock_timeout = 200ms
max_prepared_transactions = 5
max_worker_processes = 16
max_connections = 30
});
$node->start;

sub sql { return $node->safe_psql(@_); }
sub wait_for
{
	my ($db, $query, $what) = @_;
	ok($node->poll_query_until($db, $query), $what);
}

# The base of a segment has so many members.
sub size_is
{
	my ($name, $size) = @_;
	return "SELECT count(*) = 1 FROM segment.state WHERE id = (SELECT id FROM segment.segment WHERE view = '$name'::regclass) AND status = 'b' AND size = $size";
}

# Workers and helpers of a database, seen from another one.
sub workers
{
	my ($db) = @_;
	return sql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE datname = '$db' AND backend_type = 'segmentation worker'");
}
sub worker_pid
{
	my ($db) = @_;
	return sql('postgres', "SELECT pid FROM pg_stat_activity WHERE datname = '$db' AND backend_type = 'segmentation worker'");
}
sub wait_gone
{
	my ($db, $what) = @_;
	wait_for('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = '$db' AND backend_type LIKE 'segmentation%'", $what);
}
sub wait_refreshing
{
	my ($db) = @_;
	$node->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = '$db' AND backend_type = 'segmentation worker' AND query LIKE 'refreshing%' AND state = 'active'")
		or die "the worker of $db does not refresh";
}

# Run it, and say how long it took.
sub seconds
{
	my ($db, $statement) = @_;
	my $start = time;
	sql($db, $statement);
	return time - $start;
}

# A transaction of another session, as soon as it sleeps.
sub sleeping
{
	my ($db, $statements) = @_;
	my ($out, $err);
	my $session = IPC::Run::start([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($db), '-c', "BEGIN; $statements; COMMIT" ], '>', \$out, '2>', \$err);
	$node->poll_query_until($db, "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = '$db' AND wait_event = 'PgSleep'") or die 'no sleeper';
	return $session;
}

sub make_database
{
	my ($db) = @_;
	sql('postgres', "CREATE DATABASE $db");
	sql($db, q{
		CREATE EXTENSION segmentation;
		CREATE TABLE customers (id bigint PRIMARY KEY, name text);
		CREATE TABLE orders (id bigserial PRIMARY KEY, customer_id bigint REFERENCES customers, amount int, placed_at timestamptz DEFAULT now());
		CREATE INDEX ON orders (customer_id);
		INSERT INTO customers SELECT i FROM generate_series(1, 1000) i;
		INSERT INTO orders (customer_id, amount, placed_at) SELECT i, 10, now() - interval '1 day' FROM generate_series(1, 1000) i;
	});
}

# A segment whose refresh lasts half a minute.
sub make_slow
{
	my ($db) = @_;
	sql($db, q{
		CREATE OR REPLACE FUNCTION slow(x bigint) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM pg_sleep(0.03); RETURN true; END';
		DO LANGUAGE segment 'CREATE SEGMENT slow_one ON customers WHERE slow(id)';
	});
	wait_refreshing($db);
}

# ---- started, and doing its work ----

make_database('shop');
is(workers('shop'), 0, 'no worker before there is a segment');
sql('shop', q{DO LANGUAGE segment $$ CREATE SEGMENT vip ON customers WHERE sum(orders.amount) > 100 $$});
wait_for('shop', size_is('vip', 0), 'the first segment starts a worker, which builds it');
is(workers('shop'), 1, 'one worker');
is(sql('shop', "SELECT worker_state FROM segment.activity"), 'running', 'segment.activity says so');
is(sql('shop', "SELECT refresher FROM segment.status"), 'worker', 'segment.status says who refreshes');

sql('shop', "INSERT INTO orders (customer_id, amount) VALUES (1, 1000)");
wait_for('shop', size_is('vip', 1), 'a write is refreshed');
sql('shop', "BEGIN; INSERT INTO orders (customer_id, amount) VALUES (2, 1000); SAVEPOINT p; DELETE FROM orders WHERE customer_id = 1; ROLLBACK TO p; COMMIT");
wait_for('shop', size_is('vip', 2), 'so is one with savepoints');
is(sql('shop', "SELECT pending FROM segment.status"), '0', 'then nothing is pending');

sql('shop', q{DO LANGUAGE segment $$
	CREATE SEGMENT arrived ON customers WHERE min(orders.placed_at) FILTER (WHERE orders.amount = 77) < now();
	CREATE SEGMENT by_hand ON customers WITH (auto_refresh = off) WHERE count(orders) > 1 $$});
sql('shop', "INSERT INTO orders (customer_id, amount, placed_at) VALUES (3, 77, now() + interval '4 seconds')");
wait_for('shop', size_is('arrived', 1), 'somebody enters by the clock, with nobody there');
is(sql('shop', "SELECT count(*) FROM segment.state WHERE id = (SELECT id FROM segment.segment WHERE view = 'by_hand'::regclass)"), '0',
	'auto_refresh = off is left alone');
is(sql('shop', "SELECT refresher FROM segment.status WHERE segment = 'by_hand'::regclass"), 'nobody: auto_refresh = off', 'segment.status says so');
sql('shop', "DO LANGUAGE segment 'DROP SEGMENT arrived, by_hand'");

# ---- idle ----

sub cpu
{
	my ($pid) = @_;
	my @fields = split ' ', slurp_file("/proc/$pid/stat") =~ s/^.*\) //sr;
	return $fields[11] + $fields[12];
}
sub switches
{
	my ($pid) = @_;
	my ($n) = slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s+(\d+)/m;
	return $n;
}
SKIP:
{
	skip 'no /proc', 3 unless -e "/proc/$$/stat";
	my $pid = worker_pid('shop');
	# let it finish what the last statement has caused
	my ($before, $after) = (-1, switches($pid));
	while ($before != $after)
	{
		$before = $after;
		usleep(500_000);
		$after = switches($pid);
	}
	my @idle = (sql('postgres', 'SELECT pg_current_wal_insert_lsn()'), cpu($pid), switches($pid));
	usleep(3_000_000);
	is(cpu($pid), $idle[1], 'an idle worker uses no CPU');
	is(switches($pid), $idle[2], 'and does not wake up');
	is(sql('postgres', 'SELECT pg_current_wal_insert_lsn()'), $idle[0], 'nor is WAL written');
}

# ---- ended and started again ----

sql('shop', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'segmentation worker'");
wait_gone('shop', 'terminated');
sql('shop', "INSERT INTO orders (customer_id, amount) VALUES (4, 1000)");
wait_for('shop', size_is('vip', 3), 'the next write starts another one');

is(sql('shop', "SELECT segment.stop_worker()"), 't', 'stop_worker()');
is(workers('shop'), 0, 'it is gone');
like(sql('shop', "SELECT segment.start_worker()"), qr/^\d+$/, 'start_worker()');
is(workers('shop'), 1, 'it is there');

$node->restart;
is(workers('shop'), 0, 'none after a restart');
sql('shop', "INSERT INTO orders (customer_id, amount) VALUES (5, 1000)");
wait_for('shop', size_is('vip', 4), 'the first write after a restart starts it');
sql('shop', "SET segmentation.worker = off; SELECT segment.stop_worker(); INSERT INTO orders (customer_id, amount) VALUES (6, 1000)");
$node->restart;
is(sql('shop', "SELECT segment.size('vip')"), '5', 'a read is right without it');
wait_for('shop', size_is('vip', 5), 'and the first one after a restart starts it');

$node->restart;
my @sessions = map {
	my ($out, $err) = ('', '');
	IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('shop'), '-c', "INSERT INTO orders (customer_id, amount) VALUES ($_, 1000)" ], '>', \$out, '2>', \$err)
} 7 .. 12;
$_->finish for @sessions;
wait_for('shop', size_is('vip', 11), 'several sessions write at once after a restart');
wait_for('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'shop' AND backend_type LIKE 'segmentation%'", 'one worker is left of those that they started');

# ---- prepared transactions ----

$node->append_conf('postgresql.conf', "segmentation.naptime = 1s");
$node->reload;
sql('shop', "BEGIN; INSERT INTO orders (customer_id, amount) VALUES (20, 1000); PREPARE TRANSACTION 'p'");
usleep(3_500_000);
is(workers('shop'), 1, 'the worker stays beyond its naptime while a writer is prepared');
like(sql('shop', "SET segmentation.worker = off; INSERT INTO orders (customer_id, amount) VALUES (1, 1); SELECT held_back_by FROM segment.activity"),
	qr/prepared transaction 'p'/, 'segment.activity names what holds back the deletion of invalidations');
sql('shop', "COMMIT PREPARED 'p'");
wait_for('shop', size_is('vip', 12), 'and refreshes what COMMIT PREPARED has let loose');
# soon, however long it would stay idle; and one that a restart has recovered, too
$node->append_conf('postgresql.conf', "segmentation.naptime = 1h");
$node->reload;
sql('shop', "BEGIN; DELETE FROM orders WHERE customer_id = 20; PREPARE TRANSACTION 'q'");
usleep(1_500_000);
sql('shop', "COMMIT PREPARED 'q'");
wait_for('shop', size_is('vip', 11), 'soon, whatever its naptime');
sql('shop', "BEGIN; INSERT INTO orders (customer_id, amount) VALUES (20, 1000); PREPARE TRANSACTION 'r'");
$node->restart;
sql('shop', "SELECT segment.start_worker()");
usleep(1_500_000);
sql('shop', "COMMIT PREPARED 'r'");
wait_for('shop', size_is('vip', 12), 'after a restart, too');
$node->append_conf('postgresql.conf', "segmentation.naptime = 1s");
$node->reload;
wait_gone('shop', 'then it leaves');
is(sql('shop', "SELECT worker_state FROM segment.activity"), 'none: nothing to do', 'segment.activity says so');

# ---- no wake-up is lost ----

# Each write comes about when the worker leaves; nobody reads or writes until its effect is there.
my $rounds = $ENV{SEGMENTATION_ROUNDS} // 8;
for my $i (1 .. 4)
{
	make_database("lost$i");
	sql("lost$i", q{DO LANGUAGE segment $$ CREATE SEGMENT vip ON customers WHERE sum(orders.amount) > 100 $$});
}
@sessions = map {
	my ($out, $err) = ('', '');
	my $script = qq{DO \$\$
		DECLARE start timestamptz; n bigint;
		BEGIN
			FOR i IN 1 .. $rounds LOOP
				INSERT INTO orders (customer_id, amount) VALUES (i, 1000);
				COMMIT;
				start := clock_timestamp();
				LOOP
					SELECT size INTO n FROM segment.state;
					EXIT WHEN n = i;
					COMMIT;
					IF clock_timestamp() > start + interval '10 seconds' THEN
						RAISE 'round %: lost', i;
					END IF;
					PERFORM pg_sleep(0.002);
				END LOOP;
				COMMIT;
				PERFORM pg_sleep(1.0 + (random() - 0.5) * 0.1);
				COMMIT;
			END LOOP;
		END \$\$};
	my $handle = IPC::Run::start([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr("lost$_"), '-c', $script ], '>', \$out, '2>', \$err);
	[ $handle, \$err ]
} 1 .. 4;
for my $session (@sessions)
{
	ok($session->[0]->finish, 'each write is refreshed, with the worker leaving at that moment') or diag(${ $session->[1] });
}
wait_gone("lost1", 'a worker with nothing to do leaves');

# ---- errors ----

$node->append_conf('postgresql.conf', "segmentation.naptime = 1h");
$node->reload;
my $offset = -s $node->logfile;
sql('lost1', "SELECT setval('segment.version_seq', 1000000); ALTER SEQUENCE segment.version_seq MAXVALUE 1000000");
sql('lost1', "INSERT INTO orders (customer_id, amount) VALUES (101, 1000)");
usleep(4_000_000);
my @errors = slurp_file($node->logfile, $offset) =~ /ERROR:  nextval/g;
cmp_ok(scalar @errors, '>=', 2, 'a refresh that fails is tried again');
cmp_ok(scalar @errors, '<=', 4, 'after longer and longer pauses');
like(slurp_file($node->logfile, $offset), qr/CONTEXT:.*refreshing the segments on table/s, 'and the log says what failed');
is(workers('lost1'), 1, 'by the same worker');
is(sql('lost1', "SELECT segment.size('vip')"), $rounds + 1, 'reads are right');
sql('lost1', "ALTER SEQUENCE segment.version_seq NO MAXVALUE");
wait_for('lost1', size_is('vip', $rounds + 1), 'it succeeds when the cause is gone');

# ---- in nobody's way: idle ----

my $soon = 4;
sql('postgres', "DROP DATABASE lost2");
pass('DROP DATABASE where the worker has left');
sql($_, "SELECT segment.start_worker()") for qw(lost3 lost4);
cmp_ok(seconds('postgres', "CREATE DATABASE copied TEMPLATE lost3"), '<', $soon, 'CREATE DATABASE TEMPLATE with an idle worker');
sql('lost3', "SELECT segment.start_worker()");
cmp_ok(seconds('postgres', "ALTER DATABASE lost3 RENAME TO renamed"), '<', $soon, 'ALTER DATABASE RENAME with an idle worker');
sql('renamed', "INSERT INTO orders (customer_id, amount) VALUES (101, 1000)");
wait_for('renamed', size_is('vip', $rounds + 1), 'the renamed database has a worker');
cmp_ok(seconds('postgres', "DROP DATABASE renamed"), '<', $soon, 'DROP DATABASE with an idle worker');
cmp_ok(seconds('lost4', "DROP EXTENSION segmentation CASCADE"), '<', $soon, 'DROP EXTENSION with an idle worker');
sql('lost4', "CREATE EXTENSION segmentation");
sql('lost4', q{DO LANGUAGE segment $$ CREATE SEGMENT vip ON customers WHERE sum(orders.amount) > 100 $$});
wait_for('lost4', size_is('vip', $rounds), 'and created anew it has a worker');

# ---- in nobody's way: in the middle of a long refresh ----

make_slow('lost4');
cmp_ok(seconds('lost4', "ALTER TABLE customers ADD COLUMN more text"), '<', $soon, 'DDL on a source does not wait for a long refresh');
wait_refreshing('lost4');
cmp_ok(seconds('lost4', "DO LANGUAGE segment 'DROP SEGMENT vip'"), '<', $soon, 'nor does DROP SEGMENT');
wait_refreshing('lost4');
cmp_ok(seconds('lost4', "INSERT INTO orders (customer_id, amount) VALUES (1, 1); UPDATE customers SET name = 'x' WHERE id = 1000"), '<', 1, 'nor a writer');
is(sql('lost4', "SELECT count(*) FROM pg_locks WHERE NOT granted"), '0', 'nobody waits');
$offset = -s $node->logfile;
cmp_ok(seconds('postgres', "CREATE DATABASE copied2 TEMPLATE lost4"), '<', $soon, 'CREATE DATABASE TEMPLATE during a long refresh');
sql('lost4', "SELECT segment.start_worker()");
wait_refreshing('lost4');
cmp_ok(seconds('postgres', "ALTER DATABASE lost4 RENAME TO renamed"), '<', $soon, 'ALTER DATABASE RENAME during a long refresh');
sql('renamed', "SELECT segment.start_worker()");
wait_refreshing('renamed');
cmp_ok(seconds('renamed', "DROP EXTENSION segmentation CASCADE"), '<', $soon, 'DROP EXTENSION during a long refresh');
wait_gone('renamed', 'which ends the worker');
sql('copied2', "SELECT segment.start_worker()");
wait_refreshing('copied2');
cmp_ok(seconds('postgres', "DROP DATABASE copied2"), '<', $soon, 'DROP DATABASE during a long refresh');
unlike(slurp_file($node->logfile, $offset), qr/FATAL/, 'all of it without FATAL');

# ---- an index made in the middle of a refresh ----

# CREATE INDEX CONCURRENTLY does not wait for the snapshot of the worker, whose next query must not use the index then:
# it lacks the rows that are updated here.  No segment reads what is updated, so no invalidation would mend the base.
# The first segment takes its time, and makes the worker hear of the index by opening a table at the end.
make_database('indexed');
sql('indexed', q{
	DROP INDEX orders_customer_id_idx;
	ALTER TABLE orders ADD COLUMN note text;
	INSERT INTO orders (customer_id, amount) SELECT 1 + i % 1000, 1 FROM generate_series(1, 20000) i;
	CREATE TABLE other (i int);
	VACUUM ANALYZE;
	CREATE FUNCTION slow(x text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
		BEGIN
			IF x IS NOT NULL THEN PERFORM pg_sleep(0.5); END IF;
			IF x = 'last' THEN PERFORM count(*) FROM public.other; END IF;
			RETURN true;
		END $$});
sql('indexed', q{DO LANGUAGE segment $$
	CREATE SEGMENT first ON customers WHERE slow(name);
	CREATE SEGMENT second ON customers WHERE in_segment('first') AND count(orders) >= 20 $$});
wait_for('indexed', size_is('second', 1000), 'two segments are built, one in the other');
sql('indexed', "UPDATE customers SET name = CASE id WHEN 5 THEN 'last' ELSE 'slow' END WHERE id <= 5");
wait_refreshing('indexed');
sql('indexed', "UPDATE orders SET note = 'moved'");
sql('indexed', "CREATE INDEX CONCURRENTLY orders_customer_id_idx ON orders (customer_id)");
is(sql('indexed', "SELECT evaluated FROM segment.state WHERE id = (SELECT id FROM segment.segment WHERE view = 'second'::regclass)"), '-1',
	'CREATE INDEX CONCURRENTLY does not wait for a refresh');
wait_for('indexed', "SELECT evaluated = 5 FROM segment.state WHERE id = (SELECT id FROM segment.segment WHERE view = 'second'::regclass)", 'which ends');
is(sql('indexed', "SELECT segment.size('second')"), '1000', 'its result is right all the same');

# ---- another version ----

my $scripts = `$ENV{PG_CONFIG} --sharedir` if $ENV{PG_CONFIG};
$scripts //= `pg_config --sharedir`;
chomp $scripts;
$scripts .= '/extension';
SKIP:
{
	my $version = sql('copied', "SELECT extversion FROM pg_extension WHERE extname = 'segmentation'");
	my @files = map { "$scripts/segmentation--$_.sql" } ("$version--9.9", "9.9--$version");
	skip 'cannot write extension scripts', 5 unless -w $scripts;
	append_to_file($_, "-- nothing\n") for @files;
	make_slow('copied');
	cmp_ok(seconds('copied', "ALTER EXTENSION segmentation UPDATE TO '9.9'"), '<', $soon, 'ALTER EXTENSION UPDATE during a long refresh');
	sql('copied', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'segmentation worker'");
	wait_gone('copied', 'a worker of another version ends, and so does its successor');
	sql('copied', "INSERT INTO orders (customer_id, amount) VALUES (102, 1000)");
	is(sql('copied', "SELECT segment.size('vip')"), $rounds + 1, 'reads are right');
	cmp_ok(seconds('copied', "ALTER EXTENSION segmentation UPDATE TO '$version'"), '<', $soon, 'ALTER EXTENSION UPDATE without a worker');
	sql('copied', "DO LANGUAGE segment 'DROP SEGMENT slow_one'; INSERT INTO orders (customer_id, amount) VALUES (103, 1000)");
	wait_for('copied', size_is('vip', $rounds + 2), 'the right version has a worker again');
	unlink @files;
}

# ---- switched off ----

sql('shop', "SELECT segment.start_worker()");
sql('postgres', "ALTER DATABASE shop SET segmentation.worker = off");
sql('shop', "INSERT INTO orders (customer_id, amount) VALUES (30, 1000)");
is(sql('shop', "SELECT worker_state ~ 'running|off' FROM segment.activity"), 't', 'switched off for a database');
$node->safe_psql('shop', "SET segmentation.worker = on; INSERT INTO orders (customer_id, amount) VALUES (31, 1000)");
wait_gone('shop', 'a worker that is rung all the same notices and ends');
is(sql('shop', "SELECT worker_state FROM segment.activity"), 'off: segmentation.worker', 'segment.activity says so');
is(sql('shop', "SELECT DISTINCT refresher FROM segment.status"), 'nobody: segmentation.worker = off', 'segment.status, too');
is(sql('shop', "SELECT segment.size('vip')"), '14', 'reads are right');
isnt($node->psql('shop', "SELECT segment.start_worker()"), 0, 'start_worker() is refused');
sql('postgres', "ALTER DATABASE shop RESET segmentation.worker");
sql('shop', "SELECT segment.size('vip')");
wait_for('shop', size_is('vip', 14), 'switched on again');
$node->append_conf('postgresql.conf', "segmentation.worker = off");
$node->reload;
wait_gone('shop', 'switched off for the server');
$node->append_conf('postgresql.conf', "segmentation.worker = on");

# Settings of the database that change twice: the worker that they start anew starts another one anew.
$node->reload;
sql('shop', "SELECT segment.start_worker()");
for my $i (1 .. 3)
{
	sql('postgres', "ALTER DATABASE shop SET work_mem = '${i}MB'");
	sql('shop', "INSERT INTO orders (customer_id, amount) VALUES (950 + $i, 1000)");
	wait_for('shop', size_is('vip', 14 + $i), "settings changed $i times");
}
sql('postgres', "ALTER DATABASE shop RESET ALL");
sql('shop', "DELETE FROM orders WHERE customer_id > 950 AND amount = 1000");
wait_for('shop', size_is('vip', 14), 'and back');

# ---- parallel ----

$node->append_conf('postgresql.conf', "segmentation.refresh_budget = 150");
$node->reload;
make_database('wide');
sql('wide', q{
	CREATE TABLE accounts (id bigint PRIMARY KEY);
	INSERT INTO accounts SELECT i FROM generate_series(1, 300) i;
	CREATE FUNCTION slow(x bigint) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM pg_sleep(0.01); RETURN true; END';
});
sql('wide', q{DO LANGUAGE segment $$
	CREATE SEGMENT slow_customers ON customers WHERE slow(id);
	CREATE SEGMENT slow_accounts ON accounts WHERE slow(id) $$});
wait_for('postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'segmentation helper'", 'two large subject tables are refreshed in parallel');
wait_for('wide', size_is('slow_customers', 1000), 'one of them is built');
wait_for('wide', size_is('slow_accounts', 300), 'so is the other');
wait_for('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'segmentation helper'", 'the helper is gone');

# What reads a table as a whole is built beside writes that begin it anew each time, however large the table is.
sql('wide', "DO LANGUAGE segment 'DROP SEGMENT slow_customers, slow_accounts'");
my $writer = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('wide'), '-c', "UPDATE orders SET amount = amount + 1 WHERE id = 1", '-c', '\\watch 0.05' ], '>', '/dev/null', '2>', '/dev/null');
sql('wide', "DO LANGUAGE segment 'CREATE SEGMENT above ON customers WHERE sum(orders.amount) > (SELECT avg(amount) FROM orders); CREATE SEGMENT busy ON customers WHERE sum(orders.amount) > 10'");
wait_for('wide', "SELECT count(*) = 2 FROM segment.state WHERE status = 'b'", 'a segment on a whole table that is written to all the time');
$writer->kill_kill;
wait_for('wide', "SELECT count(*) = 2 FROM segment.state WHERE status = 'b' AND size = (SELECT count(*) FROM orders WHERE amount > 10)", 'and is right in the end');
sql('wide', "DO LANGUAGE segment 'DROP SEGMENT above, busy'");
$node->append_conf('postgresql.conf', "segmentation.refresh_budget = 250000");
$node->reload;

# ---- what is left behind ----

# A segment dropped while its source is busy leaves its triggers there: the worker takes them away, and what they recorded.
make_database('remains');
sql('remains', "DO LANGUAGE segment 'CREATE SEGMENT vip ON customers WHERE count(orders) > 1'");
wait_for('remains', size_is('vip', 0), 'a segment is built');
my $busy = sleeping('remains', "INSERT INTO orders (customer_id, amount) VALUES (1, 1); SELECT pg_sleep(2)");
sql('remains', "DO LANGUAGE segment 'DROP SEGMENT vip'");
isnt(sql('remains', "SELECT count(*) FROM pg_trigger WHERE tgfoid = 'segment.capture'::regproc"), '0', 'dropped beside a writer it leaves triggers');
$busy->finish;
sql('remains', "INSERT INTO orders (customer_id, amount) VALUES (1, 1)");
wait_for('remains', "SELECT count(*) = 0 FROM pg_trigger WHERE tgfoid = 'segment.capture'::regproc", 'the worker takes them away');
wait_for('remains', "SELECT count(*) = 0 FROM segment.invalidation WHERE keys IS NOT NULL", 'and what they have recorded of subjects');
wait_gone('remains', 'then it leaves');

# Tables that nobody writes to do not keep what is recorded of others.
sql('remains', "CREATE TABLE accounts (id bigint PRIMARY KEY, plan text)");
sql('remains', "DO LANGUAGE segment \$\$ CREATE SEGMENT pro ON accounts WHERE plan = 'pro'; CREATE SEGMENT vip ON customers WHERE count(orders) > 1 \$\$");
wait_for('remains', size_is('pro', 0), 'two tables, one of which is idle');
wait_for('remains', size_is('vip', 1), 'the other is built too');
sql('remains', join(';', map { "INSERT INTO orders (customer_id, amount) VALUES (" . (1 + $_ % 9) . ", 1)" } 1 .. 1500));
wait_for('remains', "SELECT count(*) < 1000 FROM segment.invalidation", 'the invalidations of the busy one are deleted');

# ---- a lock ----

# A lock of somebody else holds up the table that it is on, no other, and never makes the deadlock check cancel him.
my $locker = sleeping('remains', "LOCK TABLE orders IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(3); LOCK TABLE customers IN ACCESS EXCLUSIVE MODE");
sql('remains', "INSERT INTO accounts VALUES (1, 'pro')");
wait_for('remains', size_is('pro', 1), 'beside a lock on one source the other table is refreshed');
is(sql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), '1', 'while the lock is held');
ok($locker->finish, 'its own second lock is no deadlock');
sql('remains', "INSERT INTO orders (customer_id, amount) VALUES (20, 1), (20, 1)");
wait_for('remains', size_is('vip', 10), 'and the first one afterwards');

# ---- errors of users ----

# The clock of one segment fails, and what another refers to cannot be compiled any more: others of the table go on.
sql('remains', q{
	CREATE FUNCTION is_open(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN count(*) > 0 FROM hours; END $$;
	CREATE TABLE hours (n int);
	DO LANGUAGE segment 'CREATE SEGMENT shops ON accounts WHERE is_open(extract(hour FROM now())::int); CREATE SEGMENT inner1 ON accounts WHERE id > 0; CREATE SEGMENT outer1 ON accounts WHERE in_segment($s$inner1$s$)'});
wait_for('remains', size_is('outer1', 1), 'built');
sql('remains', q{
	DROP TABLE hours;
	SELECT format('CREATE OR REPLACE VIEW inner1 AS SELECT id, plan FROM accounts WHERE segment.holds(%s, id, segment.contains(%L::regclass, 1))', id, 'pro') FROM segment.segment WHERE view = 'inner1'::regclass \gexec
	INSERT INTO accounts VALUES (2, 'pro')});
wait_for('remains', size_is('pro', 2), 'a segment whose clock fails, or one that refers to it, stops no other');
sql('remains', "INSERT INTO orders (customer_id, amount) VALUES (30, 1), (30, 1)");
wait_for('remains', size_is('vip', 11), 'of its table or another');

# Who waits for something in a condition, or in a hook, is given up; others go on.
$node->append_conf('postgresql.conf', "segmentation.evaluation_timeout = 300ms\nsegmentation.hook_timeout = 300ms");
$node->reload;
sql('remains', q{
	CREATE FUNCTION waits(bigint) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM pg_sleep(3600); RETURN true; END $$;
	CREATE FUNCTION waits_too(segment.bitmap) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3600); EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(3600); END $$;
	DO LANGUAGE segment 'CREATE SEGMENT waiting ON accounts WHERE waits(id); ALTER SEGMENT pro ON ENTER EXECUTE FUNCTION waits_too()';
	INSERT INTO accounts VALUES (3, 'pro')});
wait_for('remains', size_is('pro', 3), 'a condition that waits for something holds up no other');
wait_for('remains', "SELECT message LIKE '%segmentation.evaluation_timeout, 300 ms' FROM segment.status WHERE segment = 'waiting'::regclass", 'it is marked as failed');
wait_for('remains', "SELECT message LIKE '%segmentation.hook_timeout, 300 ms' FROM segment.hook", 'and so is a hook that does so, though it catches its cancel');
sql('remains', "DO LANGUAGE segment 'DROP SEGMENT waiting; ALTER SEGMENT pro ON ENTER DO NOTHING'");
$node->append_conf('postgresql.conf', "segmentation.evaluation_timeout = 10min\nsegmentation.hook_timeout = 1min");
$node->reload;

# What catches its cancel, and goes on, keeps nobody from dropping the database.
make_database('stubborn');
sql('stubborn', q{
	CREATE FUNCTION stubborn(bigint) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN LOOP BEGIN PERFORM pg_sleep(3600); EXCEPTION WHEN query_canceled THEN END; END LOOP; END $$;
	DO LANGUAGE segment 'CREATE SEGMENT stubborn_one ON customers WHERE stubborn(id)'});
wait_refreshing('stubborn');
cmp_ok(seconds('postgres', "DROP DATABASE stubborn"), '<', $soon, 'DROP DATABASE while a condition catches its cancel');

# ---- shutdown ----

make_slow('wide');
my $start = time;
$node->stop('fast');
cmp_ok(time - $start, '<', $soon, 'fast shutdown during a long refresh');

# ---- no slot ----

$node->append_conf('postgresql.conf', "max_worker_processes = 1");
$node->start;
sql('shop', "INSERT INTO orders (customer_id, amount) VALUES (40, 1000)");
is(sql('shop', "SELECT segment.size('vip')"), '15', 'no free slot: reads are right');
is(sql('shop', "SELECT worker_state FROM segment.activity"), 'none: no free worker slot, see max_worker_processes', 'segment.activity says why');
is(sql('shop', "SELECT DISTINCT refresher FROM segment.status"), 'nobody: no free worker slot', 'segment.status, too');
unlike(slurp_file($node->logfile, -s $node->logfile), qr/WARNING/, 'and no writer hears of it');

# ---- preloaded ----

$node->append_conf('postgresql.conf', "max_worker_processes = 8\nshared_preload_libraries = 'segmentation'\nsegmentation.naptime = 1h");
sql('postgres', "CREATE DATABASE without");
$node->restart;
wait_for('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'shop' AND backend_type = 'segmentation worker'", 'the launcher starts a worker');
wait_for('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'wide' AND backend_type = 'segmentation worker'", 'and another one');
wait_for('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname IN ('without', 'postgres') AND backend_type LIKE 'segmentation%'", 'no worker where there is no extension');
wait_for('shop', size_is('vip', 15), 'what was pending is refreshed with nobody there');
sql('postgres', "ALTER SYSTEM SET restart_after_crash = on; SELECT pg_reload_conf()");
my $crashed = worker_pid('shop');
kill 'KILL', $crashed;
$node->poll_query_until('postgres', "SELECT true") or die 'no restart';
wait_for('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'shop' AND backend_type = 'segmentation worker' AND pid <> $crashed", 'after a crash, too');
$node->stop;
done_testing();

# What those see who watch: who LISTENs, looks at segment.progress during a long build, or asks what holds invalidations back;
# a consumer that dies between its work and its acknowledgement; one locked table among several; and the history after a
# restart.  A build waits at gates, which are advisory locks of this test, so that "in the middle" is no matter of speed.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('watch');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', q{
autovacuum = off
segmentation.worker = off
segmentation.refresh_delay = 50ms
segmentation.naptime = 1h
statement_timeout = 100s
});
$node->start;

sub sql { return $node->safe_psql(@_); }

# Statements that must not wait for what is going on beside them.
sub at_once
{
	my ($db, $statements, $what) = @_;
	my ($code, undef, $error) = $node->psql($db, "SET lock_timeout = '20s'; SET statement_timeout = '20s'; $statements");
	is("$code $error", '0 ', $what);
	return;
}

sub wait_for
{
	my ($db, $query, $what) = @_;
	ok($node->poll_query_until($db, $query), $what);
}

# The base of a segment has so many members.  Looking at segment.state wakes no worker.
sub size_is
{
	my ($name, $size) = @_;
	return "SELECT count(*) = 1 FROM segment.state t JOIN segment.segment s USING (id) WHERE s.view = '$name'::regclass AND t.status = 'b' AND t.size = $size";
}

# Nobody is missing and nobody too many, by the condition as plain SQL: in an exact read, and in what is stored.
sub is_exact
{
	my ($db, $name, $condition, $what) = @_;
	for my $read ('exact', 'refreshed')
	{
		is(sql($db, qq{
			SET segmentation.read = $read;
			SELECT 'missing', id FROM (SELECT id FROM customers WHERE $condition EXCEPT ALL SELECT segment.ids(segment.members('$name'))) m;
			SELECT 'extra', id FROM (SELECT segment.ids(segment.members('$name')) EXCEPT ALL SELECT id FROM customers WHERE $condition) e (id)}),
			'', "$what ($read)");
	}
	return;
}

sub worker
{
	my ($db, $switch) = @_;
	sql('postgres', "ALTER DATABASE $db SET segmentation.worker = $switch");
	sql($db, $switch eq 'on' ? 'SELECT segment.start_worker()' : 'SELECT segment.stop_worker()');
	return;
}

sub session
{
	my ($db) = @_;
	my $session = $node->background_psql($db, on_error_stop => 0);
	$session->set_query_timer_restart;
	return $session;
}
sub pid_of { return $_[0]->query_safe('SELECT pg_backend_pid()'); }

sub make_database
{
	my ($db) = @_;
	sql('postgres', "CREATE DATABASE $db");
	sql($db, q{
		CREATE EXTENSION segmentation;
		CREATE TABLE customers (id bigint PRIMARY KEY, country text, score int);
		CREATE TABLE accounts (id bigint PRIMARY KEY, plan text);
		INSERT INTO customers SELECT i, CASE WHEN i % 2 = 0 THEN 'DE' ELSE 'PL' END, i % 100 FROM generate_series(1, 1000) i;
		INSERT INTO accounts SELECT i, CASE WHEN i % 2 = 0 THEN 'pro' ELSE 'free' END FROM generate_series(1, 10) i;
		DO LANGUAGE segment $$
			CREATE SEGMENT german ON customers WHERE country = 'DE';
			CREATE SEGMENT polish ON customers WHERE country = 'PL';
			CREATE SEGMENT pro ON accounts WHERE plan = 'pro';
		$$;
	});
	return;
}

# ---- NOTIFY ----

make_database('shop');
my $listener = session('shop');
$listener->query_safe('LISTEN segmentation');

# What has been announced since the last call.  Notifications come in the order of commits, so all of it is there when a mark
# of our own is.
my $marks = 0;
sub announced
{
	my $mark = 'mark ' . ++$marks;
	my $heard = '';
	sql('shop', "NOTIFY segmentation, '$mark'");
	$heard .= $listener->query_safe('SELECT 1') . "\n" until $heard =~ /"$mark"/;
	return join "\n", grep { $_ ne $mark } $heard =~ /notification "segmentation" with payload "(.*)" received/g;
}

sub announcement
{
	my ($table) = @_;
	my $number = sql('shop', "SELECT max(c.number) FROM segment.segments s, segment.changes(s.segment) c WHERE s.subject_table = '$table'::regclass");
	return qq({"table": "public.$table", "number": $number});
}

my $refresh = "DO LANGUAGE segment 'REFRESH SEGMENT ALL'";
sql('shop', $refresh);
is(announced(), announcement('customers') . "\n" . announcement('accounts'), 'a refresh is announced once for each subject table, with the highest number');
sql('shop', "UPDATE customers SET country = 'DE' WHERE id <= 5; $refresh");
is(announced(), announcement('customers'), 'not for a table whose segments have not changed');
sql('shop', "UPDATE accounts SET plan = 'pro' WHERE id = 1; DO LANGUAGE segment 'REFRESH SEGMENT pro, german'");
is(announced(), announcement('accounts'), 'nor when that is refreshed by name');
sql('shop', $refresh);
is(announced(), '', 'nothing when nothing was written');
sql('shop', "UPDATE customers SET country = 'FR' WHERE id = 1; UPDATE customers SET country = 'DE' WHERE id = 1; $refresh");
is(announced(), '', 'nothing when nobody entered or left');
sql('shop', "BEGIN; UPDATE customers SET country = 'FR' WHERE id = 1; $refresh; ROLLBACK");
is(announced(), '', 'nothing when the refresh is rolled back');
sql('shop', q{CREATE TABLE "odd ""name" (id int PRIMARY KEY); DO LANGUAGE segment 'CREATE SEGMENT odd ON "odd ""name" WHERE id > 0'; INSERT INTO "odd ""name" VALUES (1)});
sql('shop', $refresh);
my $payload = announced();
is(sql('shop', "SELECT (\$\$$payload\$\$::json->>'table')::regclass"), '"odd ""name"', 'the payload is JSON, and its table a name as SQL reads it');

# The same by the worker: run the statements in one transaction, and wait until the base of a segment stands for it.
sub wait_refreshed
{
	my ($name, $statements) = @_;
	my $xid = sql('shop', "BEGIN; $statements; SELECT pg_current_xact_id(); COMMIT");
	$node->poll_query_until('shop', "SELECT count(*) = 1 FROM segment.state t JOIN segment.segment s USING (id) JOIN segment.epoch e ON e.id = t.epoch
		WHERE s.view = '$name'::regclass AND pg_visible_in_snapshot('$xid', e.snapshot)") or die "$name is not refreshed";
	return;
}
worker('shop', 'on');
wait_refreshed('german', "UPDATE customers SET country = 'DE' WHERE id = 7");
is(announced(), announcement('customers'), 'what the worker finds is announced once, too');
wait_refreshed('german', "UPDATE customers SET country = 'FR' WHERE id = 7; UPDATE customers SET country = 'DE' WHERE id = 7");
is(announced(), '', 'nothing when it finds that nobody entered or left');
worker('shop', 'off');
$listener->quit;

# ---- segment.progress, and who else goes on ----

make_database('large');
sql('large', $refresh);
sql('large', q{
	CREATE FUNCTION passes(id bigint, score int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
		BEGIN
			WHILE id IN (250, 650) AND NOT pg_try_advisory_xact_lock_shared(id) LOOP
				PERFORM pg_sleep(0.01);
			END LOOP;
			RETURN score > 50;
		END $$;
});
my $keeper = session('large');

sub close_gates { $keeper->query_safe("SELECT pg_advisory_lock($_)") for @_; return; }
sub open_gates { $keeper->query_safe("SELECT pg_advisory_unlock($_)") for @_; return; }

# Wait until a build that has done more than so many subjects waits at a gate.
sub wait_at_gate
{
	my ($name, $done, $what) = @_;
	wait_for('large', "SELECT count(*) = 1 FROM segment.progress WHERE segment = '$name'::regclass AND done > $done", $what);
	wait_for('large', "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'large' AND wait_event = 'PgSleep'", "$what: now it waits");
	return;
}
sub done { return sql('large', "SELECT done FROM segment.progress WHERE segment = '$_[0]'::regclass"); }

# The end is estimated by the rate since the beginning.
sub check_progress
{
	my ($name, $done, $what) = @_;
	is(sql('large', qq{
		WITH p AS MATERIALIZED (SELECT *, (total - done)::float8 / done AS share FROM segment.progress)
		SELECT segment, phase, done, total, since < now(),
			estimated_end BETWEEN now() + (now() - since) * share AND clock_timestamp() + (clock_timestamp() - since) * share
		FROM p}), "$name|building|$done|1000|t|t", $what);
	return;
}

# CALL in a session of its own.
my $builder = session('large');
my $builder_pid = pid_of($builder);
close_gates(250, 650);
sql('large', "DO LANGUAGE segment 'CREATE SEGMENT high ON customers WHERE passes(id, score)'");
is(sql('large', 'SELECT count(*) FROM segment.progress'), '0', 'no progress before it begins');
$builder->query_until(qr/called/, "\\echo called\nCALL segment.refresh_all(100);\n");
wait_at_gate('high', 199, 'a build by CALL comes to the first gate');
check_progress('high', 200, 'another session sees its progress');
at_once('large', "UPDATE customers SET country = 'DE' WHERE id = 901; UPDATE customers SET score = 99 WHERE id IN (10, 260)", 'writers do not wait for it');
at_once('large', "UPDATE accounts SET plan = 'pro' WHERE id = 1; DO LANGUAGE segment 'REFRESH SEGMENT pro'", 'nor does a refresh of another subject table');
is(sql('large', size_is('pro', 6)), 't', 'which does its work');
open_gates(250);
wait_at_gate('high', 500, 'it goes on to the second gate');
my $done = done('high');
check_progress('high', $done, 'the progress has grown');
wait_for('large', size_is('german', 501), 'what was written to another segment of the table is refreshed between its steps');

# canceled there, and called again
is(sql('large', "SELECT pg_cancel_backend($builder_pid)"), 't', 'canceled');
$builder->query('SELECT 1');
like($builder->{stderr}, qr/canceling statement due to user request/, 'it ends');
is(done('high'), $done, 'what was done stays done');
close_gates(250);
open_gates(650);
at_once('large', 'CALL segment.refresh_all(100)', 'called again it does not evaluate again what was done');
open_gates(250);
is(sql('large', 'SELECT count(*) FROM segment.progress'), '0', 'no progress when it is complete');
wait_for('large', size_is('high', sql('large', 'SELECT count(*) FROM customers WHERE score > 50')), 'built');
is_exact('large', 'high', 'score > 50', 'built in two CALLs it is what the condition says');
is(sql('large', "SELECT count(*), min(reason) FROM segment.changes('high')"), '1|built', 'and told once');
$builder->quit;

# the worker
sql('postgres', 'ALTER DATABASE large SET segmentation.refresh_budget = 100');
close_gates(250, 650);
worker('large', 'on');
sql('large', "DO LANGUAGE segment 'CREATE SEGMENT middle ON customers WHERE passes(id, score) AND score < 90'");
wait_at_gate('middle', 150, 'a build by the worker comes to the first gate');
$done = done('middle');
check_progress('middle', $done, 'another session sees its progress');
at_once('large', "UPDATE customers SET country = 'DE' WHERE id = 903; UPDATE customers SET score = 70 WHERE id IN (10, 260); UPDATE accounts SET plan = 'pro' WHERE id = 3", 'writers do not wait for the worker');
at_once('large', "DO LANGUAGE segment 'REFRESH SEGMENT pro'", 'nor does a refresh of another subject table');
is(sql('large', size_is('pro', 7)), 't', 'which does its work');
sql('large', "UPDATE accounts SET plan = 'pro' WHERE id = 5");
open_gates(250);
wait_at_gate('middle', 500, 'it goes on to the second gate');
check_progress('middle', done('middle'), 'the progress has grown');
wait_for('large', size_is('german', 502), 'another segment of the table is refreshed between its steps');
wait_for('large', size_is('pro', 8), 'another subject table, too');
sql('large', "UPDATE accounts SET plan = 'pro' WHERE id = 7");
wait_for('large', size_is('pro', 9), 'and again, in the middle of a step');
check_progress('middle', done('middle'), 'which is still at its gate');
open_gates(650);
wait_for('large', "SELECT count(*) = 0 FROM segment.progress", 'it is completed');
wait_for('large', size_is('middle', sql('large', 'SELECT count(*) FROM customers WHERE score > 50 AND score < 90')), 'built');
is_exact('large', 'middle', 'score > 50 AND score < 90', 'built by the worker it is what the condition says');
worker('large', 'off');
$keeper->quit;

# ---- a consumer that dies ----

# It works and acknowledges in transactions of their own, and is killed in or behind the first.
make_database('feed');
sql('feed', q{
	CREATE TABLE seen (segment regclass, number bigint, entered segment.bitmap, exited segment.bitmap);
	SELECT segment.create_consumer('mailer', from_start => true)});
sql('feed', $refresh);
my $work = "INSERT INTO seen SELECT segment, number, entered, exited FROM segment.next_batch('mailer', 2) RETURNING segment, number";
sub killed
{
	my ($how, $consumer) = @_;
	if ($how eq 'backend')
	{
		sql('postgres', 'SELECT pg_terminate_backend(' . pid_of($consumer) . ', 60000)');
	}
	else
	{
		$node->stop('immediate');
		$node->start;
	}
	eval { $consumer->quit };
	return;
}

# So many changes were seen twice.
my $twice = "SELECT count(*) FROM (SELECT FROM seen GROUP BY segment, number HAVING count(*) > 1) s";
my $round = 0;
for my $how ('backend', 'server')
{
	for my $where ('in its work', 'before it acknowledges')
	{
		my $when = "after a consumer was killed $where, with its $how";
		for (1 .. 3)
		{
			$round++;
			sql('feed', "UPDATE customers SET country = CASE (id + $round) % 3 WHEN 0 THEN 'DE' WHEN 1 THEN 'PL' END WHERE id % 10 < $round; UPDATE accounts SET plan = CASE WHEN id % 3 = $round % 3 THEN 'pro' END; $refresh");
		}
		my $before = sql('feed', $twice);
		my $consumer = session('feed');
		$consumer->query_safe('BEGIN') if $where eq 'in its work';
		isnt($consumer->query_safe($work), '', "there is a batch to be killed with ($where, $how)");
		killed($how, $consumer);

		while ((my $batch = sql('feed', $work)) ne '')
		{
			my ($segment, $number) = $batch =~ /([^\n|]+)\|(\d+)$/;
			sql('feed', "SELECT segment.ack('mailer', '$segment', $number)");
		}
		is(sql('feed', $twice) > $before, $where ne 'in its work', "what it has seen, if that is committed, comes again $when");
		is(sql('feed', 'SELECT s.segment, c.number FROM segment.segments s, segment.changes(s.segment) c EXCEPT SELECT segment, number FROM seen'), '', "nothing is lost $when");
		is(sql('feed', q{
			WITH once AS (SELECT DISTINCT ON (segment, number) * FROM seen ORDER BY segment, number),
			sums AS (
				SELECT segment, id, sum(step) FROM (
					SELECT segment, segment.ids(entered) AS id, 1 AS step FROM once UNION ALL SELECT segment, segment.ids(exited), -1 FROM once) m
				GROUP BY segment, id HAVING sum(step) <> 0),
			members AS (SELECT segment, segment.ids(segment.members(segment)), 1 FROM segment.segments)
			(TABLE sums EXCEPT ALL TABLE members) UNION ALL (TABLE members EXCEPT ALL TABLE sums)}), '', "what was seen adds up to the members $when");
	}
}

# ---- one table of several is locked ----

make_database('locked');
sql('locked', $refresh);
for my $table ('accounts', 'customers')
{
	my $locker = session('locked');
	sql('locked', "UPDATE customers SET country = 'DE' WHERE country = 'PL' AND id < 10; UPDATE accounts SET plan = 'pro' WHERE id < 10");
	$locker->query_safe("BEGIN; LOCK TABLE $table IN ACCESS EXCLUSIVE MODE");
	my (undef, undef, $error) = $node->psql('locked', "SET lock_timeout = '200ms'; CALL segment.refresh_all()");
	like($error, qr/canceling statement due to lock timeout/, "refresh_all() meets a lock on $table");
	my $other = $table eq 'accounts' ? size_is('german', 505) : size_is('pro', 10);
	is(sql('locked', $other), 't', 'it has refreshed the other table');
	$locker->query_safe('ROLLBACK');
	$locker->quit;
	sql('locked', 'CALL segment.refresh_all()');
	is(sql('locked', size_is('german', 505)) . sql('locked', size_is('pro', 10)), 'tt', 'and without the lock refreshes both');
	sql('locked', "UPDATE customers SET country = 'PL' WHERE id % 2 = 1; UPDATE accounts SET plan = 'free' WHERE id % 2 = 1; CALL segment.refresh_all()");
}

# ---- what holds invalidations back ----

make_database('held');
sql('postgres', 'CREATE DATABASE elsewhere');
my $held = 'SELECT held_back_by, held_back_pid FROM segment.activity';
my $waiting = 'SELECT invalidations FROM segment.activity';
my $write_and_refresh = "UPDATE customers SET score = score + 1 WHERE id = 1; UPDATE customers SET country = 'FR' WHERE id = 1; UPDATE customers SET country = 'DE' WHERE id = 1; $refresh";
sql('held', $refresh);
sql('held', $write_and_refresh);
is(sql('held', "$waiting; $held"), "0\n|", 'nothing holds them back');

# Somebody does, until he ends.
sub check_holder
{
	my ($db, $statements) = @_;
	my $holder = session($db);
	my $pid = pid_of($holder);
	$holder->query_safe($statements);
	sql('held', $write_and_refresh);
	cmp_ok(sql('held', $waiting), '>', 0, "held back in $db: $statements");
	like(sql('held', $held), qr/^session.*idle in transaction.*\|$pid$/, 'segment.activity says by whom');
	$holder->query_safe('ROLLBACK');
	$holder->quit;
	sql('held', $refresh);
	is(sql('held', "$waiting; $held"), "0\n|", 'until he ends');
	return;
}
check_holder('held', 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM customers');
check_holder('held', 'BEGIN; UPDATE accounts SET plan = plan WHERE id = 1');
check_holder('elsewhere', 'BEGIN; CREATE TABLE t ()');

# a snapshot in another database holds nothing back here
my $stranger = session('elsewhere');
$stranger->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class');
sql('held', $write_and_refresh);
is(sql('held', "$waiting; $held"), "0\n|", 'a snapshot in another database holds back nothing');
$stranger->quit;

# the slot of a standby that is gone
$node->backup('base');
sql('postgres', "SELECT pg_create_physical_replication_slot('standby')");
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "hot_standby_feedback = on\nwal_receiver_status_interval = 1s\nprimary_slot_name = standby");
$standby->start;
wait_for('postgres', "SELECT count(*) = 1 FROM pg_replication_slots WHERE xmin IS NOT NULL", 'a standby tells which snapshots it has');
$standby->stop;
sql('held', $write_and_refresh);
is(sql('held', "SELECT invalidations > 0 FROM segment.activity; $held"), "t\nreplication slot standby|", 'its slot holds them back when it is gone');
sql('postgres', "SELECT pg_drop_replication_slot('standby')");
sql('held', $refresh);
is(sql('held', "$waiting; $held"), "0\n|", 'until that is dropped');

# ---- the history ----

make_database('past');
sql('past', "$refresh; CREATE TABLE moments (at timestamptz, ids segment.bitmap)");
sub note_moment
{
	my ($change) = @_;
	sql('past', "$change; $refresh; INSERT INTO moments SELECT clock_timestamp(), segment.bitmap_agg(id) FROM customers WHERE country = 'DE'");
	return;
}

# Those moments at which the history says something else than what was noted; and the course of the sizes from the first on.
sub check_history
{
	my ($sizes, $when) = @_;
	is(sql('past', q{
		SELECT at, ids, segment.members('german', at), segment.size('german', at) FROM moments
		WHERE (segment.members('german', at) OPERATOR(segment.=) ids AND segment.size('german', at) = segment.cardinality(ids)) IS NOT TRUE}),
		'', "members and sizes of the past are as they were $when");
	is(sql('past', q{
		SELECT string_agg(size::text, ' ' ORDER BY begin) FROM (
			SELECT size, min(h.at) AS begin
			FROM (SELECT min(at) AS first, max(at) AS last FROM moments) m, segment.size_history('german', first, last, (last - first) / 2000) h
			GROUP BY size) s}), $sizes, "so is their course $when");
	return;
}
note_moment("UPDATE customers SET country = 'FR' WHERE id <= 100");
note_moment("UPDATE customers SET country = 'DE' WHERE id BETWEEN 51 AND 60");
note_moment("DELETE FROM customers WHERE id > 900");
check_history('450 460 410', 'before a restart');
$node->restart;
check_history('450 460 410', 'after a restart');
note_moment("UPDATE customers SET country = 'FR' WHERE id <= 200");
$node->stop('immediate');
$node->start;
check_history('450 460 410 350', 'after a change and a crash');
$node->stop;
done_testing();

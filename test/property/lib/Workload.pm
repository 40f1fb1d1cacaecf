# Workload: one case of the property test.
#
# A database of its own, some sessions, and a list of random steps: writes, transactions with savepoints, refreshes,
# segment and table DDL, reads from odd places.  After every step the acting session, and sometimes another one,
# compares every segment with the oracle.  Which steps run can be chosen, so that a failing case can be cut down.
package Workload;

use strict;
use warnings;
use Chance;
use Company;
use Condition;
use DBI;
use Oracle;

my @zones = ('UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Pacific/Chatham');

# Errors that a random write may meet in any database: they undo the statement or the transaction, nothing else.
my $tolerated = qr{^(?:23...|40001|40P01|55P03|22003|21000|25P02|27000|42P10|55006|25006|0A000)$};

# new(seed =>, database =>, dsn =>, steps => n, skip => { step => 1 }, plain => 1 without the extension)
sub new
{
	my ($class, %self) = @_;
	return bless { sessions => [], segments => {}, trace => [], counts => {}, refused => {}, serial => 0, %self }, $class;
}

# Run the case.  Returns undef, or the text of the first failure.
sub run
{
	my ($self) = @_;
	my $failure = eval { $self->run_steps; undef } // $self->{failure} // ($@ ? "the test itself died: $@" : undef);
	for my $session (@{ $self->{sessions} })
	{
		eval { $session->{handle}->disconnect };
	}
	return $failure;
}

sub fail { my ($self, $text) = @_; $self->{failure} = $text; die "FAILURE\n"; }

sub note { my ($self, $session, $sql) = @_; push @{ $self->{trace} }, ($session ? "s$session->{number}" : '  ') . ": $sql"; return; }

sub connect_session
{
	my ($self) = @_;
	my $number = @{ $self->{sessions} } + 1;
	my $handle = DBI->connect("dbi:Pg:dbname=$self->{database}", undef, undef, { RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1, pg_server_prepare => 0 });
	$handle->do("SET lock_timeout = '150ms'");
	$handle->do("SET statement_timeout = '30s'");
	$handle->do("SET client_min_messages = warning");
	# small tables, large conditions: compiling takes far longer than running
	$handle->do("SET jit = off");
	my $session = { number => $number, handle => $handle, in => 0, level => '', savepoints => [], role => '' };
	push @{ $self->{sessions} }, $session;
	return $session;
}

# Run one statement.  Returns its result rows (array of hashes) or undef after a tolerated error.
sub execute
{
	my ($self, $session, $sql, %option) = @_;
	$self->note($session, $sql) unless $option{quiet};
	my $result;
	my @warnings;
	local $SIG{__WARN__} = sub { push @warnings, $_[0] };
	local $session->{handle}{PrintWarn} = 1;
	my $ok = eval {
		my $statement = $session->{handle}->prepare($sql);
		$statement->execute;
		$result = $statement->{NUM_OF_FIELDS} ? $statement->fetchall_arrayref({}) : [];
		1;
	};
	my ($state, $message) = ($session->{handle}->state // '', $ok ? '' : ($session->{handle}->errstr // $@));
	for my $warning (@warnings)
	{
		$self->fail("in session $session->{number} ($session->{level}): $warning") if $warning =~ /PROBE/;
	}
	return $result if $ok;
	$message =~ s/\s+$//;
	$session->{error} = { state => $state, message => $message };
	push @{ $self->{trace} }, "      -- $state $message" unless $option{quiet};
	$self->fail("server gone in session $session->{number}: $message") if $state =~ /^(?:08|57P0)/ || $message =~ /server closed|terminating connection/;
	$self->fail("statement timeout in session $session->{number}: $sql") if $state eq '57014';
	$self->fail("internal error in session $session->{number}: $state $message, by: $sql") if $state =~ /^(?:XX|58)/;
	$self->{counts}{"error $state"}++;
	if ($session->{in})
	{
		if (@{ $session->{savepoints} } && $state !~ /^40/)
		{
			$self->undo_to($session, $#{ $session->{savepoints} });
		}
		else
		{
			$self->end($session, 'ROLLBACK');
		}
	}
	$self->fail("unexpected error in session $session->{number}: $state $message, by: $sql") unless $option{may_fail} || $state =~ $tolerated || ($session->{role} && $state eq '42501');
	return undef;
}

# ---- transactions ----

sub begin
{
	my ($self, $session) = @_;
	my $level = weighted([ 3, 'READ COMMITTED' ], [ 3, 'REPEATABLE READ' ], [ 2, 'SERIALIZABLE' ]);
	$self->execute($session, "BEGIN ISOLATION LEVEL $level") or return;
	@$session{qw(in level savepoints)} = (1, $level, []);
	# take the snapshot now, so that the others get ahead of it
	$self->execute($session, 'SELECT 1') if chance(50);
	return;
}

sub end
{
	my ($self, $session, $how) = @_;
	# the transaction's view of the segments becomes everybody's, or nobody's
	my $ddl = delete $session->{ddl};
	$self->note($session, $how);
	my $ok = eval { $session->{handle}->do($how); 1 };
	if (!$ok)
	{
		my ($state, $message) = ($session->{handle}->state, $session->{handle}->errstr);
		push @{ $self->{trace} }, "      -- $state $message";
		$self->fail("server gone at $how: $message") if $state =~ /^(?:08|57P0)/;
		$self->fail("unexpected error at $how: $state $message") unless $state =~ $tolerated;
		eval { $session->{handle}->do('ROLLBACK') };
	}
	$self->{segments} = $ddl if $ddl && $ok && $how eq 'COMMIT';
	delete $self->{ddl_session} if $ddl;
	@$session{qw(in level savepoints)} = (0, '', []);
	return;
}

sub undo_to
{
	my ($self, $session, $index) = @_;
	my $savepoint = $session->{savepoints}[$index];
	$self->execute($session, "ROLLBACK TO $savepoint->{name}");
	$#{ $session->{savepoints} } = $index;
	if ($session->{ddl})
	{
		if ($savepoint->{ddl}) { $session->{ddl} = { %{ $savepoint->{ddl} } }; }
		else { delete $session->{ddl}; delete $self->{ddl_session}; }
	}
	return;
}

# PREPARE TRANSACTION; the others read; then its end.
sub two_phase
{
	my ($self, $session) = @_;
	my $name = 'g' . ++$self->{serial} . "_$self->{database}";
	@$session{qw(in level savepoints)} = (0, '', []);
	$self->execute($session, "PREPARE TRANSACTION '$name'", may_fail => 1);
	my $rows = $self->execute($session, "SELECT 1 FROM pg_prepared_xacts WHERE gid = '$name'", quiet => 1);
	return $self->execute($session, 'ROLLBACK') unless $rows && @$rows;
	$self->{counts}{'two-phase'}++;
	my $failure = eval { $self->check($_, 'other') for @{ $self->{sessions} }; 1 } ? undef : $@;
	$self->execute($session, (chance(70) ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$name'");
	die $failure if $failure;
	return;
}

sub transaction_step
{
	my ($self, $session) = @_;
	return $self->begin($session) unless $session->{in};
	my $kind = weighted([ 4, 'COMMIT' ], [ 2, 'ROLLBACK' ], [ 4, 'SAVEPOINT' ], [ @{ $session->{savepoints} } ? 5 : 0, 'UNDO' ], [ @{ $session->{savepoints} } ? 2 : 0, 'RELEASE' ]);
	return $self->two_phase($session) if $kind eq 'COMMIT' && chance(15) && !$session->{ddl};
	return $self->end($session, $kind) if $kind =~ /^(?:COMMIT|ROLLBACK)$/;
	if ($kind eq 'SAVEPOINT')
	{
		my $name = 'p' . ++$self->{serial};
		$self->execute($session, "SAVEPOINT $name") or return;
		push @{ $session->{savepoints} }, { name => $name, ddl => $session->{ddl} ? { %{ $session->{ddl} } } : undef };
		return;
	}
	my $index = below(scalar @{ $session->{savepoints} });
	return $self->undo_to($session, $index) if $kind eq 'UNDO';
	$self->execute($session, "RELEASE $session->{savepoints}[$index]{name}");
	$#{ $session->{savepoints} } = $index - 1;
	return;
}

# ---- segments ----

# What this session sees: its own uncommitted segments, or the committed ones.
sub segments { my ($self, $session) = @_; return $session->{ddl} // $self->{segments}; }

# Segment DDL by this session; $change edits a copy of the segment list.
sub change_segments
{
	my ($self, $session, $sql, $change, %option) = @_;
	return if $self->{ddl_session} && $self->{ddl_session} != $session;
	my %copy = %{ $self->segments($session) };
	my $text = "DO LANGUAGE segment \$segment\$\n$sql\n\$segment\$";
	$text = 'SELECT * FROM segment.execute($segment$' . $sql . '$segment$)' if chance(25);
	my $done = $self->{plain} || $self->execute($session, $text, may_fail => 1);
	if (!$done)
	{
		my $error = $session->{error};
		$self->refused($sql, $error) unless ($error->{state} =~ $tolerated && $error->{state} ne '0A000') || $option{may_be_refused} || ($session->{role} =~ /clerk/ && $error->{state} eq '42501');
		return;
	}
	$change->(\%copy);
	if ($session->{in})
	{
		$session->{ddl} = \%copy;
		$self->{ddl_session} = $session;
	}
	else
	{
		$self->{segments} = \%copy;
	}
	return 1;
}

sub refused
{
	my ($self, $sql, $error) = @_;
	(my $message = $error->{message}) =~ s/\n.*//s;
	$message =~ s/s\d+_?\w*//g;
	push @{ $self->{refused}{"$error->{state} $message"} }, $sql;
	return;
}

# A random condition for a segment on $subject that may name these segments.
sub random_condition
{
	my ($self, $subject, $names) = @_;
	return Condition->new(company => $self->{company}, subject => $subject, segments => $names, links => $self->{links}, local => chance(70), timed => ($self->{focus} // '') eq 'clock' || chance(25))->condition;
}

# Segments that depend on $name, with it.
sub dependents
{
	my ($segments, $name) = @_;
	my %found = ($name => 1);
	my $grew = 1;
	while ($grew)
	{
		$grew = 0;
		for my $other (keys %$segments)
		{
			next if $found{$other};
			next unless grep { $found{$_} } @{ $segments->{$other}{uses} };
			$found{$other} = $grew = 1;
		}
	}
	return \%found;
}

# Which of the named segments a definition mentions.
sub uses
{
	my ($text, @names) = @_;
	return [ grep { $text =~ /\b\Q$_\E\b/ } @names ];
}

sub depth
{
	my ($segments, $name) = @_;
	my ($deepest) = sort { $b <=> $a } map { depth($segments, $_) } @{ $segments->{$name}{uses} };
	return 1 + ($deepest // 0);
}

# A new body for segment $name: ("WHERE ..." or "AS ...", record)
sub body
{
	my ($self, $session, $subject, $without) = @_;
	my $segments = $self->segments($session);
	my @names = grep { $segments->{$_}{subject} eq $subject && !$without->{$_} && depth($segments, $_) < 3 } sort keys %$segments;
	my $zone = $session->{zone} // 'UTC';
	if (@names >= 2 && chance(18))
	{
		my ($define, $oracle, $uses) = $self->combination(\@names);
		return ("AS $define", { subject => $subject, condition => $oracle, zone => $zone, uses => $uses });
	}
	my $condition = $self->random_condition($subject, \@names);
	my $define = $condition->('define', { segments => $segments, zone => $zone });
	my @options;
	return ("WHERE $define", { subject => $subject, condition => $condition, zone => $zone, uses => uses($define =~ s/'[^']*'(?<!\w')//gr . $define, @names) });
}

# a & (b | c) - d, brackets between different operators
sub combination
{
	my ($self, $names) = @_;
	my @of = some(between(2, 3), @$names);
	my $in = sub {
		my ($name) = @_;
		return sub { my ($form, $env) = @_; my $s = $env->{segments}{$name}; return '((' . $s->{condition}->('oracle', { %$env, zone => $s->{zone} }) . ') IS TRUE)'; };
	};
	my ($define, $oracle) = ($of[0], $in->($of[0]));
	for my $name (@of[ 1 .. $#of ])
	{
		my $operator = pick('&', '|', '-');
		my ($left, $right) = ($oracle, $in->($name));
		$define = "($define)" if $define =~ / /;
		$define = "$define $operator $name";
		my $format = $operator eq '&' ? '(%s AND %s)' : $operator eq '|' ? '(%s OR %s)' : '(%s AND NOT %s)';
		$oracle = sub { my ($form, $env) = @_; return sprintf($format, $left->('oracle', $env), $right->('oracle', $env)); };
	}
	return ($define, $oracle, \@of);
}

sub create_segment
{
	my ($self, $session) = @_;
	my $segments = $self->segments($session);
	my $name = 's' . ++$self->{serial};
	my $subject = chance(82) ? 'customers' : 'accounts';
	my ($body, $record) = $self->body($session, $subject, {});
	my $on = $body =~ /^AS / ? '' : " ON $subject";
	my $done = $self->change_segments($session, "CREATE SEGMENT $name$on $body", sub { $_[0]{$name} = $record });
	$self->{counts}{'segments'}++ if $done;
	$self->{counts}{'segments refused'}++ if !$done;
	return;
}

sub segment_step
{
	my ($self, $session) = @_;
	my $segments = $self->segments($session);
	my @names = sort keys %$segments;
	return $self->create_segment($session) if @names < 4 || (@names < 10 && chance(40));
	my $name = pick(@names);
	my $segment = $segments->{$name};
	my $kind = weighted([ 4, 'alter' ], [ 2, 'replace' ], [ 3, 'drop' ], [ 2, 'rename' ], [ 2, 'disable' ], [ 2, 'enable' ], [ 1, 'cycle' ], [ 1, 'view_rename' ], [ 1, 'drop_view' ]);
	if ($kind eq 'alter' || $kind eq 'replace')
	{
		my ($body, $record) = $self->body($session, $segment->{subject}, dependents($segments, $name));
		my $on = $body =~ /^AS / ? '' : " ON $segment->{subject}";
		my $sql = $kind eq 'alter' ? "ALTER SEGMENT $name $body" : "CREATE OR REPLACE SEGMENT $name$on $body";
		# both pin anew, as the new text was written in this session
		return $self->change_segments($session, $sql, sub { $_[0]{$name} = $record });
	}
	if ($kind eq 'drop' || $kind eq 'drop_view')
	{
		my $gone = dependents($segments, $name);
		my $sql = "DROP SEGMENT $name" . (keys %$gone > 1 ? ' CASCADE' : '');
		return $self->change_segments($session, $sql, sub { delete @{ $_[0] }{ keys %$gone } }) if $kind eq 'drop';
		return if $self->{ddl_session} || $session->{in} || $self->{plain};
		$self->execute($session, "DROP VIEW $name CASCADE") and delete @{ $self->{segments} }{ keys %$gone };
		return;
	}
	if ($kind eq 'rename' || $kind eq 'view_rename')
	{
		# conditions of other segments name it, so only segments that nobody uses are renamed in the model
		return if keys %{ dependents($segments, $name) } > 1;
		my $new = 's' . ++$self->{serial};
		return $self->change_segments($session, "ALTER SEGMENT $name RENAME TO $new", sub { $_[0]{$new} = delete $_[0]{$name} }) if $kind eq 'rename';
		return if $self->{ddl_session} || $session->{in} || $self->{plain};
		$self->execute($session, "ALTER VIEW $name RENAME TO $new") and $self->{segments}{$new} = delete $self->{segments}{$name};
		return;
	}
	return $self->change_segments($session, "ALTER SEGMENT $name " . uc $kind, sub { }) if $kind eq 'disable' || $kind eq 'enable';
	# a cycle must be refused
	return if $self->{plain};
	my @users = grep { $_ ne $name } sort keys %{ dependents($segments, $name) };
	return unless @users;
	my $user = pick(@users);
	my $done = $self->change_segments($session, "ALTER SEGMENT $name WHERE in_segment('$user')", sub { }, may_be_refused => 1);
	$self->fail("a cycle was accepted: $name uses $user, which uses $name") if $done;
	return;
}

sub refresh_step
{
	my ($self, $session) = @_;
	my @names = sort keys %{ $self->segments($session) };
	return if !@names || $self->{plain};
	my $what = weighted([ 5, 'ALL' ], [ 4, pick(@names) ], [ 2, join(', ', some(3, @names)) ]);
	my $sql = chance(70) ? "DO LANGUAGE segment 'REFRESH SEGMENT $what'" : $what eq 'ALL' ? "SELECT * FROM segment.execute('REFRESH SEGMENT ALL')" : "SELECT segment.refresh('$names[0]')";
	# in parts: what is left must be pending
	$sql = 'SELECT segment.refresh_step(t, ' . pick(1, 3, 10, 30) . pick('', ', true') . ') FROM (SELECT DISTINCT subject_table FROM segment.segments) AS s (t)' if chance(35);
	# in a transaction with an older fixed snapshot a refresh may be refused
	my $done = $self->execute($session, $sql, may_fail => scalar $session->{level} =~ /REPEATABLE|SERIALIZABLE/);
	$self->{counts}{refreshes}++ if $done;
	return;
}

# ---- writes ----

sub write_step
{
	my ($self, $session) = @_;
	my $write = $self->{company}->write_statement;
	# TRUNCATE is not MVCC-safe: older snapshots, plain SQL's too, see an empty table
	return if ($write->{sql} // '') =~ /TRUNCATE/ && grep { $_ != $session && $_->{level} =~ /REPEATABLE|SERIALIZABLE/ } @{ $self->{sessions} };
	$self->{counts}{writes}++;
	return $self->copy($session, $write) if $write->{copy};
	my $sql = $write->{sql};
	my $form = weighted([ 78, 'plain' ], [ 6, 'replica' ], [ 5, 'plpgsql' ], [ 6, 'prepared' ], [ 5, 'twice' ]);
	if ($form eq 'replica' && !$session->{in} && !$session->{role})
	{
		# ALWAYS triggers fire here as well; foreign keys are not looked at
		return if $sql =~ /TRUNCATE/;
		$self->execute($session, 'SET session_replication_role = replica');
		$self->execute($session, $sql);
		$self->execute($session, 'RESET session_replication_role');
	}
	elsif ($form eq 'plpgsql')
	{
		my $second = $self->{company}->write_statement;
		$second = { sql => 'SELECT 1' } if ($second->{sql} // '') =~ /TRUNCATE/;
		$second = { sql => 'SELECT 1' } if $second->{copy};
		my $catch = chance(50) ? "EXCEPTION WHEN division_by_zero OR integrity_constraint_violation THEN NULL;" : '';
		my $raise = $catch && chance(60) ? 'PERFORM 1 / (SELECT 0);' : '';
		(my $body = $second->{sql}) =~ s/^SELECT/PERFORM/;
		$self->execute($session, "DO \$plpgsql\$ BEGIN $sql; BEGIN $body; $raise $catch END; END \$plpgsql\$");
	}
	elsif ($form eq 'prepared' && $sql !~ /TRUNCATE/)
	{
		my $name = 'w' . ++$self->{serial};
		$self->execute($session, "PREPARE $name AS $sql") or return;
		$self->execute($session, "EXECUTE $name") or return;
		$self->execute($session, "EXECUTE $name") or return;
	}
	elsif ($form eq 'twice')
	{
		$self->execute($session, $sql) or return;
		$self->execute($session, $self->{company}->write_statement('customers')->{sql} // 'SELECT 1');
	}
	else
	{
		$self->execute($session, $sql);
	}
	return;
}

sub copy
{
	my ($self, $session, $write) = @_;
	$self->note($session, "$write->{copy}\n" . join('', @{ $write->{rows} }) . '\\.');
	my $ok = eval {
		$session->{handle}->do($write->{copy});
		$session->{handle}->pg_putcopydata($_) for @{ $write->{rows} };
		$session->{handle}->pg_putcopyend;
		1;
	};
	return if $ok;
	my ($state, $message) = ($session->{handle}->state // '', $session->{handle}->errstr // $@);
	{ local $SIG{__WARN__} = sub { }; eval { $session->{handle}->pg_putcopyend }; }
	push @{ $self->{trace} }, "      -- $state $message";
	$self->fail("server gone in COPY: $message") if $state =~ /^(?:08|57P0)/;
	$self->fail("COPY failed: $state $message") unless $state =~ $tolerated;
	return unless $session->{in};
	return $self->undo_to($session, $#{ $session->{savepoints} }) if @{ $session->{savepoints} } && $state !~ /^40/;
	$self->end($session, 'ROLLBACK');
	return;
}

# DDL on the sources themselves, alone in its transaction.
sub table_step
{
	my ($self, $session) = @_;
	return if $session->{in} || $self->{ddl_session};
	my $table = Company::busy_table();
	my $column = pick($self->{company}->columns($table))->{name};
	my $serial = ++$self->{serial};
	for my $sql (@{ pick(
		["ALTER TABLE $table ADD COLUMN extra$serial int DEFAULT 1"],
		[ "ALTER TABLE $table RENAME COLUMN $column TO c$serial", '!', "ALTER TABLE $table RENAME COLUMN c$serial TO $column" ],
		[ "ALTER TABLE $table RENAME TO t$serial", '!', "ALTER TABLE t$serial RENAME TO $table" ],
		["VACUUM (FULL) $table"], ["VACUUM ANALYZE $table"], ["ANALYZE"], ["CLUSTER $table USING ${table}_pkey"],
		["CREATE INDEX ON $table ($column)"],
		[ "ALTER TABLE $table DISABLE TRIGGER ALL", 'write', "ALTER TABLE $table ENABLE TRIGGER ALL", 'write' ],
		[ "ALTER TABLE $table DISABLE TRIGGER USER", 'write', "ALTER TABLE $table ENABLE TRIGGER USER" ],
		["ALTER TABLE $table ALTER COLUMN $column SET STATISTICS 10"],
		[ "CREATE OR REPLACE FUNCTION graded(numeric) RETURNS int LANGUAGE sql IMMUTABLE AS \$\$ SELECT (\$1 / " . between(20, 90) . ")::int \$\$" ],
		[ "CREATE OR REPLACE FUNCTION graded(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS \$\$ BEGIN RETURN " . pick('upper', 'lower', 'initcap') . "(\$1); END \$\$" ],
		[ "DO \$\$ BEGIN EXECUTE format('ALTER TYPE grade RENAME VALUE %L TO %L', (enum_range(NULL::grade))[" . between(1, 3) . "], '" . pick(qw(silver brass)) . "$serial'); END \$\$" ],
		[ "DO \$\$ BEGIN EXECUTE format('ALTER TYPE grade ADD VALUE %L " . pick('BEFORE', 'AFTER') . " %L', 'tin$serial', (enum_range(NULL::grade))[" . between(1, 3) . "]); END \$\$" ],
		[ "ALTER TABLE $table ALTER COLUMN $column TYPE " . $self->{company}->column($table, $column)->{type} ]) })
	{
		if ($sql eq 'write')
		{
			my $write = $self->{company}->write_statement($table);
			$self->execute($session, $write->{sql}) if $write->{sql} && $write->{sql} !~ /TRUNCATE|\bid = /;
		}
		elsif ($sql eq '!')
		{
			# what is shown of the segments follows the new name
			$self->execute($session, 'SELECT * FROM segment.segments') unless $self->{plain};
		}
		else
		{
			my $done = $self->execute($session, $sql);
			if (!$done && $sql =~ /RENAME.* TO (?:\w+)$/ && $sql !~ /c$serial$|t$serial$/ || !$done && $sql =~ /ENABLE/)
			{
				# the way back must not be lost to a lock timeout
				$self->execute($session, "SET lock_timeout = 0");
				for my $other (@{ $self->{sessions} }) { $self->end($other, 'ROLLBACK') if $other->{in}; }
				$self->execute($session, $sql) or $self->fail("could not undo: $sql");
				$self->execute($session, "SET lock_timeout = '150ms'");
			}
			last if !$done;
		}
	}
	return;
}

sub setting_step
{
	my ($self, $session) = @_;
	return if $session->{in};
	my $kind = weighted([ 4, 'zone' ], [ 2, 'style' ], [ ($self->{focus} // '') eq 'clock' ? 60 : 6, 'clock' ], [ 2, 'path' ], [ 3, 'planner' ], [ 1, 'reset' ], [ 1, 'cache' ]);
	if ($kind eq 'zone') { my $zone = pick(@zones); $self->execute($session, "SET TimeZone = '$zone'") and $session->{zone} = $zone; }
	if ($kind eq 'clock' && !$session->{role})
	{
		# values lie half an hour off the full hour, the clock moves by full hours: nothing flips at a boundary by accident
		if (chance(25)) { $self->execute($session, 'RESET segmentation.clock') and delete $session->{clock}; }
		else
		{
			my $clock = $self->{company}->stamp(between(-700, 300)) =~ s/timestamptz //r;
			# or just at the instant at which one flips
			$clock =~ s/:\d\d:(\d\d)\+/:00:$1+/ if chance(40);
			$self->execute($session, "SET segmentation.clock = $clock") and $session->{clock} = "timestamptz $clock";
		}
	}
	$self->execute($session, "SET IntervalStyle = '" . pick(qw(postgres iso_8601 sql_standard)) . "'") if $kind eq 'style';
	$self->execute($session, 'SET ' . pick('enable_hashagg', 'enable_hashjoin', 'enable_nestloop', 'enable_seqscan', 'enable_indexscan', 'enable_material', 'enable_memoize') . ' = ' . pick('on', 'off')) if $kind eq 'planner';
	$self->execute($session, "SET plan_cache_mode = " . pick(qw(auto force_generic_plan force_custom_plan))) if $kind eq 'cache';
	$self->execute($session, 'DISCARD PLANS') if $kind eq 'reset';
	return;
}

# ---- reads ----

sub oracle_condition
{
	my ($self, $session, $name) = @_;
	my $segments = $self->segments($session);
	my $segment = $segments->{$name};
	my $text = $segment->{condition}->('oracle', { segments => $segments, zone => $segment->{zone} });
	# a session that has moved the clock asks about that instant
	$text =~ s/\bnow\(\)|\bcurrent_timestamp\b/$session->{clock}/g if $session->{clock};
	return $text;
}

# Compare every segment, or some, with the oracle.
sub check
{
	my ($self, $session, $where) = @_;
	my @names = sort keys %{ $self->segments($session) };
	# what is wrong stays wrong for a while, so a few at each step are enough; the end of a case looks at all
	@names = some($where eq 'own' ? 4 : 2, @names) if $where ne 'all';
	for my $name (@names)
	{
		my $subject = $self->segments($session)->{$name}{subject};
		my $query = comparison_query($name, $subject, $self->oracle_condition($session, $name));
		$self->count_ways($session) if !$self->{plain} && chance(4);
		# without the extension: do the oracles at least run?
		$query = "SELECT '{}' AS same FROM public.$subject WHERE " . $self->oracle_condition($session, $name) . ' LIMIT 1' if $self->{plain};
		my $rows = $self->execute($session, $query, quiet => 1);
		if (!$rows)
		{
			# lock timeouts (somebody's uncommitted DDL) and serialization failures say nothing about the segment
			next if $session->{error}{state} =~ /^(?:55P03|40001|40P01)$/;
			$self->fail("reading $name failed: $session->{error}{state} $session->{error}{message}\noracle: $query");
		}
		$self->{counts}{comparisons}++;
		my $verdict = verdict($rows->[0] // {});
		$self->wrong($session, $name, $verdict, $query) if $verdict ne '';
	}
	return;
}

# The sum of a segment's feed is what is stored, under every snapshot.
sub check_feed
{
	my ($self) = @_;
	return if $self->{plain};
	my $query = q{SELECT s.view::text, segment.members(s.view, 'infinity') AS told, stored FROM segment.segment s JOIN segment.state t USING (id),
		LATERAL (SELECT COALESCE(segment.union_agg(ids), '{}') AS stored FROM segment.chunk c WHERE c.id = s.id) c
		WHERE t.status = 'b' AND segment.members(s.view, 'infinity')::text IS DISTINCT FROM stored::text};
	my $rows = $self->execute($self->{sessions}[0], $query, quiet => 1) or return;
	$self->{counts}{'feeds checked'}++;
	$self->fail("the feed of segment $_->{view} adds up to " . ($_->{told} // 'NULL') . ", stored is $_->{stored}\n  query: $query") for @$rows;
	return;
}

# How the segments are read at this moment: whether pending subjects are tested at all.
sub count_ways
{
	my ($self, $session) = @_;
	my $rows = $self->execute($session, 'SELECT reads, pending > 0 AS pending FROM segment.status', quiet => 1, may_fail => 1) or return;
	$self->{counts}{"reads: " . ($_->{reads} // '?') . ($_->{pending} ? ', some pending' : '')}++ for @$rows;
	return;
}

sub wrong
{
	my ($self, $session, $name, $verdict, $query) = @_;
	my $segments = $self->segments($session);
	my $text = "segment $name is wrong in session $session->{number} (" . ($session->{level} || 'no transaction') . "): $verdict\n";
	for my $one ($name, grep { $_ ne $name } sort map { @{ $segments->{$_}{uses} } } $name)
	{
		my $s = $segments->{$one};
		$text .= "  $one: zone $s->{zone}, " . (ref $s->{uses} && @{ $s->{uses} } ? "uses @{ $s->{uses} }, " : '') . 'oracle: ' . $self->oracle_condition($session, $one) . "\n";
	}
	$self->fail($text . "  query: $query");
	return;
}

# Reads from places where snapshots, plans and statements in flight are easily mixed up.
sub read_step
{
	my ($self, $session, $kind) = @_;
	my @names = sort keys %{ $self->segments($session) };
	return if !@names || $self->{plain};
	my $name = pick(@names);
	my $subject = $self->segments($session)->{$name}{subject};
	my $condition = $self->oracle_condition($session, $name);
	my $query = comparison_query($name, $subject, $condition);
	$kind //= weighted([ 3, 'cursor' ], [ 4, 'prepared' ], [ 4, 'plpgsql' ], [ 5, 'trigger' ], [ 3, 'cte' ], [ 3, 'returning' ], [ 3, 'rows' ], [ 3, 'narrow' ], [ 2, 'join' ], [ 2, 'segments_of' ], [ 2, 'overlap' ], [ 1, 'preview' ]);
	my $n = ++$self->{serial};
	$self->{counts}{"read $kind"}++;
	if ($kind eq 'cursor')
	{
		# what a cursor gives is of its declaration, whatever is written before the fetch
		$self->begin($session) unless $session->{in};
		$self->execute($session, "DECLARE mine$n CURSOR FOR SELECT id FROM public.$name") or return;
		$self->execute($session, "DECLARE plain$n CURSOR FOR SELECT $subject.id FROM public.$subject WHERE $condition") or return;
		$self->write_step($session);
		$self->refresh_step($session) if chance(30) && $session->{in};
		return unless $session->{in};
		my $mine = $self->execute($session, "FETCH ALL mine$n", may_fail => 1) or return;
		my $plain = $self->execute($session, "FETCH ALL plain$n", may_fail => 1) or return;
		$self->same_ids($session, $name, 'cursor', $mine, $plain);
	}
	elsif ($kind eq 'prepared')
	{
		return if $session->{in};
		$self->execute($session, "PREPARE q$n AS $query", quiet => 0) or return;
		for (1 .. 7)
		{
			$self->write_step($session) if chance(50);
			$self->refresh_step($session) if chance(20);
			my $rows = $self->execute($session, "EXECUTE q$n", may_fail => 1) or last;
			my $verdict = verdict($rows->[0]);
			$self->wrong($session, $name, "prepared statement: $verdict", $query) if $verdict ne '';
		}
		$self->execute($session, "DEALLOCATE q$n");
	}
	elsif ($kind eq 'plpgsql')
	{
		# one simple expression evaluated across writes of the same function
		my @writes = map { my $w = $self->{company}->write_statement; ($w->{sql} // 'TRUNCATE') !~ /TRUNCATE/ ? $w->{sql} : 'UPDATE orders SET amount = 1 WHERE id = 3' } 1 .. 2;
		$self->execute($session, <<"END");
DO \$plpgsql\$ DECLARE seen bigint; want bigint; BEGIN
 FOR i IN 1 .. 3 LOOP
  seen := segment.size('public.$name');
  SELECT count(*) INTO want FROM public.$subject WHERE $condition;
  IF seen IS DISTINCT FROM want THEN RAISE WARNING 'PROBE $name: size in plpgsql is %, oracle %', seen, want; END IF;
  IF i = 1 THEN $writes[0]; ELSIF i = 2 THEN $writes[1]; END IF;
 END LOOP;
END \$plpgsql\$
END
	}
	elsif ($kind eq 'trigger')
	{
		# triggers on the sources themselves read while the statement is running
		$self->probe_targets($session) or return;
		$self->execute($session, "SET probe.active = 'on'") or return;
		$self->write_step($session);
		$self->write_step($session);
		$self->execute($session, "SET probe.active = 'off'");
	}
	elsif ($kind eq 'cte')
	{
		my $table = Company::busy_table();
		my $write = pick("UPDATE $table SET " . $self->{company}->changes($table) . ' WHERE ' . $self->{company}->where($table), "DELETE FROM $table WHERE " . $self->{company}->where($table));
		(my $inside = $query) =~ s/^WITH /WITH written AS ($write RETURNING 1), /;
		$inside .= ', (SELECT 0 * count(*) FROM written)::text AS written';
		my $rows = $self->execute($session, $inside) or return;
		my $verdict = verdict($rows->[0]);
		$self->wrong($session, $name, "beside a writing CTE: $verdict", $inside) if $verdict ne '';
	}
	elsif ($kind eq 'returning')
	{
		$self->probe_targets($session) or return;
		my $table = Company::busy_table();
		$self->execute($session, "UPDATE $table SET " . $self->{company}->changes($table) . ' WHERE ' . $self->{company}->where($table) . ' RETURNING ' . pick('probe_now()', 'probe_stable()'));
	}
	elsif ($kind eq 'rows')
	{
		# whole rows, not only ids; a view shows the columns of its creation
		my @columns = ('id', map { $_->{name} } $self->{company}->columns($subject));
		my $list = join(', ', map { "v.$_" } @columns);
		my $plain = join(', ', map { "$subject.$_" } @columns);
		my $rows = $self->execute($session, "WITH v AS (SELECT $list FROM public.$name v), o AS (SELECT $plain FROM public.$subject WHERE $condition) "
			  . "SELECT (SELECT count(*) FROM (SELECT * FROM v EXCEPT ALL SELECT * FROM o) x)::text AS \"rows too many\", (SELECT count(*) FROM (SELECT * FROM o EXCEPT ALL SELECT * FROM v) x)::text AS \"rows missing\"") or return;
		my $verdict = verdict($rows->[0]);
		$self->wrong($session, $name, "rows: $verdict", '') if $verdict ne '';
	}
	elsif ($kind eq 'narrow')
	{
		my $extra = pick('t.id = ' . $self->{company}->key($subject), 't.id > ' . $self->{company}->key($subject), 't.id IN (' . $self->{company}->key($subject) . ', ' . $self->{company}->key($subject) . ')',
			$subject eq 'customers' ? ("t.country = 'DE'", 't.account_id = 3', "t.age > 30 AND t.name LIKE 'a%'") : ("t.plan = 'pro'"), 'NOT (t.id % 2 = 0)');
		(my $plain = $extra) =~ s/\bt\./$subject./g;
		my $mine = $self->execute($session, "SELECT t.id, 1 AS n FROM public.$name t WHERE $extra UNION ALL SELECT count(*), 2 FROM public.$name t WHERE $extra") or return;
		my $want = $self->execute($session, "SELECT $subject.id, 1 AS n FROM public.$subject WHERE $plain AND ($condition) UNION ALL SELECT count(*), 2 FROM public.$subject WHERE $plain AND ($condition)") or return;
		$self->same_ids($session, $name, "WHERE $extra", $mine, $want) if $session->{level} =~ /REPEATABLE|SERIALIZABLE/ || !grep { $_->{in} && $_ != $session } @{ $self->{sessions} };
	}
	elsif ($kind eq 'join')
	{
		my $other = pick(@names);
		my $other_subject = $self->segments($session)->{$other}{subject};
		return if $other_subject ne $subject;
		my $other_condition = $self->oracle_condition($session, $other);
		my $rows = $self->execute($session, "SELECT ((SELECT count(*) FROM public.$name a JOIN public.$other b USING (id)) - (SELECT count(*) FROM public.$subject WHERE ($condition) AND ($other_condition)))::text AS \"join off by\", "
			  . "((SELECT count(*) FROM public.$name a LEFT JOIN public.$other b USING (id) WHERE b.id IS NULL) - (SELECT count(*) FROM public.$subject WHERE ($condition) AND (($other_condition) IS NOT TRUE)))::text AS \"anti join off by\", "
			  . "(segment.cardinality(segment.members('public.$name') OPERATOR(segment.&) segment.members('public.$other')) - (SELECT count(*) FROM public.$subject WHERE ($condition) AND ($other_condition)))::text AS \"bitmap and off by\", "
			  . "(segment.cardinality(segment.members('public.$name') OPERATOR(segment.-) segment.members('public.$other')) - (SELECT count(*) FROM public.$subject WHERE ($condition) AND (($other_condition) IS NOT TRUE)))::text AS \"bitmap minus off by\"") or return;
		my $verdict = verdict($rows->[0]);
		$self->wrong($session, $name, "with $other: $verdict", $other_condition) if $verdict ne '';
	}
	elsif ($kind eq 'segments_of')
	{
		# which segments there are is of the snapshot, too
		return if $session->{level} =~ /REPEATABLE|SERIALIZABLE/;
		my $id = $self->{company}->key($subject);
		my @same = grep { $self->segments($session)->{$_}{subject} eq $subject } @names;
		my $want = join(' UNION ALL ', map { "SELECT '$_' AS name FROM public.$subject WHERE $subject.id = $id AND (" . $self->oracle_condition($session, $_) . ')' } @same);
		my $rows = $self->execute($session, "WITH o AS ($want), s AS (SELECT c.relname::text AS name FROM segment.segments_of('public.$subject', $id) AS x(r) JOIN pg_class c ON c.oid = x.r) "
			  . "SELECT ARRAY(SELECT name FROM o EXCEPT ALL SELECT name FROM s)::text AS \"segments_of($id) lacks\", ARRAY(SELECT name FROM s EXCEPT ALL SELECT name FROM o)::text AS \"segments_of($id) has too many\"") or return;
		my $verdict = verdict($rows->[0]);
		$self->fail("segments_of is wrong: $verdict\n  query: $want") if $verdict ne '';
	}
	elsif ($kind eq 'overlap')
	{
		# the shape of the matrix is not ours to know here: it must work
		$self->execute($session, "SELECT * FROM segment.overlap(ARRAY['public.$name']::regclass[])");
		$self->execute($session, "SELECT * FROM segment.explain('public.$name', " . $self->{company}->key($subject) . ')');
		$self->execute($session, "SELECT * FROM segment.status");
		$self->execute($session, "SELECT * FROM segment.segments");
	}
	elsif ($kind eq 'preview')
	{
		# the definition shown is a definition: it reads back to the same members
		my $rows = $self->execute($session, "SELECT definition::text AS d, (SELECT setting FROM unnest(settings) AS setting WHERE setting ILIKE 'timezone=%') AS zone FROM segment.segments WHERE segment = 'public.$name'::regclass") or return;
		return if !@$rows || $session->{in} || $self->{ddl_session};
		my $shown = $rows->[0]{d};
		my $zone = $self->segments($session)->{$name}{zone};
		my $current = $session->{zone};
		$self->execute($session, "SET TimeZone = '$zone'");
		my $done = $self->execute($session, "DO LANGUAGE segment \$segment\$CREATE SEGMENT shown$n $shown\$segment\$", may_fail => 1);
		$self->execute($session, "SET TimeZone = '$current'");
		if (!$done)
		{
			return if $session->{error}{state} =~ $tolerated || $session->{error}{state} eq '42501';
			$self->fail("the definition shown of $name does not read back: $session->{error}{state} $session->{error}{message}\n$shown");
		}
		my $compare = comparison_query("shown$n", $subject, $condition);
		my $result = $self->execute($session, $compare);
		my $verdict = $result ? verdict($result->[0]) : '';
		$self->wrong($session, $name, "the definition shown ($shown): $verdict", $compare) if $verdict ne '';
		$self->execute($session, "DROP VIEW shown$n");
	}
	return;
}

sub same_ids
{
	my ($self, $session, $name, $how, $mine, $plain) = @_;
	my ($m, $p) = map { join(' ', sort { $a <=> $b } map { $_->{id} } @$_) } $mine, $plain;
	$self->wrong($session, $name, "$how: segment gives {$m}, oracle {$p}", '') if $m ne $p;
	return;
}

# Fill the table that the probe triggers read: what to compare.
sub probe_targets
{
	my ($self, $session) = @_;
	my $segments = $self->segments($session);
	my @names = some(3, sort keys %$segments);
	return unless @names;
	$self->execute($session, 'DELETE FROM probe', quiet => 1) or return;
	for my $name (@names)
	{
		my $query = comparison_query($name, $segments->{$name}{subject}, $self->oracle_condition($session, $name));
		$self->execute($session, "INSERT INTO probe VALUES ('$name', \$query\$$query\$query\$)", quiet => 0) or return;
	}
	return 1;
}

# ---- the case ----

# An owner of all tables who is no superuser, and a clerk who may write all of them and read the segments.
sub make_roles
{
	my ($self, $setup) = @_;
	for my $role (qw(owner clerk))
	{
		$self->execute($setup, "DO \$\$ BEGIN IF to_regrole('segmentation_test_$role') IS NULL THEN CREATE ROLE segmentation_test_$role; END IF; END \$\$");
	}
	$self->execute($setup, "GRANT ALL ON SCHEMA public TO segmentation_test_owner");
	$self->execute($setup, "ALTER TABLE $_ OWNER TO segmentation_test_owner") for $self->{company}->tables;
	$self->execute($setup, "ALTER TYPE grade OWNER TO segmentation_test_owner");
	$self->execute($setup, "GRANT ALL ON ALL TABLES IN SCHEMA public TO segmentation_test_clerk");
	$self->execute($setup, "ALTER DEFAULT PRIVILEGES FOR ROLE segmentation_test_owner GRANT ALL ON TABLES TO segmentation_test_clerk");
	$self->execute($setup, "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC");
	$self->take_role($setup, 'segmentation_test_owner') if !$self->{plain};
	return;
}

sub take_role
{
	my ($self, $session, $role) = @_;
	$self->execute($session, "SET ROLE $role") or $self->fail('could not take a role');
	$session->{role} = $role;
	return;
}

sub prepare
{
	my ($self) = @_;
	seed_chance($self->{seed}, 0);
	$self->{company} = Company->new;
	my $setup = $self->connect_session;
	$self->execute($setup, "SET lock_timeout = 0", quiet => 1);
	for my $sql ('CREATE EXTENSION IF NOT EXISTS segmentation', $self->{company}->setup)
	{
		next if $self->{plain} && $sql =~ /EXTENSION/;
		$self->execute($setup, $sql) or $self->fail("setup failed: $sql: $setup->{error}{message}");
	}
	my $ordinary = chance(40);
	$self->make_roles($setup) if $ordinary;
	$self->{links} = {};
	if (!$self->{plain})
	{
		for my $link ([ 'sms', 'phone', 'phone' ], [ 'mails', 'email', 'email' ])
		{
			my ($source, $column, $key) = @$link;
			my $sql = "CREATE LINK ON $source ($column) REFERENCES customers ($key)";
			my $done = $self->execute($setup, "DO LANGUAGE segment '$sql'", may_fail => 1);
			$self->refused($sql, $setup->{error}) unless $done;
			$self->{links}{$source} = 1 if $done;
		}
	}
	$self->execute($setup, 'CREATE FUNCTION graded(numeric) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT ($1 / 50)::int $$');
	$self->execute($setup, "CREATE FUNCTION graded(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS \$\$ BEGIN RETURN upper(\$1); END \$\$");
	# triggers that read segments in the middle of statements; names sort before and after any of the extension's
	my @probes = ("CREATE TABLE probe (name text, query text)",
		"CREATE FUNCTION probe_now() RETURNS text LANGUAGE plpgsql VOLATILE AS \$\$ DECLARE p record; r record; BEGIN FOR p IN SELECT * FROM public.probe LOOP EXECUTE p.query INTO r; "
		  . "IF to_jsonb(r)::text ~ '\\{-?[0-9]' OR to_jsonb(r) ->> 'size() is off by' <> '0' THEN RAISE WARNING 'PROBE % %', p.name, to_jsonb(r); END IF; END LOOP; RETURN NULL; END \$\$",
		"CREATE FUNCTION probe_trigger() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN IF current_setting('probe.active', true) = 'on' THEN PERFORM public.probe_now(); END IF; RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END; END \$\$");
	(my $stable = $probes[1]) =~ s/probe_now/probe_stable/;
	$stable =~ s/VOLATILE/STABLE/;
	push @probes, $stable;
	for my $table (qw(customers orders order_items events))
	{
		for my $name (qw(aaa zzz))
		{
			push @probes, "CREATE TRIGGER ${name}_row_before BEFORE INSERT OR UPDATE OR DELETE ON $table FOR EACH ROW EXECUTE FUNCTION probe_trigger()";
			push @probes, "CREATE TRIGGER ${name}_row_after AFTER INSERT OR UPDATE OR DELETE ON $table FOR EACH ROW EXECUTE FUNCTION probe_trigger()";
			push @probes, "CREATE TRIGGER ${name}_statement AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON $table FOR EACH STATEMENT EXECUTE FUNCTION probe_trigger()";
		}
	}
	$self->execute($setup, $_) for @probes;
	my $zone = $setup->{zone} = pick(@zones);
	$self->execute($setup, "SET TimeZone = '$zone'");
	$self->create_segment($setup) for 1 .. ($self->{segment_count} // 6);
	$self->execute($setup, "SET lock_timeout = '150ms'");
	$self->refresh_step($setup) if chance(80) && !$self->{plain};
	$self->connect_session for 1 .. 2;
	$self->take_role($self->{sessions}[1], 'segmentation_test_owner') if $ordinary;
	$self->take_role($self->{sessions}[2], 'segmentation_test_clerk') if $ordinary;
	$_->{zone} //= 'UTC' for @{ $self->{sessions} };
	$self->execute($_, "SET TimeZone = '$_->{zone}'") for @{ $self->{sessions} };
	$self->{setup_length} = @{ $self->{trace} };
	$self->check($setup, 'all');
	return;
}

sub run_steps
{
	my ($self) = @_;
	$self->prepare;
	for my $step (1 .. $self->{steps})
	{
		seed_chance($self->{seed}, $step);
		my $session = pick(@{ $self->{sessions} });
		my $kind = ($self->{focus} // '') eq 'flight' && chance(60) ? 'flight' : ($self->{focus} // '') eq 'clock' && chance(35) ? pick('setting', 'setting', 'refresh') : weighted([ 42, 'write' ], [ 18, 'transaction' ], [ 12, 'refresh' ], [ 7, 'segment' ], [ 3, 'table' ], [ 3, 'setting' ], [ 15, 'read' ]);
		my $other = chance(35) ? pick(@{ $self->{sessions} }) : undef;
		next if $self->{skip}{$step};
		push @{ $self->{trace} }, "-- step $step";
		$self->{at} = $step;
		$self->write_step($session) if $kind eq 'write';
		$self->transaction_step($session) if $kind eq 'transaction';
		$self->refresh_step($session) if $kind eq 'refresh';
		$self->segment_step($session) if $kind eq 'segment';
		$self->table_step($session) if $kind eq 'table';
		$self->setting_step($session) if $kind eq 'setting';
		$self->read_step($session) if $kind eq 'read';
		$self->read_step($session, pick(qw(trigger trigger trigger returning))) if $kind eq 'flight';
		$self->check($session, 'own');
		$self->check($other, 'other') if $other && $other != $session;
		$self->check_feed if $kind eq 'refresh';
	}
	# everybody commits; then a refresh of everything must leave everything right
	push @{ $self->{trace} }, '-- the end';
	$_->{in} and $self->end($_, 'COMMIT') for @{ $self->{sessions} };
	$self->check($self->{sessions}[0], 'all');
	$self->execute($self->{sessions}[0], "DO LANGUAGE segment 'REFRESH SEGMENT ALL'") if !$self->{plain};
	$self->check($_, 'all') for @{ $self->{sessions} };
	$self->check_feed;
	return;
}

1;

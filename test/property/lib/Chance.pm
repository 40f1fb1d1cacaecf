# Chance: the only source of randomness of the property test, so that a seed replays a run.
#
# Every step of a case seeds it anew from (seed, step): leaving a step out does not change the others.
package Chance;

use strict;
use warnings;
no warnings qw(portable);
use Exporter 'import';
our @EXPORT = qw(seed_chance below between pick chance weighted some);

# Own generator (splitmix-like, 64 bit): the same numbers with every perl.
my $state = 1;

sub seed_chance
{
	my (@parts) = @_;
	use integer;
	$state = 88172645463325252;
	for my $part (@parts)
	{
		$state ^= $part + 0x1E3779B97F4A7C15 + ($state << 6);
		next_word() for 1 .. 3;
	}
	return;
}

sub next_word
{
	use integer;
	$state ^= $state << 13;
	$state ^= ($state >> 7) & 0x01FFFFFFFFFFFFFF;
	$state ^= $state << 17;
	$state = 88172645463325252 if $state == 0;
	return $state;
}

# 0 .. n-1
sub below
{
	my ($n) = @_;
	return 0 if $n < 2;
	return ((next_word() >> 11) & 0x1FFFFFFFFFFFF) % $n;
}

# both ends included
sub between
{
	my ($from, $to) = @_;
	return $from + below($to - $from + 1);
}

sub pick { return $_[ below(scalar @_) ]; }

# true with this probability, in percent
sub chance { return below(100) < $_[0]; }

# weighted([weight, value], ...)
sub weighted
{
	my (@choices) = @_;
	my $total = 0;
	$total += $_->[0] for @choices;
	my $at = below($total);
	for my $choice (@choices)
	{
		return $choice->[1] if $at < $choice->[0];
		$at -= $choice->[0];
	}
	return $choices[-1][1];
}

# n different elements (or all, when there are fewer), in their old order
sub some
{
	my ($n, @of) = @_;
	splice(@of, below(scalar @of), 1) while @of > $n;
	return @of;
}

1;

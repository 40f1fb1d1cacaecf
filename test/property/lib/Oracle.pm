# Oracle: does a segment equal its condition as plain SQL, in one statement, hence under one snapshot?
package Oracle;

use strict;
use warnings;
use Exporter 'import';
our @EXPORT = qw(comparison_query verdict);

# comparison_query($name, $subject, $condition): one row of text arrays and counts, all empty or zero when equal.
#
# Under REPEATABLE READ PostgreSQL itself can show a key twice: the row that
# somebody else has deleted since the snapshot, and the one that INSERT .. ON
# CONFLICT put in its place here.  A set of ids cannot; such twins are left out.
sub comparison_query
{
	my ($name, $subject, $condition) = @_;
	return <<"END";
WITH twins AS MATERIALIZED (SELECT id::bigint FROM public.$subject GROUP BY id HAVING count(*) > 1),
 oracle AS MATERIALIZED (SELECT $subject.id::bigint AS id FROM public.$subject WHERE ($condition)
  AND $subject.id NOT IN (SELECT twins.id FROM twins)),
 viewed AS (SELECT id::bigint FROM public.$name WHERE id NOT IN (SELECT id FROM twins)),
 members AS (SELECT id FROM unnest(segment.members('public.$name')::bigint[]) AS m (id) WHERE id NOT IN (SELECT id FROM twins))
SELECT ARRAY(SELECT id FROM oracle EXCEPT ALL SELECT id FROM viewed ORDER BY id)::text AS "view lacks",
 ARRAY(SELECT id FROM viewed EXCEPT ALL SELECT id FROM oracle ORDER BY id)::text AS "view has too many",
 ARRAY(SELECT id FROM oracle EXCEPT ALL SELECT id FROM members ORDER BY id)::text AS "members() lacks",
 ARRAY(SELECT id FROM members EXCEPT ALL SELECT id FROM oracle ORDER BY id)::text AS "members() has too many",
 (CASE WHEN EXISTS (SELECT FROM twins) THEN 0 ELSE segment.size('public.$name') - (SELECT count(*) FROM oracle) END)::text AS "size() is off by",
 ARRAY(SELECT id::bigint FROM public.$subject WHERE segment.contains('public.$name', id) IS DISTINCT FROM (id::bigint IN (SELECT id FROM oracle)) AND id NOT IN (SELECT id FROM twins) ORDER BY 1)::text AS "contains() is wrong for"
END
}

# The differences in a row of comparison_query as one line; '' when there are none.
sub verdict
{
	my ($row) = @_;
	return join('; ', map { "$_ $row->{$_}" } grep { ($row->{$_} // 'NULL') ne '{}' && ($row->{$_} // 'NULL') ne '0' } sort keys %$row);
}

1;

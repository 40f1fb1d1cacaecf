-- The type segment.definition: text form, operators, equality, accessors, errors.
CREATE EXTENSION segmentation;
SET search_path = public, segment;
CREATE TABLE customers (id bigint PRIMARY KEY, country text, age int, "full name" text);
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint REFERENCES customers, amount numeric, status text);
CREATE TABLE city (id int PRIMARY KEY, population int);

-- text form: the table's name is quoted as needed, the condition stays as written
SELECT d::segment.definition FROM (VALUES
	('ON customers WHERE country = ''DE'''),
	('  on   Public.Customers
		where /* who */ age > 18 -- adults
		  and age < 65	-- of age
'),
	('ON "odd table"."Other" WHERE "x y" = $$a;b$$'),
	('ON U&"caf\00e9" WHERE U&"caf!00e9" UESCAPE ''!'' = U&''\0041'''),
	('ON customers WHERE sum(orders.amount) FILTER (WHERE orders.status = ''paid'') > 500 AND NOT in_segment(''churned'')'),
	('ON customers WHERE id IN (SELECT customer_id FROM orders WHERE amount > 10 ORDER BY amount LIMIT 3)'),
	('ON customers WHERE extract(year FROM now()) IS DISTINCT FROM 2020')
) v(d);

-- the output reads back to an equal value
SELECT bool_and(d::segment.definition::text::segment.definition = d::segment.definition) AS same FROM (VALUES
	('ON customers WHERE country = ''DE'''),
	('ON "odd table"."Other" WHERE "x y" = $$a;b$$'),
	('ON U&"caf\00e9" WHERE U&"caf!00e9" UESCAPE ''!'' = U&''\0041''')
) v(d);

-- binary form
CREATE TEMP TABLE stored (d segment.definition);
INSERT INTO stored VALUES ('ON customers WHERE age > 18'), ('ON customers WHERE country = ''DE''');
SELECT encode(segment.definition_send(d), 'escape') FROM stored ORDER BY d::text;

-- operators
SELECT a & b AS "and", a | b AS "or", a - b AS without, ! a AS complement
FROM (SELECT 'ON customers WHERE age > 18 OR age IS NULL'::segment.definition AS a,
			 'ON customers WHERE country = ''DE'''::segment.definition AS b) x;
SELECT 'ON customers WHERE age > 18'::segment.definition & 'ON public.customers WHERE age < 65' AS same_table;
SELECT 'ON customers WHERE age > 18'::segment.definition & 'ON city WHERE population > 1';

-- equality: parse trees, not spelling
SELECT a::segment.definition = b::segment.definition AS equal, a::segment.definition <> b::segment.definition AS differ,
	segment.definition_hash(a::segment.definition) = segment.definition_hash(b::segment.definition) AS same_hash
FROM (VALUES
	('ON customers WHERE age>18', 'on CUSTOMERS where ((age) > 18) -- adults'),
	('ON customers WHERE age != 18', 'ON "customers" WHERE age <> 18'),
	('ON customers WHERE age::int = 1', 'ON customers WHERE CAST(age AS integer) = 1'),
	('ON customers WHERE country = ''D''', 'ON customers WHERE country = $$D$$')) v(a, b);
SELECT a::segment.definition = b::segment.definition AS equal
FROM (VALUES
	('ON customers WHERE age > 18', 'ON customers WHERE age > 19'),
	('ON customers WHERE age > 18', 'ON public.customers WHERE age > 18'),
	('ON customers WHERE "Age" > 18', 'ON customers WHERE Age > 18'),
	('ON customers WHERE a AND b', 'ON customers WHERE b AND a')) v(a, b);
SELECT count(*) FROM (VALUES ('ON customers WHERE age > 18'::segment.definition), ('ON customers WHERE (age>18)')) v(d) GROUP BY d;

-- accessors
SELECT segment.subject_table(d), segment.condition(d) FROM stored ORDER BY d::text;
SELECT segment.subject_table('ON nowhere WHERE true');
SELECT * FROM segment.sources('ON customers WHERE count(orders) > 3 AND EXISTS (SELECT FROM city WHERE population > age)');

-- what is not one boolean expression, with its position
SELECT ''::segment.definition;
SELECT 'customers WHERE true'::segment.definition;
SELECT 'ON'::segment.definition;
SELECT 'ON order WHERE true'::segment.definition;
SELECT 'ON customers'::segment.definition;
SELECT 'ON customers WHERE'::segment.definition;
SELECT 'ON customers WHERE -- nothing'::segment.definition;
SELECT 'ON a.b.c.d WHERE true'::segment.definition;
SELECT 'ON customers WHERE age >'::segment.definition;
SELECT 'ON customers WHERE age > > 18'::segment.definition;
SELECT 'ON customers WHERE (age > 18'::segment.definition;
SELECT 'ON customers WHERE age > 18)'::segment.definition;
SELECT 'ON customers WHERE age > 18; DROP TABLE customers'::segment.definition;
SELECT 'ON customers WHERE age > 18 country'::segment.definition;
SELECT 'ON customers WHERE age > 18 AS adult'::segment.definition;
SELECT 'ON customers WHERE age > 18, country = ''DE'''::segment.definition;
SELECT 'ON customers WHERE *'::segment.definition;
SELECT 'ON customers WHERE customers.*'::segment.definition;
SELECT 'ON customers WHERE DISTINCT age > 18'::segment.definition;
SELECT 'ON customers WHERE age > 18 FROM customers'::segment.definition;
SELECT 'ON customers WHERE age IS DISTINCT FROM 18 FROM customers'::segment.definition;
SELECT 'ON customers WHERE age > 18 WHERE age < 65'::segment.definition;
SELECT 'ON customers WHERE age > 18 GROUP BY age'::segment.definition;
SELECT 'ON customers WHERE mode() WITHIN GROUP (ORDER BY orders.status) = ''x'' GROUP BY age'::segment.definition;
SELECT 'ON customers WHERE age > 18 HAVING count(*) > 1'::segment.definition;
SELECT 'ON customers WHERE age > 18 WINDOW w AS ()'::segment.definition;
SELECT 'ON customers WHERE age > 18 ORDER BY age'::segment.definition;
SELECT 'ON customers
WHERE age > 18
  LIMIT 10'::segment.definition;
SELECT 'ON customers WHERE age > 18 FETCH FIRST ROW ONLY'::segment.definition;
SELECT 'ON customers WHERE age > 18 OFFSET 10'::segment.definition;
SELECT 'ON customers WHERE age > 18 FOR UPDATE'::segment.definition;
SELECT 'ON customers WHERE age > 18 UNION SELECT 1'::segment.definition;
SELECT 'ON customers WHERE country = ''DE'::segment.definition;
SELECT 'ON customers WHERE "country = 1'::segment.definition;
SELECT 'ON customers /* WHERE true'::segment.definition;
-- positions count characters, not bytes
SELECT 'ON "śród" /* żółć */ WHERE "ąę" = ''ß'' AND ó >> > 1'::segment.definition;
SELECT 'ON customers WHERE U&"\zzzz" = 1'::segment.definition;
-- the code of the error, as a program sees it
DO $$
DECLARE
	state text; message text; hint text;
BEGIN
	PERFORM 'ON customers WHERE age > 18 LIMIT 10'::segment.definition;
EXCEPTION WHEN others THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	RAISE NOTICE '% | % | %', state, message, hint;
END $$;

DROP TABLE stored;
DROP TABLE customers, orders, city;
DROP EXTENSION segmentation;

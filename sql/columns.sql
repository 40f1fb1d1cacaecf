-- Who is pending after an UPDATE: those whose segments read a column that it changed.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION segmentation;
CREATE TABLE customers (id int PRIMARY KEY, country text, score int, note text, seen date);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, amount int, status text);
INSERT INTO customers SELECT i, (ARRAY['DE', 'FR'])[1 + i % 2], i, '', '2026-01-01' FROM generate_series(1, 10) i;
INSERT INTO orders SELECT i, 1 + i % 10, i, 'paid' FROM generate_series(1, 30) i;
DO LANGUAGE segment $$
	CREATE SEGMENT a_country ON customers WHERE country = 'DE';
	CREATE SEGMENT b_score ON customers WHERE score > 5 AND country IS NOT NULL;
	CREATE SEGMENT c_amount ON customers WHERE sum(orders.amount) > 50;
	CREATE SEGMENT d_count ON customers WHERE count(orders) >= 3;
	CREATE SEGMENT e_status ON customers WHERE bool_or(orders.status = 'refunded');
	CREATE SEGMENT f_best ON customers WHERE id IN (SELECT customer_id FROM orders GROUP BY customer_id ORDER BY sum(amount) DESC, 1 LIMIT 3);
	CREATE SEGMENT g_both AS a_country & e_status;
	REFRESH SEGMENT ALL;
$$;

-- pending subjects by segment, "all" where that is everybody; then refreshed
CREATE FUNCTION pending() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text := (SELECT string_agg(format('%s %s', left(segment::text, 1), coalesce(pending::text, 'all')), ', ' ORDER BY segment::text)
		FROM segment.status WHERE pending IS DISTINCT FROM 0);
	wrong text := (SELECT string_agg(verified::text, ' ') FROM segment.verify() WHERE missing > 0 OR extra > 0);
BEGIN
	PERFORM segment.refresh();
	RETURN coalesce(line, 'nobody') || coalesce('; wrong: ' || wrong, '');
END $$;

SELECT pending();
UPDATE customers SET note = 'x' WHERE id < 5;
SELECT pending();
UPDATE customers SET score = score + 1 WHERE id = 3;
SELECT pending();
UPDATE customers SET country = 'DE' WHERE id = 3;
SELECT pending();
UPDATE orders SET status = 'refunded' WHERE id IN (7, 8);
SELECT pending();
UPDATE orders SET amount = amount + 1 WHERE id = 9;
SELECT pending();
UPDATE orders SET customer_id = 9 WHERE id = 10;
SELECT pending();
-- several columns, each in another row of one statement; and with rows that stay as they are in between
UPDATE customers SET country = CASE id WHEN 1 THEN 'PL' ELSE country END, score = CASE id WHEN 8 THEN 0 ELSE score END;
SELECT pending();
UPDATE orders SET amount = CASE id WHEN 2 THEN 90 ELSE amount END, status = CASE id WHEN 30 THEN 'open' ELSE status END;
SELECT pending();
-- several columns of one row
UPDATE orders SET amount = amount + 100, status = 'refunded' WHERE id = 14;
SELECT pending();
-- an update that says nothing, one that takes itself back, and both in one transaction
UPDATE customers SET score = score, country = country;
SELECT pending();
BEGIN;
UPDATE customers SET score = 100 WHERE id = 2;
SAVEPOINT s;
UPDATE customers SET country = 'US' WHERE id = 2;
ROLLBACK TO s;
COMMIT;
SELECT pending();
-- rows that come and go concern all
INSERT INTO customers VALUES (11, 'DE', 1);
SELECT pending();
DELETE FROM orders WHERE id = 30;
SELECT pending();
-- one way to write that makes rows of both kinds
INSERT INTO customers VALUES (11, 'DE', 99), (12, 'FR', 99) ON CONFLICT (id) DO UPDATE SET score = excluded.score;
SELECT pending();
-- a segment that reads what was not captured before
UPDATE customers SET seen = '2026-02-02' WHERE id = 5;
DO LANGUAGE segment $$ CREATE SEGMENT h_seen ON customers WHERE seen > '2026-01-15'; REFRESH SEGMENT h_seen $$;
UPDATE customers SET seen = '2026-02-02' WHERE id = 6;
SELECT pending();
-- more columns than a mask has bits: 63 apart share one
DO $$ BEGIN EXECUTE (SELECT 'ALTER TABLE customers ' || string_agg('ADD x' || i || ' int', ', ') FROM generate_series(6, 140) i); END $$;
DO LANGUAGE segment $$ CREATE SEGMENT i_wide ON customers WHERE x70 = 1 OR x133 = 1; REFRESH SEGMENT ALL $$;
UPDATE customers SET x70 = 1 WHERE id = 7;
SELECT pending();
UPDATE customers SET x133 = 1 WHERE id = 8;
SELECT pending();
UPDATE customers SET x71 = 1 WHERE id = 9;
SELECT pending();
-- the whole table
TRUNCATE orders;
SELECT pending();
DROP EXTENSION segmentation CASCADE;
DROP TABLE orders, customers;

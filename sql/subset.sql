-- Subqueries of a condition, evaluated for a few subjects: the same answers, from the rows of these subjects.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION segmentation;
CREATE TABLE customers (id int PRIMARY KEY, country text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, amount int, status text);
CREATE TABLE events (id int PRIMARY KEY, who bigint, kind text, at int);
CREATE INDEX ON orders (customer_id);
CREATE INDEX ON events (who);
INSERT INTO customers SELECT i, (ARRAY['DE', 'FR', 'IT'])[1 + i % 3] FROM generate_series(1, 3000) i;
INSERT INTO orders SELECT i, nullif(i * 7919 % 3001, 0), i % 100, (ARRAY['paid', 'open', 'refunded'])[1 + i % 3] FROM generate_series(1, 12000) i;
INSERT INTO events SELECT i, i * 6007 % 3000, (ARRAY['visit', 'download', 'form', 'cart'])[1 + i % 4], i % 500 FROM generate_series(1, 15000) i;
ANALYZE;
DO LANGUAGE segment $$
	CREATE LINK ON orders (customer_id) REFERENCES customers;
	CREATE LINK ON events (who) REFERENCES customers;
	CREATE SEGMENT a_exists ON customers WHERE EXISTS (SELECT FROM orders o WHERE o.customer_id = customers.id AND o.status = 'refunded' AND o.amount > 50);
	CREATE SEGMENT b_not_exists ON customers WHERE NOT EXISTS (SELECT 1 FROM events e WHERE customers.id = e.who AND kind = 'form');
	CREATE SEGMENT c_join ON customers WHERE EXISTS (SELECT FROM events d JOIN events f ON f.who = d.who AND f.kind = 'form' AND f.at > d.at WHERE d.who = customers.id AND d.kind = 'download');
	CREATE SEGMENT d_nested ON customers WHERE EXISTS (SELECT FROM events e WHERE e.who = customers.id AND e.kind = 'cart' AND NOT EXISTS (SELECT FROM orders o WHERE o.customer_id = e.who AND o.amount >= e.at));
	CREATE SEGMENT e_in ON customers WHERE id IN (SELECT customer_id FROM orders WHERE status = 'open' AND amount < 20);
	CREATE SEGMENT f_not_in ON customers WHERE id NOT IN (SELECT customer_id FROM orders WHERE status = 'open' AND customer_id IS NOT NULL);
	CREATE SEGMENT g_not_in_null ON customers WHERE (id NOT IN (SELECT customer_id FROM orders WHERE status = 'paid')) IS NULL;
	CREATE SEGMENT h_either ON customers WHERE country = 'DE' OR EXISTS (SELECT FROM orders o WHERE o.customer_id = customers.id AND amount > 95) OR id IN (SELECT who FROM events WHERE kind = 'cart' AND at > 480);
	CREATE SEGMENT i_correlated ON customers WHERE EXISTS (SELECT FROM orders o WHERE o.customer_id = customers.id AND o.amount > length(customers.country) * 40);
	CREATE SEGMENT j_case ON customers WHERE CASE country WHEN 'DE' THEN EXISTS (SELECT FROM orders o WHERE o.customer_id = customers.id AND 100 / (o.amount - 200) < 0) ELSE id IN (SELECT who FROM events WHERE at = 7) END;
	CREATE SEGMENT k_limit ON customers WHERE EXISTS (SELECT FROM orders o WHERE o.customer_id = customers.id AND amount > 60 LIMIT 1);
	CREATE SEGMENT l_nothing ON customers WHERE EXISTS (SELECT count(*) FROM orders o WHERE o.customer_id = customers.id AND amount > 1000);
	CREATE SEGMENT m_grouped ON customers WHERE id IN (SELECT customer_id FROM orders GROUP BY customer_id HAVING count(*) > 4);
	CREATE SEGMENT n_union ON customers WHERE id IN (SELECT customer_id FROM orders WHERE amount = 3 UNION SELECT who FROM events WHERE at = 3);
	CREATE SEGMENT o_twice ON customers WHERE EXISTS (SELECT FROM orders o WHERE o.customer_id = customers.id AND o.status = 'refunded' AND o.amount > 50) AND NOT EXISTS (SELECT FROM orders p WHERE p.customer_id = customers.id AND p.status = 'refunded' AND p.amount > 50 AND p.amount < 0);
	CREATE SEGMENT p_outer_join ON customers WHERE id IN (SELECT o.customer_id FROM orders o LEFT JOIN events e ON e.who = o.customer_id AND e.kind = 'cart' WHERE e.id IS NULL);
	REFRESH SEGMENT ALL;
$$;
CREATE FUNCTION wrong() RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(format('%s lacks %s, has %s too many', verified, missing, extra), '; ' ORDER BY verified::text) FROM segment.verify() WHERE missing > 0 OR extra > 0 $$;
SELECT segment, base_size FROM segment.status ORDER BY segment::text COLLATE "C";

-- a few subjects
UPDATE orders SET status = 'refunded', amount = 99 WHERE customer_id IN (5, 77, 1234);
DELETE FROM events WHERE who IN (6, 78, 1235);
SELECT wrong();
DO LANGUAGE segment $$ REFRESH SEGMENT ALL $$;
SELECT wrong();
UPDATE orders SET customer_id = NULL WHERE id = 17;
UPDATE orders SET customer_id = 2999, status = 'paid' WHERE id IN (18, 19);
UPDATE events SET who = NULL, kind = 'cart' WHERE id = 40;
INSERT INTO customers VALUES (9000, 'DE');
SELECT wrong();
DO LANGUAGE segment $$ REFRESH SEGMENT ALL $$;
SELECT wrong();
DELETE FROM orders WHERE customer_id IS NULL AND status = 'paid';
SELECT wrong();
DO LANGUAGE segment $$ REFRESH SEGMENT ALL $$;
SELECT wrong(), segment.size('g_not_in_null');

-- rows read for one subject; of the other forms, and within CASE, subqueries read everybody's
DO LANGUAGE segment $$ DROP SEGMENT j_case, m_grouped, n_union, p_outer_join $$;
DO LANGUAGE segment $$ REFRESH SEGMENT ALL $$;
SET enable_seqscan = off;
BEGIN;
UPDATE orders SET amount = amount + 1 WHERE customer_id = 5;
UPDATE events SET at = at + 1 WHERE who = 5;
CREATE TEMP TABLE before AS SELECT relname, seq_tup_read + idx_tup_fetch AS rows FROM pg_stat_xact_user_tables WHERE relname IN ('orders', 'events');
DO LANGUAGE segment $$ REFRESH SEGMENT ALL $$;
SELECT relname, seq_tup_read + idx_tup_fetch - rows < 300 AS few FROM pg_stat_xact_user_tables JOIN before USING (relname) ORDER BY 1;
COMMIT;
SELECT wrong();

-- Conditions tied to the subject in every roundabout way, a few at a time, under random writes and refreshes: members are always the truth.
-- Prints only what is wrong, so that it does not matter which writes chance brings.
SET client_min_messages = warning;
CREATE EXTENSION segmentation;
CREATE TABLE city (id int PRIMARY KEY, name text, population int);
CREATE TABLE account (id int PRIMARY KEY, plan text);
CREATE TABLE customers (id bigint PRIMARY KEY, name text, phone text, account_id int REFERENCES account,
	city_id int REFERENCES city, referred_by bigint, credit int);
CREATE TABLE product (id int PRIMARY KEY, category text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id bigint REFERENCES customers ON DELETE CASCADE ON UPDATE CASCADE,
	product_id int REFERENCES product, gift_for bigint, amount int, status text, note text);
CREATE TABLE order_items (id int PRIMARY KEY, order_id int REFERENCES orders ON DELETE CASCADE ON UPDATE CASCADE, price int, quantity int);
CREATE TABLE visit (id int PRIMARY KEY, customer int, page text);		-- no foreign key
CREATE TABLE sms (id int PRIMARY KEY, phone text, text text);			-- neither
CREATE TABLE ticket (id int PRIMARY KEY, customer_id bigint REFERENCES customers ON DELETE CASCADE ON UPDATE CASCADE,
	account_id int REFERENCES account, open boolean);
CREATE TABLE blocked (word text PRIMARY KEY);

-- few rows, so that every write matters to somebody
INSERT INTO city SELECT i, 'city' || i, i * 200000 FROM generate_series(1, 5) i;
INSERT INTO account SELECT i, 'basic' FROM generate_series(1, 5) i;
INSERT INTO customers SELECT i, 'name' || i, '+' || i % 8, 1 + i % 4, nullif(i % 6, 0), CASE WHEN i > 6 THEN i - 6 END, i * 37 % 101
	FROM generate_series(1, 12) i;
INSERT INTO product SELECT i, CASE WHEN i % 2 = 0 THEN 'toys' ELSE 'books' END FROM generate_series(1, 4) i;
INSERT INTO orders SELECT i, CASE WHEN i % 10 > 0 THEN 1 + i * 7 % 10 END, 1 + i % 4, 1 + i % 12, i * 13 % 120,
	CASE i % 4 WHEN 0 THEN 'open' WHEN 1 THEN 'returned' ELSE 'paid' END FROM generate_series(1, 20) i;
INSERT INTO order_items SELECT i, 1 + i % 20, i * 7 % 30, 1 + i % 5 FROM generate_series(1, 30) i;
INSERT INTO visit SELECT i, 1 + i * i % 12, 'page' || i % 3 FROM generate_series(1, 16) i;
INSERT INTO ticket SELECT i, 1 + i % 12, 1 + i % 4, i % 3 = 0 FROM generate_series(1, 8) i;
ANALYZE;

DO LANGUAGE segment $$ CREATE LINK ON visit (customer) REFERENCES customers $$;
CREATE TABLE condition (n serial, condition text, plain text);
INSERT INTO condition (condition) VALUES
	($$ id NOT IN (SELECT o.customer_id FROM city c LEFT JOIN orders o ON o.id = c.id * 3) $$),
	($$ (id IN (SELECT o.customer_id FROM city c LEFT JOIN orders o ON o.id = c.id * 3 AND o.customer_id IS NOT NULL)) IS NOT NULL $$),
	($$ EXISTS (SELECT FROM visit v LEFT JOIN orders o ON v.customer = customers.id AND o.id = v.id AND o.amount > 60 WHERE o.id IS NULL AND v.page = 'page2') $$),
	($$ (SELECT count(*) FROM visit v LEFT JOIN orders o ON o.customer_id = customers.id AND v.customer = o.customer_id WHERE v.page = 'page1') > 6 $$),
	($$ (id IN (SELECT customer_id FROM orders WHERE amount > 60)) IS NOT TRUE $$),
	($$ (id IN (SELECT customer_id FROM orders WHERE amount > 60)) IS NULL $$),
	($$ (id IN (SELECT customer_id FROM orders WHERE amount > 60)) IS NOT NULL $$),
	($$ coalesce(id IN (SELECT customer_id FROM orders WHERE status = 'open'), true) $$),
	($$ CASE WHEN id IN (SELECT customer_id FROM orders WHERE status = 'open') THEN credit > 50 ELSE credit < 50 END $$),
	($$ id = ANY (ARRAY(SELECT customer_id FROM orders WHERE amount > 60)) $$),
	($$ id <> ALL (SELECT customer_id FROM orders WHERE customer_id IS NOT NULL AND amount > 60) $$),
	($$ id <> ALL (SELECT customer_id FROM orders WHERE amount > 100) $$),
	($$ account_id NOT IN (SELECT account_id FROM ticket WHERE open) $$),
	($$ account_id NOT IN (SELECT account_id FROM ticket WHERE open AND account_id IS NOT NULL) $$),
	($$ NOT (account_id IN (SELECT account_id FROM ticket WHERE open) OR credit > 50) $$),
	($$ city_id NOT IN (SELECT id FROM city WHERE population > 500000) $$),
	($$ referred_by NOT IN (SELECT customer_id FROM orders WHERE amount > 60) $$),
	($$ referred_by IN (SELECT customer_id FROM orders WHERE amount > 60) $$),
	($$ EXISTS (SELECT FROM (SELECT customer_id FROM orders WHERE amount > 100 UNION ALL SELECT customer FROM visit WHERE page = 'page1') u WHERE u.customer_id = customers.id) $$),
	($$ EXISTS (SELECT FROM orders o WHERE o.customer_id = customers.id AND o.amount > 100 UNION SELECT FROM visit v WHERE v.customer = customers.id AND v.page = 'page1') $$),
	($$ (SELECT count(*) FROM orders o LEFT JOIN visit v ON v.customer = o.customer_id AND v.page = 'page1' WHERE o.customer_id = customers.id AND v.id IS NULL) > 1 $$),
	($$ EXISTS (SELECT FROM visit v RIGHT JOIN orders o ON v.customer = o.customer_id AND v.page = 'page2' WHERE o.customer_id = customers.id AND v.id IS NULL) $$),
	($$ EXISTS (SELECT FROM visit v FULL JOIN orders o ON v.customer = o.customer_id AND v.page = 'page2' WHERE o.customer_id = customers.id AND v.id IS NULL) $$),
	($$ EXISTS (SELECT FROM visit v FULL JOIN orders o ON v.customer = o.customer_id WHERE v.customer = customers.id AND o.id IS NULL) $$),
	($$ (SELECT max(x.n) FROM (SELECT o.status, count(*) AS n FROM orders o WHERE o.customer_id = customers.id GROUP BY o.status) x) > 1 $$),
	($$ (SELECT sum(n) FROM (SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id) x WHERE x.customer_id = customers.id) > 2 $$),
	($$ (SELECT sum(n) FROM (SELECT customer_id, status, count(*) AS n FROM orders GROUP BY GROUPING SETS ((customer_id), (status))) x WHERE x.customer_id = customers.id) > 2 $$),
	($$ (SELECT sum(n) FROM (SELECT customer_id, status, count(*) AS n FROM orders GROUP BY ROLLUP (customer_id, status)) x WHERE x.customer_id = customers.id) > 2 $$),
	($$ (SELECT min(r) FROM (SELECT customer_id, rank() OVER (PARTITION BY status ORDER BY amount) AS r FROM orders) x WHERE x.customer_id = customers.id) < 4 $$),
	($$ (SELECT min(r) FROM (SELECT customer_id, rank() OVER (PARTITION BY customer_id, status ORDER BY amount) AS r, count(*) OVER () AS n FROM orders) x WHERE x.customer_id = customers.id AND n > 15) < 4 $$),
	($$ (SELECT count(*) FROM (SELECT DISTINCT customer_id, status FROM orders) x WHERE x.customer_id = customers.id) > 1 $$),
	($$ (SELECT count(*) FROM (SELECT DISTINCT customer_id, status FROM orders LIMIT 9) x WHERE x.customer_id = customers.id) >= 0 $$),
	($$ (SELECT count(*) FROM (SELECT customer_id FROM orders ORDER BY id OFFSET 5) x WHERE x.customer_id = customers.id) > 1 $$),
	($$ EXISTS (SELECT FROM orders o, LATERAL (SELECT i.price FROM order_items i WHERE i.order_id = o.id ORDER BY i.price DESC LIMIT 1) t WHERE o.customer_id = customers.id AND t.price > 25) $$),
	($$ EXISTS (SELECT FROM orders o JOIN LATERAL (SELECT max(p.amount) AS m FROM orders p WHERE p.product_id = o.product_id) t ON true WHERE o.customer_id = customers.id AND t.m < 110) $$),
	($$ EXISTS (SELECT FROM orders o WHERE o.customer_id = customers.id AND o.amount >= ALL (SELECT p.amount FROM orders p WHERE p.product_id = o.product_id)) $$),
	($$ EXISTS (SELECT FROM orders o WHERE o.customer_id = customers.id AND o.id NOT IN (SELECT order_id FROM order_items WHERE price > 10)) $$),
	($$ EXISTS (SELECT FROM orders o WHERE o.customer_id = customers.id AND o.product_id NOT IN (SELECT id FROM product WHERE category = 'toys')) $$),
	($$ NOT EXISTS (SELECT FROM product p WHERE NOT EXISTS (SELECT FROM orders o WHERE o.customer_id = customers.id AND o.product_id = p.id)) $$),
	($$ (SELECT count(DISTINCT p.category) FROM product p JOIN orders o ON o.product_id = p.id WHERE o.customer_id = customers.id) = 1 $$),
	($$ EXISTS (SELECT FROM orders o WHERE o.customer_id = customers.id HAVING count(*) > 2) $$),
	($$ EXISTS (SELECT 1 FROM orders o HAVING count(*) FILTER (WHERE o.customer_id = customers.id) > 2) $$),
	($$ (SELECT count(*) FILTER (WHERE o.customer_id = customers.id) FROM orders o) > 2 $$),
	($$ (SELECT sum(CASE WHEN o.customer_id = customers.id THEN amount ELSE 0 END) FROM orders o) > 100 $$),
	($$ EXISTS (SELECT FROM orders o WHERE (o.customer_id, o.status) = (customers.id, 'open')) $$),
	($$ EXISTS (SELECT FROM orders o WHERE (o.customer_id, o.status) IN (SELECT c2.id, 'open' FROM customers c2 WHERE c2.account_id = customers.account_id)) $$),
	($$ (id, account_id) IN (SELECT customer_id, account_id FROM ticket) $$),
	($$ EXISTS (SELECT FROM ticket t JOIN customers peer ON peer.account_id = t.account_id WHERE t.customer_id = customers.id AND peer.credit > 90) $$),
	($$ EXISTS (SELECT FROM customers peer WHERE peer.account_id = customers.account_id AND peer.id <> customers.id AND peer.credit > 95) $$),
	($$ (SELECT max(peer.credit) FROM customers peer WHERE peer.account_id = customers.account_id) = credit $$),
	($$ EXISTS (SELECT FROM orders o WHERE o.customer_id = customers.id AND o.customer_id = o.gift_for) $$),
	($$ EXISTS (SELECT FROM orders o WHERE customers.id IN (o.customer_id, o.gift_for) AND o.amount > 110) $$),
	($$ EXISTS (SELECT FROM orders o WHERE customers.id IN (o.customer_id)) $$),
	($$ EXISTS (SELECT FROM orders o WHERE o.customer_id IS NOT DISTINCT FROM customers.referred_by) $$),
	($$ EXISTS (SELECT FROM orders o JOIN visit v USING (id) WHERE o.customer_id = customers.id) $$),
	($$ EXISTS (SELECT FROM orders o NATURAL JOIN (SELECT id, customer FROM visit) v WHERE v.customer = customers.id) $$),
	($$ EXISTS (SELECT FROM (orders o JOIN order_items i ON i.order_id = o.id) j (a, cust, c, d, e, f, g, h) WHERE j.cust = customers.id AND j.e > 100) $$),
	($$ id IN (SELECT coalesce(customer_id, gift_for) FROM orders) $$),
	($$ id IN (SELECT o.customer_id FROM orders o FULL JOIN visit v ON v.customer = o.customer_id WHERE v.id IS NULL) $$),
	($$ id IN (SELECT v.customer FROM orders o RIGHT JOIN visit v ON v.customer = o.customer_id GROUP BY v.customer HAVING count(o.id) = 0) $$),
	($$ id IN (SELECT customer_id FROM orders GROUP BY customer_id HAVING count(*) > (SELECT avg(n) FROM (SELECT count(*) AS n FROM orders GROUP BY customer_id) a)) $$),
	($$ id IN (SELECT (SELECT max(o.customer_id) FROM orders o WHERE o.product_id = p.id) FROM product p) $$),
	($$ id IN (SELECT unnest(ARRAY[customer_id, gift_for]) FROM orders WHERE amount > 100) $$),
	($$ id IN (WITH RECURSIVE up AS (SELECT 12::bigint AS i UNION SELECT c.referred_by FROM customers c JOIN up ON up.i = c.id) SELECT i FROM up) $$),
	($$ EXISTS (SELECT FROM (VALUES (1), (2)) v(x) LEFT JOIN orders o ON o.customer_id = customers.id AND o.product_id = v.x WHERE o.id IS NULL) $$),
	($$ (SELECT bool_and(o.id IS NULL) FROM (SELECT 1) one LEFT JOIN orders o ON o.customer_id = customers.id AND o.amount > 90) $$),
	($$ (SELECT count(*) FROM orders o LEFT JOIN order_items i ON i.order_id = o.id AND o.customer_id = customers.id WHERE i.id IS NOT NULL) > 3 $$),
	($$ (SELECT count(*) FROM city ci LEFT JOIN (orders o JOIN product p ON p.id = o.product_id AND p.category = 'toys') ON ci.id = o.product_id AND o.customer_id = customers.id WHERE o.id IS NULL) < 5 $$),
	($$ EXISTS (SELECT FROM city ci WHERE ci.id = customers.city_id AND ci.population > (SELECT avg(c2.population) FROM city c2)) $$),
	($$ EXISTS (SELECT FROM city ci WHERE ci.id = customers.city_id AND EXISTS (SELECT FROM customers n WHERE n.city_id = ci.id AND n.credit > 97)) $$),
	($$ customers IS NOT NULL $$),
	($$ (SELECT t FROM (SELECT customers AS t) x) IS NOT NULL $$),
	($$ EXISTS (SELECT FROM orders o WHERE o.customer_id = customers.id AND o IS NOT NULL) $$),
	($$ (SELECT o FROM orders o WHERE o.customer_id = customers.id ORDER BY id LIMIT 1) IS NOT NULL $$),
	($$ EXISTS (SELECT o.* FROM orders o WHERE o.customer_id = customers.id::int) $$),
	($$ EXISTS (SELECT FROM orders o WHERE o.customer_id::int = customers.id) $$),
	($$ EXISTS (SELECT FROM orders o WHERE o.customer_id::numeric = customers.id) $$),
	($$ EXISTS (SELECT FROM orders o WHERE o.customer_id = customers.id AND (SELECT count(*) FROM orders x WHERE x.customer_id = o.gift_for) > 2) $$),
	($$ EXISTS (SELECT FROM orders o WHERE o.customer_id = (SELECT r.referred_by FROM customers r WHERE r.id = customers.id)) $$),
	($$ EXISTS (SELECT FROM orders o JOIN customers r ON r.id = o.customer_id WHERE r.referred_by = customers.id AND o.amount > 80) $$),
	($$ (SELECT array_agg(o.status ORDER BY o.id) FROM orders o WHERE o.customer_id = customers.id) @> '{open,paid}' $$);
-- the aggregate form, and the same in plain SQL
INSERT INTO condition (condition, plain) VALUES
	($$ sum(orders.amount) FILTER (WHERE orders.amount < customers.credit) > 50 $$,
		$$ (SELECT sum(amount) FILTER (WHERE amount < customers.credit) FROM orders o WHERE o.customer_id = customers.id) > 50 $$),
	($$ count(orders) FILTER (WHERE orders.id NOT IN (SELECT order_id FROM order_items WHERE price > 15)) > 0 $$,
		$$ (SELECT count(*) FROM orders o WHERE o.customer_id = customers.id AND o.id NOT IN (SELECT order_id FROM order_items WHERE price > 15)) > 0 $$),
	($$ count(DISTINCT order_items.price) > 4 $$,
		$$ (SELECT count(DISTINCT i.price) FROM order_items i JOIN orders o ON o.id = i.order_id WHERE o.customer_id = customers.id) > 4 $$);

CREATE FUNCTION chance(n int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1 + floor(random() * n)::int';
-- One write of some kind.
CREATE FUNCTION a_write() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	c int := chance(12);
	o int := chance(20);
BEGIN
	RETURN CASE chance(22)
		WHEN 1 THEN format('UPDATE orders SET amount = %s WHERE id = %s', chance(120), o)
		WHEN 2 THEN format('UPDATE orders SET customer_id = (SELECT id FROM customers WHERE id = %s) WHERE id = %s', c, o)
		WHEN 3 THEN format('UPDATE orders SET customer_id = NULL WHERE id = %s', o)
		WHEN 4 THEN format('UPDATE orders SET status = %L WHERE id = %s', ('{open,paid,returned}'::text[])[chance(3)], o)
		WHEN 5 THEN format('DELETE FROM orders WHERE id = %s', o)
		WHEN 6 THEN format('INSERT INTO orders VALUES (%s, %s, %s, %s, %s, ''open'') ON CONFLICT DO NOTHING', o, c, 1 + c % 4, 1 + o % 12, chance(120))
		WHEN 7 THEN format('UPDATE order_items SET price = %s WHERE id = %s', chance(30), o)
		WHEN 8 THEN format('UPDATE order_items SET order_id = (SELECT id FROM orders WHERE id = %s) WHERE id = %s', 1 + c, o)
		WHEN 9 THEN format('DELETE FROM order_items WHERE id = %s', o)
		WHEN 10 THEN format('UPDATE visit SET customer = nullif(%s, 3) WHERE id = %s', c, o)
		WHEN 11 THEN format('UPDATE visit SET page = %L WHERE id = %s', 'page' || c % 4, o)
		WHEN 12 THEN format('INSERT INTO visit VALUES (%s, %s, ''page1'') ON CONFLICT DO NOTHING', o, c)
		WHEN 13 THEN format('DELETE FROM visit WHERE id = %s', o)
		WHEN 14 THEN format('UPDATE ticket SET account_id = nullif(%s, 5) WHERE id = %s', 1 + c % 5, 1 + o % 8)
		WHEN 15 THEN format('UPDATE ticket SET open = NOT open WHERE id = %s', 1 + o % 8)
		WHEN 16 THEN format('UPDATE city SET population = %s WHERE id = %s', o * 50000, 1 + c % 5)
		WHEN 17 THEN format('UPDATE product SET category = %L WHERE id = %s', CASE o % 2 WHEN 0 THEN 'toys' ELSE 'books' END, 1 + c % 4)
		WHEN 18 THEN format('UPDATE customers SET credit = %s WHERE id = %s', chance(120), c)
		WHEN 19 THEN format('UPDATE customers SET account_id = %s, city_id = nullif(%s, 0) WHERE id = %s', 1 + o % 4, o % 6, c)
		WHEN 20 THEN format('UPDATE customers SET referred_by = nullif(%s, 7) WHERE id = %s', 1 + o % 12, c)
		WHEN 21 THEN format('UPDATE orders SET gift_for = %s, product_id = %s WHERE id = %s', c, 1 + o % 4, o)
		ELSE format('UPDATE orders SET id = (SELECT max(id) + 1 FROM orders) WHERE id = %s', o)
	END;
END $$;
CREATE PROCEDURE try(first int, last int, steps int) LANGUAGE plpgsql AS $$
DECLARE
	t record;
	write text;
	exact boolean;
BEGIN
	FOR t IN SELECT n, condition FROM condition WHERE n BETWEEN first AND last LOOP
		PERFORM segment.execute(format('CREATE SEGMENT s%s ON customers WHERE %s', t.n, t.condition));
	END LOOP;
	COMMIT;
	FOR step IN 1..steps LOOP
		IF chance(3) < 3 THEN
			PERFORM segment.refresh();
			COMMIT;
		END IF;
		FOR i IN 1..chance(2) LOOP
			write := a_write();
			EXECUTE write;
			IF chance(2) = 1 THEN
				COMMIT;
			END IF;
		END LOOP;
		FOR t IN SELECT n, coalesce(plain, condition) AS plain FROM condition WHERE n BETWEEN first AND last LOOP
			EXECUTE format('SELECT segment.members(%L) OPERATOR(segment.=) (SELECT coalesce(segment.bitmap_agg(id), ''{}'') FROM customers WHERE %s)',
				's' || t.n, t.plain) INTO exact;
			IF NOT exact THEN
				RAISE WARNING 'wrong after %: %', write, t.plain;
			END IF;
		END LOOP;
	END LOOP;
	FOR t IN SELECT n FROM condition WHERE n BETWEEN first AND last LOOP
		PERFORM segment.drop_segment(('s' || t.n)::regclass);
	END LOOP;
	COMMIT;
END $$;
SELECT setseed(0.5);
SELECT format('CALL try(%s, %s, 60)', n, n + 3) FROM generate_series(1, (SELECT max(n) FROM condition), 4) n ORDER BY n \gexec
SELECT count(*) FROM segment.segments;

DROP TABLE condition, blocked, ticket, sms, visit, order_items, orders, product, customers, account, city;
DROP PROCEDURE try(int, int, int);
DROP FUNCTION a_write(), chance(int);
DROP EXTENSION segmentation;

-- Keys, indexes, statistics.
ALTER TABLE customers ADD PRIMARY KEY (id);
ALTER TABLE orders ADD PRIMARY KEY (id);
ALTER TABLE events ADD PRIMARY KEY (id);
CREATE INDEX orders_customer ON orders (customer_id, placed_at);
CREATE INDEX events_customer ON events (customer_id, at);
SELECT setval(pg_get_serial_sequence('customers', 'id'), max(id)) FROM customers \g /dev/null
SELECT setval(pg_get_serial_sequence('orders', 'id'), max(id)) FROM orders \g /dev/null
SELECT setval(pg_get_serial_sequence('events', 'id'), max(id)) FROM events \g /dev/null
DROP SCHEMA generator CASCADE;
VACUUM ANALYZE customers;
VACUUM ANALYZE orders;
VACUUM ANALYZE events;

-- The same question asked twice in one statement, so under one snapshot: the
-- segment, and its condition written out as plain SQL over the tables.
SELECT segment.size('vip') AS segment,
-- plain
	   (SELECT count(*)
		FROM (SELECT customer_id
			  FROM orders
			  GROUP BY customer_id
			  HAVING sum(amount) FILTER (WHERE status = 'paid') > 500
				 AND count(*) FILTER (WHERE status = 'paid') >= 8
				 AND count(DISTINCT category) FILTER (WHERE status = 'paid') >= 3
				 AND NOT (count(*) FILTER (WHERE status = 'refunded') >= 2
						  AND count(*) FILTER (WHERE status = 'refunded') * 5 >= count(*))) q) AS plain,
-- end
	   (SELECT count(*) FROM orders) AS orders

-- The same 24 as materialized views over plain SQL, each as one would write it for itself.
CREATE MATERIALIZED VIEW mv.s01_women_25_34 AS
	SELECT id FROM customers
	WHERE gender = 'F' AND birthdate > ref_now() - interval '35 years' AND birthdate <= ref_now() - interval '25 years';
CREATE MATERIALIZED VIEW mv.s02_seniors_dach AS
	SELECT id FROM customers WHERE country IN ('DE', 'AT', 'CH') AND birthdate <= ref_now() - interval '60 years';
CREATE MATERIALIZED VIEW mv.s03_near_paris_50km AS
	SELECT id FROM customers
	WHERE 12742.0 * asin(sqrt(power(sin((lat - 48.8566) * 0.008726646259971648), 2)
		+ cos(lat * 0.017453292519943295) * 0.6579398757 * power(sin((lon - 2.3522) * 0.008726646259971648), 2))) <= 50;
CREATE MATERIALIZED VIEW mv.s04_incomplete_profile AS
	SELECT id FROM customers WHERE email IS NULL OR gender IS NULL OR birthdate IS NULL OR city IS NULL;
CREATE MATERIALIZED VIEW mv.s05_mailable AS
	SELECT id FROM customers WHERE consent_email AND email IS NOT NULL;
CREATE MATERIALIZED VIEW mv.s06_new_30d AS
	SELECT id FROM customers WHERE created_at >= ref_now() - interval '30 days';
CREATE MATERIALIZED VIEW mv.s07_dormant_login_180d AS
	SELECT id FROM customers WHERE coalesce(last_login, created_at) < ref_now() - interval '180 days';
CREATE MATERIALIZED VIEW mv.s08_buyers_90d AS
	SELECT DISTINCT customer_id AS id FROM orders WHERE status = 'paid' AND placed_at >= ref_now() - interval '90 days';
CREATE MATERIALIZED VIEW mv.s09_frequent_5_in_365d AS
	SELECT customer_id AS id FROM orders
	WHERE status = 'paid' AND placed_at >= ref_now() - interval '365 days'
	GROUP BY customer_id HAVING count(*) >= 5;
CREATE MATERIALIZED VIEW mv.s10_spend_500_in_365d AS
	SELECT customer_id AS id FROM orders
	WHERE status = 'paid' AND placed_at >= ref_now() - interval '365 days'
	GROUP BY customer_id HAVING sum(amount) >= 500;
CREATE MATERIALIZED VIEW mv.s11_lapsed_90d AS
	SELECT customer_id AS id FROM orders WHERE status = 'paid'
	GROUP BY customer_id HAVING count(*) >= 3 AND max(placed_at) < ref_now() - interval '90 days';
CREATE MATERIALIZED VIEW mv.s12_never_bought AS
	SELECT id FROM customers c WHERE NOT EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id);
CREATE MATERIALIZED VIEW mv.s13_sport_affinity AS
	SELECT customer_id AS id FROM orders WHERE status = 'paid'
	GROUP BY customer_id HAVING count(*) >= 3 AND count(*) FILTER (WHERE category = 'sport') * 2 >= count(*);
CREATE MATERIALIZED VIEW mv.s14_cross_category_180d AS
	SELECT customer_id AS id FROM orders
	WHERE status = 'paid' AND placed_at >= ref_now() - interval '180 days'
	GROUP BY customer_id HAVING count(DISTINCT category) >= 3;
CREATE MATERIALIZED VIEW mv.s15_refund_prone AS
	SELECT customer_id AS id FROM orders
	GROUP BY customer_id
	HAVING count(*) FILTER (WHERE status = 'refunded') >= 2 AND count(*) FILTER (WHERE status = 'refunded') * 5 >= count(*);
CREATE MATERIALIZED VIEW mv.s16_email_engaged_30d AS
	SELECT customer_id AS id FROM events
	WHERE kind IN ('email_open', 'email_click') AND at >= ref_now() - interval '30 days'
	GROUP BY customer_id HAVING count(*) >= 3 OR count(*) FILTER (WHERE kind = 'email_click') >= 1;
CREATE MATERIALIZED VIEW mv.s17_email_unresponsive_180d AS
	SELECT id FROM customers c
	WHERE consent_email AND created_at < ref_now() - interval '180 days'
	  AND NOT EXISTS (SELECT FROM events e
					  WHERE e.customer_id = c.id AND e.kind IN ('email_open', 'email_click') AND e.at >= ref_now() - interval '180 days');
CREATE MATERIALIZED VIEW mv.s18_cart_abandoned_60d AS
	SELECT DISTINCT customer_id AS id FROM events e
	WHERE kind = 'visit' AND url = '/cart' AND at >= ref_now() - interval '60 days' AND at < ref_now() - interval '2 days'
	  AND NOT EXISTS (SELECT FROM orders o
					  WHERE o.customer_id = e.customer_id AND o.placed_at >= e.at AND o.placed_at < e.at + interval '2 days');
CREATE MATERIALIZED VIEW mv.s19_download_then_form_7d AS
	SELECT DISTINCT d.customer_id AS id
	FROM events d JOIN events f ON f.customer_id = d.customer_id AND f.kind = 'form' AND f.at > d.at AND f.at <= d.at + interval '7 days'
	WHERE d.kind = 'download';
CREATE MATERIALIZED VIEW mv.s20_rfm_champions AS
	SELECT customer_id AS id FROM orders
	WHERE status = 'paid' AND placed_at >= ref_now() - interval '365 days'
	GROUP BY customer_id
	HAVING max(placed_at) >= ref_now() - interval '45 days' AND count(*) >= 6 AND sum(amount) >= 400;
CREATE MATERIALIZED VIEW mv.s21_top_decile_spend_365d AS
	SELECT customer_id AS id
	FROM (SELECT customer_id, ntile(10) OVER (ORDER BY sum(amount) DESC, customer_id) AS decile
		  FROM orders
		  WHERE status = 'paid' AND placed_at >= ref_now() - interval '365 days'
		  GROUP BY customer_id) t
	WHERE decile = 1;
CREATE MATERIALIZED VIEW mv.s22_mailable_buyers AS
	(SELECT id FROM mv.s05_mailable INTERSECT SELECT id FROM mv.s08_buyers_90d) EXCEPT SELECT id FROM mv.s15_refund_prone;
CREATE MATERIALIZED VIEW mv.s23_vip_any AS
	SELECT id FROM mv.s10_spend_500_in_365d UNION SELECT id FROM mv.s20_rfm_champions UNION SELECT id FROM mv.s21_top_decile_spend_365d;
CREATE MATERIALIZED VIEW mv.s24_winback AS
	((SELECT id FROM mv.s23_vip_any UNION SELECT id FROM mv.s09_frequent_5_in_365d) INTERSECT SELECT id FROM mv.s11_lapsed_90d)
	EXCEPT SELECT id FROM mv.s17_email_unresponsive_180d;

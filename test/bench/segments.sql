-- The 24 segments, as one would declare them.  The harness replaces ref_now() by now() when asked to.
DO LANGUAGE segment $$
	CREATE SEGMENT s01_women_25_34 ON customers
		WHERE gender = 'F' AND birthdate > ref_now() - interval '35 years' AND birthdate <= ref_now() - interval '25 years';
	CREATE SEGMENT s02_seniors_dach ON customers
		WHERE country IN ('DE', 'AT', 'CH') AND birthdate <= ref_now() - interval '60 years';
	CREATE SEGMENT s03_near_paris_50km ON customers
		WHERE 12742.0 * asin(sqrt(power(sin((lat - 48.8566) * 0.008726646259971648), 2)
			+ cos(lat * 0.017453292519943295) * 0.6579398757 * power(sin((lon - 2.3522) * 0.008726646259971648), 2))) <= 50;
	CREATE SEGMENT s04_incomplete_profile ON customers
		WHERE email IS NULL OR gender IS NULL OR birthdate IS NULL OR city IS NULL;
	CREATE SEGMENT s05_mailable ON customers
		WHERE consent_email AND email IS NOT NULL;
	CREATE SEGMENT s06_new_30d ON customers
		WHERE created_at >= ref_now() - interval '30 days';
	CREATE SEGMENT s07_dormant_login_180d ON customers
		WHERE coalesce(last_login, created_at) < ref_now() - interval '180 days';
	CREATE SEGMENT s08_buyers_90d ON customers
		WHERE count(orders) FILTER (WHERE orders.status = 'paid' AND orders.placed_at >= ref_now() - interval '90 days') > 0;
	CREATE SEGMENT s09_frequent_5_in_365d ON customers
		WHERE count(orders) FILTER (WHERE orders.status = 'paid' AND orders.placed_at >= ref_now() - interval '365 days') >= 5;
	CREATE SEGMENT s10_spend_500_in_365d ON customers
		WHERE sum(orders.amount) FILTER (WHERE orders.status = 'paid' AND orders.placed_at >= ref_now() - interval '365 days') >= 500;
	CREATE SEGMENT s11_lapsed_90d ON customers
		WHERE count(orders) FILTER (WHERE orders.status = 'paid') >= 3
		  AND max(orders.placed_at) FILTER (WHERE orders.status = 'paid') < ref_now() - interval '90 days';
	CREATE SEGMENT s12_never_bought ON customers
		WHERE count(orders) = 0;
	CREATE SEGMENT s13_sport_affinity ON customers
		WHERE count(orders) FILTER (WHERE orders.status = 'paid') >= 3
		  AND count(orders) FILTER (WHERE orders.status = 'paid' AND orders.category = 'sport') * 2
			  >= count(orders) FILTER (WHERE orders.status = 'paid');
	CREATE SEGMENT s14_cross_category_180d ON customers
		WHERE count(DISTINCT orders.category) FILTER (WHERE orders.status = 'paid' AND orders.placed_at >= ref_now() - interval '180 days') >= 3;
	CREATE SEGMENT s15_refund_prone ON customers
		WHERE count(orders) FILTER (WHERE orders.status = 'refunded') >= 2
		  AND count(orders) FILTER (WHERE orders.status = 'refunded') * 5 >= count(orders);
	CREATE SEGMENT s16_email_engaged_30d ON customers
		WHERE count(events) FILTER (WHERE events.kind IN ('email_open', 'email_click') AND events.at >= ref_now() - interval '30 days') >= 3
		   OR count(events) FILTER (WHERE events.kind = 'email_click' AND events.at >= ref_now() - interval '30 days') >= 1;
	CREATE SEGMENT s17_email_unresponsive_180d ON customers
		WHERE consent_email AND created_at < ref_now() - interval '180 days'
		  AND count(events) FILTER (WHERE events.kind IN ('email_open', 'email_click') AND events.at >= ref_now() - interval '180 days') = 0;
	CREATE SEGMENT s18_cart_abandoned_60d ON customers
		WHERE EXISTS (SELECT FROM events e
					  WHERE e.customer_id = customers.id AND e.kind = 'visit' AND e.url = '/cart'
						AND e.at >= ref_now() - interval '60 days' AND e.at < ref_now() - interval '2 days'
						AND NOT EXISTS (SELECT FROM orders o
										WHERE o.customer_id = e.customer_id
										  AND o.placed_at >= e.at AND o.placed_at < e.at + interval '2 days'));
	CREATE SEGMENT s19_download_then_form_7d ON customers
		WHERE EXISTS (SELECT FROM events d JOIN events f ON f.customer_id = d.customer_id AND f.kind = 'form'
							AND f.at > d.at AND f.at <= d.at + interval '7 days'
					  WHERE d.customer_id = customers.id AND d.kind = 'download');
	CREATE SEGMENT s20_rfm_champions ON customers
		WHERE max(orders.placed_at) FILTER (WHERE orders.status = 'paid' AND orders.placed_at >= ref_now() - interval '365 days') >= ref_now() - interval '45 days'
		  AND count(orders) FILTER (WHERE orders.status = 'paid' AND orders.placed_at >= ref_now() - interval '365 days') >= 6
		  AND sum(orders.amount) FILTER (WHERE orders.status = 'paid' AND orders.placed_at >= ref_now() - interval '365 days') >= 400;
	CREATE SEGMENT s21_top_decile_spend_365d ON customers
		WHERE id IN (SELECT customer_id
					 FROM (SELECT customer_id, ntile(10) OVER (ORDER BY sum(amount) DESC, customer_id) AS decile
						   FROM orders
						   WHERE status = 'paid' AND placed_at >= ref_now() - interval '365 days'
						   GROUP BY customer_id) t
					 WHERE decile = 1);
	CREATE SEGMENT s22_mailable_buyers AS (s05_mailable & s08_buyers_90d) - s15_refund_prone;
	CREATE SEGMENT s23_vip_any AS s10_spend_500_in_365d | s20_rfm_champions | s21_top_decile_spend_365d;
	CREATE SEGMENT s24_winback AS ((s23_vip_any | s09_frequent_5_in_365d) & s11_lapsed_90d) - s17_email_unresponsive_180d;
$$;

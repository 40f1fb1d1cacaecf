-- A shop's audiences.  Each is one condition on customers, over their own columns and their orders and events.
DO LANGUAGE segment $$
	CREATE SEGMENT mailable ON customers
		WHERE consent_email AND email IS NOT NULL;

	CREATE SEGMENT incomplete_profile ON customers
		WHERE email IS NULL OR gender IS NULL OR birthdate IS NULL OR city IS NULL;

	CREATE SEGMENT near_paris ON customers		-- within 50 km
		WHERE 12742 * asin(sqrt(power(sin(radians(lat - 48.8566) / 2), 2)
			+ cos(radians(lat)) * cos(radians(48.8566)) * power(sin(radians(lon - 2.3522) / 2), 2))) <= 50;

	CREATE SEGMENT big_spenders ON customers
		WHERE sum(orders.amount) FILTER (WHERE orders.status = 'paid') > 500;

	CREATE SEGMENT loyal ON customers
		WHERE count(orders) FILTER (WHERE orders.status = 'paid') >= 8
		  AND count(DISTINCT orders.category) FILTER (WHERE orders.status = 'paid') >= 3;

	CREATE SEGMENT never_bought ON customers
		WHERE count(orders) = 0;

	CREATE SEGMENT returns_much ON customers
		WHERE count(orders) FILTER (WHERE orders.status = 'refunded') >= 2
		  AND count(orders) FILTER (WHERE orders.status = 'refunded') * 5 >= count(orders);

	CREATE SEGMENT sport_fans ON customers
		WHERE count(orders) FILTER (WHERE orders.status = 'paid') >= 3
		  AND count(orders) FILTER (WHERE orders.status = 'paid' AND orders.category = 'sport') * 2
			  >= count(orders) FILTER (WHERE orders.status = 'paid');

	CREATE SEGMENT reads_mail ON customers
		WHERE count(events) FILTER (WHERE events.kind = 'email_click') >= 3;

	-- a sequence: downloaded something, and sent a form within a week
	CREATE SEGMENT interested ON customers
		WHERE EXISTS (SELECT FROM events d JOIN events f
						ON f.customer_id = d.customer_id AND f.kind = 'form' AND f.at > d.at AND f.at <= d.at + interval '7 days'
					  WHERE d.customer_id = customers.id AND d.kind = 'download');

	-- time passes: nobody writes anything, and people leave and enter these
	CREATE SEGMENT recent_buyers ON customers
		WHERE max(orders.placed_at) FILTER (WHERE orders.status = 'paid') > now() - interval '90 days';

	CREATE SEGMENT cart_abandoners ON customers
		WHERE max(events.at) FILTER (WHERE events.kind = 'visit' AND events.url = '/cart') > now() - interval '60 days'
		  AND max(events.at) FILTER (WHERE events.kind = 'visit' AND events.url = '/cart')
			  > coalesce(max(orders.placed_at), '-infinity');

	-- of other segments
	CREATE SEGMENT vip ON customers
		WHERE in_segment('big_spenders') AND in_segment('loyal') AND NOT in_segment('returns_much');

	CREATE SEGMENT spring_campaign AS (vip | (sport_fans & reads_mail)) & mailable;

	COMMENT ON SEGMENT vip IS 'spend much, come back, keep what they bought';
$$;

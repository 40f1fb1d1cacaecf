-- Orders first to last, in order of time within this range.
INSERT INTO orders
SELECT :first - 1 + row_number() OVER (ORDER BY placed_at, i), id, placed_at,
	   CASE WHEN draw < 0.85 THEN 'paid' WHEN draw < 0.92 THEN 'cancelled'
			WHEN draw < 0.96 OR returns_much AND draw < 0.99 THEN 'refunded' ELSE 'pending' END,
	   greatest(1, round(exp(price_level + 0.6 * generator.normal(i, :seed + 33))::numeric, 2)),
	   CASE WHEN generator.uniform(i, :seed + 35) >= 0.02
			THEN generator.choice(CASE WHEN generator.uniform(i, :seed + 36) < 0.55 THEN favourite ELSE generator.uniform(i, :seed + 37) END, 1.5,
								  '{fashion,home,beauty,sport,books,toys,electronics,garden,food,music,auto,pets}') END
FROM (SELECT i, t.*, generator.uniform(i, :seed + 32) AS draw,
			 t.active_from + t.active_for * generator.uniform(i, :seed + 31) AS placed_at
	  FROM generate_series(:first::bigint, :last) i
	  -- one who never buys leaves the order to the next customer who does: one of the next eight, mostly
	  JOIN LATERAL (SELECT * FROM generator.trait t
					WHERE t.id BETWEEN generator.customer(generator.uniform(i, :seed + 30), :customers)
						AND generator.customer(generator.uniform(i, :seed + 30), :customers) + 40
					  AND t.buys
					ORDER BY t.id LIMIT 1) t ON true) o
ORDER BY placed_at, i;

-- Events first to last, in order of time within this range.  E-mails are read by those who consented to them.
INSERT INTO events
SELECT :first - 1 + row_number() OVER (ORDER BY at, i), id, at, kind,
	   CASE WHEN kind LIKE 'email%' THEN 'c' || floor(50 * power(generator.uniform(i, :seed + 43), 1.3))
			WHEN generator.uniform(i, :seed + 44) < 0.15 THEN 'ads' || floor(12 * generator.uniform(i, :seed + 43)) END,
	   CASE kind
			WHEN 'visit' THEN
				CASE WHEN page < 0.10 THEN '/cart' WHEN page < 0.16 THEN '/pricing' WHEN page < 0.30 THEN '/'
					 ELSE '/product/' || floor(5000 * power(page, 2)) END
			WHEN 'download' THEN '/files/' || floor(20 * page)
			WHEN 'form' THEN '/form/' || floor(10 * page)
			WHEN 'email_click' THEN '/product/' || floor(5000 * page) END
FROM (SELECT i, t.id, generator.uniform(i, :seed + 45) AS page,
			 t.active_from + t.active_for * generator.uniform(i, :seed + 41) AS at,
			 CASE WHEN d.draw < 0.48 THEN 'visit' WHEN d.draw < 0.52 THEN 'download' WHEN d.draw < 0.56 THEN 'form'
				  WHEN d.draw < 0.60 THEN 'social' WHEN t.reads_mail = 0 THEN 'visit'
				  WHEN d.draw < 1 - 0.4 * t.reads_mail THEN 'email_open' ELSE 'email_click' END AS kind
	  FROM generate_series(:first::bigint, :last) i
	  CROSS JOIN LATERAL (SELECT generator.uniform(i, :seed + 42) AS draw) d
	  JOIN generator.trait t ON t.id = generator.customer(generator.uniform(i, :seed + 40), :customers)) e
ORDER BY at, i;

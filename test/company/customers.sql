-- Customers first to last.  Ids follow the time of sign-up.
INSERT INTO customers
SELECT c.id,
	   generator.choice(generator.uniform(c.id, :seed + 2), 1,
						'{Ada,Ben,Carla,David,Eva,Felix,Greta,Hugo,Ines,Jan,Klara,Leo,Mia,Nils,Olga,Paul,Rosa,Sam,Tina,Yann}')
	   || ' ' ||
	   generator.choice(generator.uniform(c.id, :seed + 3), 1,
						'{Adler,Bauer,Costa,Dubois,Engel,Ferrari,Garcia,Hofer,Ivanov,Janssen,Kowalski,Lopez,Martin,Novak,Petit,Rossi,Smith,Weber}'),
	   CASE WHEN generator.uniform(c.id, :seed + 4) < 0.97 THEN 'customer' || c.id || '@mail' || c.id % 89 || '.example' END,
	   CASE WHEN c.gender_draw < 0.46 THEN 'F' WHEN c.gender_draw < 0.87 THEN 'M' WHEN c.gender_draw < 0.89 THEN 'X' END,
	   CASE WHEN generator.uniform(c.id, :seed + 5) < 0.86
			THEN (:'clock'::timestamptz - interval '1 year' * (44.0 + 14 * greatest(-2, generator.normal(c.id, :seed + 6))))::date END,
	   CASE WHEN c.located THEN t.city END,
	   CASE WHEN c.located OR generator.uniform(c.id, :seed + 8) < 0.5 THEN t.country END,
	   CASE WHEN c.located THEN t.lat + 0.2 * generator.normal(c.id, :seed + 9) END,
	   CASE WHEN c.located THEN t.lon + 0.3 * generator.normal(c.id, :seed + 11) END,
	   generator.choice(generator.uniform(c.id, :seed + 13), 1.6, ARRAY['organic', 'ads', 'referral', 'event', 'import', 'partner', NULL, NULL]),
	   generator.uniform(c.id, :seed + 14) < CASE WHEN c.gender_draw < 0.46 THEN 0.66 ELSE 0.58 END,
	   c.created_at,
	   CASE WHEN generator.uniform(c.id, :seed + 15) < 0.9
			THEN c.created_at + (:'clock'::timestamptz - c.created_at) * power(generator.uniform(c.id, :seed + 16), 0.25) END
FROM (SELECT id,
			 generator.uniform(id, :seed + 1) AS gender_draw,
			 generator.uniform(id, :seed + 7) < 0.93 AS located,
			 :'clock'::timestamptz - interval '1 minute' - interval '2190 days' * power(1 - id::double precision / :customers, 1.25) AS created_at
	  FROM generate_series(:first::bigint, :last) id) c
JOIN generator.city t ON t.k = floor(24 * power(generator.uniform(c.id, :seed + 17), 1.8))::int
ORDER BY c.id;

INSERT INTO generator.trait
SELECT c.id, s.since,
	   least(:'clock'::timestamptz - interval '1 minute' - s.since, interval '-700 days' * ln(1 - generator.uniform(c.id, :seed + 20))),
	   generator.uniform(c.id, :seed + 21) >= 0.2,
	   generator.uniform(c.id, :seed + 22) < 0.1,
	   3.6 + 0.5 * generator.normal(c.id, :seed + 23),
	   generator.uniform(c.id, :seed + 25),
	   CASE WHEN c.consent_email THEN 0.1 + 0.5 * generator.uniform(c.id, :seed + 26) ELSE 0 END
FROM customers c, LATERAL (SELECT greatest(c.created_at, :'clock'::timestamptz - interval '2 years') AS since) s
WHERE c.id BETWEEN :first AND :last;

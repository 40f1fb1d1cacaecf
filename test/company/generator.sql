-- Draws for the generator; dropped by finish.sql.  All are inlined.
CREATE SCHEMA generator;

-- Uniform in [0, 1): draw number i of a stream.
CREATE FUNCTION generator.uniform(i bigint, stream int) RETURNS double precision
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN ((pg_catalog.hashint8extended(i, stream) >> 11) & 9007199254740991)::double precision / 9007199254740992.0;

-- Standard normal (Box and Muller, The Annals of Mathematical Statistics 29, 1958); uses streams s and s + 1.
CREATE FUNCTION generator.normal(i bigint, stream int) RETURNS double precision
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN sqrt(-2 * ln(1 - generator.uniform(i, stream))) * cos(2 * pi() * generator.uniform(i, stream + 1));

-- A customer of 1 to n, some far more often than others: the rank grows as the 2.6th power of a draw from
-- [0.05, 1), and is spread over the ids by a multiplication (n must not be a multiple of 104729).
CREATE FUNCTION generator.customer(u double precision, n bigint) RETURNS bigint
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN 1 + (floor(n * (power(0.05 + 0.95 * u, 2.6) - 0.000414) / 0.999586)::bigint * 104729 + 71) % n;

-- One of the texts, the first ones more often.
CREATE FUNCTION generator.choice(u double precision, skew double precision, texts text[]) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN texts[1 + floor(cardinality(texts) * power(u, skew))::int];

CREATE TABLE generator.city (k int PRIMARY KEY, city text, country text, lat double precision, lon double precision);
INSERT INTO generator.city VALUES
	(0, 'Paris', 'FR', 48.857, 2.352), (1, 'Berlin', 'DE', 52.520, 13.405), (2, 'London', 'GB', 51.507, -0.128),
	(3, 'Madrid', 'ES', 40.417, -3.704), (4, 'Vienna', 'AT', 48.208, 16.373), (5, 'Milan', 'IT', 45.464, 9.190),
	(6, 'Hamburg', 'DE', 53.551, 9.994), (7, 'Zurich', 'CH', 47.377, 8.542), (8, 'Lyon', 'FR', 45.764, 4.836),
	(9, 'Warsaw', 'PL', 52.230, 21.012), (10, 'Munich', 'DE', 48.135, 11.582), (11, 'Amsterdam', 'NL', 52.368, 4.904),
	(12, 'Lisbon', 'PT', 38.722, -9.139), (13, 'Versailles', 'FR', 48.801, 2.130), (14, 'Manchester', 'GB', 53.481, -2.243),
	(15, 'Graz', 'AT', 47.071, 15.440), (16, 'Cologne', 'DE', 50.938, 6.960), (17, 'Rome', 'IT', 41.903, 12.496),
	(18, 'Basel', 'CH', 47.560, 7.589), (19, 'Lille', 'FR', 50.629, 3.057), (20, 'Porto', 'PT', 41.158, -8.629),
	(21, 'Linz', 'AT', 48.307, 14.286), (22, 'Utrecht', 'NL', 52.091, 5.121), (23, 'Seville', 'ES', 37.389, -5.985);

-- What a customer is like; filled with the customers, read for orders and events.
CREATE UNLOGGED TABLE generator.trait
(
	id bigint PRIMARY KEY,
	active_from timestamptz,
	active_for interval,
	buys boolean,
	returns_much boolean,
	price_level double precision,
	favourite double precision,
	reads_mail double precision
);

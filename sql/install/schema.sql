\echo Use "CREATE EXTENSION segmentation" to load this file. \quit

-- Schema "segment" is made by CREATE EXTENSION (segmentation.control) and owned by the extension.
GRANT USAGE ON SCHEMA segment TO PUBLIC;

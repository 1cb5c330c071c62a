-- CRC-32 of the run's input, as it was stored: what a fault or somebody else made of it since meets no guest. Runs of older hosts have none.
ALTER TABLE runlater_runs ADD COLUMN input_crc INTEGER;

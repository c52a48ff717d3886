"""A run on a rented GPU: prepared on the CPU, carried in pieces, done in short slices."""

"""The tests, a mirror of `usm/`."""

"""Benchmarks of the service: `make bench`. README.md has the method and the results."""

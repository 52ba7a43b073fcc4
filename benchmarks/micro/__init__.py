"""Micro-benchmarks of the code that every message runs through: `pytest benchmarks/micro --benchmark-only`."""

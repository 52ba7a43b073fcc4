"""The parts that every message goes through, one by one: `pytest benchmarks/micro --benchmark-only`."""

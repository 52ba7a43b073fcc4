"""Simulated members for `manage.py tmtpsim`, and the parts that the benchmarks share with it: a link and a place."""

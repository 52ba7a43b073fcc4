"""Simulated clients for `manage.py tmtpsim`. The benchmarks use the link, the world and the temporary server too."""

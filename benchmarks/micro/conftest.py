"""Lets `--benchmark-only` prevail over the `--benchmark-skip` that all other test runs have."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    if getattr(config.option, "benchmark_only", False):
        config.option.benchmark_skip = False

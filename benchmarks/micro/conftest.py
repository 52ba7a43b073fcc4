"""Let `--benchmark-only` override `--benchmark-skip`, which pyproject.toml sets for all test runs."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    if getattr(config.option, "benchmark_only", False):
        config.option.benchmark_skip = False

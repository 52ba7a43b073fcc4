"""Fixtures for the tests of pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .provider import RealProvider, running_provider


@pytest.fixture(scope="session")
def provider() -> Iterator[RealProvider]:
    """A real OpenID provider, one for the run. Its clients: “device” (public, as devices have it), and “web”."""
    with running_provider() as running:
        running.add_client("device", "http://localhost:8123/")
        running.add_client("web", "http://testserver/sign-in/example-university/callback/", "hush")
        yield running

"""What the website's views and the side port of `runtmtp` have in common."""

from __future__ import annotations

from django.utils.crypto import constant_time_compare

from ..conf import conf
from .health import Check

PLAIN = "text/plain; charset=utf-8"
NEEDS_TOKEN = "Show TMTP['METRICS_TOKEN'] as a bearer token.\n"  # noqa: S105


def readiness(checks: list[Check]) -> tuple[int, str]:
    """Return the status and the text of the answer to a probe."""
    ready = all(check.ok for check in checks)
    lines = [f"{check.name} {'ok' if check.ok else 'failed'}" for check in checks]
    return (200 if ready else 503), "\n".join(["ready" if ready else "not ready", *lines, ""])


def shows_token(authorization: str) -> bool:
    """Return whether the header `Authorization` has the token."""
    scheme, _, token = authorization.partition(" ")
    return scheme.lower() == "bearer" and constant_time_compare(token.strip(), conf.METRICS_TOKEN)

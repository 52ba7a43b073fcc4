"""Checks of TMTP["METRICS"]: the library must be there, and others need a token."""

from __future__ import annotations

import importlib.util
import ipaddress
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from ..conf import conf
from .rules import Messages

messages = Messages("tmtp")


@checks.register("tmtp")
def check_metrics(**_: Any) -> list[checks.CheckMessage]:
    """Check the address and token of the metrics: E014 and W014."""
    if not conf.METRICS:
        return []
    try:
        host, _port = conf.address(conf.METRICS)
    except ImproperlyConfigured:
        return []  # E003
    if importlib.util.find_spec("prometheus_client") is None:
        hint = 'pip install "mnm-django[metrics]"'
        return [messages.error(14, "TMTP[“METRICS”] is set, and prometheus_client is not installed.", hint)]
    if conf.METRICS_TOKEN or is_loopback(host):
        return []
    hint = "Set TMTP[“METRICS_TOKEN”], or let TMTP[“METRICS”] be an address of this machine only: 127.0.0.1:9743."
    return [messages.warning(14, f"Anyone who reaches {conf.METRICS} can read the metrics.", hint)]


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from this machine only."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

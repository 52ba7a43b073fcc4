"""Checks of `Q_CLUSTER`, with which django-q2 runs the workers: tasks need a place to wait, and run once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks

from .rules import Messages, is_whole

messages = Messages("tmtp")
EXAMPLE = 'Q_CLUSTER = {"name": "mysite", "orm": "default", "timeout": 300, "retry": 600}'
# Where tasks wait, as django-q2 looks for it, and the package that it needs. Redis is what it takes without any.
BROKERS = {"broker_class": "", "iron_mq": "iron_mq", "sqs": "boto3", "orm": "", "mongo": "pymongo"}


@checks.register("tmtp")
def check_workers(**_: Any) -> list[checks.CheckMessage]:
    """Check that it is a dict with sound values (E018), where tasks wait (E019), and that each runs once (W012)."""
    if not apps.is_installed("django_q"):
        return []
    cluster = getattr(settings, "Q_CLUSTER", {})
    if not isinstance(cluster, Mapping):
        return [messages.error(18, "Q_CLUSTER is not a dict.", f"Write it as {EXAMPLE}")]
    return [*_check_values(cluster), *_check_broker(cluster)] or list(_check_times(cluster))


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _check_values(cluster: Mapping[str, Any]) -> Iterable[checks.CheckMessage]:
    for key in ("timeout", "retry"):
        if cluster.get(key) is not None and not _is_seconds(cluster[key]):
            hint = f"Make it a number of seconds, such as {EXAMPLE}"
            yield messages.error(18, f"Q_CLUSTER[“{key}”] is {cluster[key]!r}.", hint)
    for key in ("workers", "recycle", "bulk", "queue_limit"):
        if cluster.get(key) is not None and not (is_whole(cluster[key]) and cluster[key] > 0):
            hint = "Make it a whole number above 0, or leave it out."
            yield messages.error(18, f"Q_CLUSTER[“{key}”] is {cluster[key]!r}.", hint)


def _check_broker(cluster: Mapping[str, Any]) -> Iterable[checks.CheckMessage]:
    used = next((name for name in BROKERS if cluster.get(name)), "redis")
    package = BROKERS.get(used, used)
    if package and find_spec(package) is None:
        message = f"The tasks of workers wait in “{used}”, for which the package {package} is not installed."
        yield messages.error(19, message, f"Let them wait in the database: {EXAMPLE}")
    if used == "orm" and cluster["orm"] not in list(settings.DATABASES):
        message = f"Q_CLUSTER[“orm”] is {cluster['orm']!r}, which is not in DATABASES."
        yield messages.error(19, message, f"Name one that is: {EXAMPLE}")


def _check_times(cluster: Mapping[str, Any]) -> Iterable[checks.CheckMessage]:
    timeout, retry = cluster.get("timeout"), cluster.get("retry") or 60
    if timeout and timeout < retry:
        return
    message = f"django-q2 may run a task twice at a time: timeout is {timeout}, retry is {retry}."
    new = f'Q_CLUSTER |= {{"timeout": {timeout or 300}, "retry": {2 * (timeout or 300)}}}' if cluster else EXAMPLE
    yield messages.warning(12, message, f"Set both, retry above timeout: {new}")

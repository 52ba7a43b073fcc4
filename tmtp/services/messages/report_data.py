"""Delivery reports as data, for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...models import Node, Report
from ..people.names import aliases_of
from ..queue.reports import Recipient

KINDS = {Node.Kind.DEVICE: "device", Node.Kind.MAILBOX: "mailbox", Node.Kind.HOLDING: "none"}
TIMES = ("sent", "acknowledged", "read", "ended")


def report_data(recipients: Sequence[Recipient]) -> list[dict[str, Any]]:
    """Return the state of a message for each of these recipients, and for each device: only what JSON has."""
    names = aliases_of([recipient.user for recipient in recipients])
    return [
        {
            "uid": recipient.user.uid,
            "name": names[recipient.user.pk],
            "username": recipient.user.account.get_username() if recipient.user.account else None,
            "state": recipient.state.value,
            "devices": [_device(report) for report in recipient.reports],
        }
        for recipient in recipients
    ]


def _device(report: Report) -> dict[str, Any]:
    """Return what is known of a device, without its label. A user without a device has one of the kind `none`."""
    times = {name: getattr(report, name) for name in TIMES}
    return {
        "kind": KINDS[Node.Kind(report.node.kind)],
        **{name: time.isoformat() if time else None for name, time in times.items()},
        "why": Report.End(report.end).name.lower() if report.end else None,
    }

"""What an export contains besides the messages. Each app adds its own part in `ready()`.

    from tmtp.members_data import sections
    sections.add(my_parts)   # my_parts(account, user) yields parts

`account` is None for a user without one. Never export a secret: whoever finds the file must not be able to sign in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..models import AbuseReport, AuditEntry, Deletion, User
from .archive import Part, json_list, json_part

FIELDS = ("first_name", "last_name", "date_joined", "last_login", "is_active")
Section = Callable[[Any, User], Iterable[Part]]
_added: list[Section] = []


def add(section: Section) -> None:
    """Add parts to all exports."""
    if section not in _added:
        _added.append(section)


def other_parts(account: Any, user: User) -> Iterator[Part]:
    """Yield everything but the messages."""
    for section in (own_parts, *_added):
        yield from section(account, user)


def own_parts(account: Any, user: User) -> Iterator[Part]:
    """Yield what `tmtp` has of a user: profile, names, devices, groups, privacy, reports, audit entries."""
    yield json_part("profile.json", {"account": _account(account), "user": _user(user)})
    yield json_list("names.json", user.aliases.order_by("pk").values("name", "created", "dropped"))
    yield json_list("devices.json", (_device(node) for node in user.nodes.order_by("pk")))
    yield json_list(
        "groups.json", (_place(place) for place in user.memberships.select_related("group").order_by("pk"))
    )
    blocks = user.blocks.select_related("blocked").order_by("pk")
    yield json_list("blocked.json", ({"name": str(one), "since": one.created} for one in blocks))
    yield json_list("identities.json", user.identities.order_by("pk").values("iss", "sub", "created"))
    reports = AbuseReport.objects.filter(reporter=user).order_by("pk")
    yield json_list("reports-of-abuse.json", (_report(report) for report in reports.iterator()))
    entries = AuditEntry.objects.filter(about_key=user.uid).order_by("pk")
    yield json_list("audit.json", entries.values("at", "action", "by", "details").iterator())


def _account(account: Any) -> dict[str, Any] | None:
    """Return those fields of an account that Django knows the meaning of: others may be secret. Sites add theirs."""
    if account is None:
        return None
    model = type(account)
    names = dict.fromkeys([model.USERNAME_FIELD, model.get_email_field_name(), *FIELDS])
    values = {name: getattr(account, name) for name in names if hasattr(account, name)}
    deletion = Deletion.objects.filter(account=account).first()
    return {**values, "deletion_due": deletion.due if deletion else None}


def _user(user: User) -> dict[str, Any]:
    return {
        "uid": user.uid,
        "created": user.created,
        "online_status_is_seen_by": user.get_presence_display(),
        "disabled": user.disabled,
    }


def _device(node: Any) -> dict[str, Any]:
    return {
        "label": node.label,
        "kind": node.get_kind_display(),
        "created": node.created,
        "last_seen": node.last_seen,
        "removed": node.dropped,
    }


def _place(place: Any) -> dict[str, Any]:
    return {
        "group": place.group.gid,
        "name": place.alias,
        "status": place.get_status_display(),
        "role": place.get_role_display(),
    }


def _report(report: AbuseReport) -> dict[str, Any]:
    return {
        "about": report.name,
        "reason": report.get_reason_display(),
        "comment": report.comment,
        "text": report.text,
        "created": report.created,
        "state": report.get_state_display(),
    }

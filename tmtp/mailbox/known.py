"""The people and groups that a member knows, to complete the names of recipients: never those of strangers.

They are the groups that the member has joined, the people in them under the names they have there, and the people whom
the member has written with, under the names known from that. No other name of theirs is disclosed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef

from ..models import Alias, Block, Member, Node
from ..services.people.lookalikes import folded
from .models import Thread
from .words import fold

THREADS, GROUPS, MEMBERS = 200, 1000, 2000  # rows that are looked through
CHECKED = 100  # names that are looked up
JOINED = Member.Status.JOINED


@dataclass(frozen=True, slots=True)
class Known:
    """A name that can be written to."""

    name: str
    is_group: bool


def known(node: Node, beginning: str = "", limit: int = 10) -> list[Known]:
    """Return the names in which a word begins so, or all. Those in the member's latest threads come first."""
    wanted = _comparable(beginning)
    mine = Member.objects.filter(user=node.user_id, status=JOINED)
    gids = list(mine.order_by("pk").values_list("group__gid", flat=True)[:GROUPS])
    names = [name for name in _names(node, mine.values("group"), gids, beginning) if _fits(name, wanted)][:CHECKED]
    found = {alias.name for alias in _known_aliases(node, names)}
    own_groups = set(gids)
    return [Known(name, name in own_groups) for name in names if name in found or name in own_groups][:limit]


def _names(node: Node, groups: Any, gids: list[str], beginning: str) -> Iterable[str]:
    latest = Thread.objects.filter(node=node).order_by("-latest").values_list("people", flat=True)[:THREADS]
    others = Member.objects.filter(group__in=groups, status=JOINED).exclude(user=node.user_id)
    names = [name for people in latest for name in people]
    names += [*gids, *others.order_by("pk").values_list("alias", flat=True)[:MEMBERS]]
    if beginning and len(names) >= MEMBERS:  # of larger groups, at least the names that begin so
        there = others.filter(user=OuterRef("user"), alias=OuterRef("name"))
        starting = Alias.objects.filter(Exists(there), folded__startswith=folded(beginning), dropped=None)
        names += starting.order_by("folded").values_list("name", flat=True)[:CHECKED]
    return dict.fromkeys(names)


def _known_aliases(node: Node, names: list[str]) -> Iterable[Alias]:
    """Return those of the names that somebody has: not the member, and nobody whom the member blocks."""
    blocked = Block.objects.filter(user=node.user_id).values("blocked")
    found = Alias.objects.filter(name__in=names, dropped=None, user__isnull=False)
    return found.exclude(user=node.user_id).exclude(user__in=blocked)


def _fits(name: str, wanted: str) -> bool:
    return not wanted or f" {wanted}" in f" {_comparable(name)}"


def _comparable(text: str) -> str:
    """Return a text without case and accents, with single spaces."""
    return " ".join(fold(text).split())

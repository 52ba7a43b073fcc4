"""Poll the database for changes by other processes: new messages for connected nodes, and nodes to disconnect.

The database is polled every TMTP["POLL"] seconds. A hint over a channel layer only makes the next look come sooner. On
SQLite a look costs nothing unless another connection has written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.db.models import Q

from ..models import Node
from ..services.people.privacy import Privacy, privacy_of
from ..services.storage import sql
from ..services.storage.dialect import Seen, others_wrote

LOOK_LIMIT = 50_000
NODES_AT_ONCE = 250  # few enough that their windows and messages in memory stay below LOOK_LIMIT


@dataclass(slots=True)
class News:
    """The result of a look.

    `waiting` has the numbers of waiting messages by node. `gone` are nodes that were dropped or are connected to
    another server, and `start_over` are nodes whose queue must be read again. `privacy` is that of users for whom it
    may have changed, by uid.
    """

    waiting: dict[int, list[int]] = field(default_factory=dict)
    gone: list[int] = field(default_factory=list)
    start_over: list[int] = field(default_factory=list)
    privacy: dict[str, Privacy] = field(default_factory=dict)
    complete: bool = True  # False if some nodes were left out, because too much waits


class Poller:
    """The poller of one server. Use it in one thread only, which has its own connection."""

    def __init__(self) -> None:
        self._seen: Seen = None, -1

    def look(
        self, lease: int, caught_up: Sequence[int], connected: Sequence[int], whoever_wrote: bool = False
    ) -> News:
        """Return what waits for the nodes that have `caught_up`, and what has changed for the `connected` ones.

        `lease` is the lease under which the nodes are connected. With `whoever_wrote`, look even if no other
        connection has written since the last look.
        """
        news = News()
        self._seen, wrote = others_wrote(self._seen)
        if not wrote and not whoever_wrote:
            return news
        for start in range(0, len(caught_up), NODES_AT_ONCE):
            rows = sql.waiting(caught_up[start : start + NODES_AT_ONCE], LOOK_LIMIT)
            for node, number in rows:
                news.waiting.setdefault(node, []).append(number)
            news.complete = news.complete and len(rows) < LOOK_LIMIT
        for start in range(0, len(connected), 500):
            self._look_at(lease, connected[start : start + 500], news)
        if news.start_over:
            Node.objects.filter(pk__in=news.start_over).update(start_over=None)
        return news

    def _look_at(self, lease: int, connected: Sequence[int], news: News) -> None:
        """Add those of some connected nodes that another process has changed."""
        elsewhere = ~Q(server=lease) | Q(server=None) | Q(dropped__isnull=False)
        changed = elsewhere | Q(start_over__isnull=False) | Q(privacy_changed__isnull=False)
        private: list[int] = []
        for node in Node.objects.filter(changed, pk__in=connected):
            if node.dropped or node.server_id != lease:
                news.gone.append(node.pk)
                continue
            if node.start_over:
                news.start_over.append(node.pk)
            if node.privacy_changed:
                private.append(node.pk)
        if private:
            news.privacy |= self._privacy(private)

    def _privacy(self, nodes: Sequence[int]) -> dict[str, Privacy]:
        """Return the privacy of the users of these nodes. First reset the marks, so that a later change sets them."""
        with transaction.atomic():
            marked = Node.objects.filter(pk__in=nodes)
            marked.update(privacy_changed=None)
            return privacy_of(set(marked.values_list("user_id", flat=True)))

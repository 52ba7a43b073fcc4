"""What other processes did: new messages for nodes connected here, and nodes that must go.

The database is the ground truth, looked at every TMTP["POLL"] seconds; a hint over a channel layer only makes the
next look come sooner. On SQLite a look costs nothing unless another connection has written.
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
NODES_AT_ONCE = 250  # with a full window and all that their server holds in memory, they stay below LOOK_LIMIT


@dataclass(slots=True)
class News:
    """Numbers waiting, by node; nodes that were dropped or are no longer this server's, and that start over.

    And the privacy of users, by uid, of whom it may have changed.
    """

    waiting: dict[int, list[int]] = field(default_factory=dict)
    gone: list[int] = field(default_factory=list)
    start_over: list[int] = field(default_factory=list)
    privacy: dict[str, Privacy] = field(default_factory=dict)
    complete: bool = True  # False: so much waits that some nodes have not been looked at


class Poller:
    """Looks into the database for one server. For one thread, with that thread's connection."""

    def __init__(self) -> None:
        self._seen: Seen = None, -1

    def look(
        self, lease: int, caught_up: Sequence[int], connected: Sequence[int], whoever_wrote: bool = False
    ) -> News:
        """Return what waits for nodes that have all they know of, and which of the connected ones must go.

        `lease` is the server's, under which the nodes are connected. With `whoever_wrote`, the look is done although
        no other connection has written since the last one.
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
        """Add those of some connected nodes that something was decided about elsewhere."""
        elsewhere = ~Q(server=lease) | Q(server=None) | Q(dropped__isnull=False)
        decided = elsewhere | Q(start_over__isnull=False) | Q(privacy_changed__isnull=False)
        private: list[int] = []
        for node in Node.objects.filter(decided, pk__in=connected):
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
        """What the users of these nodes have chosen; first the marks are removed, so a later change makes new ones."""
        with transaction.atomic():
            marked = Node.objects.filter(pk__in=nodes)
            marked.update(privacy_changed=None)
            return privacy_of(set(marked.values_list("user_id", flat=True)))

"""The participants of a mailbox's threads. A post by anyone else begins a thread of its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from ..models import Node, SentMessage
from ..protocol.values import is_msgid, parse_msgid
from ..services.messages import threads
from ..services.messages.mailbox import Received, messages_of
from .models import Thread


class Participation:
    """The participants of all threads that these messages name.

    The participants of a thread are the author and the readers of its first message, and users whom one of these adds
    with a notification (op 8). If the first message is not in this mailbox, everyone takes part, unless the site sent
    it: then only the site and the member do.
    """

    def __init__(self, node: Node, messages: Sequence[Received]) -> None:
        self._me = node.user.uid
        self._participants: dict[str, list[str]] = {}
        self._from_site: set[str] = set()
        self._extended: set[str] = set()
        self._answers: dict[tuple[str, str], bool] = {}
        keys = set()
        for message in messages:
            if message.op in ("delivery", "notify"):
                with suppress(OSError):  # the message has just been removed, or cannot be read
                    keys.add(message.named_thread)
        self._look_up(node, keys)
        for message in messages:
            if message.op == "notify":
                self._extend(message)

    def joins(self, post: Received) -> bool:
        """Return whether the sender of a post takes part in the thread that its head names."""
        key, uid = post.named_thread, post.uid
        if uid == self._me or key not in self._participants:
            return True
        if (key, uid) not in self._answers:
            self._answers[key, uid] = threads.takes_part(uid, self._participants[key])
        return self._answers[key, uid]

    def note(self, thread: Thread) -> bool:
        """Set the participants of a thread, and return whether they have changed."""
        participants = self._participants.get(thread.key)
        if participants is None or (thread.participants is not None and thread.key not in self._extended):
            return False
        thread.participants, thread.from_site = participants, thread.from_site or thread.key in self._from_site
        return True

    @property
    def extended(self) -> set[str]:
        """The keys of threads to which participants were added."""
        return self._extended

    def _look_up(self, node: Node, keys: set[str]) -> None:
        known = Thread.objects.filter(node=node, key__in=keys, participants__isnull=False)
        self._participants = {key: uids or [] for key, uids in known.values_list("key", "participants")}
        numbers = [parse_msgid(key) for key in keys - self._participants.keys() if is_msgid(key)]
        for sent in SentMessage.objects.filter(pk__in=numbers, sender__is_site=True).select_related("sender"):
            self._participants[sent.msgid] = [sent.sender.uid] if sent.sender else []
            self._from_site.add(sent.msgid)
        for message in messages_of(node).filter(pk__in=numbers, op="delivery"):
            first = Received(message)
            with suppress(OSError):
                self._participants[first.msgid] = threads.participants(first)
                if first.is_from_site:
                    self._from_site.add(first.msgid)

    def _extend(self, notice: Received) -> None:
        with suppress(OSError):
            key = notice.named_thread
            if key in self._participants and self.joins(notice):
                added = [reader.uid for reader in notice.readers]
                self._participants[key] = list(dict.fromkeys([*self._participants[key], *added]))
                self._extended.add(key)
                self._answers.clear()

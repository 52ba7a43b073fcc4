"""What `manage.py tmtplisten` prints: events of a client as lines on a terminal."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from ..client import Client, GroupChange, Invitation, Message, Ping, Presence, ReceivedFile
from ..services.text import ZWJ, ZWNJ, visible

_METHODS: dict[Any, str] = {
    Message: "message",
    Ping: "ping",
    Invitation: "invitation",
    GroupChange: "group_change",
    Presence: "presence",
}
_SHOWN = frozenset(f"\n\t{ZWJ}{ZWNJ}")
Print = Callable[[str], None]


def printable(text: str) -> str:
    """Return a text of several lines without characters that control a terminal or reorder what it shows."""
    plain = text.replace("\r\n", "\n")
    return "".join(
        "\ufffd" if unicodedata.category(character)[0] == "C" and character not in _SHOWN else character
        for character in plain
    )


class Terminal:
    """Prints the events of a client, once it is `ready`. `save` is the folder for attachments, or None."""

    def __init__(self, write: Print, save: Path | None) -> None:
        self._write, self._save = write, save
        self.ready = asyncio.Event()

    def show(self, client: Client) -> None:
        """Let the client print what arrives."""
        for kind, method in _METHODS.items():
            client.on(kind)(partial(self._when_ready, method))

    async def _when_ready(self, method: str, event: Any) -> None:
        await self.ready.wait()
        getattr(self, method)(event)

    def message(self, message: Message) -> None:
        """Print a message. Raise OSError if an attachment cannot be saved."""
        author = visible(message.author) or message.sender
        self._line(message.posted, f"{author} <{message.sender}>: {visible(message.subject)}")
        self._write(printable(message.text))
        for file in message.attachments:
            self._file(file)

    def _file(self, file: ReceivedFile) -> None:
        names = {"name": file.name, "size": file.size}
        if self._save is None:
            self._write(_("attached: %(name)s, %(size)d octets; --save FOLDER saves it") % names)
        else:
            path = file.save(self._save)
            self._write(_("attached: %(name)s, %(size)d octets; saved as %(path)s") % {**names, "path": path})

    def ping(self, ping: Ping) -> None:
        """Print a ping."""
        self._line(ping.posted, _("ping from %(alias)s: %(text)s") % _shown(alias=ping.author, text=ping.text))

    def invitation(self, invitation: Invitation) -> None:
        """Print an invitation to a group."""
        names = _shown(alias=invitation.author, group=invitation.group, text=invitation.text)
        self._line(invitation.posted, _("%(alias)s invites to the group %(group)s: %(text)s") % names)

    def group_change(self, change: GroupChange) -> None:
        """Print what has changed in a group."""
        names = _shown(group=change.group, act=change.act, alias=change.alias)
        self._line(change.posted, _("group %(group)s: %(act)s %(alias)s") % names)

    def presence(self, presence: Presence) -> None:
        """Print who is online, or no longer."""
        self._write(f"{presence.sender}: {_('online') if presence.online else _('offline')}")

    def _line(self, posted: str, text: str) -> None:
        self._write(f"{datetime.fromisoformat(posted).astimezone():%H:%M:%S} {text}")


def _shown(**texts: str) -> dict[str, str]:
    return {name: visible(text) for name, text in texts.items()}

"""Verify a server with all conversations, and write a line for each answer that differs."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from django.utils.translation import gettext as _

from ...conf import DEFAULTS
from ...testing import Client, Closed, Server
from ..temporary_server import TemporarySite
from ..world import CannotBegin
from .differences import Differs
from .participant import Connect
from .player import Player
from .script import Conversation, read_conversations
from .website import Website

AT_ONCE = 4  # conversations
AGREE, DIFFER, SKIPPED = "agree", "differ", "skipped"
LINK_PATIENCE = 10.0  # seconds for a server that should answer
# A site's own settings; the others have their defaults, which the conversations expect.
KEPT = {"BASE_TEMPLATE", "BIND", "CERT", "KEY", "LIMITS", "PUBLIC_ADDRESS", "SPOOL_DIR"}
USUAL: dict[str, Any] = {name: value for name, value in DEFAULTS.items() if name not in KEPT}

Write = Callable[[str], Any]
MakePlayer = Callable[[Conversation], Player]


class CannotPlay(Exception):
    """A conversation needs what this server does not offer. The text says what."""


def verify_server(address: tuple[str, int], tls: Any, write: Write) -> bool:
    """Verify a server that runs, and whose settings are not known. Return whether it agrees in everything.

    Conversations that need other settings or the website are skipped. The users remain in the server's database.
    Raise CannotBegin if nobody can register.
    """
    prefix = f"{secrets.token_hex(4)}-"
    connect = partial(Client, address, tls, LINK_PATIENCE)
    site_name = _try_registration(connect, prefix)

    def player(conversation: Conversation) -> Player:
        if conversation.server:
            raise CannotPlay(_("needs a server with %s in TMTP") % json.dumps(conversation.server))
        if conversation.needs_website:
            raise CannotPlay(_("needs the website"))
        return Player(connect, conversation, prefix=prefix, site_name=site_name)

    return verify(player, write)


def verify_site(site: TemporarySite, write: Write) -> bool:
    """Verify servers of a temporary site, one for each combination of settings. Return whether all of them agree."""
    with contextlib.ExitStack() as stack:
        conversations = read_conversations()
        servers: dict[str, Server] = {}
        for conversation in conversations:
            tmtp = USUAL | conversation.server
            if json.dumps(tmtp) not in servers:
                servers[json.dumps(tmtp)] = stack.enter_context(site.server(tmtp))
        website = stack.enter_context(contextlib.closing(Website(site.environment)))

        def player(conversation: Conversation) -> Player:
            server = servers[json.dumps(USUAL | conversation.server)]
            return Player(partial(server.client, LINK_PATIENCE), conversation, website)

        return verify(player, write, conversations)


def verify(player: MakePlayer, write: Write, conversations: Sequence[Conversation] | None = None) -> bool:
    """Play conversations, a few at a time, and write what differs. Return whether nothing does.

    `player` returns the Player of a conversation, or raises CannotPlay.
    """
    if conversations is None:
        conversations = read_conversations()
    counts: Counter[str] = Counter()
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for outcome, lines in pool.map(partial(_play, player), conversations):
            counts[outcome] += 1
            for line in lines:
                write(line)
    finally:
        pool.shutdown(cancel_futures=True)
    write(
        _("conversations: %(agree)d agree, %(differ)d differ, %(skipped)d skipped")
        % {outcome: counts[outcome] for outcome in (AGREE, DIFFER, SKIPPED)}
    )
    return not counts[DIFFER]


def _play(player: MakePlayer, conversation: Conversation) -> tuple[str, list[str]]:
    """Return the outcome of a conversation, and lines that describe it."""
    try:
        player(conversation).play()
    except CannotPlay as reason:
        return SKIPPED, [f"{_('skipped')} {conversation.name}: {reason}"]
    except Differs as differs:
        return DIFFER, [f"{conversation.file}:{difference}" for difference in differs.differences]
    return AGREE, []


def _try_registration(connect: Connect, prefix: str) -> str:
    """Return the name of the site. Raise CannotBegin if it cannot be reached or does not register a user."""
    try:
        with contextlib.closing(connect()) as client:
            site_name = str(client.greet().get("name", ""))
            header = client.register("laptop", f"{prefix}verification")
    except (Closed, OSError, ValueError, KeyError) as error:
        raise CannotBegin(str(error) or type(error).__name__) from error
    if header.get("error"):
        raise CannotBegin(header["error"])
    return site_name

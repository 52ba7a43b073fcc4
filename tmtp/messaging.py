"""The functions that a site calls: send messages, follow and recall them, read mailboxes, create groups, link users.

This module is stable, as are `tmtp.consumers`, `tmtp.routing`, `tmtp.signals`, `tmtp.markup`, `tmtp.client` and
`tmtp.testing`. Everything else in `tmtp` may change in any version (docs/reference/services.md).
"""

from __future__ import annotations

from .services.errors import Refused, Unreachable
from .services.groups.roles import set_role, set_rules
from .services.groups.site_groups import create_group
from .services.messages.mailbox import Received, messages_of, remove
from .services.messages.recall import Recalled, recall
from .services.messages.sending import asend_message, send_message
from .services.people.devices import drop_node, make_node
from .services.people.identities import link_identity, unlink_identity
from .services.people.linking import link_account, user_of
from .services.people.placeholders import mailbox_of
from .services.people.privacy import block, set_presence, unblock
from .services.people.site import site_alias, site_user
from .services.queue.reports import Recipient, State, report

__all__ = [
    "Recalled",
    "Received",
    "Recipient",
    "Refused",
    "State",
    "Unreachable",
    "asend_message",
    "block",
    "create_group",
    "drop_node",
    "link_account",
    "link_identity",
    "mailbox_of",
    "make_node",
    "messages_of",
    "recall",
    "remove",
    "report",
    "send_message",
    "set_presence",
    "set_role",
    "set_rules",
    "site_alias",
    "site_user",
    "unblock",
    "unlink_identity",
    "user_of",
]

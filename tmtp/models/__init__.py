"""The models. Only `tmtp.services` and `tmtp.store` write them; the hot statements are in `tmtp.services.storage.sql`.

A message is stored once (`Message`). For each node it waits for there is a `QueueEntry`, deleted when that node
acknowledges the message; a message without entries is deleted too. Ignore entries without a message: a post to many
nodes creates its entries first (see services.messages.fanout). A message's number is its time in nanoseconds since the
epoch, and messages are delivered in the order of their numbers.
"""

from __future__ import annotations

from .abuse import AbuseReport
from .audit import AuditEntry, Deletion, RunningExport
from .groups import Alias, Group, Member
from .limits import LimitCount
from .messages import Message, NumberField, QueueEntry, Receipt, Report, SentMessage
from .monitoring import Sample, ServerFigures
from .nodes import Node, ServerLease
from .people import Block, Identity, SpentToken, User

__all__ = [
    "AbuseReport",
    "Alias",
    "AuditEntry",
    "Block",
    "Deletion",
    "Group",
    "Identity",
    "LimitCount",
    "Member",
    "Message",
    "Node",
    "NumberField",
    "QueueEntry",
    "Receipt",
    "Report",
    "RunningExport",
    "Sample",
    "SentMessage",
    "ServerFigures",
    "ServerLease",
    "SpentToken",
    "User",
]

"""Look up the users and groups that posts name, for many posts at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ...models import Member
from ...protocol.requests import TO_USER
from ...protocol.values import MAX_NODES
from ..people.privacy import blocks_among
from ..storage import sql
from .fanout import AT_ONCE
from .posts import Post

_JOINED, _INVITED = Member.Status.JOINED.value, Member.Status.INVITED.value


@dataclass(slots=True)
class Directory:
    """The nodes of all users and groups that a batch of posts names. Of groups in large posts, only the sizes."""

    nodes: dict[str, list[int]] = field(default_factory=dict)  # by uid
    ids: dict[str, int] = field(default_factory=dict)  # user id by uid
    groups: dict[str, tuple[int, int]] = field(default_factory=dict)  # id and size, at most AT_ONCE + 1, by gid
    joined: dict[str, dict[int, list[int]]] = field(default_factory=dict)  # nodes by user id, by gid
    invited: dict[str, set[int]] = field(default_factory=dict)  # user ids by gid
    announcing: dict[str, set[int]] = field(
        default_factory=dict
    )  # who may post (user ids), if only moderators, by gid
    full: set[int] = field(default_factory=set)  # nodes, see services.queue.quota
    blocks: set[tuple[int, int]] = field(default_factory=set)  # user ids: (user, blocked user)

    def is_large(self, item: Post) -> bool:
        """Return whether a post is for more nodes of users, or more group members, than AT_ONCE."""
        recipients = item.all_recipients
        if not self.groups and len(recipients) * MAX_NODES <= AT_ONCE:
            return False
        named = sum([len(self.nodes.get(uid, ())) for uid in {to.id for to in recipients if to.type == TO_USER}])
        return named + sum(self.groups[gid][1] for gid in item.gids if gid in self.groups) > AT_ONCE

    def is_full(self, uid: str) -> bool:
        """Return whether a user has nodes in use, and all of them are full."""
        nodes = self.nodes[uid]
        return bool(nodes) and self.full.issuperset(nodes)


def look_up(posts: Sequence[Post]) -> Directory:
    """Return the directory of all users and groups that the posts name, senders included.

    This takes one query, two more if the posts name groups, and one more if a user blocks someone.
    """
    uids: set[str] = set()
    gids: set[str] = set()
    for item in posts:
        uids.add(item.sender.uid)
        for to in item.all_recipients:
            (uids if to.type == TO_USER else gids).add(to.id)
    directory = Directory()
    if gids:
        _look_up_sizes(directory, gids)
    blocking: set[int] = set()
    for uid, user, node, blocks_someone, full in sql.nodes_of_uids(uids):
        directory.ids[uid] = user
        if blocks_someone:
            blocking.add(user)
        nodes = directory.nodes.setdefault(uid, [])
        if node is not None:
            nodes.append(node)
            if full:
                directory.full.add(node)
    small = {gid for item in posts if not directory.is_large(item) for gid in item.gids} if gids else None
    if small:
        _look_up_groups(directory, small)
    if blocking:
        directory.blocks = blocks_among(blocking, {item.sender.user for item in posts})
    return directory


def _look_up_sizes(directory: Directory, gids: Iterable[str]) -> None:
    for gid, group, members, moderators in sql.group_sizes(gids, AT_ONCE + 1):
        directory.groups[gid] = group, members
        if moderators is not None:
            directory.announcing[gid] = {int(user) for user in moderators.split(",") if user}


def _look_up_groups(directory: Directory, gids: Iterable[str]) -> None:
    for gid, user, status, node in sql.nodes_of_gids(gids):
        joined = directory.joined.setdefault(gid, {})
        invited = directory.invited.setdefault(gid, set())
        if status == _JOINED:
            nodes = joined.setdefault(user, [])
            if node is not None:
                nodes.append(node)
        elif status == _INVITED:
            invited.add(user)

"""A model of what the services promise: users with devices, names, groups with roles and rules, blocks, messages.

It is written from tmtp.md and docs/decisions/0023-groups.md, with plain dicts and lists. Each function returns the
messages that an action sends. If the action must be refused, it returns the codes of all reasons for that, and changes
nothing. `test_model.py` compares it with the services.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

INVITED, JOINED, BARRED = 1, 2, 3
MEMBER, MODERATOR, OWNER = 1, 2, 3
CLOSED, ANYONE = 2, 3  # who may join; 1: people whom a member invites
ALL, MODERATORS = 1, 2  # who may post, and bar
FIRST, NORMAL = 0, 1


@dataclass(eq=False)
class Device:
    """A node: a device, or the placeholder of a user who has none."""

    user: User
    number: int  # the id of the node
    holds: bool = False
    waiting: dict[int, int] = field(default_factory=dict)  # rank by message


@dataclass(eq=False)
class User:
    uid: str
    number: int
    aliases: list[str] = field(default_factory=list)  # oldest first
    nodes: list[Device] = field(default_factory=list)  # in use
    blocked: set[User] = field(default_factory=set)

    @property
    def devices(self) -> list[Device]:
        return [node for node in self.nodes if not node.holds]


@dataclass(eq=False)
class Member:
    user: User
    alias: str
    status: int
    role: int = MEMBER


@dataclass(eq=False)
class Group:
    gid: str
    members: dict[User, Member] = field(default_factory=dict)  # in the order in which they came
    joining: int = 1
    posting: int = ALL
    barring: int = ALL

    @property
    def joined(self) -> list[Member]:
        return [member for member in self.members.values() if member.status == JOINED]

    def keep_owner(self) -> None:
        if self.joined and not any(member.role == OWNER for member in self.joined):
            max(self.joined, key=lambda member: member.role).role = OWNER  # the first of the highest role


@dataclass
class Expected:
    """A message that is to be queued: for these nodes, each once, with these members in its header."""

    op: str
    nodes: list[Device]
    members: dict[str, Any]
    body: bytes = b""
    rank: int = NORMAL


Recipients = list[tuple[str, int]]  # uids or gids, and their types as in the protocol
Outcome = list[Expected] | set[str]  # the messages, or the codes of the reasons for which it is refused


class Model:
    """The users, the groups and all names that were ever taken."""

    def __init__(self) -> None:
        self.users: list[User] = []
        self.groups: dict[str, Group] = {}
        self.taken: set[str] = set()

    def holder(self, alias: str) -> User | None:
        return next((user for user in self.users if alias in user.aliases), None)

    # users

    def add_alias(self, user: User, alias: str) -> Outcome:
        if alias not in user.aliases:
            if alias in self.taken:
                return {"name_taken"}
            self.take(user, alias)
        return [Expected("user", user.devices, {"from": user.uid, "newalias": alias}, rank=FIRST)]

    def take(self, user: User, alias: str) -> None:
        self.taken.add(alias)
        user.aliases.append(alias)

    # groups

    def invite(self, sender: Device, gid: str, alias: str, to: str) -> Outcome:
        reasons = self._unreachable(sender.user, alias, to)
        invitee, group = self.holder(to), self.groups.get(gid)
        new = group is None
        if group is None:
            reasons |= {"name_taken"} if gid in self.taken else set()
            group = Group(gid, {sender.user: Member(sender.user, alias, JOINED, OWNER)})
        if reasons or invitee is None:
            return reasons
        by, whom = group.members.get(sender.user), group.members.get(invitee)
        reasons |= self._not_invitable(group, by, whom)
        if reasons:
            return reasons
        if new:
            self.groups[gid] = group
            self.taken.add(gid)
        if whom is None:
            group.members[invitee] = Member(invitee, to, INVITED)
        elif whom.status == BARRED:
            whom.alias, whom.status = to, INVITED
        uid = sender.user.uid
        return [
            Expected(
                "invite", own_and(sender, [invitee]), {"from": uid, "gid": gid, "alias": alias, "to": to}, b"come"
            ),
            Expected("member", nodes_of(joined_users(group)), {"from": uid, "act": "invite", "gid": gid, "alias": to}),
        ]

    def join(self, sender: Device, gid: str, newalias: str) -> Outcome:
        group, user = self.groups.get(gid), sender.user
        if group is None:
            return {"group_not_found"}
        member = group.members.get(user)
        if member is None and group.joining == ANYONE:
            if not user.aliases and not newalias:
                return {"alias_needed"}
            member = Member(user, next(iter(user.aliases), ""), INVITED)
        if member is None or member.status == BARRED:
            return {"not_invited"}
        if newalias and newalias != member.alias and newalias not in user.aliases:
            return {"alias_not_yours"}
        group.members.setdefault(user, member)
        member.alias, member.status = newalias or member.alias, JOINED
        group.keep_owner()
        return self._tell(sender, group, {"act": "join", "alias": member.alias})

    def rename(self, sender: Device, gid: str, newalias: str) -> Outcome:
        group = self.groups.get(gid)
        if group is None:
            return {"group_not_found"}
        member = group.members.get(sender.user)
        if member is None or member.status != JOINED:
            return {"not_member"}
        before = member.alias
        if newalias not in (before, *sender.user.aliases):
            return {"alias_not_yours"}
        member.alias = newalias
        return self._tell(sender, group, {"act": "alias", "alias": before, "newalias": newalias})

    def drop(self, sender: Device, gid: str, alias: str) -> Outcome:
        group = self.groups.get(gid)
        if group is None:
            return {"group_not_found"}
        member = next((member for member in group.members.values() if member.alias == alias), None)
        if member is None:
            return {"alias_not_member"}
        if member.user is sender.user:
            if member.status == BARRED:
                return {"not_member"}
            status = INVITED
        else:
            by = group.members.get(sender.user)
            if by is None or by.status != JOINED:
                return {"not_member"}
            if not may_bar(group, by, member):
                return {"only_moderators_bar", "moderator_not_barred"}
            status = BARRED
        member.status, member.role = status, MEMBER
        group.keep_owner()
        return self._tell(sender, group, {"act": "drop", "alias": alias}, member.user)

    def set_rules(self, group: Group, by: User | None, joining: int, posting: int, barring: int) -> Outcome:
        reasons = self._not_owner(group, by)
        if joining == ANYONE and barring == ALL:
            reasons.add("open_group_barring")
        if not reasons:
            group.joining, group.posting, group.barring = joining, posting, barring
        return reasons or []

    def set_role(self, group: Group, by: User | None, user: User, role: int) -> Outcome:
        reasons, member = self._not_owner(group, by), group.members.get(user)
        if member is None:
            return reasons | {"alias_not_member"}
        if member.status != JOINED:
            reasons.add("wrong_member_status")
        if member.role == OWNER != role:
            reasons.add("owner_stays")
        if not reasons:
            for other in group.members.values():
                if role == OWNER == other.role:
                    other.role = MODERATOR
            member.role = role
        return reasons or []

    # messages

    def ping(self, sender: Device, alias: str, to: str) -> Outcome:
        reasons, recipient = self._unreachable(sender.user, alias, to), self.holder(to)
        if reasons or recipient is None:
            return reasons
        nodes = own_and(sender, [recipient])
        return [Expected("ping", nodes, {"from": sender.user.uid, "alias": alias, "to": to}, b"well?")]

    def post(self, sender: Device, to: Recipients, note: tuple[Recipients, bool] | None) -> Outcome:
        """Post to recipients. `note` is for whom a notification is, and whether the post is not for oneself."""
        note_to, not_self = note or ([], False)
        reasons = {reason for uid, kind in [*to, *note_to] if (reason := self._not_writable(sender, uid, kind))}
        if reasons:
            return reasons
        own = [] if not_self else [node for node in sender.user.nodes if node is not sender]
        members: dict[str, Any] = {"from": sender.user.uid}
        if note:
            members["notify"] = len(to) + len(note_to) + (not not_self)
        sent = [Expected("delivery", once([*self._readers(sender, to), *own]), members)]
        if note:
            own = [node for node in sender.user.nodes if node is not sender]
            nodes = once([*self._readers(sender, [*to, *note_to]), *own])
            sent.append(Expected("notify", nodes, {"from": sender.user.uid}))
        return sent

    def send(self, author: User | None, to: list[User], groups: list[Group], together: bool) -> Outcome:
        """Send from the site, or in the name of a user: a message for each user, or for all, and each group."""
        if author and any(author in user.blocked for user in to):
            return {"unreachable"}
        own = author.nodes if author else []
        members = {"from": author.uid} if author else {}
        shares = [to] if together and to else [[user] for user in to]
        shares += [joined_users(group) for group in groups]
        return [Expected("delivery", once([*nodes_of(share), *own]), members) for share in shares]

    # helpers

    def _not_invitable(self, group: Group, by: Member | None, whom: Member | None) -> set[str]:
        if by is None or by.status != JOINED:
            return {"not_member"}
        reasons = set()
        if whom and whom.status == JOINED:
            reasons.add("already_member")
        if group.joining == CLOSED and by.role == MEMBER:
            reasons.add("only_moderators_invite")
        if whom and whom.status == BARRED and not may_bar(group, by, whom):
            reasons.add("invitee_barred")
        return reasons

    def _unreachable(self, sender: User, alias: str, to: str) -> set[str]:
        recipient = self.holder(to)
        reasons = set() if alias in sender.aliases else {"alias_not_yours"}
        if recipient is None:
            reasons.add("alias_not_found")
        elif sender in recipient.blocked:
            reasons.add("unreachable")
        return reasons

    def _not_owner(self, group: Group, by: User | None) -> set[str]:
        return {"only_owner"} if by and group.members[by].role != OWNER else set()

    def _not_writable(self, sender: Device, name: str, kind: int) -> str:
        if kind == 1:
            user = next((user for user in self.users if user.uid == name), None)
            if user is None:
                return "user_not_found"
            return "unreachable" if sender.user in user.blocked else ""
        group = self.groups.get(name)
        if group is None:
            return "group_not_found"
        member = group.members.get(sender.user)
        if member is None or member.status == BARRED:
            return "not_member"
        return "only_moderators_post" if group.posting == MODERATORS and member.role == MEMBER else ""

    def _readers(self, sender: Device, to: Recipients) -> list[Device]:
        users: list[User] = []
        for name, kind in to:
            if kind == 1:
                users += [user for user in self.users if user.uid == name]
            else:
                users += [user for user in joined_users(self.groups[name]) if kind == 2 or user is not sender.user]
        return nodes_of(users)

    def _tell(self, sender: Device, group: Group, members: dict[str, Any], *others: User) -> list[Expected]:
        members = {"from": sender.user.uid, "gid": group.gid, **members}
        return [Expected("member", nodes_of([*joined_users(group), *others]), members)]


def may_bar(group: Group, by: Member, other: Member) -> bool:
    """Return what decision 23 says: everyone may, or moderators plain members, and the owner everyone else."""
    if group.barring == ALL:
        return True
    return by.role == OWNER or (by.role == MODERATOR and other.role == MEMBER)


def joined_users(group: Group) -> list[User]:
    return [member.user for member in group.joined]


def once(nodes: Iterable[Device]) -> list[Device]:
    return list(dict.fromkeys(nodes))


def nodes_of(users: Iterable[User]) -> list[Device]:
    return once(node for user in users for node in user.nodes)


def own_and(sender: Device, users: list[User]) -> list[Device]:
    """Return the nodes of the users and of the sender. The sending one is there only if its user is one of them."""
    return [node for node in nodes_of([*users, sender.user]) if node is not sender or sender.user in users]

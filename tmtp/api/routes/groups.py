"""Create groups, set their rules, and choose their members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from ninja import Router

from tmtp.models import Group, Member, User
from tmtp.services.groups import moderation, roles
from tmtp.services.groups.site_groups import add_member, create_group

from .. import people, schemas
from ..authentication import needs
from ..changes import change, record
from ..errors import Refused
from ..models import Token
from ..pages import After, Limit, page
from ..tokens import token_of

router = Router(tags=["groups"])
GROUPS = needs(Token.Scope.GROUPS)
JOINING = {"invited": Group.Joining.INVITED, "closed": Group.Joining.CLOSED, "anyone": Group.Joining.ANYONE}
RIGHTS = {"members": Group.Right.MEMBERS, "moderators": Group.Right.MODERATORS}
ROLES = {"member": Member.Role.MEMBER, "moderator": Member.Role.MODERATOR, "owner": Member.Role.OWNER}


@router.post("", response={201: schemas.Group}, summary="Create a group", operation_id="create_group", **GROUPS)
def create(request: HttpRequest, new: schemas.NewGroup) -> dict[str, Any]:
    """Create a group, which this token may manage and write to."""
    with change(request):
        group = create_group(
            new.gid,
            joining=JOINING[new.joining or "invited"],
            posting=RIGHTS[new.posting or "members"],
            barring=RIGHTS[new.barring] if new.barring else None,
        )
        token_of(request).groups.add(group)
        record("create group", group)
    return _described(group)


@router.get("", response=schemas.GroupPage, summary="List groups", operation_id="list_groups", **GROUPS)
def list_groups(request: HttpRequest, limit: Limit, after: After) -> dict[str, Any]:
    """List the groups of this token."""
    groups = list(token_of(request).groups.filter(pk__gt=after or 0).order_by("pk")[: limit + 1])
    return page([_described(group) for group in groups], limit, [group.pk for group in groups])


@router.get("/{int:pk}", response=schemas.Group, summary="Look up a group", operation_id="get_group", **GROUPS)
def get_group(request: HttpRequest, pk: int) -> dict[str, Any]:
    """Return a group of this token."""
    return _described(_own(request, pk))


@router.patch("/{int:pk}", response=schemas.Group, summary="Set the rules", operation_id="set_rules", **GROUPS)
def set_rules(request: HttpRequest, pk: int, rules: schemas.Rules) -> dict[str, Any]:
    """Set who may join a group, write to it and bar members."""
    group = _own(request, pk)
    with change(request):
        roles.set_rules(
            group,
            joining=JOINING[rules.joining] if rules.joining else group.joining,
            posting=RIGHTS[rules.posting] if rules.posting else group.posting,
            barring=RIGHTS[rules.barring] if rules.barring else group.barring,
        )
        record("set rules", group)
    return _described(group)


@router.get(
    "/{int:pk}/members", response=schemas.MemberPage, summary="List members", operation_id="list_members", **GROUPS
)
def list_members(request: HttpRequest, pk: int, limit: Limit, after: After) -> dict[str, Any]:
    """List the members of a group, with invited and barred ones."""
    members = _own(request, pk).members.filter(pk__gt=after or 0).select_related("user").order_by("pk")
    found = list(members[: limit + 1])
    items = [
        {
            "uid": member.user.uid,
            "name": member.alias,
            "status": Member.Status(member.status).name.lower(),
            "role": Member.Role(member.role).name.lower(),
        }
        for member in found
    ]
    return page(items, limit, [member.pk for member in found])


@router.post(
    "/{int:pk}/members", response=schemas.Changed, summary="Add members", operation_id="add_members", **GROUPS
)
def add_members(request: HttpRequest, pk: int, added: schemas.Added) -> dict[str, Any]:
    """Make people members of a group at once. Each needs a name. The members are told."""
    return _each(request, pk, "add members", added.people, add_member)


@router.post(
    "/{int:pk}/members/remove",
    response=schemas.Changed,
    summary="Remove members",
    operation_id="remove_members",
    **GROUPS,
)
def remove_members(request: HttpRequest, pk: int, removed: schemas.Removed) -> dict[str, Any]:
    """Have members leave a group, or bar them."""
    act = moderation.bar if removed.bar else moderation.leave
    return _each(request, pk, "remove members", removed.people, lambda group, user: act(_member(group, user)))


@router.post(
    "/{int:pk}/members/role", response=schemas.Changed, summary="Give a role", operation_id="set_role", **GROUPS
)
def set_role(request: HttpRequest, pk: int, new: schemas.NewRole) -> dict[str, Any]:
    """Make members moderators or owner of a group, or plain members again."""
    role = ROLES[new.role]
    return _each(request, pk, "set role", new.people, lambda group, user: roles.set_role(group, user, role))


def _each(
    request: HttpRequest, pk: int, what: str, named: schemas.People, act: Callable[[Group, User], object]
) -> dict[str, Any]:
    """Do something to all people in a group, or, if one is refused, to nobody."""
    group = _own(request, pk)
    with change(request):
        users = people.people(token_of(request), named)
        uids = [user.uid for user in users]
        for user in users:
            with transaction.atomic():
                act(group, user)
        record(what, group, uids=uids)
    return {"uids": uids}


def _member(group: Group, user: User) -> Member:
    member = Member.objects.filter(group=group, user=user).first()
    if member is None:
        raise Refused("alias_not_member", alias=user.uid, gid=group.gid)
    return member


def _own(request: HttpRequest, pk: int) -> Group:
    """Return a group of this token. Raise Refused if there is none."""
    group = token_of(request).groups.filter(pk=pk).first()
    if group is None:
        raise Refused("not_found")
    return group


def _described(group: Group) -> dict[str, Any]:
    return {
        "id": group.pk,
        "gid": group.gid,
        "joining": Group.Joining(group.joining).name.lower(),
        "posting": Group.Right(group.posting).name.lower(),
        "barring": Group.Right(group.barring).name.lower(),
    }

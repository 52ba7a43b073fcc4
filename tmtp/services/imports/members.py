"""Take over members of the website from a table: their accounts, aliases and groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db import transaction

from ...models import Alias, Group, Member, User
from ..errors import Refused
from ..groups import groups, roles
from ..people.actors import Sender
from ..people.linking import user_of
from ..people.names import aliases_of, reserve


@dataclass(frozen=True, slots=True)
class NewMember:
    """A row of the table: fields of the account, by name, and what the member has in tmtp."""

    account: Mapping[str, str]
    alias: str = ""
    groups: Sequence[str] = field(default=())  # gids


@dataclass
class Added:
    """What was added for a member."""

    accounts: int = 0
    names: int = 0
    members: int = 0


def account_fields() -> list[str]:
    """Return the fields of an account that a table may have. The first one says who it is."""
    model: Any = get_user_model()
    names = [model.USERNAME_FIELD, model.get_email_field_name(), *model.REQUIRED_FIELDS, "first_name", "last_name"]
    return [name for name in dict.fromkeys(names) if _has_field(model, name)]


@transaction.atomic
def take_member(new: NewMember) -> Added:
    """Add an account with an alias and memberships, or what is missing of them. An account stays as it is.

    A new account has no password: the member asks for one (“forgot your password?”). Raise ValidationError for a field
    that the account cannot have, and Refused for an alias or a group.
    """
    account, made = _account(new.account)
    added = Added(accounts=int(made))
    user = user_of(account)
    if new.alias and not Alias.objects.filter(name=new.alias, user=user).exists():
        reserve(new.alias, "newalias", user=user)
        added.names = 1
    for gid in new.groups:
        added.members += _join(user, gid)
    return added


def _account(fields: Mapping[str, str]) -> tuple[Any, bool]:
    model: Any = get_user_model()
    known = model._default_manager.filter(**{model.USERNAME_FIELD: fields[model.USERNAME_FIELD]}).first()
    if known:
        return known, False
    account = model(**fields)
    account.set_unusable_password()
    account.clean()  # which normalises the address
    account.full_clean()
    account.save()
    return account, True


def _join(user: User, gid: str) -> int:
    """Make a user a joined member of a group. Return 0 if they are or were a member already."""
    if Member.objects.filter(group__gid=gid, user=user).exists():
        return 0
    alias = aliases_of([user])[user.pk]
    if alias == user.uid:
        raise Refused("alias_needed", gid=gid)
    group = Group.objects.filter(gid=gid).first()
    if group is None:
        groups.create(Sender(user.uid, user.pk), gid, alias)  # whose owner they are
    else:
        Member.objects.create(group=group, user=user, alias=alias, status=Member.Status.JOINED)
        roles.keep_owner(group)
    return 1


def _has_field(model: Any, name: str) -> bool:
    try:
        model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True

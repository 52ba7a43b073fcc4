"""What a broadcast looks like to one member: for its preview, and for a test message to whoever writes it."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.utils.translation import gettext as _

from tmtp.models import User
from tmtp.services.messages.recipients import resolve
from tmtp.services.messages.sending import send_message

from ..errors import Refused
from . import fields
from .files import attachments
from .models import Broadcast


class Letter(NamedTuple):
    """The subject and the text that a member gets."""

    subject: str
    body: str


def letters(broadcast: Broadcast, users: list[User]) -> list[Letter]:
    """Return what each of the users gets. Raise Refused for fields that do not exist."""
    fields.check(broadcast.subject, broadcast.body)
    wanted = fields.used(broadcast.subject, broadcast.body)
    values = fields.values_of(users, wanted)
    return [
        Letter(
            fields.fill_subject(broadcast.subject, values[user.pk]), fields.fill_body(broadcast.body, values[user.pk])
        )
        for user in users
    ]


def one_user(to: Any) -> User:
    """Return the user that a member, a uid or an alias stands for. Raise Refused if there is not exactly one."""
    users, groups = resolve(to)
    if groups or len(users) != 1:
        raise Refused("sender_not_one_user")
    return users[0]


def member(name: str) -> Any:
    """Return the account with this username, or else the name itself, which may be an alias or a uid."""
    Account = get_user_model()
    return Account._default_manager.filter(**{Account.USERNAME_FIELD: name}).first() or name


def send_test(broadcast: Broadcast, to: Any) -> str:
    """Send the broadcast to one member only, as they would get it, and return its msgid. Its report does not count it.

    `to` is a member of the website, a user, a uid or an alias. Raise Refused as `send_message` does.
    """
    user = one_user(to)
    ((subject, body),) = letters(broadcast, [user])
    (msgid,) = send_message(
        user, _("Test: %(subject)s") % {"subject": subject}, body, attachments=attachments(broadcast)
    )
    return msgid

"""Why a service of tmtp refused, in the words of a page: the services speak to clients, in the protocol's terms."""

from __future__ import annotations

import re
from collections.abc import Callable

from django import forms
from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tmtp.models import User
from tmtp.services.errors import Refused

from .limits import spend

# What does not stand here is shown as the service says it.
WORDS: tuple[tuple[str, str | Promise], ...] = (
    (r"(newalias|gid) must be 8\+ characters", _("A name has 8 characters or more.")),
    (r"(newalias|gid) must be (?P<most>\d+) characters or fewer", _("A name has %(most)s characters or fewer.")),
    (r"(newalias|gid) has characters that cannot be printed", _("A name has only characters that one can see.")),
    (r"(newalias|gid) must not begin or end with a space", _("A name does not begin or end with a space.")),
    (r"(newalias|gid) (?P<name>.+) is not available", _("“%(name)s” is taken, or looks like a name that is.")),
    (r"alias (?P<name>.+) not found", _("Nobody is called “%(name)s”. Mind upper and lower case.")),
    (r"(?P<name>.+) cannot be reached now", _("“%(name)s” cannot be reached now.")),
    (r"(?P<name>.+) is a member of (?P<gid>.+) already", _("“%(name)s” is a member already.")),
    (r"you are not a member of (?P<gid>.+)", _("You are not a member of “%(gid)s”.")),
    (r"you are not invited to (?P<gid>.+)", _("You are not invited to “%(gid)s”.")),
    (r".+ has (?P<most>\d+) members, which is .+", _("The group has room for %(most)s members, and no more.")),
    (r"you are in (?P<most>\d+) groups, which .+", _("You are in %(most)s groups, which is the most there may be.")),
    (r"(from|newalias) must identify sender", _("That name is not yours any more.")),
    (r"one cannot block oneself", _("That is you: nobody can block themselves.")),
    (r"the site itself cannot be blocked", _("That is this website, which cannot be blocked.")),
    (r"a user has at most (?P<most>\d+) nodes", _("You have %(most)s devices, which is the most there may be.")),
    (r"a device needs a label", _("A device needs a name.")),
)


def explain(refused: Refused) -> str:
    """The reason, in the reader's language where there are words for it."""
    for pattern, words in WORDS:
        if found := re.fullmatch(pattern, str(refused), re.DOTALL):
            return str(words) % found.groupdict()
    return str(refused)


def attempt(user: User, form: forms.Form, field: str | None, act: Callable[[], object]) -> bool:
    """Have a service do it for a user; says whether it did. Why it did not stands beside the field."""
    try:
        spend(user)
        with transaction.atomic():
            act()
    except Refused as refused:
        form.add_error(field, explain(refused))
        return False
    return True

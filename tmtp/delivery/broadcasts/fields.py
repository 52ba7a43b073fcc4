"""Fields in the subject and the text of a broadcast: `{{ name }}`, or `{{ name|default:"member" }}`.

They look like variables of Django's templates, and are nothing else: a tag is a name of `names()` with or without a
default, or a quoted string, which is put in as it is (`{{ "{{" }}`). Values never become markup. In a text they are
one line whose punctuation is escaped, as CommonMark asks for.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from django.utils.formats import localize

from tmtp.conf import import_dotted
from tmtp.logs import public_traceback
from tmtp.models import Alias, User
from tmtp.services.text import visible

from ..conf import conf
from ..errors import Refused

log = logging.getLogger("tmtp.delivery")
OF_ACCOUNTS = ("name", "username", "first_name", "alias")
VALUE_MAX = 1000  # characters that are put in for a field
_TAG = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_FIELD = re.compile(r"""\s*(?P<name>[A-Za-z_]\w*)\s*(?:\|\s*default\s*:\s*(?P<default>"[^"]*"|'[^']*')\s*)?""")
_LITERAL = re.compile(r"""\s*("[^"]*"|'[^']*')\s*""")
_MARKUP = re.compile(r"([!-&(-+\--/:-@\[-`{-~])")  # ASCII punctuation but ' and ,


def names() -> list[str]:
    """Return the fields that a broadcast may have: those of each member, and the site's own."""
    return [*OF_ACCOUNTS, *conf.BROADCAST_FIELDS]


def used(*texts: str) -> set[str]:
    """Return the names of the fields in texts. Raise Refused for anything between `{{` and `}}` that is no field."""
    found = set()
    for text in texts:
        for tag in _TAG.findall(text):
            if _LITERAL.fullmatch(tag):
                continue
            field = _FIELD.fullmatch(tag)
            if field is None:
                raise Refused("broadcast_field_wrong", tag=f"{{{{{tag:.60}}}}}")
            found.add(field["name"])
        if rest := re.search(r"\{\{.{0,60}", _TAG.sub("", text)):
            raise Refused("broadcast_field_wrong", tag=rest[0])
    return found


def check(subject: str, body: str) -> None:
    """Raise Refused for a field that does not exist, and for a subject that is empty for some members."""
    for name in sorted(used(subject, body)):
        if name not in names():
            raise Refused("broadcast_field_unknown", field=name, fields=", ".join(names()))
    if "{{" in subject and not fill(subject, {}).strip():
        raise Refused("broadcast_subject_may_be_empty")


def fill(text: str, values: Mapping[str, str], escape: Callable[[str], str] = str) -> str:
    """Return a text with values for its fields. A field without a value gets its default, or nothing."""
    return _TAG.sub(partial(_value, values, escape), text)


def fill_subject(subject: str, values: Mapping[str, str]) -> str:
    """Return a subject with values."""
    return fill(subject, values)


def fill_body(body: str, values: Mapping[str, str]) -> str:
    """Return a text in CommonMark with values that are no markup."""
    return fill(body, values, lambda value: _MARKUP.sub(r"\\\1", value))


def _value(values: Mapping[str, str], escape: Callable[[str], str], tag: re.Match[str]) -> str:
    if literal := _LITERAL.fullmatch(tag[1]):
        return literal[1][1:-1]
    field = _FIELD.fullmatch(tag[1])
    if field is None:
        return tag[0]
    value = values.get(field["name"], "")
    return escape(value) if value else (field["default"] or "  ")[1:-1]


def values_of(users: Sequence[User], wanted: set[str]) -> dict[int, dict[str, str]]:
    """Return the wanted fields of users, by the users' ids. Each value is one line. Raise Refused if one fails."""
    accounts = {user.pk: user.account for user in users if user.account is not None}
    aliases: dict[int, str] = {}
    if wanted & {"name", "alias"}:
        of_users = Alias.objects.filter(user__in=users, dropped=None).order_by("-pk")
        aliases = dict(of_users.values_list("user_id", "name"))
    own = {name: _of_site(name, list(accounts.values())) for name in wanted & conf.BROADCAST_FIELDS.keys()}
    found = {}
    for user in users:
        account, alias = accounts.get(user.pk), aliases.get(user.pk, "")
        values = {name: _of_account(name, account, alias) for name in wanted & set(OF_ACCOUNTS) - own.keys()}
        values |= {name: by_account.get(user.account_id, "") for name, by_account in own.items()}
        found[user.pk] = {name: _shown(value) for name, value in values.items()}
    return found


def _of_account(name: str, account: Any, alias: str) -> Any:
    if name == "alias":
        return alias
    if account is None:
        return alias if name == "name" else ""
    if name == "name":
        full = account.get_full_name() if hasattr(account, "get_full_name") else ""
        return full or account.get_username()
    return account.get_username() if name == "username" else getattr(account, name, "")


def _of_site(name: str, accounts: list[Any]) -> Mapping[Any, Any]:
    """Return a field of the site for these accounts, by their primary keys."""
    try:
        return dict(import_dotted(conf.BROADCAST_FIELDS[name])(accounts))
    except Exception as error:  # whatever the site's function does: a person has to know
        log.error("the field %s of broadcasts failed: %s", name, public_traceback(error))
        raise Refused("broadcast_field_failed", field=name, error=type(error).__name__) from error


def _shown(value: Any) -> str:
    return "" if value is None else visible(str(localize(value))[:VALUE_MAX])

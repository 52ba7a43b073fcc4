"""Find a user by whatever the site's owner has: a username, an alias or a uid."""

from __future__ import annotations

from django.contrib.auth import get_user_model

from ..models import User
from ..services.errors import Refused
from ..services.people.linking import user_of
from ..services.people.names import find_user


def find(name: str) -> User:
    """Return the user with this username, alias or uid. Raise Refused if there is none."""
    accounts = get_user_model()
    account = accounts._default_manager.filter(**{accounts.USERNAME_FIELD: name}).first()
    user = user_of(account) if account else find_user(name)
    if user is None:
        raise Refused("alias_not_found", name=name)
    return user

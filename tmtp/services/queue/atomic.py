"""What makes a verb whole: all that it writes, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import transaction

from .queue import is_collecting

P = ParamSpec("P")
T = TypeVar("T")


def verb(function: Callable[P, T]) -> Callable[P, T]:
    """A service that writes more than once, or locks: in a transaction of its own, or a savepoint of the caller's.

    So a caller may catch its `Refused` and go on. In the store it runs as it is: that has made a savepoint already if
    one is needed, and a second one would be two statements more for each registration or group message.
    """

    @wraps(function)
    def whole(*args: P.args, **kwargs: P.kwargs) -> T:
        if is_collecting():
            return function(*args, **kwargs)
        with transaction.atomic():
            return function(*args, **kwargs)

    return whole

"""Tasks fail with errors that quote nobody: django-q writes them into its log and its results."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from tmtp.logs import public_traceback

P = ParamSpec("P")
T = TypeVar("T")


class TaskFailed(Exception):
    """A task has failed. The text is the traceback of its error."""


def quoting_nobody(task: Callable[P, T]) -> Callable[P, T]:
    """Let a task raise TaskFailed instead of an error that may have names, addresses or texts of members."""

    @wraps(task)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return task(*args, **kwargs)
        except Exception as error:
            raise TaskFailed(public_traceback(error)) from None

    return run

"""One of many rows of a task: if it fails, or was deleted a moment ago, the others do not wait for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError
from django.db.models import Model

from tmtp.logs import public_traceback

log = logging.getLogger("tmtp.delivery")
Row = TypeVar("Row", bound=Model)
Result = TypeVar("Result")


def guarded(do: Callable[[Row], Result], row: Row) -> Result | None:
    """Return what `do` returns for a row, or None if it raises: it is logged, unless the row has been deleted.

    Raise what a lost database raises.
    """
    try:
        return do(row)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if type(row)._base_manager.filter(pk=row.pk).exists():
            name = row._meta.verbose_name
            log.error("a task leaves out one of many (%s %s): %s", name, row.pk, public_traceback(error))
        return None

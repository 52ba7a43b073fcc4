"""Checks of the storage for large bodies, if there is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.files.storage import Storage, storages
from django.db import DEFAULT_DB_ALIAS

from ..conf import conf
from ..services.storage import object_storage
from .options import STORAGE
from .rules import Messages, did_you_mean

messages = Messages("tmtp")


@checks.register("tmtp")
def check_storage(**_: Any) -> list[checks.CheckMessage]:
    """Check that there is such a storage: E016 and E017, and how it reads: W015."""
    alias = conf.SPOOL_STORAGE
    if not alias or not STORAGE.fits(alias):
        return []  # E003
    if alias not in settings.STORAGES:
        message = f"TMTP[“SPOOL_STORAGE”] is “{alias}”, which is not in STORAGES."
        return [messages.error(16, message, did_you_mean(alias, settings.STORAGES))]
    try:
        storage = storages[alias]
    except Exception as error:
        hint = f"Correct STORAGES[“{alias}”]. For a bucket: pip install “mnm-django[s3]”."
        return [messages.error(17, f"The storage “{alias}” cannot be used: {error}.", hint)]
    return _check_memory(alias, storage)


def _check_memory(alias: str, storage: Storage) -> list[checks.CheckMessage]:
    if getattr(storage, "max_memory_size", None) != 0:
        return []
    hint = f'Set STORAGES[“{alias}”]["OPTIONS"]["max_memory_size"], to 2**20 for example.'
    return [messages.warning(15, f"The storage “{alias}” reads each body into memory as a whole.", hint)]


@checks.register("tmtp", checks.Tags.database)
def check_bucket(databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """Check that bodies can be stored, read, listed and deleted: W016."""
    if DEFAULT_DB_ALIAS not in (databases or ()) or conf.SPOOL_STORAGE not in settings.STORAGES:
        return []
    trouble = object_storage.trouble()
    if not trouble:
        return []
    hint = "Until it can, bodies over 64 KiB are refused, and those that wait are delivered later."
    return [messages.warning(16, f"The storage “{conf.SPOOL_STORAGE}” cannot be used: {trouble}.", hint)]

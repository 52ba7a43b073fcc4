"""Keep all of `tmtp` in the database "default", whatever database routers the site has.

A replica is behind the database that it follows, and what `tmtp` has just written must be there when it reads: a queue
that is read from a replica would lose messages. `pin_to_default` puts this router before those of the site.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, router
from django.db.models import Model


class DefaultRouter:
    """Answer for the models of `tmtp` and its optional apps only, and for what one of their objects leads to."""

    def __init__(self) -> None:
        configs = apps.get_app_configs()
        self._labels = {one.label for one in configs if one.name == "tmtp" or one.name.startswith("tmtp.")}

    def db_for_read(self, model: type[Model], instance: Model | None = None, **_: Any) -> str | None:
        """Return "default", also for the account of a user, or the account groups of a broadcast."""
        return DEFAULT_DB_ALIAS if self._is_ours(model) or self._is_ours(instance) else None

    def db_for_write(self, model: type[Model], **_: Any) -> str | None:
        """Return "default"."""
        return DEFAULT_DB_ALIAS if self._is_ours(model) else None

    def allow_relation(self, one: Model, other: Model, **_: Any) -> bool | None:
        """Allow relations to accounts that the site has read from a replica."""
        return True if self._is_ours(one) or self._is_ours(other) else None

    def allow_migrate(self, db: str, app_label: str, **_: Any) -> bool | None:
        """Allow the tables in "default"; leave it to the site whether other databases have them too."""
        return True if db == DEFAULT_DB_ALIAS and app_label in self._labels else None

    def _is_ours(self, one: Model | type[Model] | None) -> bool:
        return one is not None and one._meta.app_label in self._labels


def pin_to_default() -> None:
    """Put the router before those in DATABASE_ROUTERS."""
    if not any(isinstance(one, DefaultRouter) for one in router.routers):
        router.routers.insert(0, DefaultRouter())

"""A storage for bodies that a test can take away: a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage, storages

from tmtp.services.storage import copies, object_storage


class Bucket(FileSystemStorage):
    """A storage that a test can take away."""

    is_away = False

    def _check(self) -> None:
        if self.is_away:
            raise ConnectionError("nobody answers")

    def _open(self, name: str, mode: str = "rb") -> Any:
        self._check()
        return super()._open(name, mode)

    def _save(self, name: str, content: Any) -> str:
        self._check()
        return str(super()._save(name, content))

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        self._check()
        return super().listdir(path)

    def delete(self, name: str) -> None:
        self._check()
        super().delete(name)


def use_bucket(settings: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Let the site have its bodies in a new bucket."""
    backend = {"BACKEND": f"{__name__}.Bucket", "OPTIONS": {"location": str(folder / "bucket")}}
    settings.STORAGES = {**settings.STORAGES, "bodies": backend}
    settings.TMTP = {**settings.TMTP, "SPOOL_DIR": str(folder / "spool"), "SPOOL_STORAGE": "bodies"}
    monkeypatch.setattr(object_storage, "PAUSE", 0)
    monkeypatch.setattr(object_storage, "_failing", {})
    monkeypatch.setattr(copies, "_added", 0)
    storage = storages["bodies"]
    assert isinstance(storage, Bucket)
    return storage

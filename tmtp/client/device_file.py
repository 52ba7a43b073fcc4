"""The file in which a device keeps what it logs in with: JSON, readable by its owner only, replaced atomically."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from .errors import NotADeviceFile


class Device(msgspec.Struct):
    """A device of a user. Without a `nodeid`, it is not registered yet.

    `alias` is one of the user's aliases. `pin` is the SHA-256 of a self-signed certificate, in hex.
    """

    uid: str = ""
    nodeid: str = ""
    alias: str = ""
    pin: str = ""


class DeviceFile:
    """A device and its file. With a Device in place of a path, nothing is kept in a file."""

    def __init__(self, where: str | os.PathLike[str] | Device) -> None:
        """Read the file, if it exists. Raise NotADeviceFile if it cannot be read."""
        self.path = None if isinstance(where, Device) else Path(where)
        self._saved = b""
        self.device = where if isinstance(where, Device) else self._read(Path(where))

    def _read(self, path: Path) -> Device:
        try:
            device = msgspec.json.decode(path.read_bytes(), type=Device)
            self._saved = msgspec.json.encode(device)
            return device
        except FileNotFoundError:
            return Device()
        except OSError as error:
            raise NotADeviceFile(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise NotADeviceFile(f"{path} is not a device's file: {error}") from error

    def save(self) -> None:
        """Write the file, durably, unless nothing has changed. Raise NotADeviceFile if that fails."""
        octets = msgspec.json.encode(self.device)
        if self.path is None or octets == self._saved:
            return
        draft = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(msgspec.json.format(octets) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
            self._saved = octets
        except OSError as error:
            raise NotADeviceFile(f"cannot write {self.path}: {error.strerror}") from error
        finally:
            with contextlib.suppress(OSError):
                draft.unlink()

"""Data directories of a Go server for tests: the sample that one has written, and others, made here.

What is made here is encoded independently of what it tests: by the description of the format.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import google_crc32c

from tmtp.protocol.values import decode_base32, encode_base32, make_uid
from tmtp.services.people.old_secrets import ROUNDS

SAMPLE: dict[str, Any] = json.loads((Path(__file__).parent / "go_server_sample.json").read_text())


def write_sample(folder: Path) -> Path:
    """Write the data of a Go server with three users, four devices, a group and messages that wait."""
    for name, text in SAMPLE["files"].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name, target in SAMPLE["links"].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(target)
    for name in ("qstore/temp", "userdb/temp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return folder


def sample_devices() -> list[tuple[str, str, int]]:
    """Return the devices of the sample: (uid, nodeid, number)."""
    people = SAMPLE["secrets"].values()
    return [(each["uid"], nodeid, n) for each in people for n, nodeid in enumerate(each["nodes"], 1)]


def waiting_files(folder: Path, uid: str, number: int) -> list[Path]:
    """Return the files of a device's queue, in order."""
    low = uid.lower()
    return sorted((folder / "qstore" / low[:4] / f"{low}.{number:02x}").glob("*"))


def old_hash(nodeid: str) -> str:
    """Return the hash of a nodeid as it is in a user's record."""
    digest = decode_base32(nodeid)
    for _ in range(ROUNDS):
        digest = hashlib.sha256(digest).digest()
    return encode_base32(digest + bytes(3))[:52]


def go_json(value: Any) -> bytes:
    """Return JSON as Go's encoder writes it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text.encode()


def summed(record: dict[str, Any]) -> bytes:
    """Return a record, whose last member is CheckSum, as the server writes it."""
    return go_json(record | {"CheckSum": google_crc32c.value(go_json(record | {"CheckSum": 0}))}) + b"\n"


class GoServer:
    """A data directory to fill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in ("user", "group", "alias", "temp"):
            (folder / "userdb" / part).mkdir(parents=True)
        (folder / "qstore" / "temp").mkdir(parents=True)

    def user(self, *names: str, given_up: Iterable[str] = (), nodeid: str = "", uid: str = "", **more: Any) -> str:
        """Write a user with one device and these aliases, and return the uid."""
        uid = uid or make_uid()
        known = old_hash(nodeid) if nodeid else encode_base32(secrets.token_bytes(32) + bytes(3))[:52]
        nodes = {known: {"Defunct": False, "Num": 1}}
        aliases = [self._alias(name, False) for name in names] + [self._alias(name, True) for name in given_up]
        record = {"Nodes": nodes, "NonDefunctNodesCount": 1, "Aliases": aliases or None, **more, "CheckSum": 0}
        (self.folder / "userdb/user" / uid).write_bytes(summed(record))
        for alias in aliases:
            target = "*defunct" if alias["NatDefunct"] else uid
            (self.folder / "userdb/alias" / quote_plus(alias["Nat"])).symlink_to(target)
        return uid

    def _alias(self, name: str, given_up: bool) -> dict[str, Any]:
        pair = {"En": "", "Nat": name, "EnDefunct": False, "NatDefunct": given_up}
        return pair | {"EnTouched": False, "NatTouched": True}

    def group(self, gid: str, members: dict[str, tuple[str, int]]) -> None:
        """Write a group with members: {uid: (alias, status)}."""
        uids = {uid: {"Alias": alias, "Status": status} for uid, (alias, status) in sorted(members.items())}
        (self.folder / "userdb/group" / quote_plus(gid)).write_bytes(summed({"Uid": uids, "CheckSum": 0}))

    def message(self, uid: str, number: int, body: bytes = b"", *, first: bool = False, **members: Any) -> Path:
        """Write a message that waits for a user's device, and return its file."""
        header = {"datalen": len(body), "from": uid, "id": f"{number:016x}", "op": "delivery"} | members
        bare = go_json(dict(sorted(header.items())))
        header["headsum"] = google_crc32c.value(b"%04x%b" % (len(bare), bare))
        header = dict(sorted(header.items()))
        low = uid.lower()
        folder = self.folder / "qstore" / low[:4] / f"{low}.01"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{'E' if first else 'M'}{number:016x}"
        path.write_bytes(b"%04x%b%b" % (len(go_json(header)), go_json(header), body))
        return path

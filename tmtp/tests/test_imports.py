"""The rules for imports between the rooms, and that each setting is documented and used."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from tmtp.conf import DEFAULT_LIMITS, DEFAULTS

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("mnmsite", "accounts", "tmtp")
# What a room may import from the others.
MAY_KNOW = {"mnmsite": {"accounts", "tmtp"}, "accounts": {"tmtp"}, "tmtp": set()}
OPTIONAL = {"api", "delivery", "mailbox", "pages"}  # separate apps, which no other room imports, except notices
# The diagram of CONTRIBUTING.md: the levels of tmtp, highest first. A module imports from its own room and from rooms
# on lower levels.
FLOORS = (
    {"notices"},
    OPTIONAL,
    {"apps", "management"},
    {"admin", "backup", "checks", "goserver", "processes", "routing", "simulation", "web"},
    {"client", "consumers", "members_data", "messaging", "monitoring", "testing"},
    {"links"},
    {"engine"},
    {"logs", "store"},
    {"openid", "services", "server"},
    {"models", "downloads", "markup", "query_strings", "signals", "email_spelling"},
    {"conf", "optional_app", "routers", "times"},
    {"protocol"},
)
SERVICE_FLOORS = (
    {"imports"},
    {"groups", "messages", "monitoring"},
    {"people"},
    {"queue"},
    {"storage"},
    {"errors", "text"},
)
SERVER_KNOWS = {"asgiref", "cryptography", *sys.stdlib_module_names}
PROTOCOL_KNOWS = {"msgspec", "google_crc32c", *sys.stdlib_module_names}


@cache
def sources(room: str) -> list[Path]:
    paths = [path.relative_to(ROOT) for path in sorted((ROOT / room).rglob("*.py")) if path.name != "conftest.py"]
    return [ROOT / path for path in paths if not {"tests", "migrations"} & set(path.parts)]


@cache
def text_of(path: Path) -> str:
    return path.read_text()


@cache
def imports(path: Path) -> set[str]:
    """Return the absolute names of everything that a file imports, in functions and for type checking too."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    found: set[str] = set()

    def collect(node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            # `from . import x` may name a module as well as something in one
            found.update(f"{module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.expr):  # an expression has no imports in it
                collect(child)

    collect(ast.parse(text_of(path)))
    return found


def floor(part: str, floors: Sequence[set[str]] = FLOORS) -> int | None:
    return next((level for level, parts in enumerate(floors) if part in parts), None)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_know_only_those_below(room: str) -> None:
    for path in sources(room):
        known = {name.split(".")[0] for name in imports(path)} & set(ROOMS)
        assert known <= {room} | MAY_KNOW[room], path


def test_accounts_does_not_need_delivery() -> None:
    for path in sources("accounts"):
        assert not [name for name in imports(path) if name.startswith("tmtp.delivery")], path


@pytest.mark.parametrize(("house", "floors"), [("tmtp", FLOORS), ("tmtp/services", SERVICE_FLOORS)])
def test_arrows_point_down(house: str, floors: Sequence[set[str]]) -> None:
    """A room may import from itself and from rooms on lower levels, but not from others on its own level."""
    prefix = house.replace("/", ".") + "."
    for path in sources(house):
        part = path.relative_to(ROOT / house).parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        here = floor(part, floors)
        assert here is not None, f"{part} has no floor yet: say in FLOORS where it belongs"
        for name in imports(path):
            if name.startswith(prefix):
                other = name.removeprefix(prefix).split(".")[0]
                there = floor(other, floors)
                assert there is None or other == part or there > here, f"{path}: {name}"


def test_the_protocol_needs_nobody() -> None:
    for path in sources("tmtp/protocol"):
        for name in imports(path):
            assert name.startswith("tmtp.protocol") or name.split(".")[0] in PROTOCOL_KNOWS, f"{path}: {name}"
            assert name.split(".")[0] not in ("asyncio", "socket", "ssl", "threading"), f"{path}: {name}"


def test_the_server_knows_nothing_of_the_protocol() -> None:
    for path in sources("tmtp/server"):
        for name in imports(path):
            assert name.startswith("tmtp.server") or name.split(".")[0] in SERVER_KNOWS, f"{path}: {name}"


def test_every_import_is_seen() -> None:
    """The tests above depend on `imports` finding all kinds of imports."""
    assert "tmtp.protocol.errors" in imports(ROOT / "tmtp/protocol/connection.py")
    assert "tmtp.openid.tokens.Verifier" in imports(ROOT / "tmtp/engine/identity.py")
    assert "tmtp.services.queue.batch.Parcel" in imports(ROOT / "tmtp/store/store.py")


@pytest.mark.parametrize("key", [*DEFAULTS, *DEFAULT_LIMITS])
def test_each_setting_is_documented(key: str) -> None:
    page = (ROOT / "docs/reference/settings.md").read_text()
    assert re.search(rf"`{key}`", page)


@pytest.mark.parametrize("key", DEFAULTS)
def test_each_setting_is_read(key: str) -> None:
    uses = re.compile(rf"\b(conf|self)\.{key}\b")
    assert any(key in text_of(path) and uses.search(text_of(path)) for room in ROOMS for path in sources(room))


@pytest.mark.parametrize("key", DEFAULT_LIMITS)
def test_each_limit_is_read(key: str) -> None:
    used = [path for path in sources("tmtp") if f'"{key}"' in text_of(path) and path.name != "conf.py"]
    assert used

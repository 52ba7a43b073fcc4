"""The wheel contains every module, template, static file and translation of `tmtp`, and no tests."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]


def packages() -> set[Path]:
    """Return the folders that are packages for setuptools: they and all folders above them have an __init__.py."""
    found = {file.parent for file in (ROOT / "tmtp").rglob("__init__.py") if "tests" not in file.parts}
    return {package for package in found if all(above in found for above in parents(package))}


def parents(package: Path) -> list[Path]:
    return [above for above in package.parents if above.is_relative_to(ROOT / "tmtp")]


def sources() -> set[Path]:
    """Return the files that a site needs."""
    files = {file for file in (ROOT / "tmtp").rglob("*") if file.is_file()}
    return {file for file in files if not {"tests", "__pycache__"} & set(file.parts) and file.name != "conftest.py"}


def test_each_file_is_in_the_wheel() -> None:
    assert SETUPTOOLS["packages"]["find"]["include"] == ["tmtp", "tmtp.*"]
    packed = {file for package in packages() for file in package.glob("*.py")}
    for pattern in SETUPTOOLS["package-data"]["*"]:
        packed |= {file for package in packages() for file in package.glob(pattern)}
    assert sources() - packed == set()


@pytest.mark.parametrize(
    "name",
    [
        "tmtp/mailbox/templates/tmtp_mailbox/threads.html",
        "tmtp/mailbox/static/tmtp_mailbox/mailbox.js",
        "tmtp/mailbox/migrations/0001_initial.py",
        "tmtp/pages/templates/tmtp_pages/devices.html",
        "tmtp/simulation/conversations/op07_post.conversation",
        "tmtp/static/tmtp/pages.css",
        "tmtp/templates/tmtp/base.html",
        "tmtp/templates/tmtp/forms/field.html",
    ],
)
def test_what_pages_and_commands_read_is_there(name: str) -> None:
    assert ROOT / name in sources()


def test_translations_are_compiled_when_the_wheel_is_built() -> None:
    """The build calls Babel's command (setup.py), which writes a .mo file next to each .po file of this folder."""
    assert any(requirement.startswith("Babel") for requirement in PYPROJECT["build-system"]["requires"])
    assert '("compile_catalog", None)' in (ROOT / "setup.py").read_text()
    options = PYPROJECT["tool"]["distutils"]["compile_catalog"]
    compiled = {file.with_suffix(".mo") for file in (ROOT / options["directory"]).rglob(f"{options['domain']}.po")}
    assert compiled == {file.with_suffix(".mo") for file in sources() if file.suffix == ".po"} != set()
    packed = SETUPTOOLS["package-data"]["*"]
    assert "locale/**/*.mo" in packed

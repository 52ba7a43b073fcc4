"""Compile each catalogue that is newer than what was made of it: part of `make setup`. A mistake in one is shown.

Programs read .mo files, which are made from .po files (docs/how-to/translate.md). One process makes all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("locale", "tmtp/locale")


def outdated() -> Iterator[Path]:
    """Yield the .po files without a .mo file that is as new."""
    for path in (po for folder in FOLDERS for po in ROOT.glob(f"{folder}/*/LC_MESSAGES/*.po")):
        made = path.with_suffix(".mo")
        if not made.exists() or made.stat().st_mtime < path.stat().st_mtime:
            yield path


def compile_catalogues(paths: list[Path]) -> None:
    """Do what `pybabel compile` does with these .po files."""
    from babel.messages.frontend import CommandLineInterface

    for path in paths:
        files = [f"--input-file={path}", f"--output-file={path.with_suffix('.mo')}"]
        try:
            CommandLineInterface().run(["pybabel", "--quiet", "compile", *files])
        except Exception as error:  # of any kind: the other catalogues are made all the same
            path.with_suffix(".mo").unlink(missing_ok=True)  # it may be half a file
            sys.stderr.write(f"{path}: {error}\n")


if __name__ == "__main__":
    if paths := sorted(outdated()):
        compile_catalogues(paths)

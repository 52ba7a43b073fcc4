"""Write requirements.txt, requirements-test.txt and requirements-docs.txt from pyproject.toml: `make requirements`.

requirements.txt is what the site runs on, requirements-test.txt what its tests need besides, and requirements-docs.txt
what makes the website of the documentation.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RUN = ("postgresql", "provider", "redis", "delivery", "ntp", "site")  # the extras of pyproject.toml that the site uses
TEST = ("test",)
DOCS = ("docs",)
HEADER = "# Made from pyproject.toml by `make requirements`.\n"


def render(project: dict[str, Any]) -> dict[str, str]:
    """Return the text of each file by its name. `project` is the table [project] of pyproject.toml."""
    run = {*project["dependencies"], *_of_extras(project, RUN)}
    test = _of_extras(project, TEST) - run
    return {
        "requirements.txt": HEADER + _lines(run),
        "requirements-test.txt": HEADER + "-r requirements.txt\n" + _lines(test),
        "requirements-docs.txt": HEADER + _lines(_of_extras(project, DOCS)),
    }


def _of_extras(project: dict[str, Any], extras: tuple[str, ...]) -> set[str]:
    return {requirement for extra in extras for requirement in project["optional-dependencies"][extra]}


def _lines(requirements: set[str]) -> str:
    return "".join(f"{requirement}\n" for requirement in sorted(requirements, key=str.lower))


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, text in render(project).items():
        (ROOT / name).write_text(text)


if __name__ == "__main__":
    main()

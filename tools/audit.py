"""Look for known vulnerabilities in the packages that the site and its tests run on: part of `make lint`.

pip-audit asks PyPI about the installed versions of what the requirements name, and of what that needs in turn. A
vulnerability fails. What cannot be audited, such as everything while PyPI cannot be reached, is reported and does not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
FILES = ("requirements.txt", "requirements-test.txt")
ACCEPTED: dict[str, str] = {}  # ids of vulnerabilities, and why they do not concern this project
TIMEOUT = 5  # seconds for a connection, and for each answer
TIME = 120  # seconds for all of it


def required() -> list[Requirement]:
    """Return the requirements in FILES."""
    lines = [line.partition("#")[0].strip() for name in FILES for line in (ROOT / name).read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def installed(requirements: list[Requirement]) -> dict[str, str]:
    """Return the installed version of each required package, and of those they require in turn, by name."""
    versions: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(requirement, frozenset(requirement.extras)) for requirement in requirements if applies(requirement)]
    while waiting:
        requirement, extras = waiting.pop()
        key = (canonicalize_name(requirement.name), extras)
        if key in seen:
            continue
        seen.add(key)
        try:
            package = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError:
            continue
        versions[key[0]] = package.version
        needed = [Requirement(text) for text in package.requires or ()]
        waiting += [(one, frozenset(one.extras)) for one in needed if applies(one, extras)]
    return versions


def applies(requirement: Requirement, extras: frozenset[str] = frozenset()) -> bool:
    """Return whether a requirement applies on this Python and system, with these extras."""
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": one}) for one in ("", *extras))


def audit(versions: dict[str, str]) -> list[dict[str, Any]]:
    """Return what pip-audit says of each package. Raise OSError, with its reason, if it cannot ask PyPI."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pinned:
        pinned.writelines(f"{name}=={version}\n" for name, version in sorted(versions.items()))
        pinned.flush()
        command = [sys.executable, "-m", "pip_audit", "--vulnerability-service=pypi", "--requirement", pinned.name]
        command += ["--no-deps", "--disable-pip", "--format=json", "--progress-spinner=off", f"--timeout={TIMEOUT}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIME, check=False)
        except subprocess.TimeoutExpired:
            raise OSError(f"PyPI took longer than {TIME} seconds") from None
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        raise OSError((done.stderr.strip().splitlines() or ["no reason given"])[-1][:200]) from None
    return found


def report(found: list[dict[str, Any]]) -> tuple[list[str], bool]:
    """Return lines for people, and whether there is a vulnerability that is not accepted."""
    lines = [
        f"{one['name']} {one['version']}: {hole['id']}, fixed in {', '.join(hole['fix_versions']) or 'no version yet'}"
        for one in found
        for hole in one.get("vulns", ())
        if not ACCEPTED.keys() & {hole["id"], *hole.get("aliases", ())}
    ]
    skipped = [one["name"] for one in found if "skip_reason" in one]
    summary = f"audit: {len(found) - len(skipped)} packages audited, {len(lines)} known vulnerabilities"
    if skipped:
        summary += f". NOT AUDITED, as PyPI does not know the installed versions: {len(skipped)} packages"
    return [*lines, summary], bool(lines)


def main() -> int:
    try:
        lines, bad = report(audit(installed(required())))
    except OSError as error:
        lines, bad = [f"audit: NOT AUDITED, as PyPI cannot be asked for vulnerabilities: {error}"], False
    sys.stderr.writelines(f"{line}\n" for line in lines)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())

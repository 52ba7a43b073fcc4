"""`python -m tmtp.tests.fuzz`: let atheris look for octets that break a promise of `targets`, and print a table.

Each target runs for some minutes in a process of its own, which may take 1 GiB of memory, and 30 seconds for an input.
An input that fails is kept in a folder whose path is printed, and the exit status is 1. `--repeat FILE --only TARGET`
runs one such input. Add it to tmtp/tests/fuzz/corpus when the fault is mended, so that `make test` tries it for ever.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import conftest

MEMORY = 1024  # MiB
PATIENCE = 30  # seconds for one input
LENGTH = {"stream": 4096, "mail": 4096}  # octets of the longest input; otherwise LENGTH_MAX
LENGTH_MAX = 2048
INSTRUMENTED = ["tmtp", "markdown_it", "linkify_it", "jwt"]
NEEDED = """make fuzz needs atheris, which there is for x86-64 Linux only:

    .venv/bin/python -m pip install '.[fuzz]'
"""


def main() -> None:
    """Fuzz each target, or be the process that fuzzes one."""
    parser = argparse.ArgumentParser(prog="python -m tmtp.tests.fuzz", description=__doc__)
    parser.add_argument("--only", help="names of targets, separated by commas", default="")
    parser.add_argument("--minutes", type=float, default=5, help="scheduled for each target")
    parser.add_argument("--repeat", type=Path, help="run this input once")
    parser.add_argument("--inside", help=argparse.SUPPRESS)  # the options of libFuzzer
    options = parser.parse_args()
    conftest.prepare("sqlite")
    if options.inside:
        fuzz(options.only, options.inside.split())
        return
    conftest.setup_site()
    from .targets import CORPUS, TARGETS, environment

    chosen = [name for name in options.only.split(",") if name] or list(TARGETS)
    if unknown := set(chosen) - TARGETS.keys():
        parser.error(f"unknown: {', '.join(unknown)}; there are: {', '.join(TARGETS)}")
    if options.repeat:
        with environment():
            TARGETS[chosen[0]](options.repeat.read_bytes())
        return
    if importlib.util.find_spec("atheris") is None:
        sys.exit(NEEDED)
    failing = Path(tempfile.mkdtemp(prefix="mnm-fuzz-failing-"))
    print(f"{'target':12} {'inputs':>9} {'branches':>9}  result", flush=True)
    fine = [run(name, CORPUS / name, options.minutes * 60, failing) for name in chosen]
    if all(fine):
        failing.rmdir()
    sys.exit(0 if all(fine) else 1)


def run(name: str, corpus: Path, seconds: float, failing: Path) -> bool:
    """Fuzz a target in another process, and print its line of the table. Return whether nothing failed."""
    with tempfile.TemporaryDirectory(prefix="mnm-fuzz-") as folder:
        found = Path(folder, "found")
        found.mkdir()
        words = [
            f"-max_total_time={seconds:.0f}",
            f"-rss_limit_mb={MEMORY}",
            f"-timeout={PATIENCE}",
            f"-max_len={LENGTH.get(name, LENGTH_MAX)}",
            f"-artifact_prefix={failing}/{name}-",
            f"-dict={corpus.with_suffix('.dict')}" if corpus.with_suffix(".dict").exists() else "",
            "-print_final_stats=1",
            str(found),
            str(corpus),
        ]
        command = [sys.executable, "-m", "tmtp.tests.fuzz", "--only", name, "--inside", " " + " ".join(words)]
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "TMPDIR": folder},
        )
    inputs = re.search(r"number_of_executed_units: *(\d+)", done.stderr)
    branches = re.findall(r" (?:cov|ft): (\d+)", done.stderr)
    result = "as promised" if done.returncode == 0 else f"FAILED: see {failing}"
    counts = f"{inputs[1] if inputs else '?':>9} {branches[-2] if len(branches) > 1 else '?':>9}"
    print(f"{name:12} {counts}  {result}", flush=True)
    if done.returncode:
        print("    " + "\n    ".join(done.stderr.splitlines()[-60:]), flush=True)
    return done.returncode == 0


def fuzz(name: str, words: list[str]) -> None:
    """Fuzz a target in this process, which then ends."""
    import atheris  # type: ignore[import-not-found,unused-ignore]

    with atheris.instrument_imports(include=INSTRUMENTED):
        conftest.setup_site()
        from .targets import TARGETS, environment
    import logging

    logging.disable(logging.CRITICAL)
    with environment():
        atheris.Setup([name, *words], TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main()

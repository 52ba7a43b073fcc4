"""`python -m benchmarks.cluster`: measure several processes and several servers, and print tables.

PostgreSQL and Redis are started for it; without redis-server, its rows are left out.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from functools import partial
from pathlib import Path

PARTS = ("throughput", "crossing", "idle", "endings")


def main() -> None:
    """Measure, and print a table for each part."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="measure only this")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each setup for the throughput")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of each of them")
    parser.add_argument("--idle", type=int, default=20_000, help="idle links, if so many files may be open")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mnm-benchmarks-") as folder:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "mnmsite.settings", "MNM_VAR": f"{folder}/var"}
        os.environ.pop("DATABASE_URL", None)
        import django

        django.setup()
        from . import crossing, endings, idle, throughput
        from .place import Databases

        databases = Databases(Path(folder))
        try:
            for name, part in (
                ("throughput", partial(throughput.measure, databases, options.rounds, options.seconds)),
                ("crossing", partial(crossing.measure, databases)),
                ("idle", partial(idle.measure, databases, [1, options.idle // 10, options.idle])),
                ("endings", partial(endings.measure, databases)),
            ):
                if options.only in (None, name):
                    show(*part())
        finally:
            databases.stop()


def show(*cells: tuple[str, ...]) -> None:
    """Print a table with aligned columns, from its headings and rows."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    print()
    for row in cells:
        figures = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *figures]).rstrip(), flush=True)


if __name__ == "__main__":
    main()

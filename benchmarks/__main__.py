"""`python -m benchmarks`: run the benchmarks, print a table and draw a chart."""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from .measure import PERCENTILES, Row

RESULTS = Path(__file__).parent / "results"
HEADINGS = ("work", "posts/s", "deliv./s", "p50 ms", "p90 ms", "p99 ms", "CPU s", "MB", "")


def main() -> None:
    """Measure on SQLite, and on PostgreSQL if a URL is given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--database-url", default=os.environ.pop("DATABASE_URL", ""), help="PostgreSQL (DATABASE_URL)")
    parser.add_argument("--scale", type=float, default=1.0, help="shorten (or lengthen) all works by this factor")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of the pictures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mnm-benchmarks-") as folder:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "mnmsite.settings", "MNM_VAR": folder}
        import django

        django.setup()
        for name, database in databases(options.database_url).items():
            measure(name, database, options.scale, options.results)


def databases(url: str) -> dict[str, dict[str, Any] | None]:
    """Return entries of DATABASES by the name of the database; None is SQLite in the temporary folder."""
    from mnmsite import environment

    found: dict[str, dict[str, Any] | None] = {"SQLite": None}
    if url:
        found["PostgreSQL"] = environment.database(url)
    return found


def measure(name: str, database: dict[str, Any] | None, scale: float, results: Path) -> None:
    """Measure on one database, print the tables and write the chart."""
    from tmtp.simulation.temporary_server import temporary_server

    from .picture import picture
    from .works import run_all

    with temporary_server(database=database) as server, temporary_server(database=database) as for_links:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            rows, rates = pool.submit(run_all, _target(server), _target(for_links), scale).result()
    print(f"\n{name}\n")
    print(table(rows))
    print(f"\n{name}: latency over load\n")
    print(table(rates))
    results.mkdir(exist_ok=True)
    path = results / f"latency-{name.lower()}.svg"
    path.write_text(picture(f"Post to delivery, {name}, 200 clients", rates))
    print(f"\nA picture of it: {path}")


def _target(server: Any) -> Any:
    import ssl

    from .load import Target

    (cert,) = server.tls.get_ca_certs(binary_form=True)
    return Target(server.address, ssl.DER_cert_to_PEM_cert(cert), server.process.pid)


def table(rows: Iterable[Row]) -> str:
    """Format rows as a table with aligned columns."""
    cells = [HEADINGS, *[_cells(row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADINGS))]
    return "\n".join(_line(row, widths) for row in cells)


def _cells(row: Row) -> tuple[str, ...]:
    latencies = [_number(row.latencies.get(percent, math.nan), 1) for percent in PERCENTILES]
    name = f"{row.offered:,.0f} posts/s" if row.offered else row.name
    return (
        name,
        _number(row.posts),
        _number(row.deliveries),
        *latencies,
        _number(row.cpu, 1),
        _number(row.memory),
        row.note,
    )


def _number(value: float, digits: int = 0) -> str:
    return "" if math.isnan(value) or not value else f"{value:,.{digits}f}"


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    first, *others = row
    figures = [cell.rjust(width) for cell, width in zip(others[:-1], widths[1:], strict=False)]
    return "  ".join([first.ljust(widths[0]), *figures, others[-1]]).rstrip()


if __name__ == "__main__":
    main()

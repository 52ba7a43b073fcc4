"""How long a broadcast takes: `python -m benchmarks.broadcasts`.

Each round sends a plain broadcast, which is a message for each portion, and one with fields, which is a message for
each recipient, to the same members. Prints the seconds and CPU seconds of each, and their medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any


def prepare(recipients: int) -> None:
    """Make a database with so many members, all of them users of TMTP."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    from tmtp.services.people.linking import users_of

    call_command("migrate", verbosity=0)
    Account = get_user_model()
    names = (f"member {number}" for number in range(recipients))
    Account.objects.bulk_create(Account(username=name, first_name="Ann") for name in names)
    accounts = list(Account.objects.all())
    for start in range(0, recipients, 1000):
        users_of(accounts[start : start + 1000])


def measure(subject: str, body: str) -> tuple[float, float]:
    """Send a broadcast to everyone. Return the seconds and the CPU seconds that it took."""
    from tmtp.delivery.broadcasts import lifecycle, sending
    from tmtp.delivery.models import Broadcast

    one: Any = Broadcast.objects.create(subject=subject, body=body, everyone=True)
    lifecycle.start(one)
    begun, used = time.perf_counter(), time.process_time()
    while sending.send(one.pk, lambda: True):
        pass
    took = time.perf_counter() - begun, time.process_time() - used
    one.refresh_from_db()
    assert (one.state, one.sent) == (Broadcast.State.DONE, one.total), one.problem
    return took


KINDS = {
    "plain": ("News", "We move on **Sunday**."),
    "with fields": ("News for {{ name }}", 'Hello {{ first_name|default:"member" }}, we move on **Sunday**.'),
}


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description="How long broadcasts take.")
    parser.add_argument("--recipients", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kind", choices=KINDS, action="append", help="one of the kinds only")
    options = parser.parse_args()
    import conftest

    conftest.prepare("sqlite")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mnmsite.tests.settings")
    import django

    django.setup()
    prepare(options.recipients)
    kinds = options.kind or list(KINDS)
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for _ in range(options.rounds):
        for kind in kinds:
            found[kind].append(measure(*KINDS[kind]))
            print(f"{kind}: {found[kind][-1][0]:.2f} s, CPU {found[kind][-1][1]:.2f} s", flush=True)
    for kind in kinds:
        seconds, used = (statistics.median(one[place] for one in found[kind]) for place in (0, 1))
        print(f"{kind}, to {options.recipients}: median {seconds:.2f} s, CPU {used:.2f} s")


if __name__ == "__main__":
    main()

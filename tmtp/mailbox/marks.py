"""The mark of an own message: how far it has come, in a few words (`delivery` finds it out)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.text import capfirst
from django.utils.translation import ngettext

from ..models import Report
from ..services.queue.reports import State

QUEUED, SENT, DELIVERED = State.QUEUED.value, State.SENT.value, State.DELIVERED.value
RECALLED = "recalled"


def label_of(state: str) -> str:
    """Return the name of a state, translated."""
    return str(Report.End.RECALLED.label if state == RECALLED else State(state).label)


@dataclass(frozen=True, slots=True)
class Delivery:
    """The delivery of a message: a state for each person, and whether it waits for somebody who has not fetched it.

    Of a message to a group, `people` are only those for whom it waits, or from whom it was recalled.
    """

    people: Sequence[tuple[str, str]]
    waits: bool
    to_group: bool = False

    @property
    def rows(self) -> list[tuple[str, str]]:
        """The name and the state of each person, translated."""
        return [(name, label_of(state)) for name, state in self.people]

    @property
    def summary(self) -> str:
        """The state of the message in a few words."""
        states = [state for _name, state in self.people]
        count = len(states)
        if self.to_group and count:
            if RECALLED in states and not self.waits:
                return ngettext("Recalled from %(count)d member", "Recalled from %(count)d members", count) % {
                    "count": count
                }
            return ngettext("Queued for %(count)d member", "Queued for %(count)d members", count) % {"count": count}
        if len(set(states)) <= 1:
            return capfirst(label_of(states[0] if states else DELIVERED))
        done = ngettext("Delivered to %(done)d of %(all)d person", "Delivered to %(done)d of %(all)d people", count)
        return done % {"done": states.count(DELIVERED), "all": count}

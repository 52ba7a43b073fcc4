"""The buttons on the page of a broadcast in the admin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from ..models import Broadcast
from . import lifecycle

State = Broadcast.State


@dataclass(frozen=True)
class Button:
    """A button on the page of a broadcast, shown in some states. A `question` is asked before it acts."""

    name: str
    label: Any
    action: Callable[[Broadcast], None]
    states: tuple[State, ...]
    question: Any = ""

    def fits(self, broadcast: Broadcast) -> bool:
        """Return whether the button is shown."""
        if self.name == "take_back" and (broadcast.recalled or broadcast.repeat):
            return False
        if self.name == "start" and broadcast.repeat:
            return False
        return broadcast.state in self.states


BUTTONS = (
    Button("pause", _("Pause"), lifecycle.pause, (State.RUNNING,)),
    Button("resume", _("Resume"), lifecycle.resume, (State.PAUSED,)),
    Button(
        "start", _("Send now"), lifecycle.start, (State.SCHEDULED,), _("Send now instead of at the scheduled time?")
    ),
    Button("unschedule", _("Return to draft"), lifecycle.unschedule, (State.SCHEDULED,)),
    Button(
        "cancel",
        _("Cancel the broadcast"),
        lifecycle.cancel,
        (State.SCHEDULED, State.RUNNING, State.PAUSED),
        _("Stop sending? Members who have received it keep it. A cancelled broadcast cannot be resumed."),
    ),
    Button(
        "take_back",
        _("Recall"),
        lifecycle.take_back,
        (State.RUNNING, State.PAUSED, State.CANCELLED, State.DONE),
        _("Recall it from everyone who has not received it? Members who have received it keep it."),
    ),
)

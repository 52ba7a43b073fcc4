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
        return broadcast.state in self.states and not (self.name == "take_back" and broadcast.recalled)


BUTTONS = (
    Button("pause", _("Pause"), lifecycle.pause, (State.RUNNING,)),
    Button("resume", _("Resume"), lifecycle.resume, (State.PAUSED,)),
    Button(
        "start", _("Send now"), lifecycle.start, (State.SCHEDULED,), _("Send it now, without waiting for its time?")
    ),
    Button("unschedule", _("Make it a draft again"), lifecycle.unschedule, (State.SCHEDULED,)),
    Button(
        "cancel",
        _("Cancel the broadcast"),
        lifecycle.cancel,
        (State.SCHEDULED, State.RUNNING, State.PAUSED),
        _("Send it to nobody else? Members who already have it keep it. It cannot be continued."),
    ),
    Button(
        "take_back",
        _("Take it back"),
        lifecycle.take_back,
        (State.RUNNING, State.PAUSED, State.CANCELLED, State.DONE),
        _("Take it back from everyone who has not received it yet? Members who already have it keep it."),
    ),
)

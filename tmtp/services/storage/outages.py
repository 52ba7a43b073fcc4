"""What the log says of a fault that lasts: a line when it begins, and one when it is over, however often it is met."""

from __future__ import annotations

import logging

log = logging.getLogger("tmtp")


class Outage:
    """A fault of one kind in this process. `began` has %s for the error."""

    def __init__(self, began: str, ended: str) -> None:
        self._texts = began, ended
        self._lasts = False

    def met(self, error: object) -> None:
        """Log that it has begun, unless it lasts already."""
        if not self._lasts:
            self._lasts = True
            log.warning(self._texts[0], error)

    def over(self) -> None:
        """Log that it is over, if it has lasted until now."""
        if self._lasts:
            self._lasts = False
            log.warning(self._texts[1])

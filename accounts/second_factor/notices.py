"""Messages of the site to a member about their second factor, which arrive on all their devices."""

from __future__ import annotations

import logging
from typing import Any

from django.db import Error
from django.utils.translation import gettext as _

from tmtp.messaging import send_message

from ..errors import Refused

logger = logging.getLogger(__name__)


def tell(user: Any, subject: str, text: str) -> None:
    """Send a message to the member. What it is about happens in any case: an error is only logged."""
    advice = _("If this was not you, change your password and end all sessions on your account page.")
    try:
        send_message(user, subject, f"{text}\n\n{advice}")
    except (Refused, Error, OSError) as error:
        logger.error("a notice about a second factor was not sent: %s", type(error).__name__)

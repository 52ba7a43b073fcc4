"""The codes that this app adds to those of `tmtp`. Its modules import `Refused` from here, so that they are known."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from tmtp.services.errors import Refused, Text, add_texts

TEXTS = {
    "author_gone": Text(_("the sender of %(msgid)s no longer exists")),
    "broadcast_group_gone": Text(
        _("A group in the audience has been deleted. Cancel this broadcast and create another one.")
    ),
    "broadcast_condition": Text(_("The accounts of this site have no field “%(field)s” for “%(condition)s”.")),
    "broadcast_for_nobody": Text(_("The broadcast has no audience.")),
    "broadcast_wrong_state": Text(_("Not possible: the state of “%(subject)s” is “%(state)s”.")),
}
add_texts(TEXTS)

__all__ = ["TEXTS", "Refused"]

"""The codes that this app adds to those of `tmtp`. Its modules import `Refused` from here, so that they are known."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from tmtp.services.errors import Refused, Text, add_texts

TEXTS = {
    "author_gone": Text(_("the sender of %(msgid)s no longer exists")),
    "broadcast_gone": Text(_("“%(subject)s” has been deleted.")),
    "broadcast_group_gone": Text(
        _("A group in the audience has been deleted. Cancel this broadcast and create another one.")
    ),
    "broadcast_condition": Text(_("The accounts of this site have no field “%(field)s” for “%(condition)s”.")),
    "broadcast_for_nobody": Text(_("The broadcast has no audience.")),
    "broadcast_field_wrong": Text(
        _('“%(tag)s” is not a field. Write a field such as {{ name }}. For two braces, write {{ "{{" }}.')
    ),
    "broadcast_field_unknown": Text(_("There is no field “%(field)s”. The fields are: %(fields)s.")),
    "broadcast_field_failed": Text(_("The function for the field “%(field)s” failed (%(error)s). See the log.")),
    "broadcast_subject_may_be_empty": Text(
        _("For members without a value, this subject would be empty. Give its field a default.")
    ),
    "broadcast_files_too_large": Text(
        _("The attachments have %(size)s octets together. A broadcast can have at most %(most)s.")
    ),
    "broadcast_segment_empty": Text(_("The segment “%(segment)s” has no conditions.")),
    "broadcast_segment_wrong": Text(_("The segment “%(segment)s” has a condition that cannot be told: %(reason)s")),
    "broadcast_segment_failed": Text(_("The function “%(function)s” for segments failed (%(error)s). See the log.")),
    "broadcast_repeated": Text(
        _("“%(subject)s” is repeated, so that it starts by itself. To send it once, return it to draft first.")
    ),
    "broadcast_repeat_unknown": Text(_("A broadcast is not repeated “%(repeat)s”. Possible are: %(values)s.")),
    "broadcast_never_sent": Text(_("The broadcast would end before it is sent.")),
    "broadcast_wrong_state": Text(_("Not possible: the state of “%(subject)s” is “%(state)s”.")),
}
add_texts(TEXTS)

__all__ = ["TEXTS", "Refused"]

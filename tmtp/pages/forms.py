"""The forms about devices, names, groups, presence and blocks."""

from __future__ import annotations

import unicodedata
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from ..models import Alias, Group, Member, User
from ..protocol.values import NAME_MAX_CHARACTERS, PING_MAX_UNITS, utf16_units
from ..services.people.devices import LABEL_MAX
from ..web.fields import NameOfOther
from ..web.rendering import PageForm

PLAIN = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}


class NewNameField(forms.CharField):
    """A field for a new alias or gid. It keeps spaces at both ends, so that they are refused, not silently removed.

    Its value is composed (NFC), as most keyboards write it: devices compare names octet by octet.
    """

    widget = forms.TextInput(attrs=PLAIN)

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=NAME_MAX_CHARACTERS, strip=False, **options)

    def to_python(self, value: Any) -> str:
        return unicodedata.normalize("NFC", super().to_python(value) or "")


class NameOfOtherField(NameOfOther):
    widget = forms.TextInput(attrs=PLAIN)


class LabelForm(PageForm):
    """A device's label, which its owner chooses and only they see."""

    label = forms.CharField(
        label=_("Name of the device"),
        max_length=LABEL_MAX,
        help_text=_("For example “Laptop” or “My phone”. Only you see it."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class AliasForm(PageForm):
    """A new alias."""

    name = NewNameField(label=_("New name"), help_text=_("At least 8 characters."))


class NameForm(PageForm):
    """The alias that a member uses in a group."""

    alias = forms.ChoiceField(label=_("Your name in this group"))

    def __init__(self, user: User, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        names = Alias.objects.filter(user=user, dropped=None).order_by("pk").values_list("name", flat=True)
        self.fields["alias"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]


class InviteForm(PageForm):
    """An invitation."""

    to = NameOfOtherField(label=_("Member to invite"), help_text=_("The name of a member."))
    text = forms.CharField(label=_("Message"), required=False, max_length=PING_MAX_UNITS)

    def clean_text(self) -> str:
        """Raise ValidationError if the text is longer than 140 UTF-16 units. Some characters take two."""
        text: str = self.cleaned_data["text"]
        if utf16_units(text) > PING_MAX_UNITS:
            raise forms.ValidationError(_("This is too long. Some characters count twice."))
        return text


MODERATORS_ONLY = _("Only the owner and moderators")


def _choice(label: Any, choices: list[tuple[int, Any]], help_text: Any = "") -> forms.TypedChoiceField:
    return forms.TypedChoiceField(
        label=label, help_text=help_text, choices=choices, coerce=int, widget=forms.RadioSelect
    )


RIGHTS = [(Group.Right.MEMBERS.value, _("All members")), (Group.Right.MODERATORS.value, MODERATORS_ONLY)]


RULES = ("joining", "posting", "barring")


class RulesForm(PageForm):
    """The rules of a group."""

    joining = _choice(
        _("Who can join?"),
        [
            (Group.Joining.INVITED.value, _("People invited by any member")),
            (Group.Joining.CLOSED.value, _("People invited by the owner or a moderator")),
            (Group.Joining.ANYONE.value, _("Anyone. The group is listed under open groups.")),
        ],
    )
    posting = _choice(
        _("Who can write to the group?"),
        RIGHTS,
    )
    barring = _choice(
        _("Who can bar members?"),
        RIGHTS,
        _("Barred members receive nothing from the group until they are invited again."),
    )


class GroupForm(InviteForm, NameForm, RulesForm):
    """A new group, its rules, and the first person to invite, if any."""

    name = NewNameField(label=_("Group name"), help_text=_("At least 8 characters. It cannot be changed later."))
    to = NameOfOtherField(label=_("First member to invite"), help_text=_("The name of a member."), required=False)
    field_order = ["name", "alias", "to", "text", *RULES]

    @property
    def rules(self) -> dict[str, Any]:
        """The rules chosen, if the form is valid."""
        return {name: self.cleaned_data[name] for name in RULES}


class RoleForm(PageForm):
    """The role of a member of a group."""

    role = _choice(
        _("Role in the group"),
        [
            (Member.Role.MEMBER.value, _("Member")),
            (Member.Role.MODERATOR.value, _("Moderator")),
            (Member.Role.OWNER.value, _("Owner. You become a moderator.")),
        ],
    )


class PresenceForm(PageForm):
    """The choice of who sees that the member is online."""

    presence = forms.TypedChoiceField(
        label=_("Who can see when you are online?"),
        coerce=int,
        choices=[
            (User.Presence.EVERYONE.value, _("Everyone my devices share it with")),
            (User.Presence.CONTACTS.value, _("My contacts who also share theirs with me")),
            (User.Presence.NOBODY.value, _("Nobody")),
        ],
        widget=forms.RadioSelect,
    )


class BlockForm(PageForm):
    """The name or uid of a user to block."""

    who = NameOfOtherField(label=_("Block a member"), help_text=_("A member’s name or user ID."))

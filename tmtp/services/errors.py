"""Errors with a code for programs, a text for the wire and a text for people. `Refused` is the most common one.

`TEXTS` is the table of the codes of `tmtp`. Other apps add theirs with `add_texts`. A text names the parameters of its
code as `%(name)s`. Parameters may come from strangers, so they are never used as format strings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from django.utils.translation import gettext


def _(text: str) -> str:
    """Mark a text for translation. Django's `gettext_noop` needs settings, and `tmtp.client` has none."""
    return text


@dataclass(frozen=True, slots=True)
class Text:
    """The texts of a code. `wire` is for clients and developers, always in English.

    `people` is for the pages and the admin, and is translated. If it is empty, they show a translation of `wire`.
    """

    wire: str
    people: str = ""

    @property
    def parameters(self) -> frozenset[str]:
        """The names of the parameters that the code has."""
        return placeholders(self.wire)


@cache
def placeholders(text: str) -> frozenset[str]:
    """Return the names of the placeholders in a text."""
    return frozenset(re.findall(r"%\((\w+)\)", text))


TEXTS: dict[str, Text] = {
    # names
    "name_too_short": Text(
        "%(field)s must be %(least)s+ characters", _("A name must have at least %(least)s characters.")
    ),
    "name_too_long": Text(
        "%(field)s must be %(most)s characters or fewer", _("A name can have at most %(most)s characters.")
    ),
    "name_not_printable": Text(
        "%(field)s has characters that cannot be printed", _("A name cannot contain invisible characters.")
    ),
    "name_has_outer_space": Text(
        "%(field)s must not begin or end with a space", _("A name cannot begin or end with a space.")
    ),
    "name_taken": Text(
        "%(field)s %(name)s is not available", _("“%(name)s” is already taken, or looks like a name that is.")
    ),
    "alias_not_found": Text("alias %(name)s not found", _("No member is named “%(name)s”.")),
    "name_misspelt": Text(
        "alias %(name)s not found, but %(similar)s", _("No member is named “%(name)s”. Did you mean %(similar)s?")
    ),
    "alias_not_yours": Text("%(field)s must identify sender", _("That name no longer belongs to you.")),
    "site_alias_refused": Text(_("the site cannot be called “%(alias)s” (%(reason)s): set TMTP['SITE_ALIAS']")),
    # users and devices
    "user_not_found": Text(_("user %(uid)s not found")),
    "unreachable": Text("%(name)s cannot be reached now", _("“%(name)s” cannot be reached at the moment.")),
    "too_many_nodes": Text("a user has at most %(most)s nodes", _("You cannot have more than %(most)s devices.")),
    "label_missing": Text("a device needs a label", _("Enter a name for the device.")),
    "label_too_long": Text(
        "%(field)s must be %(most)s characters or fewer",
        _("The name of a device can have at most %(most)s characters."),
    ),
    "device_not_connected": Text(_("the device is not connected; it receives its waiting messages when it logs in")),
    "cannot_block_oneself": Text("one cannot block oneself", _("You cannot block yourself.")),
    "cannot_block_site": Text("the site itself cannot be blocked", _("The website cannot be blocked.")),
    "cannot_delete_site": Text("the site itself cannot be deleted", _("The website cannot be deleted.")),
    "cannot_report_oneself": Text("one cannot report oneself", _("You cannot report yourself.")),
    "cannot_report_site": Text("the site itself cannot be reported", _("The website cannot be reported.")),
    "too_many_abuse_reports": Text(
        "too many reports of abuse, try again tomorrow", _("You have sent too many reports today. Try again tomorrow.")
    ),
    "too_many_requests": Text("too many requests, try again later", _("Too many requests. Try again later.")),
    "too_many_recipients": Text(
        "a post has at most %(most)s recipients",
        _("A message can have at most %(most)s recipients. Write to a group instead."),
    ),
    "too_many_recipients_now": Text(
        "too many recipients in a short time, try again later",
        _("You have written to too many recipients in a short time. Try again later."),
    ),
    "too_many_messages": Text(
        "too many messages today, try again tomorrow", _("You have sent too many messages today. Try again tomorrow.")
    ),
    "too_many_octets": Text(
        "too much data today, try again tomorrow", _("You have sent too much data today. Try again tomorrow.")
    ),
    "too_many_pings": Text(
        "too many pings and invitations, try again later",
        _("You have sent too many pings and invitations in a short time. Try again later."),
    ),
    "too_many_pings_to": Text(
        "too many pings and invitations to %(name)s, try again tomorrow",
        _("You have sent “%(name)s” too many pings and invitations today. Try again tomorrow."),
    ),
    "too_many_group_changes": Text(
        "too many changes in groups, try again tomorrow",
        _("You have joined groups, left them or changed your name in them very often today. Try again tomorrow."),
    ),
    "gets_too_many_pings": Text(
        "%(name)s gets too many pings and invitations, try again tomorrow",
        _("“%(name)s” has received too many pings and invitations today. Try again tomorrow."),
    ),
    "too_many_uploads": Text(
        "you are sending %(most)s large messages already, which is the most one may send at once",
        _("You cannot send more than %(most)s large messages at once. Wait until one is finished."),
    ),
    "too_many_upload_octets": Text(
        "you are sending so much data already that there is no room for this, try again later",
        _("You are sending too much data at once. Try again later."),
    ),
    "data_too_slow": Text(
        "less than %(least)s octets per second arrived, try again over a faster link",
        _("The upload was too slow. Try again over a faster connection."),
    ),
    "too_many_aliases": Text("a user has at most %(most)s aliases", _("You cannot have more than %(most)s names.")),
    # logging in, identities, accounts
    "login_failed": Text(_("login failed")),
    "account_disabled": Text("the account is not active", _("This account is switched off.")),
    "node_connected": Text(_("node already connected")),
    "token_used": Text(_("this id_token was used before")),
    "identity_mismatch": Text(_("the identity shown is not this user's")),
    "identity_needed": Text(_("the identity must be shown again")),
    "identity_taken": Text(_("this identity belongs to another user already")),
    "account_taken": Text(_("this member of the website is another user already")),
    # groups
    "group_not_found": Text(_("group %(gid)s not found")),
    "group_full": Text(
        "%(gid)s has %(most)s members, which is the most a group may have",
        _("The group is full: it cannot have more than %(most)s members."),
    ),
    "too_many_groups": Text(
        "you are in %(most)s groups, which is the most one may be in",
        _("You cannot be in more than %(most)s groups."),
    ),
    "not_member": Text("you are not a member of %(gid)s", _("You are not a member of “%(gid)s”.")),
    "not_invited": Text("you are not invited to %(gid)s", _("You are not invited to “%(gid)s”.")),
    "only_moderators_invite": Text(
        "only the owner and moderators of %(gid)s invite", _("Only the owner and moderators can invite people.")
    ),
    "only_moderators_bar": Text(
        "only the owner and moderators of %(gid)s bar members",
        _("Only the owner and moderators can bar members."),
    ),
    "only_moderators_post": Text(
        "only the owner and moderators of %(gid)s post", _("Only the owner and moderators can write to “%(gid)s”.")
    ),
    "moderator_not_barred": Text(
        "%(alias)s moderates %(gid)s, and only the owner bars moderators",
        _("“%(alias)s” is a moderator or the owner. Only the owner can bar moderators, and nobody can bar the owner."),
    ),
    "invitee_barred": Text(
        "%(name)s is barred from %(gid)s, and only its owner and moderators invite them again",
        _("“%(name)s” is barred. Only the owner and moderators can invite them again."),
    ),
    "only_owner": Text("only the owner of %(gid)s does this", _("Only the owner of the group can do this.")),
    "owner_stays": Text(
        "%(gid)s has an owner: make another member the owner",
        _("A group must have an owner. Make another member the owner first."),
    ),
    "open_group_barring": Text(
        "in %(gid)s, which anyone may join, only the owner and moderators bar members",
        _("In an open group, only the owner and moderators can bar members."),
    ),
    "alias_needed": Text("an alias is needed in %(gid)s", _("Choose a name for “%(gid)s”.")),
    "alias_not_member": Text(_("%(alias)s is not a member of %(gid)s")),
    "already_member": Text("%(name)s is a member of %(gid)s already", _("“%(name)s” is already a member.")),
    "wrong_member_status": Text(_("“%(alias)s” is %(status)s in %(gid)s")),
    "too_many_contacts": Text(
        "one announces to at most %(most)s users",
        _("You cannot share your online status with more than %(most)s people."),
    ),
    "too_many_uids": Text(_("for must have %(most)s elements or fewer")),
    # messages
    "no_recipient": Text(_("there is no recipient")),
    "recipient_unknown": Text(
        _("%(recipient)s is not an alias, a uid or a group. Pass a User object to write to a member of the website.")
    ),
    "subject_empty": Text(_("the subject must not be empty")),
    "recipient_not_saved": Text(_("%(recipient)s is not saved, or has been deleted")),
    "sender_not_one_user": Text(_("the sender must be one user")),
    "key_too_long": Text(_("the key has %(length)s characters; %(most)s are the most")),
    "thread_not_msgid": Text(_("the thread must be the msgid of the message that began it, not %(thread)s")),
    "text_wrong_type": Text(_("%(what)s must be text, not %(type)s")),
    "text_not_unicode": Text(_("%(what)s is not valid Unicode: %(reason)s")),
    "text_has_nul": Text(_("%(what)s has a NUL character in it")),
    "attachments_not_list": Text(_("attachments must be a list, not %(given)s")),
    "file_unreadable": Text(_("%(file)s cannot be attached: %(reason)s")),
    "file_changed": Text(_("%(file)s cannot be attached: it changed while it was read")),
    "file_wrong_type": Text(_("%(file)s cannot be attached: give a path, a File, or (name, content)")),
    "message_too_large": Text(
        "the message is larger than TMTP['MAX_BODY']",
        _("The message is too large. Shorten it, or send fewer or smaller files."),
    ),
    "spool_failed": Text(_("the text and its files cannot be kept: %(reason)s")),
    "took_too_long": Text(_("the server took too long to store this, try again later")),
    "message_not_found": Text(_("the site has sent no message %(msgid)s, or its report is no longer kept")),
    "disk_full": Text(
        "the server's disk is full, try again later",
        _("The server has no space for new messages. Try again later."),
    ),
    # the store; `database_error` is for operators and stays as the database says it
    "store_failed": Text(_("the server failed to store this")),
    "store_unavailable": Text(_("the server cannot store messages now, try again later")),
    "spool_unavailable": Text(_("the server has no room for so much data now")),
    "storage_unavailable": Text(_("the server cannot store so much data now, try again later")),
    # drafts of the mailbox
    "draft_changed": Text(
        "the draft was changed elsewhere",
        _(
            "This draft was changed in another tab or on another device. Save or send again to replace that text with"
            " this one, or open the draft again to see the other one."
        ),
    ),
    "draft_sent": Text("the draft was sent already", _("This draft was already sent in another tab.")),
    "draft_deleted": Text(
        "the draft was deleted",
        _("This draft was deleted in another tab, with its files. Send again to send the text without them."),
    ),
    "too_many_drafts": Text(
        "there are too many drafts: %(most)s",
        _("You have %(most)s drafts, which is the most. Send or delete some of them."),
    ),
    "too_many_draft_files": Text(
        "a draft can have %(most)s files",
        _("A message can have at most %(most)s files. Remove one, or put several into an archive."),
    ),
    "drafts_too_large": Text(
        "the files of the drafts are too large",
        _("Your drafts have too many or too large files. Remove some of them, or delete a draft."),
    ),
    # members' data
    "export_running": Text(
        "the data of this user is being exported",
        _("Your data is being downloaded already. Wait until that has ended, or for two minutes if it has stopped."),
    ),
    "too_many_exports": Text(
        "the data of a user was exported as often as is allowed in a day: %(most)s",
        _("You have downloaded your data as often as is allowed in a day (%(most)s). Please try again tomorrow."),
    ),
    "store_uncertain": Text(_("the server does not know whether this is stored")),
    "database_error": Text("%(reason)s"),
}


_known = dict(TEXTS)  # the codes of all apps


def text_of(code: str) -> Text | None:
    """Return the texts of a code of any app."""
    return _known.get(code)


def add_texts(texts: Mapping[str, Text]) -> None:
    """Add the codes of another app. Raise ValueError if one of them exists already with different texts."""
    for code, text in texts.items():
        if _known.setdefault(code, text) != text:
            raise ValueError(f"the code {code!r} exists already")


class CodedError(Exception):
    """An error with a `code` that says why, and `parameters` with the details. `str()` is the text for the wire."""

    def __init__(self, code: str, /, **parameters: str | int) -> None:
        """Raise TypeError if the code is unknown, or if the parameters are not those of the code."""
        text = text_of(code)
        if text is None:
            raise TypeError(f"there is no text for the code {code!r}")
        if text.parameters != parameters.keys():
            raise TypeError(f"the parameters of {code!r} are {sorted(text.parameters)}, not {sorted(parameters)}")
        super().__init__(text.wire % parameters)
        self.code = code
        self.parameters = parameters

    def __reduce__(self) -> tuple[Any, ...]:
        """Support pickling, for process pools and task queues."""
        return partial(type(self), self.code, **self.parameters), ()

    def text_for_people(self) -> str:
        """Return the text for a page, in the active language."""
        text = _known[self.code]
        return gettext(text.people or text.wire) % self.parameters


class Refused(CodedError):
    """The request cannot be carried out, and nothing has changed."""


class Unreachable(Refused):
    """A user cannot be written to: they block the sender, or their nodes are full. The error does not say which."""

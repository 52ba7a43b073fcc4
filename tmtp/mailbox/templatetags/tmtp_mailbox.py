"""Template tags of the mailbox's pages."""

from datetime import UTC, datetime

from django import template
from django.urls import get_script_prefix
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ...protocol.values import format_msgid
from ...services.messages.post_format import Attached
from ...times import local_time, site_time
from ...web.htmx import htmx_script
from .. import NEWS
from ..conversation import Item
from ..models import Thread
from ..previewable import kind_of
from ..summary import GROUP, PING

register = template.Library()


@register.filter
def thread_title(thread: Thread) -> str:
    """Return the title of a thread."""
    if thread.key.startswith(GROUP):
        return _("Group %(gid)s") % {"gid": gid(thread)}
    if thread.key.startswith(PING):
        return _("Pings with %(name)s") % {"name": thread.people[-1] if thread.people else "?"}
    return thread.subject.strip() or _("(no subject)")


@register.filter
def gid(thread: Thread) -> str:
    """Return the group that a thread is about, or an empty string."""
    return thread.key.removeprefix(GROUP) if thread.key.startswith(GROUP) else ""


@register.filter
def people(thread: Thread) -> str:
    """Return the names of the others in a thread."""
    if thread.key.startswith(GROUP):
        return _("invitations and membership changes")
    return ", ".join(thread.people) or _("only you")


@register.filter
def initial(thread: Thread) -> str:
    """Return the first letter of the name of a person in a thread."""
    names = gid(thread) or "".join(thread.people[:1]) or thread.subject
    return next((letter.upper() for letter in names if letter.isalnum()), "?")


@register.filter
def of_number(texts: dict[int, str], number: int) -> str:
    """Return the text for a message, or an empty string."""
    return texts.get(number, "")


@register.filter
def msgid(number: int) -> str:
    """Return the msgid for the number of a message."""
    return format_msgid(number)


@register.filter
def event(item: Item) -> str:
    """Return a line about what happened in a group."""
    texts = {
        "invite": _("%(alias)s was invited."),
        "join": _("%(alias)s joined."),
        "alias": _("%(alias)s is now %(newalias)s."),
        "drop": _("%(alias)s left or was removed."),
    }.get(item.act, _("The membership of %(alias)s changed."))
    return texts % {"alias": item.alias, "newalias": item.newalias}


@register.simple_tag
def htmx() -> SafeString:
    """Return the script tags of htmx, if the site has it."""
    return htmx_script()


@register.simple_tag
def news_path() -> str:
    """Return the path of live news on this host, below the path that the site is served under."""
    return get_script_prefix() + NEWS


@register.simple_tag
def moment(number: int) -> SafeString:
    """Return the time of a message as <time>: the hour if it is from today, else the date."""
    return time_of(datetime.fromtimestamp(number // 1_000_000_000, UTC))


@register.filter
def shown_as(attached: Attached) -> str:
    """Return how an attached file can be looked at: "picture", "pdf", "text", or an empty string."""
    return kind_of(attached)


@register.filter
def recipients(to: str) -> str:
    """Return the names in the field of recipients of a draft, with commas between them."""
    return ", ".join(to.splitlines())


@register.simple_tag
def time_of(at: datetime) -> SafeString:
    """Return a time as <time>: the hour if it is from today, else the date."""
    here, today = local_time(site_time(at)), local_time(timezone.now())
    if here.date() == today.date():
        shown = date_format(here, "TIME_FORMAT")
    else:
        shown = date_format(here, "MONTH_DAY_FORMAT" if here.year == today.year else "SHORT_DATE_FORMAT")
    whole = date_format(here, "DATETIME_FORMAT")
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), whole, shown)

"""The page on which a member reports abuse, and the notice that the site's admins get of it.

`tmtp.mailbox` and `tmtp.pages` have pages for what can be reported.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.core.validators import validate_email
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import NoReverseMatch, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..conf import conf
from ..models import AbuseReport, User
from ..services.messages.sending import send_message
from ..services.people import abuse
from .limits import attempt
from .rendering import PageForm, render_page

log = logging.getLogger("tmtp.abuse")


class AbuseForm(PageForm):
    """Why a member reports something."""

    reason = forms.TypedChoiceField(
        label=gettext_lazy("What is the problem?"),
        choices=[(reason.value, capfirst(reason.label)) for reason in AbuseReport.Reason],
        coerce=int,
        widget=forms.RadioSelect,
    )
    comment = forms.CharField(
        label=gettext_lazy("Details"),
        required=False,
        max_length=abuse.COMMENT_MAX,
        widget=forms.Textarea(attrs={"rows": 4}),
    )


class MessageAbuseForm(AbuseForm):
    """Why a member reports a message, and whether its text may be sent along."""

    with_text = forms.BooleanField(
        label=gettext_lazy("Include the text of the message"),
        help_text=gettext_lazy("Without it, the administrators cannot read the message. Files are never included."),
        required=False,
    )


def abuse_page(
    request: HttpRequest,
    reporter: User,
    *,
    name: str,
    back: str,
    read_text: Callable[[], str] | None = None,
    **about: Any,
) -> HttpResponse:
    """Show the form to report something, and report it. Then redirect to `back`, a URL.

    `name` is how the reporter knows it. `read_text` returns the text of a message, and is called if the reporter
    agrees. `about` are the other arguments of `abuse.report`.
    """
    kind = MessageAbuseForm if read_text else AbuseForm
    form = kind(request.POST if request.method == "POST" else None)
    if form.is_valid():
        said = form.cleaned_data
        text = read_text() if read_text and said["with_text"] else ""
        make = partial(
            _report_and_notify, request, reporter, said["reason"], said["comment"], name=name, text=text, **about
        )
        if attempt(reporter, form, None, make):
            messages.success(request, _("Report sent. The site’s administrators will review it. Nobody else is told."))
            return redirect(back)
    context = {
        "form": form,
        "name": name,
        "back": back,
        "is_message": read_text is not None,
        "reported_user": about.get("user"),
        "reported_group": about.get("group"),
    }
    return render_page(request, "tmtp/abuse.html", context)


def _report_and_notify(request: HttpRequest, *args: Any, **options: Any) -> None:
    reported = abuse.report(*args, **options)
    transaction.on_commit(partial(_notify, reported, _admin_url(request, reported)))


def _admin_url(request: HttpRequest, reported: AbuseReport) -> str:
    try:
        return request.build_absolute_uri(reverse("admin:tmtp_abusereport_change", args=[reported.pk]))
    except NoReverseMatch:
        return ""


def _notify(reported: AbuseReport, url: str) -> None:
    """Write to those in TMTP["ABUSE_REPORTS_TO"]. A failure is logged: the report itself is in the database."""
    subject = _("Abuse report")
    for one in conf.ABUSE_REPORTS_TO:
        try:
            if _is_email(one):
                send_mail(subject, _body(reported, reported.name, url), None, [one])
            else:
                send_message(one, subject, _body(reported, _as_code(reported.name), url))
        except Exception:
            log.exception("report of abuse %s: no notice to %s", reported.pk, one)


def _body(reported: AbuseReport, name: str, url: str) -> str:
    reason = AbuseReport.Reason(reported.reason).label
    text = _("A member has reported “%(name)s”: %(reason)s.") % {"name": name, "reason": reason}
    return "\n\n".join(filter(None, (text, url)))


def _as_code(name: str) -> str:
    """Return a name as a code span of CommonMark, in which nothing is a link or markup (section 6.1)."""
    fence = "`" * (max(map(len, re.findall("`+", name)), default=0) + 1)
    return f"{fence} {name} {fence}"


def _is_email(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return True

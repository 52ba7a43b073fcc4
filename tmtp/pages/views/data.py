"""The pages on which members export their data, and delete their account."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.core import signing
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from ...conf import conf
from ...downloads import download
from ...members_data import deletion, exporting
from ...services.errors import Refused
from ...services.people import audit
from ...services.people.linking import user_of
from ...web.confirmation import confirmed_page
from ...web.decorators import member_page
from ...web.limits import spend
from ...web.rendering import render_page


@member_page("GET")
def data(request: HttpRequest) -> HttpResponseBase:
    """Show what the member can do with their data."""
    found = deletion.of(request.user)
    context = {"deletion_possible": deletion.is_possible(), "due": deletion.shown(found.due) if found else ""}
    return render_page(request, "tmtp_pages/data.html", context)


@confirmed_page("GET", "POST")
def export(request: HttpRequest) -> HttpResponseBase:
    """Say what the archive contains, and with POST send it."""
    if request.method != "POST":
        return render_page(request, "tmtp_pages/export.html")
    user = user_of(request.user)
    try:
        spend(user)
        pieces = exporting.export_for_member(user)
    except Refused as refused:
        messages.error(request, refused.text_for_people())
        return redirect("tmtp_pages:data")
    return download(request, exporting.file_name(user), None, next(pieces), pieces)


@confirmed_page("GET", "POST")
def delete_account(request: HttpRequest) -> HttpResponseBase:
    """Say what goes and what stays, and with POST arrange the deletion."""
    if not deletion.is_possible():
        raise Http404
    if request.method != "POST":
        day = deletion.shown(timezone.now() + timedelta(seconds=conf.DELETION_AFTER))
        context = {"day": day, "name": request.user.get_username()}
        return render_page(request, "tmtp_pages/delete_account.html", context)
    try:
        with audit.acting(audit.member(request.user)):
            found = deletion.request(request.user, absolute=request.build_absolute_uri)
    except Refused as refused:
        messages.error(request, refused.text_for_people())
    else:
        text = _("Your account will be deleted on %(day)s. Until then you can change your mind here.")
        messages.success(request, text % {"day": deletion.shown(found.due)})
    return redirect("tmtp_pages:data")


@member_page("POST")
def keep_account(request: HttpRequest) -> HttpResponseBase:
    """Cancel the deletion."""
    with audit.acting(audit.member(request.user)):
        kept = deletion.cancel(request.user)
    if kept:
        messages.success(request, _("Your account is kept."))
    return redirect("tmtp_pages:data")


@csrf_exempt  # the link itself is the proof: its reader may be signed in nowhere
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def deletion_cancel(request: HttpRequest, token: str) -> HttpResponseBase:
    """Show the page of a link that was sent. Only its button cancels the deletion, since programs follow links too."""
    try:
        found = deletion.by_token(token)
    except signing.BadSignature:
        found = None
    if found is None:
        answer = render_page(request, "tmtp_pages/deletion_cancel.html", {"state": "bad"})
        answer.status_code = 404
        return answer
    if request.method == "POST":
        with audit.acting(audit.member(found.account)):
            deletion.cancel(found.account)
        return render_page(request, "tmtp_pages/deletion_cancel.html", {"state": "done"})
    context = {"state": "ask", "name": found.account.get_username(), "day": deletion.shown(found.due)}
    return render_page(request, "tmtp_pages/deletion_cancel.html", context)


def offer_to_keep(sender: Any, request: HttpRequest, user: Any, **options: Any) -> None:
    """Receive Django's signal that a member has signed in. Say so if the account is going to be deleted."""
    found = deletion.of(user)
    if found:
        text = _("Your account will be deleted on %(day)s.") % {"day": deletion.shown(found.due)}
        link = format_html('<a href="{}">{}</a>', reverse("tmtp_pages:data"), _("Keep it?"))
        messages.warning(request, format_html("{} {}", text, link), fail_silently=True)

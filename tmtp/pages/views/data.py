"""The pages on which members export their data, and delete their account."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect

from ...members_data import exporting
from ...services.errors import Refused
from ...services.people.linking import user_of
from ...web.confirmation import confirmed_page
from ...web.decorators import member_page
from ...web.downloads import download
from ...web.limits import spend
from ...web.rendering import render_page


@member_page("GET")
def data(request: HttpRequest) -> HttpResponseBase:
    """Show what the member can do with their data."""
    return render_page(request, "tmtp_pages/data.html")


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

"""The pages on which a member reports another member or a group to the site's admins."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from ...models import User
from ...services.people.linking import user_of
from ...web.abuse import abuse_page
from ...web.decorators import member_page
from .groups import own_place


@member_page("GET", "POST")
def report_member(request: HttpRequest, uid: str) -> HttpResponse:
    """Report somebody by uid. `?name=` is the alias by which the member knows them; see `privacy.block`.

    `?next=` is the path of the page to return to.
    """
    other, name, back = get_object_or_404(User, uid=uid), request.GET.get("name", ""), request.GET.get("next", "")
    name = name if other.aliases.filter(name=name).exists() else uid
    if not back.startswith("/") or not url_has_allowed_host_and_scheme(back, None):
        back = reverse("tmtp_pages:blocked")
    return abuse_page(request, user_of(request.user), name=name, user=other, back=back)


@member_page("GET", "POST")
def report_group(request: HttpRequest, pk: int) -> HttpResponse:
    """Report a group that the member is in, or may join."""
    place = own_place(request, pk)
    back = reverse("tmtp_pages:group", args=[pk])
    return abuse_page(request, place.user, name=place.group.gid, group=place.group, back=back)

"""The pages about devices: which ones there are, a new one, another name, the end of one."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from tmtp.conf import conf
from tmtp.models import Identity, Node
from tmtp.openid.providers import Provider, parse_settings
from tmtp.services.people import users
from tmtp.services.people.linking import user_of
from tmtp.services.queue.leases import LIFETIME
from tmtp.services.queue.quota import with_count

from ..limits import attempt
from .address import address, qr_code
from .forms import LabelForm

COUNTED = 1000  # of the messages that wait for one device


def devices_of(account: Any) -> QuerySet[Node]:
    """A member's devices in use, with `online`, and `waiting` up to COUNTED + 1. A mailbox is none."""
    online = Q(server__seen__gte=_alive_since()) & Q(server__isnull=False)
    devices = Node.objects.filter(user__account=account, kind=Node.Kind.DEVICE, dropped=None)
    with_online = devices.annotate(online=ExpressionWrapper(online, BooleanField()))
    return with_count(with_online, COUNTED).order_by("created", "pk")


def _alive_since() -> datetime:
    return timezone.now() - LIFETIME


@require_safe
@login_required
@never_cache
def devices(request: HttpRequest) -> HttpResponse:
    """All of the member's devices."""
    return render(request, "accounts/devices/list.html", {"devices": devices_of(request.user), "counted": COUNTED})


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def new_device(request: HttpRequest) -> HttpResponse:
    """How to connect a device; and a node made here for one, whose secret is shown in the answer and never again."""
    form = LabelForm(request.POST or None)
    user = user_of(request.user)
    made: list[tuple[Node, str]] = []
    make = partial(_make, form, user, made)
    if request.method == "POST" and form.is_valid() and attempt(user, form, "label", make):
        node, nodeid = made[0]
        shown = {"node": node, "uid": user.uid, "nodeid": nodeid, "address": address(request)}
        return render(request, "accounts/devices/made.html", shown)
    dialled = address(request)
    context = {
        "form": form,
        "address": dialled,
        "qr_code": qr_code(dialled),
        "self_signed": dialled.startswith("="),
        "providers": list(providers_for(request.user)),
        "site_name": conf.SITE_NAME,
    }
    return render(request, "accounts/devices/new.html", context)


def _make(form: LabelForm, user: Any, made: list[tuple[Node, str]]) -> None:
    made.append(users.make_node(user, form.cleaned_data["label"]))


def providers_for(account: Any) -> list[tuple[Provider, str]]:
    """The providers by which a device of the member can become theirs, and what it takes.

    "site": the website itself, "linked" to the account, or to be linked first ("link"). A provider that the website
    itself does not know is left out: its devices would be nobody's.
    """
    openid = parse_settings(conf.OPENID)
    if not openid.auth:
        return []
    itself = getattr(settings, "OAUTH2_PROVIDER", {}).get("OIDC_ISS_ENDPOINT", "")
    linked = set(Identity.objects.filter(user__account=account).values_list("iss", flat=True))
    found = []
    for provider in openid.providers:
        how = "site" if provider.iss == itself else "linked" if provider.iss in linked else "link"
        if how != "link" or provider.site:
            found.append((provider, how))
    return found


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def device(request: HttpRequest, pk: int) -> HttpResponse:
    """One device, which can be called something else."""
    node = get_object_or_404(devices_of(request.user), pk=pk)
    form = LabelForm(request.POST or None, initial={"label": node.label})
    if request.method == "POST" and form.is_valid():
        label = form.cleaned_data["label"]
        if attempt(node.user, form, "label", partial(users.rename_node, node, label)):
            messages.success(request, _("The device is called “%(label)s” now.") % {"label": label})
            return redirect("accounts:devices")
    return render(request, "accounts/devices/device.html", {"device": node, "form": form, "counted": COUNTED})


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def drop_device(request: HttpRequest, pk: int) -> HttpResponse:
    """The end of a device, after a question."""
    node = get_object_or_404(devices_of(request.user), pk=pk)
    if request.method == "POST":
        users.drop_node(node)
        messages.success(request, _("“%(label)s” is disconnected for good.") % {"label": node.label})
        return redirect("accounts:devices")
    others = Node.objects.filter(user=node.user_id, dropped=None).exclude(pk=pk)
    context = {"device": node, "is_last": not others.exists(), "counted": COUNTED}
    return render(request, "accounts/devices/drop.html", context)

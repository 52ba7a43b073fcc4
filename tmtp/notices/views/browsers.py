"""What scripts of open pages ask for: to subscribe the browser, and which notices to show."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from tmtp.mailbox import index
from tmtp.mailbox.decorators import mailbox_page
from tmtp.mailbox.positions import end_of, parse
from tmtp.models import Node
from tmtp.services.errors import Refused
from tmtp.times import number_at
from tmtp.web.limits import spend

from .. import subscriptions
from ..arrivals import before_the_last, new_for
from ..models import Preferences
from ..rules import LOOKING, rules_of
from ..texts import notice_of

AT_ONCE = 4  # notices


@mailbox_page("POST")
def subscribe(request: HttpRequest, node: Node) -> HttpResponse:
    """Subscribe this browser to Web Push. The form has what PushSubscription.toJSON() returns."""
    try:
        spend(node.user)
        subscriptions.subscribe(request, *(request.POST.get(name) for name in ("endpoint", "p256dh", "auth")))
    except subscriptions.Malformed as error:
        text = _("The browser’s push service cannot be used (%(field)s).") % {"field": error}
        return JsonResponse({"error": text}, status=400)
    except Refused as refused:
        return JsonResponse({"error": refused.text_for_people()}, status=429)
    return HttpResponse(status=204)


@mailbox_page("POST")
def unsubscribe(request: HttpRequest, node: Node) -> HttpResponse:
    """End the subscription of this browser."""
    subscriptions.unsubscribe(request)
    return HttpResponse(status=204)


@mailbox_page("POST")
def looking(request: HttpRequest, node: Node) -> HttpResponse:
    """Note that a page has come in front of the member, or has left."""
    seen = timezone.now() if request.POST.get("visible") else None
    account: Any = request.user
    if not Preferences.objects.filter(account=account).update(looking=seen):
        Preferences.objects.get_or_create(account=account, defaults={"looking": seen})
    return HttpResponse(status=204)


@mailbox_page("GET")
def new(request: HttpRequest, node: Node) -> HttpResponse:
    """Return the notices of messages after the position `?after=`, and the last position, to ask with the next time.

    While a page is in front of the member, there are none. Messages of the last moment `wait` then: there is a notice
    if the page is left soon, and the message is still unread.
    """
    index.catch_up(node)
    end = end_of(node)
    after = parse(request.GET.get("after", "")) or end
    now, rules = timezone.now(), rules_of(request.user)
    entries = new_for(node, rules, after, AT_ONCE)
    wait = bool(entries) and rules.is_looking(now)
    if wait:
        end, entries = before_the_last(node, after, end, number_at(now - LOOKING)), []
    notices = [notice_of(entry, rules.preferences) for entry in entries]
    return JsonResponse({"newest": str(end), "notices": notices, "wait": wait})

"""What scripts of open pages ask for: to subscribe the browser, and which notices to show."""

from __future__ import annotations

import re
import time

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from tmtp.mailbox import index
from tmtp.mailbox.decorators import mailbox_page
from tmtp.mailbox.positions import end_of, parse
from tmtp.models import Node
from tmtp.protocol.values import whole_number
from tmtp.services.errors import Refused
from tmtp.times import number_at
from tmtp.web.decorators import member_page
from tmtp.web.limits import spend

from .. import subscriptions
from ..arrivals import before_the_last, new_for
from ..looking import LOOKING, is_looking, note
from ..models import PAGE_MAX
from ..rules import rules_of
from ..texts import notice_of

AT_ONCE = 4  # notices
PAGE = f"[A-Za-z0-9]{{0,{PAGE_MAX}}}"


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


@member_page("POST")
def unsubscribe(request: HttpRequest) -> HttpResponse:
    """End the subscription of this browser."""
    subscriptions.unsubscribe(request)
    return HttpResponse(status=204)


@member_page("POST")
def looking(request: HttpRequest) -> HttpResponse:
    """Note that a page has come in front of the member, is still there, or was left.

    Pages of before an update give neither a name nor a number. They count as one page, and what arrives last counts.
    """
    page, word = request.POST.get("page", ""), whole_number(request.POST.get("word", str(time.time_ns())))
    if word is None or not re.fullmatch(PAGE, page):
        return HttpResponseBadRequest("page: up to 40 letters and digits; word: a whole number", "text/plain")
    note(request.user, page, word, bool(request.POST.get("visible")))
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
    rules = rules_of(request.user)
    entries = new_for(node, rules, after, AT_ONCE)
    wait = bool(entries) and is_looking(request.user)
    if wait:
        end, entries = before_the_last(node, after, end, number_at(timezone.now() - LOOKING)), []
    notices = [notice_of(entry, rules.preferences) for entry in entries]
    return JsonResponse({"newest": str(end), "notices": notices, "wait": wait})

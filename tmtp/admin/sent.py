"""What the site has sent, and what became of it; recall."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from ..models import Report, SentMessage, User
from ..protocol.values import parse_msgid
from ..services.messages.recall import Recalled, recall
from ..services.messages.recipients import aliases_of
from ..services.queue import reports
from ..services.queue.reports import State
from .base import INLINE_ROWS, ViewAdmin, attempt, name_of
from .confirm import ask
from .filters import YesNoFilter
from .waiting import RowsOf

COUNTED = 1_000  # devices of one message that a list looks at; its own page counts them all
STATES = {
    State.QUEUED: _("waiting"),
    State.SENT: _("sent"),
    State.DELIVERED: _("delivered"),
    State.READ: _("read"),
    State.UNDELIVERABLE: _("undeliverable"),
}


class RecalledFilter(YesNoFilter):
    """Whether the site took it back."""

    title = _("recalled")
    parameter_name = "was_recalled"
    condition = Q(recalled__isnull=False)


class PostedFilter(admin.SimpleListFilter):
    """When it was posted: a message's number is its time."""

    title = _("posted")
    parameter_name = "days"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The choices."""
        return [("1", _("the last day")), ("7", _("the last 7 days")), ("30", _("the last 30 days"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SentMessage]) -> QuerySet[SentMessage]:
        """Those since then."""
        days = self.value()
        if not days or not days.isdecimal():
            return queryset
        since = timezone.now() - timedelta(days=min(int(days), 36500))
        return queryset.filter(pk__gte=int(since.timestamp()) * 1_000_000_000)


class SentList(ChangeList):
    """A page of the list, with what became of each message: `counts` by state, and `name` when it was for one user."""

    def get_results(self, request: HttpRequest) -> None:
        """Look at the reports of all rows of the page at once."""
        super().get_results(request)
        rows = {message.pk: message for message in self.result_list}
        counts: dict[int, Counter[str]] = {}
        users: dict[int, int] = {}
        few = [pk for pk, message in rows.items() if message.reported <= COUNTED]
        found = reports.states(SentMessage.objects.filter(pk__in=few))
        for pk, user, state in found.values_list("message_id", "node__user_id", "state"):
            counts.setdefault(pk, Counter())[state] += 1
            users[pk] = user
        alone = [users[pk] for pk, its in counts.items() if its.total() == 1]
        names = names_of(User.objects.filter(pk__in=alone))
        for pk, message in rows.items():
            message.counts = counts.get(pk, Counter())
            message.name = names.get(users.get(pk, 0), "") if message.counts.total() == 1 else ""


@admin.register(SentMessage)
class SentMessageAdmin(ViewAdmin):
    """Messages that the site's code sent. Their text is not kept here."""

    list_display = ["subject_or_id", "to", "state", "when"]
    list_filter = [PostedFilter, RecalledFilter]
    search_fields = ["subject"]  # shows the box; see get_search_results
    search_help_text = _("A word of the subject; or a message id, alias, account or uid")
    ordering = ["-pk"]
    actions = ["recall"]
    change_form_template = "admin/tmtp/sentmessage/change_form.html"
    fields = ["subject", "msgid", "by", "posted", "thread", "recalled", "in_all"]

    class Media:
        css = {"all": ["tmtp/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[SentMessage]:
        """With the number of nodes each was for, as far as the list looks."""
        of_message = Report.objects.filter(message=OuterRef("pk")).values("node_id")
        sent: QuerySet[SentMessage] = super().get_queryset(request)
        return sent.annotate(reported=RowsOf(of_message[: COUNTED + 1]))

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        """With what became of each."""
        return SentList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[SentMessage], search_term: str
    ) -> tuple[QuerySet[SentMessage], bool]:
        """By id, by recipient, or by a word of the subject."""
        term = search_term.strip()
        try:
            return queryset.filter(pk=parse_msgid(term)), False
        except ValueError:
            users = users_called(term)
        if users:
            return queryset.filter(pk__in=Report.objects.filter(node__user__in=users).values("message_id")), False
        return super().get_search_results(request, queryset, search_term)

    # the list

    @admin.display(description=_("subject"))
    def subject_or_id(self, message: SentMessage) -> str:
        """Something to click on."""
        return message.subject or message.msgid

    @admin.display(description=_("to"))
    def to(self, message: Any) -> str:
        """The one recipient's name, or how many there are."""
        if message.reported > COUNTED:
            return gettext("over %(number)s devices") % {"number": number_format(COUNTED, force_grouping=True)}
        return message.name or number_format(message.counts.total(), force_grouping=True)

    @admin.display(description=_("state"))
    def state(self, message: Any) -> str:
        """How far it has come, for how many."""
        words = shown(message.counts)
        return ", ".join([*words, gettext("recalled")] if message.recalled else words)

    @admin.display(description=_("posted"), ordering="pk")
    def when(self, message: SentMessage) -> Any:
        """When it was queued."""
        return message.posted

    # the page

    @admin.display(description=_("message id"))
    def msgid(self, message: SentMessage) -> str:
        """Its id as clients see it."""
        return message.msgid

    @admin.display(description=_("posted"))
    def posted(self, message: SentMessage) -> Any:
        """When it was queued."""
        return date_format(timezone.localtime(message.posted), "DATETIME_FORMAT")

    @admin.display(description=_("from"))
    def by(self, message: SentMessage) -> str:
        """The site, or a member in whose name it was sent."""
        if message.sender is None:
            return ""
        if message.sender.is_site:
            return gettext("the website")
        where = reverse("admin:tmtp_user_change", args=[message.sender.pk], current_app=self.admin_site.name)
        (name,) = names_of(User.objects.filter(pk=message.sender.pk)).values()
        return format_html('<a href="{}">{}</a>', where, name)

    @admin.display(description=_("recipients"))
    def in_all(self, message: SentMessage) -> str:
        """How many are in which state."""
        counts = reports.summary(SentMessage.objects.filter(pk=message.pk))
        return ", ".join(shown({state.value: number for state, number in counts.items()})) or "0"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """With the first recipients, or those who are looked for."""
        context = dict(extra_context or {})
        message = SentMessage.objects.filter(pk=object_id).first() if object_id.isdecimal() else None
        if message:
            who = request.GET.get("who", "").strip()
            context |= {"who": who, **recipients_of(message, who)}
            context["may_recall"] = self.has_act_permission(request) and not message.recalled
        return super().change_view(request, object_id, form_url, context)

    # recall

    def get_urls(self) -> list[URLPattern]:
        """The question behind the page's button; its answer goes to the list's action."""
        view = self.admin_site.admin_view(self.question)
        return [path("<int:pk>/recall/", view, name="tmtp_sentmessage_recall"), *super().get_urls()]

    def question(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask about one message."""
        if not self.has_act_permission(request):
            raise PermissionDenied
        get_object_or_404(SentMessage, pk=pk)
        answer = self._ask(request, self.get_queryset(request).filter(pk=pk))
        assert answer is not None
        return answer

    @admin.action(description=_("Recall"), permissions=["act"])
    def recall(self, request: HttpRequest, chosen: QuerySet[SentMessage]) -> HttpResponse | None:
        """Ask, then take them back."""
        question = self._ask(request, chosen)
        if question is None:
            self._recall(request, chosen)
        return question

    def _ask(self, request: HttpRequest, chosen: QuerySet[SentMessage]) -> HttpResponse | None:
        question = gettext("Take these messages back from everyone who does not have them yet? Who has one keeps it.")
        return ask(self, request, chosen, str, action="recall", question=question, button=gettext("Recall"))

    def _recall(self, request: HttpRequest, chosen: QuerySet[SentMessage]) -> None:
        """Each in a transaction of its own, so that a server that writes meanwhile waits for one at most."""
        for message in SentMessage.objects.filter(pk__in=list(chosen.values_list("pk", flat=True))):
            done: list[Recalled] = []
            if attempt(request, partial(_recall_into, done, message)):
                self.log_change(request, message, gettext("Recall"))
                self.message_user(request, outcome(message, done[0]), messages.SUCCESS)


def _recall_into(done: list[Recalled], message: SentMessage) -> None:
    done.append(recall(message.msgid))


def outcome(message: SentMessage, done: Recalled) -> str:
    """What a recall did, in words."""
    taken = ngettext(
        "“%(subject)s” was taken back from %(count)d device or mailbox;",
        "“%(subject)s” was taken back from %(count)d devices and mailboxes;",
        done.taken_back,
    ) % {"subject": message.subject, "count": done.taken_back}
    kept = ngettext("%(count)d has it and keeps it.", "%(count)d have it and keep it.", done.kept) % {
        "count": done.kept
    }
    return f"{taken} {kept}"


def shown(counts: Any) -> list[str]:
    """How many are in which state, in words; the bare state when there is one recipient."""
    there = [(label, counts.get(state.value, 0)) for state, label in STATES.items()]
    if sum(number for _label, number in there) == 1:
        return [str(label) for label, number in there if number]
    return [f"{number_format(number, force_grouping=True)} {label}" for label, number in there if number]


def names_of(users: QuerySet[User]) -> dict[int, str]:
    """A name for each of the users, by their ids."""
    found = {user.pk: user for user in users.select_related("account")}
    aliases = aliases_of(list(found.values()))
    return {pk: name_of(user, aliases[pk] if aliases[pk] != user.uid else "") for pk, user in found.items()}


def users_called(name: str) -> list[int]:
    """The ids of the users with this alias, account or uid: one as a rule, or none."""
    account = Q(**{f"account__{get_user_model().USERNAME_FIELD}": name})
    for condition in (Q(aliases__name=name, aliases__dropped=None), account, Q(uid=name)):
        if found := list(User.objects.filter(condition).values_list("pk", flat=True)):
            return found
    return []


def recipients_of(message: SentMessage, who: str) -> dict[str, Any]:
    """The first recipients of a message, or the one called `who`, with their devices; and whether there are more."""
    if who:
        chosen = users_called(who)
    else:
        ids = message.reports.order_by().values_list("node__user_id", flat=True).distinct()
        chosen = list(ids[: INLINE_ROWS + 1])
    found = reports.report(message.msgid, chosen[:INLINE_ROWS])
    names = names_of(User.objects.filter(pk__in=[recipient.user.pk for recipient in found]))
    rows = [(names[recipient.user.pk], recipient, STATES[recipient.state]) for recipient in found]
    return {"recipients": rows, "more": len(chosen) > INLINE_ROWS}

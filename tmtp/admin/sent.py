"""Messages of the site: their delivery reports, and recall."""

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
from ..protocol.values import parse_msgid, whole_number
from ..services.messages.recall import Recalled, recall
from ..services.people.names import aliases_of, typed
from ..services.queue import reports
from ..services.queue.reports import State
from ..times import local_time, number_at
from .base import INLINE_ROWS, ViewAdmin, attempt, name_of
from .confirm import ask
from .filters import YesNoFilter
from .waiting import RowsOf

COUNT_LIMIT = 1_000  # reports that the changelist counts per message; the message's own page counts all


class RecalledFilter(YesNoFilter):
    title = _("recalled")
    parameter_name = "was_recalled"
    condition = Q(recalled__isnull=False)


class PostedFilter(admin.SimpleListFilter):
    """Filter by the time of posting. A message's number is its time in nanoseconds."""

    title = _("posted")
    parameter_name = "days"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("the last day")), ("7", _("the last 7 days")), ("30", _("the last 30 days"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SentMessage]) -> QuerySet[SentMessage]:
        days = whole_number(self.value() or "")
        if not days:
            return queryset
        since = timezone.now() - timedelta(days=min(days, 36500))
        return queryset.filter(pk__gte=number_at(since))


class SentList(ChangeList):
    """A changelist whose messages have `counts` by state and, if they are for one user, that user's `name`."""

    def get_results(self, request: HttpRequest) -> None:
        """Fetch the reports of all messages of the page at once."""
        super().get_results(request)
        rows = {message.pk: message for message in self.result_list}
        counts: dict[int, Counter[str]] = {}
        users: dict[int, int] = {}
        few = [pk for pk, message in rows.items() if message.reported <= COUNT_LIMIT]
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
    """Messages of the site. Their text is not stored with them."""

    list_display = ["subject_or_id", "to", "state", "when"]
    list_filter = [PostedFilter, RecalledFilter]
    search_fields = ["subject"]  # see also get_search_results
    search_help_text = _("A word of the subject, or a message ID, alias, account or uid")
    ordering = ["-pk"]
    actions = ["recall"]
    change_form_template = "admin/tmtp/sentmessage/change_form.html"
    fields = ["subject", "msgid", "by", "posted", "thread", "recalled", "in_all"]

    class Media:
        css = {"all": ["tmtp/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[SentMessage]:
        """Annotate the number of reports, counted up to one more than COUNT_LIMIT."""
        of_message = Report.objects.filter(message=OuterRef("pk")).values("node_id")
        sent: QuerySet[SentMessage] = super().get_queryset(request)
        return sent.annotate(reported=RowsOf(of_message[: COUNT_LIMIT + 1]))

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return SentList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[SentMessage], search_term: str
    ) -> tuple[QuerySet[SentMessage], bool]:
        """Search by message id, then by recipient, then by a word of the subject."""
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
        return message.subject or message.msgid

    @admin.display(description=_("to"))
    def to(self, message: Any) -> str:
        """Return the name of the recipient, or the number of recipients."""
        if message.reported > COUNT_LIMIT:
            return gettext("over %(number)s devices") % {"number": number_format(COUNT_LIMIT, force_grouping=True)}
        return message.name or number_format(message.counts.total(), force_grouping=True)

    @admin.display(description=_("state"))
    def state(self, message: Any) -> str:
        """Return the number of recipients in each state."""
        words = shown(message.counts)
        return ", ".join([*words, gettext("recalled")] if message.recalled else words)

    @admin.display(description=_("posted"), ordering="pk")
    def when(self, message: SentMessage) -> Any:
        return message.posted

    # the page

    @admin.display(description=_("message id"))
    def msgid(self, message: SentMessage) -> str:
        return message.msgid

    @admin.display(description=_("posted"))
    def posted(self, message: SentMessage) -> Any:
        return date_format(local_time(message.posted), "DATETIME_FORMAT")

    @admin.display(description=_("from"))
    def by(self, message: SentMessage) -> str:
        """Return the sender: the site, or the user in whose name it was sent."""
        if message.sender is None:
            return ""
        if message.sender.is_site:
            return gettext("the website")
        where = reverse("admin:tmtp_user_change", args=[message.sender.pk], current_app=self.admin_site.name)
        (name,) = names_of(User.objects.filter(pk=message.sender.pk)).values()
        return format_html('<a href="{}">{}</a>', where, name)

    @admin.display(description=_("recipients"))
    def in_all(self, message: SentMessage) -> str:
        counts = reports.summary(SentMessage.objects.filter(pk=message.pk))
        return ", ".join(shown({state.value: number for state, number in counts.items()})) or "0"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Add the first recipients, or those that match the search."""
        context = dict(extra_context or {})
        message = SentMessage.objects.filter(pk=whole_number(object_id) or 0).first()
        if message:
            who = request.GET.get("who", "").replace("\0", "").strip()
            context |= {"who": who, **recipients_of(message, who)}
            context["may_recall"] = self.has_act_permission(request) and not message.recalled
        return super().change_view(request, object_id, form_url, context)

    # recall

    def get_urls(self) -> list[URLPattern]:
        """Add a confirmation page for the button. Its form posts to the changelist, as an action."""
        view = self.admin_site.admin_view(self.question)
        return [path("<int:pk>/recall/", view, name="tmtp_sentmessage_recall"), *super().get_urls()]

    def question(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the confirmation page for one message."""
        if not self.has_act_permission(request):
            raise PermissionDenied
        get_object_or_404(SentMessage, pk=pk)
        answer = self._ask(request, self.get_queryset(request).filter(pk=pk))
        assert answer is not None
        return answer

    @admin.action(description=_("Recall"), permissions=["act"])
    def recall(self, request: HttpRequest, chosen: QuerySet[SentMessage]) -> HttpResponse | None:
        question = self._ask(request, chosen)
        if question is None:
            self._recall(request, chosen)
        return question

    def _ask(self, request: HttpRequest, chosen: QuerySet[SentMessage]) -> HttpResponse | None:
        question = gettext(
            "Recall these messages from everyone who has not received them? Recipients who have received one keep it."
        )
        return ask(self, request, chosen, str, action="recall", question=question, button=gettext("Recall"))

    def _recall(self, request: HttpRequest, chosen: QuerySet[SentMessage]) -> None:
        """Recall each message in its own transaction, so that servers never wait for more than one."""
        for message in SentMessage.objects.filter(pk__in=list(chosen.values_list("pk", flat=True))):
            done: list[Recalled] = []
            if attempt(request, partial(_recall_into, done, message)):
                self.log_change(request, message, gettext("Recall"))
                self.message_user(request, outcome(message, done[0]), messages.SUCCESS)


def _recall_into(done: list[Recalled], message: SentMessage) -> None:
    done.append(recall(message.msgid))


def outcome(message: SentMessage, done: Recalled) -> str:
    """Return the text that reports a recall."""
    taken = ngettext(
        "“%(subject)s” was recalled from %(count)d device or mailbox;",
        "“%(subject)s” was recalled from %(count)d devices and mailboxes;",
        done.taken_back,
    ) % {"subject": message.subject, "count": done.taken_back}
    kept = ngettext(
        "%(count)d has received it and keeps it.", "%(count)d have received it and keep it.", done.kept
    ) % {"count": done.kept}
    return f"{taken} {kept}"


def shown(counts: Any) -> list[str]:
    """Return texts such as "3 sent", one for each state. If there is one recipient, return the state alone."""
    there = [(state.label, counts.get(state.value, 0)) for state in State]
    if sum(number for _label, number in there) == 1:
        return [str(label) for label, number in there if number]
    return [f"{number_format(number, force_grouping=True)} {label}" for label, number in there if number]


def names_of(users: QuerySet[User]) -> dict[int, str]:
    """Return the names to show for users, by their ids."""
    found = {user.pk: user for user in users.select_related("account")}
    aliases = aliases_of(list(found.values()))
    return {pk: name_of(user, aliases[pk] if aliases[pk] != user.uid else "") for pk, user in found.items()}


def users_called(name: str) -> list[int]:
    """Return the ids of the users with this alias, account or uid: one at most, as a rule."""
    account = Q(**{f"account__{get_user_model().USERNAME_FIELD}": name})
    registered = typed(name)
    for condition in (Q(aliases__name=registered, aliases__dropped=None), account, Q(uid=registered)):
        if found := list(User.objects.filter(condition).values_list("pk", flat=True)):
            return found
    return []


def recipients_of(message: SentMessage, who: str) -> dict[str, Any]:
    """Return the first recipients of a message, or those called `who`, and whether there are more."""
    if who:
        chosen = users_called(who)
    else:
        ids = message.reports.order_by().values_list("node__user_id", flat=True).distinct()
        chosen = list(ids[: INLINE_ROWS + 1])
    found = reports.report(message.msgid, chosen[:INLINE_ROWS])
    names = names_of(User.objects.filter(pk__in=[recipient.user.pk for recipient in found]))
    rows = [(names[recipient.user.pk], recipient, recipient.state.label) for recipient in found]
    return {"recipients": rows, "more": len(chosen) > INLINE_ROWS}

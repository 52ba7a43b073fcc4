"""Messages on which the site's handler has failed, with the reason, to try again or to discard."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.timesince import timeuntil
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from tmtp.admin.base import ViewAdmin
from tmtp.admin.confirm import ask
from tmtp.models import QueueEntry
from tmtp.services.messages.mailbox import Received
from tmtp.services.storage.object_storage import StorageUnavailable

from ..conf import conf
from . import handling
from .models import Attempt

LAST_LINES = 12
COUNTED = 1000


class DeadFilter(admin.SimpleListFilter):
    """Filter: messages given up, or messages still tried."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the two choices."""
        return [("dead", _("given up")), ("tried", _("being retried"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Attempt]) -> QuerySet[Attempt]:
        """Return the attempts of the chosen state."""
        return queryset.filter(dead__isnull=self.value() == "tried") if self.value() else queryset


@admin.register(Attempt)
class AttemptAdmin(ViewAdmin):
    """The list of failures. It shows the subjects of messages, not their texts."""

    list_display = ["subject", "state", "reason", "tries", "posted", "author"]
    list_filter = [DeadFilter]
    list_select_related = ["message__sender__account"]
    ordering = [F("dead").desc(nulls_last=True), "pk"]
    actions = ["try_again", "discard"]
    fields = ["subject", "author", "posted", "tries", "state", "last_lines"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attempt]:
        """Leave out messages that the handler was called with for the first time just now."""
        return super().get_queryset(request).exclude(error="").filter(message__id__isnull=False)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show how many messages wait in the mailbox of the site."""
        if request.method == "GET":
            messages.add_message(request, messages.INFO if conf.HANDLER else messages.WARNING, waiting_line())
        return super().changelist_view(request, extra_context)

    @admin.display(description=_("subject"))
    def subject(self, attempt: Attempt) -> str:
        """Return the subject, or else the operation, such as “ping”."""
        received = Received(attempt.message)
        try:
            return received.subject or received.op
        except FileNotFoundError:
            return str(_("its file is missing"))
        except StorageUnavailable:
            return str(_("its storage does not answer"))
        except OSError:
            return str(_("its file cannot be read"))

    @admin.display(description=_("from"))
    def author(self, attempt: Attempt) -> str:
        """Return a link to the author."""
        sender = attempt.message.sender
        if sender is None:
            return "-"
        where = reverse("admin:tmtp_user_change", args=[sender.pk], current_app=self.admin_site.name)
        return format_html('<a href="{}">{}</a>', where, sender.account or sender.uid)

    @admin.display(description=_("posted"), ordering="pk")
    def posted(self, attempt: Attempt) -> Any:
        """Return the time when the message was accepted."""
        return attempt.message.posted

    @admin.display(description=_("state"), ordering="dead")
    def state(self, attempt: Attempt) -> str:
        """Return what happens next."""
        now = timezone.now()
        if attempt.dead:
            return str(_("given up"))
        if attempt.claimed_until and attempt.claimed_until > now:
            return str(_("being handled"))
        if attempt.next_try <= now:
            return str(_("retrying next"))
        return str(_("retrying in %(time)s") % {"time": timeuntil(attempt.next_try, now)})

    @admin.display(description=_("error"))
    def reason(self, attempt: Attempt) -> str:
        """Return the last line of the error."""
        return attempt.error.strip().rpartition("\n")[2][:200]

    @admin.display(description=_("error"))
    def last_lines(self, attempt: Attempt) -> str:
        """Return the end of the traceback."""
        return format_html("<pre>{}</pre>", "\n".join(attempt.error.strip().split("\n")[-LAST_LINES:]))

    @admin.action(description=_("Retry"), permissions=["act"])
    def try_again(self, request: HttpRequest, attempts: QuerySet[Attempt]) -> None:
        """Make the messages due. Nothing can be lost, so no confirmation is asked for."""
        self._log(request, attempts, _("Retry"))
        count = handling.try_again(Attempt.objects.filter(pk__in=list(attempts.values_list("pk", flat=True))))
        text = ngettext("%(count)d message will be retried.", "%(count)d messages will be retried.", count) % {
            "count": count
        }
        self.message_user(request, text, messages.SUCCESS)

    @admin.action(description=_("Discard"), permissions=["act"])
    def discard(self, request: HttpRequest, attempts: QuerySet[Attempt]) -> HttpResponse | None:
        """Ask for confirmation, then discard the messages."""
        question = str(_("Discard these messages? They will not be handled."))
        answer = ask(
            self, request, attempts, self._describe, action="discard", question=question, button=str(_("Discard"))
        )
        if answer:
            return answer
        self._log(request, attempts, _("Discard"))
        count = handling.discard(attempts)
        text = ngettext("%(count)d message was discarded.", "%(count)d messages were discarded.", count) % {
            "count": count
        }
        self.message_user(request, text, messages.SUCCESS)
        return None

    def _describe(self, attempt: Attempt) -> str:
        return f"{self.subject(attempt)} · {attempt.message.sender or '-'}"

    def _log(self, request: HttpRequest, attempts: QuerySet[Attempt], what: Any) -> None:
        if not self.has_act_permission(request):
            raise PermissionDenied
        for attempt in attempts:
            self.log_change(request, attempt, str(what))


def waiting_line() -> str:
    """Return a sentence that says how many messages wait in the mailbox of the site, and why."""
    mailbox = handling.site_mailbox()
    entries = QueueEntry.objects.filter(node=mailbox).values_list("message_id")[: COUNTED + 1] if mailbox else ()
    count = len(entries)
    shown = f"{COUNTED}+" if count > COUNTED else str(count)
    if conf.HANDLER:
        return str(_("Messages in the mailbox of the site: %(count)s.") % {"count": shown})
    return str(
        _("Messages in the mailbox of the site: %(count)s. They wait, since TMTP_DELIVERY[“HANDLER”] is not set.")
        % {"count": shown}
    )

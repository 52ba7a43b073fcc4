"""Tokens and what programs have sent, in the admin. A secret is shown once, when it is made."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from tmtp.admin.base import AnyQuery, ViewAdmin
from tmtp.admin.confirm import ask

from . import tokens
from .models import Token, TokenMessage


class TokenForm(forms.ModelForm):
    """A token, with its scopes as boxes to tick."""

    scopes = forms.MultipleChoiceField(
        label=_("Scopes"), choices=Token.Scope.choices, widget=forms.CheckboxSelectMultiple
    )

    class Meta:
        model = Token
        fields = ["name", "scopes", "groups", "expires", "requests_per_minute"]


@admin.register(Token)
class TokenAdmin(AnyQuery):
    """Tokens are revoked and stay, so that the log can be understood."""

    form = TokenForm
    list_display = ["name", "shown_scopes", "state", "last_used", "expires", "created"]
    search_fields = ["name"]
    autocomplete_fields = ["groups"]
    readonly_fields = ["state", "created", "last_used", "revoked"]
    actions = ["renew", "revoke"]

    class Media:
        css = {"all": ["tmtp/admin.css"]}

    def has_delete_permission(self, request: HttpRequest, obj: Token | None = None) -> bool:
        return False

    @admin.display(description=_("scopes"))
    def shown_scopes(self, token: Token) -> str:
        """Return the scopes in one line."""
        return ", ".join(token.scopes)

    @admin.display(description=_("state"))
    def state(self, token: Token) -> str:
        """Return whether the token can be used."""
        if token.revoked:
            return str(_("revoked"))
        if token.expires and token.expires <= timezone.now():
            return str(_("expired"))
        return str(_("in use")) if token.last_used else str(_("not used yet"))

    def save_model(self, request: HttpRequest, obj: Token, form: Any, change: bool) -> None:
        """Save the token. Give a new one its secret, and show it."""
        secret = "" if change else tokens.give_secret(obj)
        super().save_model(request, obj, form, change)
        if secret:
            self._show(request, obj, secret)

    @admin.action(description=_("Make a new secret"), permissions=["change"])
    def renew(self, request: HttpRequest, chosen: QuerySet[Token]) -> HttpResponse | None:
        """Ask for confirmation, then give the tokens other secrets, and show them."""
        question = str(_("Make new secrets for these tokens? The old ones will be refused at once."))
        answer = ask(self, request, chosen, str, action="renew", question=question, button=str(_("Make a new secret")))
        if answer:
            return answer
        for token in self._changeable(request, chosen):
            self._show(request, token, tokens.give_secret(token))
            self.log_change(request, token, str(_("Make a new secret")))
        return None

    @admin.action(description=_("Revoke"), permissions=["change"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[Token]) -> HttpResponse | None:
        """Ask for confirmation, then refuse the tokens from now on."""
        question = str(_("Revoke these tokens? Programs that use them will be refused at once, for good."))
        answer = ask(self, request, chosen, str, action="revoke", question=question, button=str(_("Revoke")))
        if answer:
            return answer
        count = 0
        for token in self._changeable(request, chosen):
            tokens.revoke(token)
            self.log_change(request, token, str(_("Revoke")))
            count += 1
        text = ngettext("%(count)d token was revoked.", "%(count)d tokens were revoked.", count) % {"count": count}
        self.message_user(request, text, messages.SUCCESS)
        return None

    def _changeable(self, request: HttpRequest, chosen: QuerySet[Token]) -> QuerySet[Token]:
        if not self.has_change_permission(request):
            raise PermissionDenied
        return chosen.filter(revoked=None)

    def _show(self, request: HttpRequest, token: Token, secret: str) -> None:
        text = str(_("The secret of “{name}”, which is shown only now: {secret}"))
        shown = format_html(text, name=token.name, secret=format_html("<code>{}</code>", secret))
        self.message_user(request, shown, messages.WARNING)


@admin.register(TokenMessage)
class TokenMessageAdmin(ViewAdmin):
    """Which program has sent which message. What else programs do is in the audit log."""

    list_display = ["subject", "token", "posted"]
    list_display_links = None
    list_filter = ["token"]
    list_select_related = ["message", "token"]
    ordering = ["-pk"]

    @admin.display(description=_("subject"))
    def subject(self, sent: TokenMessage) -> str:
        """Return a link to the message."""
        where = reverse("admin:tmtp_sentmessage_change", args=[sent.pk], current_app=self.admin_site.name)
        return format_html('<a href="{}">{}</a>', where, sent.message.subject or sent.message.msgid)

    @admin.display(description=_("posted"), ordering="pk")
    def posted(self, sent: TokenMessage) -> Any:
        """Return the time when it was sent."""
        return sent.message.posted

"""Users, with their nodes, aliases, groups and identities."""

from __future__ import annotations

from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Exists, F, OuterRef, Prefetch, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..models import Alias, Block, Identity, Member, Node, User
from ..services.people import linking, users
from ..services.people.actors import Sender
from .base import ServiceAdmin, SomeRows, ViewRows, attempt
from .filters import UserOnlineFilter, UserWithAccountFilter
from .waiting import RowsOf, shown_age, shown_count, with_waiting

NAMES_SHOWN = 3


class AliasForm(forms.ModelForm):
    """A new alias, or one that may be dropped."""

    drop = forms.BooleanField(label=_("drop"), required=False, help_text=_("It stays reserved: nobody can take it."))

    class Meta:
        model = Alias
        fields = ["name"]

    def __init__(self, *args: Any, **options: Any) -> None:
        """An alias that is there keeps its name, and is dropped once at most."""
        super().__init__(*args, **options)
        alias = self.instance
        self.fields["name"].disabled = alias.pk is not None
        self.fields["drop"].disabled = alias.pk is None or alias.dropped is not None

    def perform(self) -> None:
        """Tell the user's nodes of a new alias, as op 3 does; or drop one."""
        alias = self.instance
        if alias.pk is None:
            users.add_alias(Sender(alias.user.uid, alias.user.pk), self.cleaned_data["name"])
        elif self.cleaned_data["drop"]:
            users.drop_alias(alias)


class AliasRows(SomeRows):
    """The user's aliases; new ones can be added."""

    model = Alias
    form = AliasForm
    fields = ["name", "created", "dropped", "drop"]
    readonly_fields = ["created", "dropped"]
    first = (F("dropped").asc(nulls_first=True), "pk")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Through the service."""
        return bool(request.user.has_perm("tmtp.add_alias"))


class NodeRows(ViewRows):
    """The user's nodes; what can be done about one is on its own page."""

    model = Node
    readonly_fields = ("kind", "created", "last_seen", "online", "waiting", "oldest", "dropped")
    fields = readonly_fields
    classes: list[str] = []
    show_change_link = True
    first = (F("dropped").asc(nulls_first=True), "pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Node]:
        """With what waits."""
        return with_waiting(super().get_queryset(request))

    @admin.display(description=_("online"), boolean=True)
    def online(self, node: Node) -> bool:
        """Whether it is connected."""
        return node.server_id is not None

    @admin.display(description=_("waiting"))
    def waiting(self, node: Any) -> str:
        """How many messages."""
        return shown_count(node)

    @admin.display(description=_("oldest"))
    def oldest(self, node: Any) -> str:
        """For how long the first one has been waiting."""
        return shown_age(node)


class GroupRows(ViewRows):
    """The groups the user is in."""

    model = Member
    verbose_name_plural = _("groups")
    readonly_fields = ("group", "alias", "status")
    fields = readonly_fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Member]:
        """With their groups."""
        return super().get_queryset(request).select_related("group")


class IdentityRows(ViewRows):
    """Who the user is at OpenID providers."""

    model = Identity
    readonly_fields = ("iss", "sub", "created")
    fields = readonly_fields


class BlockRows(ViewRows):
    """Whom the user blocks."""

    model = Block
    fk_name = "user"
    verbose_name_plural = _("blocked users")
    readonly_fields = ("blocked", "created")
    fields = readonly_fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Block]:
        """With the users."""
        return super().get_queryset(request).select_related("blocked")


@admin.register(User)
class UserAdmin(ServiceAdmin):
    """Users. A device makes its user when it registers; here it is linked to a member of the website, or unlinked."""

    list_display = ["names", "account", "nodes_in_use", "short_uid"]
    list_display_links = ["names"]
    list_filter = [UserOnlineFilter, UserWithAccountFilter]
    list_select_related = ["account"]
    search_fields = ["uid__startswith", "aliases__name", f"account__{get_user_model().USERNAME_FIELD}"]
    search_help_text = _("Beginning of a uid, alias, or account")
    ordering = ["-pk"]
    fields = ["uid", "account", "created", "presence"]
    readonly_fields = ["uid", "created", "presence"]
    raw_id_fields = ["account"]
    inlines = [AliasRows, NodeRows, GroupRows, IdentityRows, BlockRows]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """With the first names, the number of nodes, and whether one is online."""
        nodes = Node.objects.filter(user=OuterRef("pk"), dropped=None)
        names = Alias.objects.filter(dropped=None).order_by("pk")[: NAMES_SHOWN + 1]
        users: QuerySet[User] = super().get_queryset(request)
        return users.annotate(
            in_use=RowsOf(nodes.values("pk")), is_online=Exists(nodes.exclude(server=None))
        ).prefetch_related(Prefetch("aliases", names, to_attr="first_aliases"))

    @admin.display(description=_("aliases"))
    def names(self, user: Any) -> str:
        """The first few."""
        names = [alias.name for alias in user.first_aliases]
        return ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")

    @admin.display(description=_("uid"), ordering="uid")
    def short_uid(self, user: User) -> str:
        """Its beginning, which the search takes."""
        return f"{user.uid[:12]}…"

    @admin.display(description=_("nodes"))
    def nodes_in_use(self, user: Any) -> str:
        """How many there are in use, and whether one of them is connected."""
        return _("%(count)d, online") % {"count": user.in_use} if user.is_online else str(user.in_use)

    def get_inlines(self, request: HttpRequest, obj: User | None) -> list[Any]:
        """Without identities and blocks for those who have none: most people."""
        hidden: set[type[ViewRows]] = set()
        if not (obj and obj.identities.exists()):
            hidden.add(IdentityRows)
        if not (obj and obj.blocks.exists()):
            hidden.add(BlockRows)
        return [rows for rows in self.inlines if rows not in hidden]

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """The account is the one thing to save."""
        if "account" in form.changed_data and not attempt(request, partial(linking.link_account, obj, obj.account)):
            obj.refused = True  # type: ignore[attr-defined]

"""Users, with inlines for their aliases, nodes, groups, identities and blocks."""

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
from ..services.groups.deletion import delete_user
from ..services.people import audit, linking, users
from ..services.people.actors import Sender
from .base import LimitedInline, ReadOnlyInline, ServiceAdmin, attempt
from .filters import UserOnlineFilter, UserWithAccountFilter
from .members_data import MembersDataActions
from .waiting import RowsOf, shown_age, shown_count, with_waiting

NAMES_SHOWN = 3


class AliasForm(forms.ModelForm):
    """Add an alias, or drop one."""

    drop = forms.BooleanField(
        label=_("drop"), required=False, help_text=_("It stays reserved: nobody can use it again.")
    )

    class Meta:
        model = Alias
        fields = ["name"]

    def __init__(self, *args: Any, **options: Any) -> None:
        """Let an existing alias be dropped, not renamed."""
        super().__init__(*args, **options)
        alias = self.instance
        self.fields["name"].disabled = alias.pk is not None
        self.fields["drop"].disabled = alias.pk is None or alias.dropped is not None

    def perform(self) -> None:
        """Add or drop the alias. The user's nodes are notified of a new alias, as by op 3."""
        alias = self.instance
        if alias.pk is None:
            users.add_alias(Sender(alias.user.uid, alias.user.pk), self.cleaned_data["name"])
        elif self.cleaned_data["drop"]:
            users.drop_alias(alias)


class AliasInline(LimitedInline):
    model = Alias
    form = AliasForm
    fields = ["name", "created", "dropped", "drop"]
    readonly_fields = ["created", "dropped"]
    row_order = (F("dropped").asc(nulls_first=True), "pk")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("tmtp.add_alias"))


class NodeInline(ReadOnlyInline):
    """The user's nodes. Their own pages have the actions."""

    model = Node
    readonly_fields = ("kind", "created", "last_seen", "online", "waiting", "oldest", "dropped")
    fields = readonly_fields
    classes: list[str] = []
    show_change_link = True
    row_order = (F("dropped").asc(nulls_first=True), "pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Node]:
        return with_waiting(super().get_queryset(request))

    @admin.display(description=_("online"), boolean=True)
    def online(self, node: Node) -> bool:
        return node.server_id is not None

    @admin.display(description=_("waiting"))
    def waiting(self, node: Any) -> str:
        return shown_count(node)

    @admin.display(description=_("oldest"))
    def oldest(self, node: Any) -> str:
        return shown_age(node)


class GroupInline(ReadOnlyInline):
    model = Member
    verbose_name_plural = _("groups")
    readonly_fields = ("group", "alias", "status")
    fields = readonly_fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Member]:
        return super().get_queryset(request).select_related("group")


class IdentityInline(ReadOnlyInline):
    model = Identity
    readonly_fields = ("iss", "sub", "created")
    fields = readonly_fields


class BlockInline(ReadOnlyInline):
    model = Block
    fk_name = "user"
    verbose_name_plural = _("blocked users")
    readonly_fields = ("blocked", "created")
    fields = readonly_fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Block]:
        return super().get_queryset(request).select_related("blocked")


@admin.register(User)
class UserAdmin(MembersDataActions, ServiceAdmin):
    """Users. A device creates its user when it registers; here a user is linked to an account of the website."""

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
    inlines = [AliasInline, NodeInline, GroupInline, IdentityInline, BlockInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Annotate the number of nodes and whether one is online, and prefetch the first aliases."""
        nodes = Node.objects.filter(user=OuterRef("pk"), dropped=None)
        names = Alias.objects.filter(dropped=None).order_by("pk")[: NAMES_SHOWN + 1]
        users: QuerySet[User] = super().get_queryset(request)
        return users.annotate(
            in_use=RowsOf(nodes.values("pk")), is_online=Exists(nodes.exclude(server=None))
        ).prefetch_related(Prefetch("aliases", names, to_attr="first_aliases"))

    @admin.display(description=_("aliases"))
    def names(self, user: Any) -> str:
        names = [alias.name for alias in user.first_aliases]
        return ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")

    @admin.display(description=_("uid"), ordering="uid")
    def short_uid(self, user: User) -> str:
        """Return its beginning, by which users can be searched."""
        return f"{user.uid[:12]}…"

    @admin.display(description=_("devices"))
    def nodes_in_use(self, user: Any) -> str:
        return _("%(count)d, online") % {"count": user.in_use} if user.is_online else str(user.in_use)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow it to those with the permission. The website's own user stays."""
        return bool(request.user.has_perm("tmtp.delete_user")) and not (obj and obj.is_site)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[Any, int], set[str], list[str]]:
        """Name the users, and what is deleted with them: nobody may delete that alone."""
        nodes, places = (model.objects.filter(user__in=[one.pk for one in objs]).count() for model in (Node, Member))
        counts = {User._meta.verbose_name_plural: len(objs)}
        counts |= {Node._meta.verbose_name_plural: nodes, Member._meta.verbose_name_plural: places}
        return [str(one) for one in objs], counts, set(), []

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        with audit.acting(audit.staff(request.user)):
            delete_user(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset.filter(is_site=False):
            self.delete_model(request, user)

    def get_inlines(self, request: HttpRequest, obj: User | None) -> list[Any]:
        """Leave out identities and blocks if the user has none, as most do."""
        hidden: set[type[ReadOnlyInline]] = set()
        if not (obj and obj.identities.exists()):
            hidden.add(IdentityInline)
        if not (obj and obj.blocks.exists()):
            hidden.add(BlockInline)
        return [rows for rows in self.inlines if rows not in hidden]

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Link the account, which is the only editable field."""
        if "account" in form.changed_data and not attempt(request, partial(linking.link_account, obj, obj.account)):
            obj.refused = True  # type: ignore[attr-defined]

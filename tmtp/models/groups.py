"""Groups, their members, and the namespace that gids share with aliases."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ..protocol.values import NAME_MAX_CHARACTERS, UID_CHARACTERS
from .people import User


class Group(models.Model):
    """A group of users. Gids and aliases share a namespace. The defaults are the rules of the protocol."""

    class Joining(models.IntegerChoices):
        INVITED = 1, _("members invite")
        CLOSED = 2, _("the owner and moderators invite")
        ANYONE = 3, _("anyone")

    class Right(models.IntegerChoices):
        """Who among the members may do something."""

        MEMBERS = 1, _("all members")
        MODERATORS = 2, _("the owner and moderators")

    gid = models.CharField(_("group name"), max_length=NAME_MAX_CHARACTERS, unique=True)
    joining = models.PositiveSmallIntegerField(
        _("who may join"), choices=Joining, default=Joining.INVITED, db_default=Joining.INVITED
    )
    posting = models.PositiveSmallIntegerField(
        _("who may write"), choices=Right, default=Right.MEMBERS, db_default=Right.MEMBERS
    )
    barring = models.PositiveSmallIntegerField(
        _("who may bar members"), choices=Right, default=Right.MEMBERS, db_default=Right.MEMBERS
    )
    created = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("messaging group")
        verbose_name_plural = _("messaging groups")

    def __str__(self) -> str:
        return self.gid


class Alias(models.Model):
    """A name in the namespace of aliases and gids. It stays reserved when it is dropped.

    `skeleton` is what the name looks like: two names that a reader cannot tell apart have the same one. By `folded`,
    pages find a name that somebody types in another way (`services.people.names.typed`).
    """

    name = models.CharField(_("name"), max_length=NAME_MAX_CHARACTERS, unique=True)
    skeleton = models.CharField(max_length=2 * NAME_MAX_CHARACTERS, unique=True, editable=False)
    folded = models.CharField(max_length=2 * NAME_MAX_CHARACTERS, default="", db_index=True, editable=False)
    user = models.ForeignKey(
        User, verbose_name=_("user"), null=True, on_delete=models.SET_NULL, related_name="aliases"
    )
    group = models.OneToOneField(
        Group, verbose_name=_("group"), null=True, on_delete=models.SET_NULL, related_name="reserved_name"
    )
    # the uid of a deleted user who had the name: what others have received goes on to show it (people.shown_names)
    former_uid = models.CharField(max_length=UID_CHARACTERS, default="", db_default="", db_index=True, editable=False)
    created = models.DateTimeField(_("created"), auto_now_add=True)
    dropped = models.DateTimeField(_("deleted"), null=True, editable=False)

    class Meta:
        verbose_name = _("alias")
        verbose_name_plural = _("aliases")
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=True) | Q(group__isnull=True), name="tmtp_alias_of_user_or_group"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Member(models.Model):
    """A user's membership in a group, with the alias they have there."""

    class Status(models.IntegerChoices):
        INVITED = 1, _("invited")
        JOINED = 2, _("joined")
        BARRED = 3, _("barred")

    class Role(models.IntegerChoices):
        """MODERATOR and OWNER are roles of joined members. A group with joined members has one owner."""

        MEMBER = 1, _("member")
        MODERATOR = 2, _("moderator")
        OWNER = 3, _("owner")

    group = models.ForeignKey(Group, verbose_name=_("group"), on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(User, verbose_name=_("user"), on_delete=models.CASCADE, related_name="memberships")
    alias = models.CharField(_("alias"), max_length=NAME_MAX_CHARACTERS)
    status = models.PositiveSmallIntegerField(_("status"), choices=Status)
    role = models.PositiveSmallIntegerField(_("role"), choices=Role, default=Role.MEMBER, db_default=Role.MEMBER)

    class Meta:
        verbose_name = _("group membership")
        verbose_name_plural = _("group memberships")
        constraints = [
            models.UniqueConstraint(fields=["group", "user"], name="tmtp_member_once"),
            models.UniqueConstraint(fields=["group"], condition=Q(role=3), name="tmtp_one_owner"),
            models.CheckConstraint(condition=Q(role=1) | Q(status=2), name="tmtp_role_of_joined"),
        ]
        indexes = [models.Index(fields=["group"], condition=Q(role__gt=1), name="tmtp_member_moderates")]

    def __str__(self) -> str:
        return self.alias

    @property
    def moderates(self) -> bool:
        """Return whether this is the owner or a moderator."""
        return self.role > self.Role.MEMBER

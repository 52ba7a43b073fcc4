"""Members and their e-mail addresses in the admin."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from tmtp.admin.base import Audited, LabelledInline
from tmtp.admin.members_data import MembersDataActions
from tmtp.services.people import audit

from .models import Address
from .second_factor import factors


@admin.register(Address)
class AddressAdmin(Audited):
    """Members' e-mail addresses. Whoever sets “confirmed” here vouches for the address."""

    list_display = ["address", "user", "verified", "created"]
    list_select_related = ["user"]
    search_fields = ["address", "user__username"]
    raw_id_fields = ["user"]


class Addresses(LabelledInline):
    model = Address
    extra = 0

    class Media:
        js = ["tmtp/admin.js"]


admin.site.unregister(User)


@admin.register(User)
class MemberAdmin(MembersDataActions, Audited, UserAdmin):
    """Django's page of a user, with the e-mail addresses as an inline."""

    actions = ["remove_second_factor"]

    @admin.action(description=_("Remove the second factor"), permissions=["change"])
    def remove_second_factor(self, request, queryset):
        """Let members who have lost their second factor sign in without it. They are told."""
        with audit.acting(audit.staff(request.user)):
            count = sum(factors.remove_all(user) for user in queryset)
        text = ngettext("%(count)s member had one.", "%(count)s members had one.", count)
        self.message_user(request, text % {"count": count})

    def get_inlines(self, request, obj):
        """Leave out the addresses on the page for a new member, which asks for name and password only."""
        return [Addresses] if obj else []

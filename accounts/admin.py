"""The admin of what the website knows of its members."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User

from .models import Address


@admin.register(Address)
class AddressAdmin(admin.ModelAdmin):
    """Members' e-mail addresses. Setting “confirmed” here says that the operator knows whose it is."""

    list_display = ["address", "user", "verified", "created"]
    list_select_related = ["user"]
    search_fields = ["address", "user__username"]
    raw_id_fields = ["user"]


class Addresses(admin.TabularInline):
    """A member's addresses, on the member's own page."""

    model = Address
    extra = 0


admin.site.unregister(User)


@admin.register(User)
class MemberAdmin(UserAdmin):
    """Django's own, with the addresses that count."""

    def get_inlines(self, request, obj):
        """A new member has none yet: the first page asks for name and password only."""
        return [Addresses] if obj else []

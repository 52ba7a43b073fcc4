"""The admin of what the website knows of its members."""

from django.contrib import admin

from .models import Address


@admin.register(Address)
class AddressAdmin(admin.ModelAdmin):
    """Members' e-mail addresses. Setting “confirmed” here says that the operator knows whose it is."""

    list_display = ["address", "user", "verified", "created"]
    list_select_related = ["user"]
    search_fields = ["address", "user__username"]
    raw_id_fields = ["user"]

"""The URLs of the site."""

from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from accounts.views import admin_login, admin_password_change

admin.site.site_header = admin.site.site_title = format_lazy(
    _("{name} administration"), name=settings.TMTP["SITE_NAME"]
)

admin.site.login = admin_login  # the admin's own sign-in knows no second factor
admin.site.password_change = admin_password_change  # the admin's own page does not count wrong passwords

urlpatterns = [
    path("admin/", admin.site.urls),
    path("delivery/", include("tmtp.delivery.urls")),
    path("", include("accounts.urls")),
    path("", include("tmtp.pages.urls")),
    path("mailbox/", include("tmtp.mailbox.urls")),
    path("notifications/", include("tmtp.notices.urls")),
    path("", include("tmtp.monitoring.urls")),
]

if apps.is_installed("tmtp.api"):
    urlpatterns.append(path("api/", include("tmtp.api.urls")))

if apps.is_installed("accounts.provider"):
    from accounts.provider.conf import PATH

    urlpatterns.append(path(PATH, include("accounts.provider.urls")))

"""URL patterns of notices.

path("notifications/", include("tmtp.notices.urls"))
"""

from django.urls import path

from .views import browsers, digest, installing, preferences

app_name = "tmtp_notices"

urlpatterns = [
    path("", preferences.preferences, name="preferences"),
    path("groups/", preferences.add_group, name="group_add"),
    path("exceptions/<int:pk>/remove/", preferences.remove_override, name="override_remove"),
    path("thread/<int:pk>/", preferences.thread, name="thread"),
    path("subscribe/", browsers.subscribe, name="subscribe"),
    path("unsubscribe/", browsers.unsubscribe, name="unsubscribe"),
    path("looking/", browsers.looking, name="looking"),
    path("new/", browsers.new, name="new"),
    path("no-digest/<str:token>/", digest.no_digest, name="no_digest"),
    path("app.webmanifest", installing.manifest, name="manifest"),
    path("worker.js", installing.worker, name="worker"),
    path("offline/", installing.offline, name="offline"),
]

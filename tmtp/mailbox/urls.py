"""URL patterns of the mailbox.

path("mailbox/", include("tmtp.mailbox.urls"))
"""

from django.urls import path

from .views import downloads, reading, writing

app_name = "tmtp_mailbox"

urlpatterns = [
    path("", reading.mailbox, name="mailbox"),
    path("search/", reading.search, name="search"),
    path("write/", writing.compose, name="compose"),
    path("ping/", writing.ping, name="ping"),
    path("thread/<int:pk>/", reading.thread, name="thread"),
    path("thread/<int:pk>/delete/", writing.delete_thread, name="thread_delete"),
    path("thread/<int:pk>/unread/", writing.mark_thread_unread, name="thread_unread"),
    path("message/<msgid>/", reading.message, name="message"),
    path("message/<msgid>/delete/", writing.delete_message, name="message_delete"),
    path("message/<msgid>/report/", writing.report_message, name="message_report"),
    path("message/<msgid>/accept/", writing.accept, name="invitation_accept"),
    path("message/<msgid>/decline/", writing.decline, name="invitation_decline"),
    path("message/<msgid>/text/", downloads.text, name="message_text"),
    path("message/<msgid>/files/<int:place>/", downloads.attachment, name="attachment"),
]

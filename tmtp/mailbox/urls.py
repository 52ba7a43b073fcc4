"""URL patterns of the mailbox.

path("mailbox/", include("tmtp.mailbox.urls"))
"""

from django.urls import path

from .views import acting, downloads, drafts, files, reading, writing

app_name = "tmtp_mailbox"

urlpatterns = [
    path("", reading.mailbox, name="mailbox"),
    path("act/", acting.act, name="act"),
    path("undo/", acting.undo, name="undo"),
    path("deleted/empty/", acting.delete_for_good, name="deleted_empty"),
    path("shortcuts/", acting.shortcuts, name="shortcuts"),
    path("search/", reading.search, name="search"),
    path("write/", writing.compose, name="compose"),
    path("drafts/", drafts.drafts_list, name="drafts"),
    path("known/", writing.known_names, name="known"),
    path("preview/", drafts.preview, name="preview"),
    path("drafts/save/", drafts.save, name="draft_save"),
    path("drafts/<int:pk>/", writing.compose, name="draft"),
    path("drafts/<int:pk>/delete/", drafts.delete, name="draft_delete"),
    path("drafts/<int:pk>/files/", drafts.add_file, name="draft_file_add"),
    path("drafts/<int:pk>/files/<int:file>/", drafts.file_download, name="draft_file"),
    path("drafts/<int:pk>/files/<int:file>/remove/", drafts.remove_file, name="draft_file_remove"),
    path("ping/", writing.ping, name="ping"),
    path("thread/<int:pk>/", reading.thread, name="thread"),
    path("thread/<int:pk>/delete/", acting.delete_for_good, name="thread_delete"),
    path("message/<msgid>/", reading.message, name="message"),
    path("message/<msgid>/delete/", acting.delete_message, name="message_delete"),
    path("message/<msgid>/report/", writing.report_message, name="message_report"),
    path("message/<msgid>/recall/", writing.recall, name="message_recall"),
    path("message/<msgid>/accept/", writing.accept, name="invitation_accept"),
    path("message/<msgid>/decline/", writing.decline, name="invitation_decline"),
    path("message/<msgid>/text/", downloads.text, name="message_text"),
    path("message/<msgid>/files/<int:place>/", downloads.attachment, name="attachment"),
    path("message/<msgid>/files/<int:place>/view/", files.view, name="attachment_view"),
    path("message/<msgid>/files/<int:place>/picture/<str:size>/", files.picture, name="attachment_picture"),
    path("message/<msgid>/files/<int:place>/pdf/", files.pdf, name="attachment_pdf"),
]

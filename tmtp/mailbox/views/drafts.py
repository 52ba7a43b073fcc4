"""Drafts: their list, what pages save while one types, and their files.

`answer_buttons` and `send` are what the pages for writing share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.defaultfilters import filesizeformat
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import time_format
from django.utils.translation import gettext as _

from ...conf import conf
from ...downloads import download
from ...markup import render
from ...models import Node
from ...protocol.values import whole_number
from ...services.errors import Refused
from ...times import local_time
from ...web.limits import spend
from ...web.rendering import render_page
from .. import drafts, sending
from ..access import thread_of
from ..conversation import SHOWN_MAX
from ..decorators import mailbox_page
from ..forms import DraftedForm, MessageForm, ReplyForm
from ..models import Draft, DraftFile, Thread

LISTED_MAX = 200
PIECE = 64 * 1024


@mailbox_page("GET")
def drafts_list(request: HttpRequest, node: Node) -> HttpResponse:
    """List the drafts, newest first."""
    found = list(drafts.open_drafts(node).prefetch_related("files")[:LISTED_MAX])
    keys = [draft.thread for draft in found if draft.thread]
    threads = {thread.key: thread for thread in Thread.objects.filter(node=node, key__in=keys)}
    rows = [(draft, threads.get(draft.thread)) for draft in found]
    return render_page(request, "tmtp_mailbox/drafts.html", {"rows": rows, "days": _days_kept()})


def _days_kept() -> int | None:
    return None if conf.DRAFTS_KEPT is None else int(conf.DRAFTS_KEPT // 86400)


@mailbox_page("POST")
def delete(request: HttpRequest, node: Node, pk: int) -> HttpResponse:
    """Delete a draft."""
    drafts.delete(node, pk)
    messages.success(request, _("Draft deleted."))
    return redirect("tmtp_mailbox:drafts")


# for the pages on which one writes


def address_of(node: Node, draft: Draft) -> str:
    """Return the path of the page on which a member goes on writing a draft."""
    thread = Thread.objects.filter(node=node, key=draft.thread).first() if draft.thread else None
    if thread:
        return reverse("tmtp_mailbox:thread", args=[thread.pk])
    return reverse("tmtp_mailbox:draft", args=[draft.pk])


def answer_buttons(request: HttpRequest, node: Node, form: DraftedForm, thread: str = "") -> HttpResponse | None:
    """Do what the buttons beside “Send” ask for, and return a redirect. Return None if the form is to be sent.

    Each of them saves the draft, with the files that were chosen. Raise Refused.
    """
    asked = next((name for name in ("save", "preview", "remove") if name in request.POST), None)
    if asked is None:
        return None
    draft = _saved(node, form, thread)
    for file in request.FILES.getlist("files"):
        drafts.add_file(node, draft, file.name or "", file.size or 0, file.chunks(PIECE))
    if asked == "remove" and (pk := whole_number(request.POST["remove"])):
        drafts.remove_file(draft, pk)
    if asked == "save":
        messages.success(request, _("Draft saved."))
    query = "?preview=1#preview" if asked == "preview" else "#reply" if thread else ""
    return redirect(address_of(node, draft) + query)


def _saved(node: Node, form: DraftedForm, thread: str) -> Draft:
    spend(node.user)
    version = form.version
    try:
        return drafts.save(node, form.content, version, thread)
    except Refused:
        there = drafts.newest(node, version, thread)
        if there:
            form.show(there)
        raise


def send(node: Node, form: DraftedForm, post: Callable[[Draft | None], Sequence[int]], field: str) -> int | None:
    """Send what a valid form has, with the files of its draft. Return the number of the first message.

    If it cannot be sent, return None. The error is beside the field then.
    """
    try:
        return post(drafts.to_send(node, form.version))[0]
    except Refused as refused:
        there = Draft.objects.filter(node=node, pk=form.version.draft or 0).first()
        if there and there.sent is not None:
            return there.sent
        form.show(there)
        form.add_error(field, ValidationError(refused.text_for_people()))
        return None


def context_of(request: HttpRequest, node: Node, form: DraftedForm) -> dict[str, object]:
    """Return what the template of a form needs besides the form: its draft with the files, and the preview."""
    pk = form.version.draft
    draft = drafts.open_drafts(node).filter(pk=pk).first() if pk else None
    return {
        "draft": draft,
        "draft_files": list(draft.files.order_by("pk")) if draft else [],
        "total": total(draft) if draft else "",
        "preview": render(form.content.text[:SHOWN_MAX]) if "preview" in request.GET else None,
    }


# for writing.js


@mailbox_page("POST")
def save(request: HttpRequest, node: Node) -> HttpResponse:
    """Save what a page shows. Answer in JSON: the draft and its revision, and a text for the reader."""
    pk = request.GET.get("thread", "")
    the = thread_of(node, whole_number(pk) or 0) if pk else None
    names = sending.aliases(node.user) or [node.user.uid]
    form: DraftedForm = (ReplyForm if the else MessageForm)(request.POST, names=names)
    key = the.key if the else ""
    try:
        draft = _saved(node, form, key)
    except Refused as refused:
        return _refused(refused, draft=form["draft"].value(), revision=form["revision"].value())
    text = _("Draft saved at %(time)s.") % {"time": time_format(local_time(timezone.now()), "TIME_FORMAT")}
    files = reverse("tmtp_mailbox:draft_file_add", args=[draft.pk])
    return JsonResponse({"draft": draft.pk, "revision": draft.revision, "text": text, "files": files})


def _refused(refused: Refused, **more: object) -> JsonResponse:
    status = 409 if refused.code in ("draft_changed", "draft_sent") else 400
    return JsonResponse({"error": refused.text_for_people(), "code": refused.code, **more}, status=status)


@mailbox_page("POST")
def preview(request: HttpRequest, node: Node) -> HttpResponse:
    """Return a text as HTML, as readers will see it."""
    spend(node.user)
    return HttpResponse(render(request.POST.get("text", "")[:SHOWN_MAX]))


@mailbox_page("POST")
def add_file(request: HttpRequest, node: Node, pk: int) -> HttpResponse:
    """Add a file to a draft: the body of the request, whose name is in the query. Answer in JSON."""
    draft = get_object_or_404(drafts.open_drafts(node), pk=pk)
    size = whole_number(request.META.get("CONTENT_LENGTH") or "")
    if size is None:
        return HttpResponse(status=411)
    try:
        spend(node.user)
        file = drafts.add_file(node, draft, request.GET.get("name", ""), size, _pieces(request))
    except Refused as refused:
        return _refused(refused)
    except ValueError:  # the body was cut off, or is a form, which has been read already
        text = _("The file could not be uploaded. Check your connection.")
        return JsonResponse({"error": text, "code": "incomplete"}, status=400)
    row = render_to_string("tmtp_mailbox/_draft_file.html", {"file": file, "draft": draft}, request)
    return JsonResponse({"row": row, "total": total(draft)})


def _pieces(request: HttpRequest) -> Iterator[bytes]:
    while piece := request.read(PIECE):
        yield piece


@mailbox_page("POST")
def remove_file(request: HttpRequest, node: Node, pk: int, file: int) -> HttpResponse:
    """Remove a file from a draft. Answer in JSON."""
    draft = get_object_or_404(drafts.open_drafts(node), pk=pk)
    drafts.remove_file(draft, file)
    return JsonResponse({"total": total(draft)})


def total(draft: Draft) -> str:
    """Return a line about the size of a draft's files, and how much there may be, or an empty string."""
    octets = drafts.octets_of(draft)
    if not octets:
        return ""
    limits = [limit for limit in (conf.MAX_BODY, conf.limit("draft_octets_per_user")) if limit is not None]
    if not limits:
        return _("The files have %(size)s.") % {"size": filesizeformat(octets)}
    sizes = {"size": filesizeformat(octets), "most": filesizeformat(min(limits))}
    return _("The files have %(size)s of at most %(most)s.") % sizes


@mailbox_page("GET")
def file_download(request: HttpRequest, node: Node, pk: int, file: int) -> HttpResponseBase:
    """Download a file of a draft."""
    found = get_object_or_404(DraftFile, draft__in=drafts.open_drafts(node).filter(pk=pk), pk=file)
    pieces = drafts.pieces_of(found)
    try:
        first = next(pieces, b"")
    except FileNotFoundError as error:
        raise Http404 from error
    return download(request, found.name, found.size, first, pieces)

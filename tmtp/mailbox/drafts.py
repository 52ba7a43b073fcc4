"""Drafts: messages that members are writing, with the files that have been uploaded already.

Two pages may show the same draft. A page saves over another page's text only if it says so: it names the revision that
it shows, and is refused when there is a newer one. Sending a draft leaves a row without a content, so that the same
form, sent again, leads to the same message.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet, Sum
from django.utils import timezone

from ..conf import conf
from ..models import Node
from ..services.errors import Refused
from ..services.messages.attachments import Attachment, safe_name
from ..services.queue.queue import discard_on_commit
from ..services.storage import room, spool
from ..services.storage.spool import Spooled, keep
from .models import Draft, DraftFile, Mailbox

PIECE = 64 * 1024
SENT_KEPT = timedelta(days=1)
EXPIRED_AT_ONCE = 100
FILES_MAX = 100  # of a draft


@dataclass(frozen=True, slots=True)
class Content:
    """What has been typed, as it was typed."""

    to: str = ""
    alias: str = ""
    subject: str = ""
    text: str = ""

    def __bool__(self) -> bool:
        """Return whether there is something to keep. The alias alone is not."""
        return bool(self.to.strip() or self.subject.strip() or self.text.strip())


@dataclass(frozen=True, slots=True)
class Version:
    """The draft that a page shows: its id, or None if it is not saved yet, its revision, and the page's own token."""

    draft: int | None = None
    revision: int = 0
    editor: str = ""


def open_drafts(node: Node) -> QuerySet[Draft]:
    """Return the drafts of a mailbox that were not sent, newest first."""
    return Draft.objects.filter(node=node, sent=None).order_by("-changed")


def of_thread(node: Node, key: str) -> Draft | None:
    """Return the draft of an answer in a thread, or None."""
    return open_drafts(node).filter(thread=key).first()


@transaction.atomic
def save(node: Node, content: Content, version: Version, thread: str = "") -> Draft:
    """Save what a page shows, and return the draft. `thread` is the key of the thread that it answers in.

    A draft that was deleted meanwhile is created again. Raise Refused if another page has changed it, if it was sent,
    or if there are too many drafts.
    """
    room.check()
    there = _locked(node, version, thread)
    if there is None:
        return _create(node, content, version.editor, thread)
    check_version(there, version)
    if any(getattr(there, name) != value for name, value in asdict(content).items()):
        values = {**asdict(content), "editor": version.editor, "changed": timezone.now()}
        changed = Draft.objects.filter(pk=there.pk, revision=there.revision, sent=None)
        if not changed.update(revision=F("revision") + 1, **values):
            raise Refused("draft_changed")
        there.refresh_from_db()
    return there


def _locked(node: Node, version: Version, thread: str) -> Draft | None:
    """Return the draft that a page is about, locked, or None. A page may not have got the answer to its first save."""
    mine = Draft.objects.select_for_update().filter(node=node)
    if version.draft:
        there = mine.filter(pk=version.draft).first()
    else:
        there = mine.filter(editor=version.editor, sent=None).first() if version.editor else None
    return there or (of_thread(node, thread) if thread else None)


def check_version(draft: Draft, version: Version) -> None:
    """Raise Refused if a draft was sent, or if a page that shows this version of it does not show the newest one."""
    if draft.sent is not None:
        raise Refused("draft_sent")
    is_same_page = bool(version.editor) and draft.editor == version.editor
    if not is_same_page and (version.draft, version.revision) != (draft.pk, draft.revision):
        raise Refused("draft_changed")


def newest(node: Node, version: Version, thread: str = "") -> Draft | None:
    """Return the draft that a page is about, as it is now, or None if it is gone."""
    there = open_drafts(node).filter(pk=version.draft).first() if version.draft else None
    return there or (of_thread(node, thread) if thread else None)


def to_send(node: Node, version: Version) -> Draft | None:
    """Return the draft that is to be sent, or None for a page that has saved none.

    Raise Refused if it was deleted or sent, or if another page has changed it.
    """
    if version.draft is None:
        return None
    draft = Draft.objects.filter(node=node, pk=version.draft).first()
    if draft is None:
        raise Refused("draft_deleted")
    check_version(draft, version)
    return draft


def _create(node: Node, content: Content, editor: str, thread: str) -> Draft:
    most = conf.limit("drafts_per_user")
    _lock(node)
    if most is not None and open_drafts(node).count() >= most:
        raise Refused("too_many_drafts", most=most)
    try:
        with transaction.atomic():
            now = timezone.now()
            return Draft.objects.create(node=node, thread=thread, editor=editor, changed=now, **asdict(content))
    except IntegrityError as error:  # another page has just begun to answer in the thread
        raise Refused("draft_changed") from error


def _lock(node: Node) -> None:
    """Let one process at a time count and add to the drafts of a mailbox."""
    Mailbox.objects.get_or_create(node=node)
    Mailbox.objects.select_for_update().get(node=node)


def delete(node: Node, pk: int) -> None:
    """Delete a draft with its files."""
    _discard(open_drafts(node).filter(pk=pk))


@transaction.atomic
def _discard(drafts: QuerySet[Draft]) -> None:
    files = DraftFile.objects.filter(draft__in=drafts)
    discard_on_commit(files.exclude(spool="").values_list("spool", flat=True))
    files.delete()
    drafts.delete()


# files


def add_file(node: Node, draft: Draft, name: str, size: int, pieces: Iterable[bytes]) -> DraftFile:
    """Add a file of `size` octets to a draft. Raise Refused if that is more than the member may keep in drafts.

    Raise ValueError if the pieces are not of this size.
    """
    _check_files(node, draft, size)
    room.check()
    body = keep(pieces, size)
    try:
        with transaction.atomic():
            _lock(node)
            _check_files(node, draft, size)
            if not open_drafts(node).filter(pk=draft.pk).exists():
                raise Refused("draft_sent")
            spooled = {"spool": body.name} if isinstance(body, Spooled) else {"body": body}
            return DraftFile.objects.create(draft=draft, name=safe_name(name), size=size, **spooled)
    except BaseException:
        if isinstance(body, Spooled):
            spool.discard([body.name])
        raise


def _check_files(node: Node, draft: Draft, size: int) -> None:
    if conf.MAX_BODY is not None and octets_of(draft) + size > conf.MAX_BODY:
        raise Refused("message_too_large")
    if draft.files.count() >= FILES_MAX:
        raise Refused("too_many_draft_files", most=FILES_MAX)
    most = conf.limit("draft_octets_per_user")
    if most is not None and octets_used(node) + size > most:
        raise Refused("drafts_too_large")


def octets_of(draft: Draft) -> int:
    """Return how many octets the files of a draft have."""
    return draft.files.aggregate(octets=Sum("size"))["octets"] or 0


def octets_used(node: Node) -> int:
    """Return how many octets the files of all drafts of a mailbox have."""
    return DraftFile.objects.filter(draft__node=node).aggregate(octets=Sum("size"))["octets"] or 0


@transaction.atomic
def remove_file(draft: Draft, pk: int) -> None:
    """Remove a file from a draft."""
    files = draft.files.filter(pk=pk)
    discard_on_commit(files.exclude(spool="").values_list("spool", flat=True))
    files.delete()


def attachments(files: Iterable[DraftFile]) -> list[Attachment]:
    """Return the files of a draft as attachments of a message."""

    def read(file: DraftFile) -> Any:
        return lambda: pieces_of(file)

    return [Attachment(file.name, file.size, read(file)) for file in files]


def pieces_of(file: DraftFile, size: int = PIECE) -> Iterator[bytes]:
    """Yield the octets of a file. Raise FileNotFoundError if it has just been removed, and StorageUnavailable."""
    with spool.open_body(file.spool, file.size) if file.spool else io.BytesIO(bytes(file.body or b"")) as data:
        while piece := data.read(size):
            yield piece


# the end of a draft


def finish(draft: Draft, files: Sequence[DraftFile], number: int) -> None:
    """Note in the transaction that sends a draft that it was sent, as the message `number`, with these files.

    Raise Refused if another page has changed it or its files since.
    """
    left = Draft.objects.filter(pk=draft.pk, sent=None, revision=draft.revision)
    if not left.update(sent=number, to="", subject="", text="", changed=timezone.now()):
        raise Refused("draft_changed")
    if set(draft.files.values_list("pk", flat=True)) != {file.pk for file in files}:
        raise Refused("draft_changed")
    discard_on_commit(file.spool for file in files if file.spool)
    draft.files.all().delete()


def expire(**_: Any) -> None:
    """Delete some drafts that nobody has changed for TMTP["DRAFTS_KEPT"] seconds, and the rows of sent ones."""
    now = timezone.now()
    old = Q(sent__isnull=False, changed__lt=now - SENT_KEPT)
    if conf.DRAFTS_KEPT is not None:
        old |= Q(changed__lt=now - timedelta(seconds=conf.DRAFTS_KEPT))
    found = list(Draft.objects.filter(old).values_list("pk", flat=True)[:EXPIRED_AT_ONCE])
    if found:
        _discard(Draft.objects.filter(pk__in=found))

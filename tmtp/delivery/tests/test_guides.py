"""The code of the guides about answers and workers runs unchanged."""

from __future__ import annotations

import re
import sys
from types import ModuleType

import pytest
from django.contrib.auth import get_user_model

from mnmsite.tests.test_docs import DOCS, blocks, run_block
from tmtp.checks.workers import check_workers
from tmtp.delivery import tasks
from tmtp.delivery.conf import DEFAULTS
from tmtp.delivery.schedules import SCHEDULES
from tmtp.models import User
from tmtp.services.messages.sending import send_message
from tmtp.services.people import linking
from tmtp.signals import messages_expired
from tmtp.tests.people import someone, waiting

from .test_inbound import left, write

pytestmark = [pytest.mark.once, pytest.mark.django_db]


def test_the_guide_to_answers(settings, monkeypatch, capsys):
    handler, reading = blocks(DOCS / "how-to" / "receive-answers.md")
    module = ModuleType("shop_messages")
    names = run_block(*handler)
    module.received = names["received"]
    monkeypatch.setitem(sys.modules, "shop_messages", module)
    settings.TMTP_DELIVERY = {"HANDLER": "shop_messages.received"}
    ann, bob = someone("ann of rome"), someone("bob of ulm")
    linking.link_account(User.objects.get(pk=ann.user), get_user_model().objects.create(username="ann"))
    write(ann), write(bob)
    tasks.answers()
    assert left() == []
    assert get_user_model().objects.get().last_name == "Order 17: Where is it?"
    assert waiting(ann)[-1]["data"].endswith(b"Thank you. We have *Order 17*, and answer soon.")
    assert b"please link this device" in waiting(bob)[-1]["data"]
    write(ann)
    run_block(*reading, transaction=names["transaction"])
    assert capsys.readouterr().out == "Order 17\n"
    assert left() == []


def test_the_guide_to_workers(settings, django_capture_on_commit_callbacks):
    cluster, receiver = blocks(DOCS / "how-to" / "workers.md")
    settings.Q_CLUSTER = run_block(*cluster)["Q_CLUSTER"]
    assert check_workers() == []
    names = run_block(*receiver)
    settings.TMTP_DELIVERY = {"EXPIRE_AFTER": 0.000001}
    (msgid,) = send_message(someone().uid, "Sale", "Today")
    try:
        with django_capture_on_commit_callbacks(execute=True):
            tasks.expire()
    finally:
        messages_expired.disconnect(names["tell_sales"])
    assert names["undelivered"] == [msgid]


def test_each_schedule_is_explained():
    page = (DOCS / "how-to" / "workers.md").read_text()
    named = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(named) == sorted(every.name for every in SCHEDULES)


def test_each_setting_is_read():
    sources = "\n".join(file.read_text() for file in (DOCS.parent / "tmtp" / "delivery").glob("**/*.py"))
    for key in DEFAULTS:
        assert re.search(rf"\bconf\.{key}\b", sources), key

"""The commands of docs/how-to/http-api.md, run by curl against a real server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model

from tmtp.messaging import user_of
from tmtp.models import Message

from .conftest import new_program

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]
GUIDE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "http-api.md"
BLOCKS = re.findall(r"```bash\n(.*?)```", GUIDE.read_text(), re.DOTALL)
CURL = re.findall(r"^curl .*?(?=^curl |\Z)", "\n".join(BLOCKS), re.DOTALL | re.MULTILINE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_each_command_does_what_the_guide_says(live_server, tmp_path):
    ann = get_user_model().objects.create(username="ann")
    (tmp_path / "invoice.pdf").write_bytes(bytes(range(256)) * 400)
    program = new_program()
    known = {"API": f"{live_server.url}/api", "TOKEN": program.secret}

    def run(command):
        asked = {"input": command, "text": True, "capture_output": True, "check": True, "cwd": tmp_path, "env": known}
        return json.loads(subprocess.run(["/bin/sh"], **asked).stdout)

    (send, upload, get, recipients, recall, user, device, group, members) = CURL
    sent = run(send)
    assert run(send) == sent  # the same key
    known["MSGID"] = sent["msgids"][0]
    assert len(run(upload)["msgids"]) == 1
    assert Message.objects.filter(size__gt=100_000).count() == 1
    assert run(get)["recipients"]["queued"] == 1
    assert run(recipients)["items"][0]["uid"] == user_of(ann).uid
    assert run(recall)["taken_back"] == 1
    assert run(user) == run(user)
    assert run(device)["nodeid"]
    known["GROUP"] = str(run(group)["id"])
    assert len(run(members)["uids"]) == 1
    known["TOKEN"] = "wrong"
    assert run(get)["code"] == "token_refused"

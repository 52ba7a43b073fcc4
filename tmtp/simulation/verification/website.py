"""A process of a site that is not its server, and does what members do on the website.

The process runs this module. It reads lines of JSON, [verb, uid, argument], and answers each with a line: null, or the
traceback as a string.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping


class Website:
    """The process. `environment` updates this process's environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is not for it
        )

    def do(self, verb: str, uid: str, argument: str) -> None:
        """Run an action of a member: "blocks" or "unblocks" with another's uid, "shows-to" with a choice.

        "sets-rules" and "sets-role" are actions of a group's owner, with JSON: see ../conversations/README.md.
        """
        assert self._process.stdin and self._process.stdout
        with self._lock:
            self._process.stdin.write(json.dumps([verb, uid, argument]) + "\n")
            self._process.stdin.flush()
            failure = json.loads(self._process.stdout.readline() or '"it has ended"')
        if failure:
            raise RuntimeError(f"the website's process failed: {failure}")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def _run(verb: str, uid: str, argument: str) -> None:
    from tmtp.models import Group, Member, User
    from tmtp.services.groups import roles
    from tmtp.services.people import privacy

    user = User.objects.get(uid=uid)
    if verb in ("sets-rules", "sets-role"):
        given = json.loads(argument)
        owner = Member.objects.select_related("group").get(user=user, group__gid=given["gid"])
        if verb == "sets-role":
            of = User.objects.get(uid=given["of"])
            roles.set_role(owner.group, of, Member.Role[given["role"].upper()], by=owner)
            return
        joining = Group.Joining[given["joining"].upper()]
        posting, barring = (Group.Right[given[name].upper()] for name in ("posting", "barring"))
        roles.set_rules(owner.group, joining=joining, posting=posting, barring=barring, by=owner)
    elif verb == "shows-to":
        privacy.set_presence(user, User.Presence[argument.upper()])
    else:
        action = {"blocks": privacy.block, "unblocks": privacy.unblock}[verb]
        action(user, User.objects.get(uid=argument))


def _serve() -> None:
    import django

    django.setup()
    for line in sys.stdin:
        try:
            _run(*json.loads(line))
            failure = None
        except Exception:
            failure = traceback.format_exc()
        sys.stdout.write(json.dumps(failure) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()

"""`manage.py tmtpimport --csv`: members of a website come from a table."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from tmtp.models import Alias, Group, Member, Node, User

pytestmark = [pytest.mark.once, pytest.mark.django_db]
TABLE = """username,email,first_name,alias,groups
ann,ann@EXAMPLE.org,Ann,ann of rome,chess club;reading circle
bob,,Bob,bob of ulm, chess club
cid,cid@example.org,"Cid, the
third",,
"""


@pytest.fixture
def run(tmp_path, capsys):
    """Import a table, and return what is printed: (the summary, the lines about what is wrong)."""

    def run(table, *options, wrong=False):
        (tmp_path / "members.csv").write_bytes(table if isinstance(table, bytes) else table.encode())
        arguments = ("tmtpimport", "--csv", str(tmp_path / "members.csv"), *options)
        if wrong:
            with pytest.raises(CommandError, match="problem"):
                call_command(*arguments)
        else:
            call_command(*arguments)
        out, err = capsys.readouterr()
        return out.strip(), err.splitlines()

    return run


def everything():
    models = (get_user_model(), User, Node, Alias, Group, Member)
    return [sorted(map(str, model.objects.values_list())) for model in models]


def test_members_have_accounts_names_and_groups(run):
    assert run(TABLE)[0] == "added: 3 accounts, 2 aliases, 3 group members"
    ann = get_user_model().objects.get(username="ann")
    assert (ann.email, ann.first_name, ann.has_usable_password()) == ("ann@example.org", "Ann", False)
    assert Alias.objects.get(name="bob of ulm").user.account.username == "bob"
    joined = Member.objects.filter(status=Member.Status.JOINED)
    assert sorted(joined.values_list("group__gid", "alias", "role")) == [
        ("chess club", "ann of rome", Member.Role.OWNER),
        ("chess club", "bob of ulm", Member.Role.MEMBER),
        ("reading circle", "ann of rome", Member.Role.OWNER),
    ]


def test_another_run_changes_nothing(run):
    run(TABLE)
    first = everything()
    assert run(TABLE)[0] == "added: 0 accounts, 0 aliases, 0 group members"
    assert everything() == first


def test_a_dry_run_changes_nothing_and_says_the_same(run):
    before = everything()
    assert run(TABLE, "--dry-run")[0] == "would be added: 3 accounts, 2 aliases, 3 group members"
    assert everything() == before


def test_an_account_that_exists_stays_as_it_is(run):
    get_user_model().objects.create_user("ann", "old@example.org", "password")
    run(TABLE)
    ann = get_user_model().objects.get(username="ann")
    assert (ann.email, ann.check_password("password")) == ("old@example.org", True)
    assert Alias.objects.get(name="ann of rome").user.account == ann


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (",a@example.org,,,", "username is empty"),
        ("a b!,,,,", "username: "),
        ("dan,nobody,,,", "email: "),
        ("dan,,,short,", "8 characters"),
        ("dan,,,ann of rome,", "taken"),
        ("dan,,,,chess club", "Choose a name for"),
        ("dan,,,dan of oslo,ann of rome", "taken"),
        ("ann,,,,", "line 2"),
        ("dan,,", "3 values"),
        ("dan,,\0,,", "null"),
        ("d" * 200 + ",,,,", "username: "),
    ],
)
def test_a_wrong_line_is_named_and_the_others_are_imported(run, line, said):
    table = TABLE.replace("bob,", f"{line}\nbob,")
    lines = run(table, wrong=True)[1]
    assert len(lines) == 1
    assert lines[0].startswith("line 3: ")
    assert said in lines[0]
    assert get_user_model().objects.count() == 3


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", "first line"),
        ("name\nann\n", "first line"),
        ("username,username\nann,ann\n", "first line"),
        ("username,password\nann,secret\n", "first line"),
        (b"username\nm\xfcller\n", "UTF-8"),
        ('username\n"ann', "line 2"),
    ],
)
def test_what_is_no_table_of_members_is_refused(run, table, said):
    with pytest.raises(CommandError, match=said):
        run(table)
    assert not get_user_model().objects.exists()


def test_one_thing_is_imported_at_a_time(tmp_path):
    for arguments in ([], [str(tmp_path), "--csv", "x"], [str(tmp_path), "--dry-run"]):
        with pytest.raises(CommandError, match=r"(directory|dry-run)"):
            call_command("tmtpimport", *arguments)

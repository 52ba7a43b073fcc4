"""Commands on a console that is not UTF-8 print escapes for the characters that it cannot encode."""

from __future__ import annotations

from pathlib import Path

import pytest

from tmtp.tests.sites import Site, full_site, running

SETTINGS = """
TMTP |= {"SITE_NAME": "Café “Zur Post”", "CERT": VAR / "tls" / "cert.pem", "KEY": VAR / "tls" / "key.pem"}
"""
ASCII = {"PYTHONIOENCODING": "ascii"}
POSIX = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
LATIN = {"PYTHONIOENCODING": "latin-1:strict"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = full_site(tmp_path_factory.mktemp("console"), settings=SETTINGS)
    site.manage("migrate", "-v0")
    site.write({"body.txt": "“Hello”, Łódź – 東京\n"})
    return site


@pytest.mark.once
@pytest.mark.parametrize("console", [ASCII, POSIX, LATIN], ids=["ascii", "POSIX", "latin-1"])
def test_each_command(site: Site, console: dict[str, str]) -> None:
    for file in (site.folder / "tls").glob("*"):
        file.unlink()
    words = ["broadcast", "--subject", "“Łódź”", "--body-file", "body.txt", "--all"]
    said = {
        "check": site.manage("check", **console),
        "tmtpcert": site.manage("tmtpcert", **console),
        "broadcast": site.manage(*words, **console),
        "wrong": site.run("manage.py", "broadcast", "--resume", "7000", **console).stderr,
        "help": site.manage("broadcast", "--help", **console),
        "missing": site.run("manage.py", *words[:3], "--body-file", "“missing”", "--all", **console).stderr,
    }
    assert not [name for name, text in said.items() if "UnicodeEncodeError" in text or "Traceback" in text], said
    assert "made a self-signed certificate" in said["tmtpcert"]
    assert r"\u201c\u0141" in said["broadcast"]
    assert "There is no broadcast 7000" in said["wrong"]
    assert "missing" in said["missing"]


@pytest.mark.once
def test_the_service(site: Site) -> None:
    with running(site, "manage.py", "runtmtp", "--plain", "--bind=127.0.0.1:0", **ASCII) as process:
        log = wait_for(site.folder / "log", "TMTP service")
        assert r"Caf\xe9 \u201cZur Post\u201d" in log
        process.terminate()
        assert process.wait(15) == 0


def wait_for(path: Path, word: str) -> str:
    import time

    until = time.monotonic() + 30
    while word not in path.read_text() and time.monotonic() < until:
        time.sleep(0.1)
    return path.read_text()

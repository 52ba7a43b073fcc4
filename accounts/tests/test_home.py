import pytest
from django.urls import reverse


@pytest.fixture
def page(client, settings):
    settings.TMTP = {**settings.TMTP, "SITE_NAME": "Chess <club>"}
    return client.get(reverse("accounts:home"))


def test_home_names_the_site_and_leads_to_the_admin(page):
    assert page.status_code == 200
    assert "Chess &lt;club&gt;" in page.text
    assert f'href="{reverse("admin:index")}"' in page.text


def test_home_loads_nothing_from_elsewhere(page):
    assert "//" not in page.text.replace("<!doctype html>", "")


def test_home_only_answers_reads(client):
    assert client.post(reverse("accounts:home")).status_code == 405


@pytest.mark.parametrize("file", ["accounts/site.css", "admin/css/base.css"])
def test_static_files_are_served_without_debug(client, file):
    answer = client.get(f"/static/{file}")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/css")

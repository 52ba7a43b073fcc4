"""The page with figures and plots."""

import re
from datetime import timedelta
from xml.etree import ElementTree

import pytest
from django.urls import reverse

from tmtp.admin.tests import admin_pages
from tmtp.admin.tests.admin_pages import Account, text
from tmtp.models import Sample
from tmtp.monitoring import svg
from tmtp.monitoring.series import DAY, HOUR, Line, Plot, plots
from tmtp.services.monitoring import figures, samples
from tmtp.services.queue import leases

pytestmark = [pytest.mark.django_db, pytest.mark.once]
reader = admin_pages.reader
PAGE = "admin:tmtp_serverlease_figures"


def values(posts, commits=0, seconds=0.0, links=10):
    """Return figures of a server like those that servers write."""
    histogram = {"bounds": [1], "counts": [commits, 0], "sum": seconds}
    return {
        "links": links,
        "nodes": links,
        "posts": posts,
        "deliveries": 2 * posts,
        "refusals": {"alias_not_found": posts},
        "commit_seconds": histogram,
        "loop_late_seconds": histogram,
        "batch_jobs": histogram,
        "since_commit": 0.1,
        "memory": 10**8,
        "oldest_in_flight": 1.5,
    }


def keep(minutes_ago, server, **figures):
    at = samples.this_minute() - timedelta(minutes=minutes_ago)
    samples.keep(at, server, values(**figures))


def lines(span=HOUR):
    """Return the lines of all plots by their names."""
    return {line.label: line.values for plot in plots(span) for line in plot.lines}


def test_rates_are_differences_over_time():
    for minute, posts in ((3, 100), (2, 160), (1, 160), (0, 400)):
        keep(minute, 1, posts=posts, commits=posts, seconds=posts * 0.002)
    found = lines()
    assert found["posts"][-3:] == [1, 0, 4]
    assert found["deliveries"][-3:] == [2, 0, 8]
    assert found["refused"][-3:] == [60, 0, 240]
    assert found["mean"][-3:] == [pytest.approx(2), 0, pytest.approx(2)]


def test_servers_are_added_up_and_a_new_one_begins_at_0():
    keep(2, 1, posts=600)
    for minute, old, new in ((1, 660, 60), (0, 720, 180)):
        keep(minute, 1, posts=old)
        keep(minute, 2, posts=new)
    assert lines()["posts"][-2:] == [2, 3]
    assert lines()["links"][-1] == 20


def test_a_time_without_samples_is_a_gap():
    for minute in (20, 19, 1, 0):
        keep(minute, 1, posts=0)
    assert lines()["links"].count(None) == 1


def test_a_day_has_a_point_in_ten_minutes():
    now = samples.this_minute()
    Sample.objects.bulk_create(
        Sample(at=now - timedelta(minutes=minute), server=1, values=values(posts=6000 - 6 * minute))
        for minute in range(24 * 60)
    )
    found = lines(DAY)["posts"]
    assert 140 <= len(found) <= 145
    assert {round(rate, 6) for rate in found[1:]} == {0.1}


@pytest.mark.parametrize("numbers", [[], [5.0], [0.0, 0.0], [None, None], [1.0, None, 3.0], [1e9, 0.001]])
def test_any_plot_is_well_formed(numbers):
    times = [samples.this_minute() + timedelta(minutes=n) for n in range(len(numbers))]
    drawn = svg.draw(Plot("Links & <more>", "ms", times, [Line("one", numbers), Line("two", numbers)]), "last hour")
    root = ElementTree.fromstring(drawn)
    assert root.get("aria-label", "").startswith("Links & <more> (ms), last hour: ")
    assert "nan" not in drawn


@pytest.mark.parametrize(
    ("value", "bound"), [(0, 1), (0.3, 0.5), (1, 1), (1.1, 2), (7, 10), (10, 10), (4999, 5000), (5001, 10_000)]
)
def test_bounds_are_round(value, bound):
    assert svg.nice_bound(value) == pytest.approx(bound)


def test_the_page_shows_the_servers(reader):
    lease = leases.take("127.0.0.1:7443")
    figures.record(lease.pk, {**values(posts=1234), "last_errors": [{"at": "2026-01-01", "message": "<b>broke</b>"}]})
    keep(1, lease.pk, posts=1000)
    keep(0, lease.pk, posts=1234)
    page, part = text(reader.get(reverse(PAGE))), text(reader.get(reverse(f"{PAGE}_part")))
    for shown in (page, part):
        assert f"{lease.host}:{lease.pid}" in shown
        assert re.search(r">1[,.]?234<", shown)
        assert shown.count('<svg class="tmtp-plot"') == 12
        assert "&lt;b&gt;broke" in shown
    assert "<html" in page
    assert "<html" not in part
    assert reverse(PAGE) in text(reader.get(reverse("admin:tmtp_serverlease_changelist")))


def test_the_page_of_a_service_that_never_ran(reader):
    assert "No server is running" in text(reader.get(reverse(PAGE)))


def test_the_page_needs_the_permission(client):
    client.force_login(Account.objects.create_user("staff", is_staff=True))
    assert client.get(reverse(PAGE)).status_code == 403
    assert client.get(reverse(f"{PAGE}_part")).status_code == 403

"""Figures and samples in the database."""

import time
from datetime import datetime, timedelta

import pytest

from tmtp.models import Sample, ServerFigures
from tmtp.services.messages import posting
from tmtp.services.messages.posts import Post
from tmtp.services.monitoring import figures, samples, survey
from tmtp.services.queue import leases
from tmtp.tests.people import someone, to

pytestmark = pytest.mark.django_db


def minutes_kept(end: datetime) -> set[int]:
    """Return which minutes of an hour are kept of the samples of the hour that ends then."""
    return {sample.at.minute for sample in Sample.objects.filter(at__lte=end, at__gt=end - timedelta(hours=1))}


def test_the_figures_of_a_server_go_with_its_lease() -> None:
    lease = leases.take("127.0.0.1:7443")
    figures.record(lease.pk, {"links": 1})
    figures.record(lease.pk, {"links": 2})
    assert ServerFigures.objects.get().values == {"links": 2}
    leases.release(lease.pk)
    assert not ServerFigures.objects.exists()


def test_each_server_has_one_sample_a_minute() -> None:
    at = samples.this_minute()
    for links in (1, 2):
        samples.keep(at, 7, {"links": links})
    samples.keep(at, 8, {"links": 3})
    assert [sample.values["links"] for sample in Sample.objects.order_by("server")] == [1, 3]


def test_samples_are_thinned_after_an_hour_and_deleted_after_a_day() -> None:
    now = samples.this_minute()
    Sample.objects.bulk_create(Sample(at=now - timedelta(minutes=n), server=1) for n in range(26 * 60))
    samples.thin(now)
    assert len(minutes_kept(now)) == 60
    assert minutes_kept(now - timedelta(hours=2)) == {0, 10, 20, 30, 40, 50}
    assert Sample.objects.earliest("at").at >= now - samples.KEPT
    assert Sample.objects.count() < 60 + 6 + 24 * 6 + 6


def test_queues_are_counted_by_the_kind_of_node() -> None:
    ann, bob = someone("ann of rome", nodes=2), someone("bob of ulm")
    posting.post_whole(Post(bob, to(ann), b"one"))
    found = survey.queues()
    assert found["device"]["waiting"] == 2
    assert 0 < found["device"]["oldest"] <= time.time_ns()
    assert found["mailbox"] == found["holding"] == {"waiting": 0, "oldest": 0}

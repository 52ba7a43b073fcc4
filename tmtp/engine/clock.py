"""Compare the clock of this host with NTP servers (RFC 5905) and with the database's clock, when a server starts.

The numbers of messages are times of this clock, and clients show them as the times of messages (`posted`).
"""

from __future__ import annotations

import logging
import time
from typing import Any

from ..conf import conf, ntp_address
from ..services.storage.clock import ahead_of_database

log = logging.getLogger("tmtp")

TOLERATED = 1.0  # seconds
TOO_FAR_OFF = 60.0  # seconds
TIMEOUT = 2.0  # seconds for a server to answer
PAUSE = 1.0  # seconds before the servers are asked again
STRATA = range(1, 16)  # 0 is a refusal, 16 means that the server's own clock is not synchronised
DISTANCE_MAX = 16.0  # seconds by which a server may be wrong itself
UNSYNCHRONISED = 3  # the leap indicator of such a server
SERVER = 4  # the mode of an answer


class ClockFailed(Exception):
    """The clock of this host is wrong, or no NTP server says whether it is right. The text says what to do."""


def compare_with_ntp() -> None:
    """Compare the clock with the NTP servers in the settings; without HOSTS, do nothing.

    Log a warning if it is a second off. Raise ClockFailed if it is a minute off, or if no server answers.
    """
    hosts, retries = conf.ntp
    if not hosts:
        return
    host, ahead = _ask(hosts, retries)
    if abs(ahead) >= TOO_FAR_OFF:
        raise ClockFailed(
            f"The clock of this host is {_in_words(ahead)} the NTP server {host}. Set it, then start again."
        )
    if abs(ahead) >= TOLERATED:
        log.warning("the clock of this host is %s the NTP server %s", _in_words(ahead), host)


def compare_with_database() -> None:
    """Log a warning if this clock and the database's are a second apart."""
    ahead = ahead_of_database()
    if abs(ahead) >= TOLERATED:
        log.warning("the clock of this host is %s the database's; synchronise both with NTP", _in_words(ahead))


def _ask(hosts: list[str], retries: int) -> tuple[str, float]:
    """Return the first server that answers, and how many seconds this clock is ahead of it. Raise ClockFailed."""
    reasons: dict[str, str] = {}
    for attempt in range(1 + retries):
        if attempt:
            time.sleep(PAUSE)
        for host in hosts:
            try:
                return host, _ahead_of(host)
            except ClockFailed as failed:
                reasons[host] = str(failed)
    said = "; ".join(f"{host}: {reason}" for host, reason in reasons.items())
    raise ClockFailed(f"No NTP server in TMTP['NTP'] answers: {said}. Correct HOSTS or the network, or leave NTP out.")


def _ahead_of(host: str) -> float:
    """Return how many seconds this clock is ahead of an NTP server. Raise ClockFailed if it has no valid answer."""
    try:
        import ntplib
    except ImportError:
        raise ClockFailed("ntplib is not installed") from None
    name, port = ntp_address(host)
    try:
        answer = ntplib.NTPClient().request(name, version=4, port=port, timeout=TIMEOUT)
    except (ntplib.NTPException, OSError) as error:
        raise ClockFailed(str(error)) from error
    if not _is_valid(answer):
        raise ClockFailed("the answer is not one of a synchronised server")
    return -float(answer.offset)


def _is_valid(answer: Any) -> bool:
    """Return whether an NTPStats is of a server that knows the time, and answers this request (RFC 5905 section 8)."""
    knows = answer.leap != UNSYNCHRONISED and answer.stratum in STRATA and answer.root_dispersion < DISTANCE_MAX
    tells = answer.mode == SERVER and answer.tx_timestamp > 0
    return bool(knows and tells and abs(answer.delay) <= TIMEOUT)


def _in_words(ahead: float) -> str:
    """Return “3.2 seconds ahead of” or “3.2 seconds behind”."""
    if ahead > 0:
        return f"{ahead:.1f} seconds ahead of"
    return f"{-ahead:.1f} seconds behind"

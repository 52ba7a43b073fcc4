"""An NTP server on the loopback interface, with whatever time and header a test chooses (RFC 5905 section 7.3)."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator

EPOCH = 2_208_988_800  # the seconds from 1900, where NTP begins, to 1970
PACKET = struct.Struct("!BBBb11I")


class NtpServer:
    """Answers requests until it is closed. Its clock is `ahead` seconds ahead of this host's."""

    def __init__(
        self, ahead: float = 0.0, leap: int = 0, stratum: int = 2, mode: int = 4, unanswered: int = 0
    ) -> None:
        self.ahead, self.leap, self.stratum, self.mode, self.unanswered = ahead, leap, stratum, mode, unanswered
        self.requests: list[bytes] = []
        self.echoes = True  # the time of the request, as every server does
        self.dispersion = 0  # seconds by which it may be wrong, as it says
        self.time: int | None = None  # instead of that of its clock, in seconds since 1900
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                request, client = self._socket.recvfrom(1024)
                if not request:
                    return
                self.requests.append(request)
                if len(self.requests) > self.unanswered:
                    self._socket.sendto(self._answer(request), client)

    def _answer(self, request: bytes) -> bytes:
        now = time.time() + self.ahead + EPOCH if self.time is None else self.time
        stamp = (int(now), int(now % 1 * 2**32))
        origin = PACKET.unpack(request[: PACKET.size])[-2:] if self.echoes else (0, 0)
        first = self.leap << 6 | 4 << 3 | self.mode
        return PACKET.pack(
            first, self.stratum, 6, -20, 0, self.dispersion << 16, 0x7F000001, *stamp, *origin, *stamp, *stamp
        )


@contextlib.contextmanager
def ntp_server(**options: float) -> Iterator[NtpServer]:
    """Run a server until the block ends. `options` are those of NtpServer."""
    with contextlib.closing(NtpServer(**options)) as server:  # type: ignore[arg-type]
        yield server

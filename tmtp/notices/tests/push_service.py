"""A push service on loopback, with a browser that decrypts what it gets, as RFC 8030, 8188, 8291 and 8292 say."""

from __future__ import annotations

import base64
import json
import os
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def derive(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(secret)


@dataclass
class Received:
    """A request to the push service. `notice` is what the browser reads in it."""

    headers: dict[str, str]
    notice: dict[str, Any]


@dataclass
class Browser:
    """A subscription of a browser, with its private key."""

    endpoint: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = field(default_factory=lambda: os.urandom(16))
    status: int = 201
    answer: dict[str, str] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)

    @property
    def point(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @property
    def form(self) -> dict[str, str]:
        return {"endpoint": self.endpoint, "p256dh": encode(self.point), "auth": encode(self.auth)}

    def decrypt(self, body: bytes) -> bytes:
        """Decrypt a message of one record. Raise an error if anything in it is not as it must be."""
        salt, size, length = body[:16], struct.unpack("!L", body[16:20])[0], body[20]
        sender, record = body[21 : 21 + length], body[21 + length :]
        assert len(record) <= size
        shared = self.key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
        secret = derive(shared, self.auth, b"WebPush: info\0" + self.point + sender, 32)
        key = derive(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
        nonce = derive(secret, salt, b"Content-Encoding: nonce\0", 12)
        text, mark = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\0"), b"\2"
        assert text.endswith(mark)
        return text[:-1]


class PushService:
    """The server. It accepts what is signed with `public_key`, and answers as each browser says."""

    def __init__(self, public_key: str) -> None:
        self.public_key = public_key
        self.browsers: dict[str, Browser] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def new_browser(self) -> Browser:
        path = f"/push/{len(self.browsers)}"
        browser = self.browsers[path] = Browser(self.url + path)
        return browser

    def accept(self, path: str, headers: dict[str, str], body: bytes) -> Browser:
        """Check a request, and pass it to the browser."""
        scheme, _, rest = headers["authorization"].partition(" ")
        token = dict(part.strip().split("=", 1) for part in rest.split(","))
        assert (scheme, token["k"]) == ("vapid", self.public_key)
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decode(token["k"]))
        claims = jwt.decode(token["t"], key, ["ES256"], audience=self.url, options={"require": ["exp", "sub"]})
        assert claims["sub"].startswith(("mailto:", "https:"))
        assert headers["content-encoding"] == "aes128gcm"
        browser = self.browsers[path]
        browser.received.append(Received(headers, json.loads(browser.decrypt(body))))
        return browser

    def _handler(service) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                browser = service.accept(self.path, headers, body)
                self.send_response(browser.status)
                for name, value in {"Content-Length": "0", **browser.answer}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        return Handler

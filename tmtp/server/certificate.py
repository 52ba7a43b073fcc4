"""Create a self-signed certificate, for a service without another one."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = timedelta(days=3652)


def make_self_signed(cert_path: str | Path, key_path: str | Path, names: Iterable[str]) -> None:
    """Write a P-256 key (mode 0600) and a certificate for these host names and addresses, valid for ten years.

    Both files are PEM. Existing files are replaced atomically; missing folders are created. Raise OSError if a file
    cannot be written, ValueError if a certificate can hold none of the names.
    """
    alternatives = [name for name in map(alternative_name, dict.fromkeys(names)) if name is not None]
    if not alternatives:
        raise ValueError("a certificate needs a host name or an address")
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate = sign(key, alternatives)
    write(Path(key_path), pem, 0o600)
    write(Path(cert_path), certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def is_self_signed(cert_path: str | Path) -> bool:
    """Return whether the certificate in this PEM file is its own issuer. False if there is no readable certificate."""
    try:
        certificate = x509.load_pem_x509_certificate(Path(cert_path).read_bytes())
    except (OSError, ValueError):
        return False
    return certificate.issuer == certificate.subject


def alternative_name(name: str) -> x509.GeneralName | None:
    """Return a host name or an IP address as a certificate holds it, or None if it cannot hold it."""
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    with contextlib.suppress(ValueError):
        return x509.DNSName(name) if name else None
    return None


def sign(key: ec.EllipticCurvePrivateKey, alternatives: list[x509.GeneralName]) -> x509.Certificate:
    """Return a certificate for this key, signed with the same key."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(alternatives[0].value)[:64])])
    now = datetime.now(UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign"), False
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # for clients whose clock is slow
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        # a CA, for clients that trust a copy of it and check strictly; it can only sign end-entity certificates
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=True, encipher_only=False, decipher_only=False, **usage
            ),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, hashes.SHA256())


def write(path: Path, octets: bytes, mode: int) -> None:
    """Replace the file with these octets atomically. Its permissions are never wider than `mode`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(octets)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)

"""The home's secrets: the key under which tokens are made, and the key and certificate of TLS.

No token is stored anywhere; each can be made again from the key. A token says whom it speaks
for, so that a stranger is turned away before anything else of a request is read.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import os
import re
import secrets
import ssl
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from scalebox_hpc.daemon.home import Home
from scalebox_hpc.disk import problem_with
from scalebox_hpc.errors import EnvironmentProblem

KEY_BYTES: Final = 32
CERTIFICATE_YEARS: Final = 20
_TOKEN: Final = re.compile(r"([a-z]{4,11})\.([A-Za-z0-9_.-]{1,256})\.([0-9a-f]{64})").fullmatch


class Role(StrEnum):
    """What a token is good for."""

    JOIN = "join"  # subject: a try's name; says hello, and that an incarnation ended
    INCARNATION = "incarnation"  # subject: the incarnation's id
    USER = "user"  # subject: "user"; everything that the user may do
    METRICS = "metrics"  # subject: "metrics"; reads what the daemon counts, and nothing else


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whom a token speaks for."""

    role: Role
    subject: str


@dataclass(frozen=True, slots=True)
class Keys:
    """The home's key, read; `repr` does not show it."""

    _key: bytes

    def __repr__(self) -> str:
        return "Keys()"

    def token(self, role: Role, subject: str) -> str:
        """The token with which `subject` speaks; the same each time. It fits an HTTP header as it is."""
        return f"{role}.{subject}.{self._mac(role, subject)}"

    def join_token(self, try_name: str) -> str:
        return self.token(Role.JOIN, try_name)

    def incarnation_token(self, incarnation: str) -> str:
        return self.token(Role.INCARNATION, incarnation)

    def user_token(self) -> str:
        return self.token(Role.USER, "user")

    def metrics_token(self) -> str:
        return self.token(Role.METRICS, "metrics")

    def bearer(self, token: str) -> Bearer | None:
        """Whom the token speaks for; None for one that we did not make. Compares in constant time."""
        match = _TOKEN(token)
        if match is None:
            return None
        role, subject, mac = match.groups()
        if not hmac.compare_digest(mac, self._mac(role, subject)):
            return None
        return Bearer(Role(role), subject)

    def _mac(self, role: str, subject: str) -> str:
        return hmac.digest(self._key, f"{role}\0{subject}".encode(), "sha256").hex()


def open_keys(home: Home) -> Keys:
    """Read the home's key, or make it once. Raises EnvironmentProblem."""
    path = home.path / "key"
    key = _read_private(path)
    if key is None:
        _write_private(path, secrets.token_bytes(KEY_BYTES))
        key = _read_private(path)
    if key is None or len(key) != KEY_BYTES:
        raise EnvironmentProblem(
            f"{path} does not hold a key",
            "bring it back from a backup, or delete it: agents at work are lost then",
        )
    return Keys(key)


def _read_private(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise problem_with(path, error, "read", "check its owner and mode") from error
    return content


def _write_private(path: Path, content: bytes) -> None:
    """Write a secret whole, durably and once: the first writer wins."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError as error:
        raise problem_with(path, error, "write", "check the home's owner, mode and file system") from error
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Identity:
    """The server's TLS files, and the fingerprint by which clients know it."""

    certificate: Path
    key: Path
    fingerprint: str  # SHA-256 of the certificate in DER, 64 hex digits

    def server_context(self) -> ssl.SSLContext:
        """TLS for the server, 1.2 and up; resumption is off, as connections are kept."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.num_tickets = 0
        context.load_cert_chain(self.certificate, self.key)
        return context


def open_identity(home: Home, now: datetime.datetime) -> Identity:
    """Read the home's certificate, or make it once, self-signed. Raises EnvironmentProblem.

    Key and certificate live in one file each; tls.key holds both, so that they never disagree.
    """
    pair = home.path / "tls.key"
    if _read_private(pair) is None:
        _write_private(pair, _self_signed(home.id, now))
    content = _read_private(pair) or b""
    begin = content.find(b"-----BEGIN CERTIFICATE-----")
    if begin < 0:
        raise EnvironmentProblem(f"{pair} holds no certificate", "delete it: the next start makes a new one")
    certificate = home.path / "tls.crt"
    if _read_private(certificate) != content[begin:]:
        certificate.unlink(missing_ok=True)
        _write_private(certificate, content[begin:])
    der = ssl.PEM_cert_to_DER_cert(content[begin:].decode())
    return Identity(certificate, pair, hashlib.sha256(der).hexdigest())


def _self_signed(home_id: str, now: datetime.datetime) -> bytes:
    """A new P-256 key and its certificate, PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"sbx-{home_id}")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=365 * CERTIFICATE_YEARS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)

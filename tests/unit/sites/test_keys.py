"""Of the user's key files those that paramiko can use are tried, whatever the others are."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from scalebox_hpc.sites import ssh
from scalebox_hpc.sites.resolved import Hop


@dataclass(frozen=True, slots=True)
class NoKeys:
    """An agent that holds none."""

    def get_keys(self) -> list[paramiko.PKey]:
        return []


def field(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def in_openssh(kind: bytes, public: bytes, private: bytes) -> bytes:
    """A key without a passphrase, as `ssh-keygen` writes it (PROTOCOL.key of OpenSSH)."""
    secret = struct.pack(">II", 7, 7) + field(kind) + private + field(b"me")
    secret += bytes(range(1, 1 + -len(secret) % 8))
    head = b"openssh-key-v1\0" + field(b"none") + field(b"none") + field(b"") + struct.pack(">I", 1)
    text = base64.encodebytes(head + field(field(kind) + public) + field(secret))
    return b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + text + b"-----END OPENSSH PRIVATE KEY-----\n"


def in_a_token() -> bytes:
    public = field(b"\1" * 32) + field(b"ssh:")
    return in_openssh(
        b"sk-ssh-ed25519@openssh.com", public, public + b"\1" + field(b"handle" * 10) + field(b"")
    )


def of_two_halves() -> bytes:
    public = field(b"\1" * 32)
    return in_openssh(b"ssh-ed25519", public, public + field(b"\2" * 32 + b"\1" * 32))


def compressed() -> bytes:
    public = field(b"nistp256") + field(b"\2" + b"\1" * 32)
    return in_openssh(b"ecdsa-sha2-nistp256", public, public + field(b"\1" * 32))


def of_another_curve() -> bytes:
    key = ec.generate_private_key(ec.SECP256K1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


@pytest.mark.parametrize("make", [in_a_token, of_two_halves, compressed, of_another_curve])
def test_a_key_that_paramiko_cannot_use_is_passed_over(make: Any, tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(make())
    (tmp_path / "good").write_bytes(
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
        )
    )
    files = (str(tmp_path / "none"), str(tmp_path / "odd"), str(tmp_path / "good"))
    hop = Hop("b", 22, "me", "b", (), files, keys_only=False)
    assert [key.get_name() for key in ssh._keys(hop, NoKeys())] == ["ssh-ed25519"]  # type: ignore[arg-type]

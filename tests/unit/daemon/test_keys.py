"""Tokens outlive the daemon, speak for one subject only, and cannot be made without the key."""

from __future__ import annotations

import datetime
import hashlib
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from scalebox_hpc.daemon.home import create
from scalebox_hpc.daemon.keys import Bearer, Role, open_identity, open_keys
from scalebox_hpc.errors import EnvironmentProblem

NOW = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
TRY = "sbx.count.0011223344556677.00c0ffee.3.1"


def test_a_token_tells_whom_it_speaks_for(tmp_path: Path) -> None:
    keys = open_keys(create(tmp_path / ".sbx"))
    assert keys.bearer(keys.join_token(TRY)) == Bearer(Role.JOIN, TRY)
    assert keys.bearer(keys.incarnation_token("ab" * 8)) == Bearer(Role.INCARNATION, "ab" * 8)
    assert keys.bearer(keys.user_token()) == Bearer(Role.USER, "user")


def test_tokens_outlive_the_daemon_but_not_the_home(tmp_path: Path) -> None:
    home = create(tmp_path / ".sbx")
    token = open_keys(home).join_token(TRY)
    assert open_keys(home).join_token(TRY) == token
    assert open_keys(create(tmp_path / "other")).bearer(token) is None


def test_a_changed_token_is_a_strangers(tmp_path: Path) -> None:
    keys = open_keys(create(tmp_path / ".sbx"))
    token = keys.join_token(TRY)
    mac = token.rpartition(".")[2]
    strange = [
        "",
        "user",
        token[:-1],
        token + "0",
        token.upper(),
        token.replace("join.", "user."),
        token.replace(".3.1.", ".3.2."),
        f"user.user.{mac}",
        f"join.{'x' * 300}.{mac}",
        token + "\n",
    ]
    assert [keys.bearer(one) for one in strange] == [None] * len(strange)


def test_the_key_is_private_and_not_shown(tmp_path: Path) -> None:
    home = create(tmp_path / ".sbx")
    keys = open_keys(home)
    assert (home.path / "key").stat().st_mode & 0o777 == 0o600
    assert repr(keys) == "Keys()"
    (home.path / "key").chmod(0o644)
    open_keys(home)
    assert (home.path / "key").stat().st_mode & 0o777 == 0o600


def test_a_broken_key_is_not_replaced(tmp_path: Path) -> None:
    home = create(tmp_path / ".sbx")
    (home.path / "key").write_bytes(b"short")
    with pytest.raises(EnvironmentProblem, match="does not hold a key"):
        open_keys(home)
    (home.path / "tls.key").write_bytes(b"short")
    with pytest.raises(EnvironmentProblem, match="holds no certificate"):
        open_identity(home, NOW)


def test_the_certificate_is_made_once_and_lasts_as_long_as_the_home(tmp_path: Path) -> None:
    home = create(tmp_path / ".sbx")
    identity = open_identity(home, NOW)
    assert open_identity(home, NOW + datetime.timedelta(days=900)) == identity
    assert identity.key.stat().st_mode & 0o777 == 0o600
    certificate = x509.load_pem_x509_certificate(identity.certificate.read_bytes())
    assert certificate.not_valid_after_utc.year == NOW.year + 19 + 1
    der = ssl.PEM_cert_to_DER_cert(identity.certificate.read_text())
    assert identity.fingerprint == hashlib.sha256(der).hexdigest()
    identity.certificate.unlink()
    assert open_identity(home, NOW) == identity
    assert identity.server_context().minimum_version is ssl.TLSVersion.TLSv1_2

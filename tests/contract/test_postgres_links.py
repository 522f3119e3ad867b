"""The way to the server: encrypted and checked, or gone silent without a word."""

from __future__ import annotations

import datetime
import ipaddress
import os
import random
import re
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from scalebox_hpc.errors import ConflictError, LedgerAway, LedgerProblem
from scalebox_hpc.ledger import postgres as postgres_ledger
from scalebox_hpc.ledger import server as servers
from scalebox_hpc.ledger.postgres import PostgresStore
from scalebox_hpc.testing.postgres import Postgres, postgres, programs
from tests.links import Link, link_to

EVENT = (1, "run", 1, "x", "")
EVENTS = "SELECT count(*) FROM event"
ANSWER_S = 0.5


@pytest.fixture
def home() -> str:
    return secrets.token_hex(8)


# ---- silent


@pytest.fixture
def link(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Link]:
    monkeypatch.setattr(servers, "ANSWER_S", ANSWER_S)
    with link_to((socket.AF_UNIX, server.socket)) as made:
        yield made


@pytest.fixture
def store(link: Link, home: str) -> Iterator[PostgresStore]:
    made = PostgresStore(link.ledger, home, create=True)
    yield made
    made.close()


def test_a_silent_server_is_given_up_and_found_again(store: PostgresStore, link: Link) -> None:
    """Though its session lives on there, with the lock, and nobody told it anything."""
    with store.transaction():
        store.run("add_event", EVENT)
    assert link.freeze() == 1
    with pytest.raises(LedgerAway, match=r"no answer for 0\.5 s"):
        store.one("home")
    store.reopen()
    with store.transaction():
        store.run("add_event", EVENT)
    assert store.ask(EVENTS) == [(2,)]


@pytest.mark.parametrize(("direction", "kept"), [("up", 0), ("down", 1)])
def test_a_commit_in_doubt_is_judged_by_what_the_server_has(
    store: PostgresStore, link: Link, monkeypatch: pytest.MonkeyPatch, direction: str, kept: int
) -> None:
    """Lost on its way, it never happens, not even later; with its answer lost, it has happened."""
    commit = PostgresStore._commit

    def unheard(self: PostgresStore) -> None:
        link.freeze(direction)
        commit(self)

    monkeypatch.setattr(PostgresStore, "_commit", unheard)
    with pytest.raises(LedgerAway), store.transaction():
        store.run("add_event", EVENT)
    monkeypatch.undo()
    store.reopen()
    assert store.ask(EVENTS) == [(kept,)]


def test_a_statement_over_whole_tables_may_take_long(store: PostgresStore) -> None:
    assert store.ask(f"SELECT pg_sleep({2 * ANSWER_S})") == [("",)]


def test_a_former_session_that_does_not_end_is_waited_for(
    store: PostgresStore, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_ledger, "LOCK_WAIT_S", 0.2)
    monkeypatch.setattr(PostgresStore, "_end_sessions", lambda self, name: None)
    ghost, store._db = store._db, servers.connect(server.address)
    with pytest.raises(LedgerAway, match="has not ended our former session"):
        store.reopen()
    monkeypatch.undo()
    store.reopen()
    ghost.invalidate()


def test_a_takeover_ends_the_session_of_a_lost_daemon(
    store: PostgresStore, server: Postgres, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lost one, should it live after all, can write nothing more."""
    monkeypatch.setattr(postgres_ledger, "LOCK_WAIT_S", 0.2)
    with pytest.raises(ConflictError) as held:
        PostgresStore(server.address, home, create=False)
    assert "sbx daemon takeover" in held.value.hint
    taker = PostgresStore(server.address, home, create=False, takeover=True)
    with pytest.raises(LedgerAway), store.transaction():
        store.run("add_event", EVENT)
    assert taker.ask(EVENTS) == [(0,)]
    taker.close()


def test_tcp_is_told_at_both_ends_when_to_give_up(store: PostgresStore, secure: Secure, home: str) -> None:
    session = store._db.connection.driver_connection
    assert session is not None
    with socket.socket(fileno=os.dup(session.fileno())) as ours:
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        found = [
            ours.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        ]
        assert found == [30, 10, 3]
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
    there = secure.store(home)
    names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
    assert [there.ask(f"SELECT current_setting('{name}')")[0][0] for name in names] == [
        "30", "10", "3", "30000",
    ]  # fmt: skip
    there.close()


# ---- encrypted


class Secure:
    """A server that lets in only who comes by TLS and knows the password, at an address of its own."""

    def __init__(self, server: Postgres, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.address = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(2, 254)}"
        certify(folder, self.address)
        server.sql("CREATE ROLE ann LOGIN PASSWORD 'right'")
        server.sql("GRANT CREATE ON DATABASE postgres TO ann")
        [(hba,)] = server.sql("SHOW hba_file")
        Path(hba).write_text("local all all trust\nhostssl all ann 127.0.0.0/8 scram-sha-256\n")
        for name, value in {
            "listen_addresses": self.address,
            "ssl": "on",
            "ssl_cert_file": str(folder / "server.crt"),
            "ssl_key_file": str(folder / "server.key"),
        }.items():
            server.sql(f"ALTER SYSTEM SET {name} = '{value}'")
        server.stop()
        server.start()

    def url(self, host: str = "db.test", ca: str = "ca.crt", mode: str = "verify-full") -> str:
        trusted = f"&sslrootcert={self.folder / ca}" if ca else ""
        return f"postgresql://ann@{host}/postgres?hostaddr={self.address}&sslmode={mode}{trusted}"

    def store(self, home: str, **other: str) -> PostgresStore:
        return PostgresStore(self.url(**other), home, create=True, password="right")


def certify(folder: Path, address: str) -> None:
    """Write an authority, a stranger's authority, and a certificate of the first for db.test."""
    now = datetime.datetime.now(datetime.UTC)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "stranger", "server")}
    for name, issuer in (("ca", "ca"), ("stranger", "stranger"), ("server", "ca")):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = [x509.DNSName("db.test"), x509.IPAddress(ipaddress.ip_address(address))]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(keys[name].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name != "server", path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(keys[issuer], hashes.SHA256())
        )
        (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key = keys["server"].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "server.key"
    file.write_bytes(key)
    file.chmod(0o600)
    owner = folder.stat()
    os.chown(file, owner.st_uid, owner.st_gid)


@pytest.fixture(scope="module")
def secure() -> Iterator[Secure]:
    if programs() is None:
        pytest.skip("no Postgres server is installed (apt-get install postgresql)")
    with postgres() as made:
        yield Secure(made, made.folder)


def test_a_ledger_over_a_link_that_is_encrypted_and_checked(secure: Secure, home: str) -> None:
    store = secure.store(home)
    assert store.ask("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [(True,)]
    with store.transaction():
        store.run("add_event", EVENT)
    secure.server.cut()
    with pytest.raises(LedgerAway):
        store.one("home")
    store.reopen()
    assert store.ask(EVENTS) == [(1,)]
    store.close()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"ca": "stranger.crt"}, "certificate verify failed"),
        ({"ca": "nowhere.crt"}, "root certificate file"),
        ({"host": "other.test"}, 'does not match host name "other.test"'),
        ({"mode": "disable", "ca": ""}, "no encryption"),
    ],
)
def test_a_link_that_is_not_what_was_asked_for_is_refused(
    secure: Secure, home: str, other: dict[str, str], said: str
) -> None:
    with pytest.raises(LedgerProblem, match=re.escape(said)):
        secure.store(home, **other)


def test_a_silent_encrypted_link_is_given_up(
    secure: Secure, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "ANSWER_S", ANSWER_S)
    with link_to((socket.AF_INET, (secure.address, 5432))) as link:
        by_link = secure.url().replace(secure.address, "127.0.0.1").replace("db.test", f"db.test:{link.port}")
        store = PostgresStore(by_link, home, create=True, password="right")
        link.freeze()
        with pytest.raises(LedgerAway, match="no answer"):
            store.one("home")
        store.reopen()
        assert store.one("home") is None
        store.close()


def test_who_was_let_in_before_waits_where_he_is_not_now(secure: Secure, home: str) -> None:
    """A certificate that ran out, or a password that is being changed, ends no daemon."""
    store = secure.store(home)
    secure.server.sql("ALTER ROLE ann NOLOGIN")
    try:
        secure.server.cut()
        with pytest.raises(LedgerAway, match="not permitted to log in"):
            store.reopen()
    finally:
        secure.server.sql("ALTER ROLE ann LOGIN")
    store.reopen()
    assert store.one("home") is None
    store.close()

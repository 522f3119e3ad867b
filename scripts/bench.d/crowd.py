"""Plays many agents in one process: real ones on the wire, with tasks that are over once they are offered.

`crowd.py SPEC` reads whom to play from a JSON file, and what to do from its standard input, a word a line:
`hold` takes tasks and keeps them, `work` reports them and goes on until there is no more. After each word
it prints a line of JSON once all have done so. It starts nothing, and keeps a connection an agent.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import ssl
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import orjson

from scalebox_hpc.agent.connection import tls_context

LIMIT = 1 << 20  # of a line that is read; answers are read by their length
COME_AGAIN = (429, 503)
NO_ANSWER = (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError)
RESULT = (
    b'{"lease":"%s","outcome":"ok","cause":null,"exit_code":0,"signal":null,"note":"","slot":0,'
    b'"cpu_user_s":0.000412,"cpu_system_s":0.000613,"max_rss_mib":1.84375,"in":0,"out":0,"user_text":"",'
    b'"user_times":{},"times":{"received":%d,"started":%d,"ended":%d,"collected":%d,"reported":%d},"stdout":"",'
    b'"stderr":"","cut":[false,false],"log":["/scratch/sbx/logs/%s.0.out",0,82,"/scratch/sbx/logs/%s.0.err",0,82],'
    b'"image":"","messages":[]}'
)


class Crowd:
    """What all agents of this process share."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.context = tls_context()
        self.works = asyncio.Event()
        self.statuses: Counter[int] = Counter()
        self.longest_s = 0.0  # from a request that is not parked to its answer
        self.recorded = self.refused = self.syncs = self.ready = 0
        self.news = asyncio.Event()
        self.agents = [Agent(self, name, element) for name, element in spec["elements"]]

    def tell_ready(self) -> None:
        """One more agent has what it was told to get."""
        self.ready += 1
        self.news.set()

    async def all_ready(self) -> None:
        """Wait until all agents have, once for each word."""
        while self.ready < len(self.agents):
            self.news.clear()
            await self.news.wait()
        self.ready = 0

    def told(self, word: str, began_s: float) -> None:
        """Say what became of a word: answers since the last one, all else from the beginning."""
        seen = {
            "word": word,
            "took_s": time.monotonic() - began_s,
            "longest_s": self.longest_s,
            "statuses": dict(self.statuses),
            "recorded": self.recorded,
            "refused": self.refused,
            "syncs": self.syncs,
            "cpu_s": time.process_time(),
        }
        self.longest_s = 0.0
        self.statuses.clear()
        print(json.dumps(seen), flush=True)


class Agent:
    """One incarnation."""

    def __init__(self, crowd: Crowd, try_name: str, element: int) -> None:
        self.crowd, self.try_name, self.element = crowd, try_name, element
        self.incarnation = secrets.token_hex(8)
        self.token = ""
        self.number = self.took = 0
        self.held: list[str] = []
        self.module = 0
        self.over = False
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def hello(self) -> None:
        """Say who we are, for a token."""
        fields = {
            **{"home": self.crowd.spec["home"], "try": self.try_name, "element": self.element, "restart": 0},
            **{"incarnation": self.incarnation, "node": f"node{self.element}", "pid": 1, "job_id": None},
            **{"cpus": 1, "memory_mib": 100, "gpus": 0, "scratch_mib": 1 << 20, "walltime_left_s": None},
            **{"runtimes": {}, "python": "3.11", "version": "0", "clock_us": time.time_ns() // 1000},
        }
        answer = await self._told("hello", self._join_token(), orjson.dumps(fields))
        if answer["do"] != "work":
            raise SystemExit(f"crowd: told to leave at hello: {answer['reason']}")
        self.token = answer["token"]

    async def hold(self) -> None:
        """Take tasks until we have what we want, say that they started, then wait with them in the poll."""
        wanted = self.crowd.spec["holds"]
        is_told = False
        while not self.crowd.works.is_set():
            has_all = len(self.held) >= wanted
            self.held += await self._sync(more=wanted - len(self.held), wait=not has_all or is_told)
            if has_all and not is_told:
                self.crowd.tell_ready()
                is_told = True

    async def work(self) -> None:
        """Report what is held and take more, until there is no more to come."""
        is_told = False
        while not (is_told and self.over):
            self.held = await self._sync(more=self.crowd.spec["batch"] - 1, wait=not self.held, reports=True)
            if not is_told:
                self.crowd.tell_ready()
                is_told = True
        await self._sync(more=0, wait=False, reports=True, leaving="drain")
        fields = {"try": self.try_name, "element": self.element, "incarnation": self.incarnation}
        await self._told("ended", self._join_token(), orjson.dumps({**fields, "restart": 0, "status": 0}))

    def drop(self) -> None:
        """Close the connection; whoever waits for an answer asks anew."""
        if self._writer is not None:
            self._writer.transport.abort()

    def _join_token(self) -> str:
        return (Path(self.crowd.spec["shared"]) / "tries" / self.try_name / "token").read_text().strip()

    def _results(self) -> bytes:
        now, name = time.time_ns() // 1000, self.incarnation.encode()
        about = (now - 500, now - 400, now - 200, now - 100, now, name, name)
        return b",".join([RESULT % (lease.encode(), *about) for lease in self.held])

    async def _sync(self, *, more: int, wait: bool, reports: bool = False, leaving: str = "") -> list[str]:
        """Say where we stand, until that is answered; return the leases that came."""
        answer: dict[str, Any] = {"superseded": True}
        while answer.get("superseded"):
            if wait and self.crowd.works.is_set() and not reports:
                return []
            self.number += 1
            self.crowd.syncs += 1
            body = self._sync_body(more, wait, reports, leaving)
            answer = await self._ask("sync", self.token, body, parked=wait) or {"superseded": True}
        self.took = self.number
        self.crowd.recorded += len(answer["recorded"])
        self.crowd.refused += len(answer["refused"])
        self.over = self.over or answer["do"] != "work"
        offers = answer["offers"]
        self.module = offers[0]["module"] if offers else self.module
        return [offer["lease"] for offer in offers]

    def _sync_body(self, more: int, wait: bool, reports: bool, leaving: str) -> bytes:
        said = {
            **{"incarnation": self.incarnation, "sync": self.number, "took": self.took, "wait": wait},
            **{"clock_us": time.time_ns() // 1000, "walltime_left_s": None, "leaving": leaving or None},
            "held": [] if reports else [[lease, 1] for lease in self.held],
            "free": {"cpus": int(reports or not self.held), "memory_mib": 100, "gpus": 0},
            "prefetch": {str(self.module): more} if self.module and more > 0 else {},
            "reason": "",
        }
        return orjson.dumps(said)[:-1] + b',"results":[' + (self._results() if reports else b"") + b"]}"

    async def _told(self, verb: str, token: str, body: bytes) -> dict[str, Any]:
        """Ask until there is an answer."""
        while (answer := await self._ask(verb, token, body)) is None:
            pass
        return answer

    async def _ask(
        self, verb: str, token: str, body: bytes, *, parked: bool = False
    ) -> dict[str, Any] | None:
        """Post once; None where there is no answer, or one to come again, after a while."""
        crowd, began_s = self.crowd, time.monotonic()
        head = f"POST /v1/agent/{verb} HTTP/1.1\r\nHost: sbx\r\nAuthorization: Bearer {token}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            status, text = await self._exchange(head.encode() + body)
        except NO_ANSWER:
            self._writer = None
            return None
        crowd.statuses[status] += 1
        if not parked:
            crowd.longest_s = max(crowd.longest_s, time.monotonic() - began_s)
        if status in COME_AGAIN:
            await asyncio.sleep(orjson.loads(text).get("retry_s", 1.0))
            return None
        if status != 200:
            raise SystemExit(f"crowd: {verb} was answered {status}: {text[:300]!r}")
        return dict(orjson.loads(text))

    async def _exchange(self, request: bytes) -> tuple[int, bytes]:
        if self._writer is None:
            await self._connect()
        assert self._reader is not None
        assert self._writer is not None
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines if line)
        body = await self._reader.readexactly(int(fields["content-length"]))
        if fields.get("connection") == "close":
            self._writer = None
        return int(first.split()[1]), body

    async def _connect(self) -> None:
        spec = self.crowd.spec
        host, _, port = spec["address"].rpartition(":")
        self._reader, self._writer = await asyncio.open_connection(
            host, int(port), ssl=self.crowd.context, limit=LIMIT
        )
        shown = self._writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        if hashlib.sha256(shown).hexdigest() != spec["fingerprint"]:
            raise SystemExit("crowd: this is not our daemon")


async def live(agent: Agent) -> None:
    """From the hello to the end."""
    await agent.hello()
    await agent.hold()
    await agent.work()


async def obey(crowd: Crowd) -> None:
    """Do what standard input says."""
    loop = asyncio.get_running_loop()
    words = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin)
    lives: list[asyncio.Task[None]] = []
    while word := (await words.readline()).decode().strip():
        began_s = time.monotonic()
        match word:
            case "hold":
                lives = [asyncio.create_task(live(agent)) for agent in crowd.agents]
            case "work":
                if not lives:
                    lives = [asyncio.create_task(live(agent)) for agent in crowd.agents]
                crowd.works.set()
                for agent in crowd.agents:
                    agent.drop()
        ready = asyncio.create_task(crowd.all_ready())
        while not ready.done():
            waiting = [ready, *(one for one in lives if not one.done())]
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
        crowd.told(word, began_s)
    if lives:
        await asyncio.gather(*lives)
    crowd.told("end", time.monotonic())


if __name__ == "__main__":
    asyncio.run(obey(Crowd(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))

"""A daemon whose engine answers a few verbs from memory; run by tests as a process of its own."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from scalebox_hpc.daemon.__main__ import main
from scalebox_hpc.daemon.events import Call, Reply, Told
from scalebox_hpc.daemon.main import run_in_foreground
from scalebox_hpc.daemon.premises import Premises
from scalebox_hpc.errors import LedgerProblem


class StubEngine:
    """Answers until told to stop. A run named `die` kills it, `thread` kills a thread of its own."""

    def __init__(self, premises: Premises) -> None:
        self.premises = premises
        self.interrupted: tuple[str, ...] = ()
        if (premises.home.path / "broken").exists():
            raise LedgerProblem("the ledger is broken", "mend it")

    def run(self) -> None:
        while True:
            event = self.premises.inbox.get()
            if isinstance(event, Told):
                self.interrupted = ("primes-7f3a",) if event.kind == "interrupt" else ()
                return
            self._answer(event)
            if event.verb == "daemon.stop":
                return

    def _answer(self, call: Call) -> None:
        if call.verb == "run.status" and call.args["run"] == "die":
            raise ValueError("a bug")
        if call.verb == "run.status" and call.args["run"] == "thread":
            threading.Thread(target=lambda: 1 / 0, name="hand").start()
            return
        if (self.premises.home.path / "full").exists():
            call.answer(Reply(503, {"error": "no room", "paused": True}))
            return
        call.answer(Reply(200, {"held": self.premises.lock.still_held()}))

    def stop(self) -> None:
        self.premises.inbox.put(Told("stop"))

    def interrupt(self) -> None:
        self.premises.inbox.put(Told("interrupt"))


def foreground(home: Path, what: str) -> int:
    """Be a daemon inside this process; `what` is submitted: `wait` for ever, or a number to return."""

    def submit() -> int:
        print("submitted", flush=True)
        if what == "wait":
            threading.Event().wait()
        if what == "raise":
            raise LedgerProblem("no", "yes")
        return int(what)

    return run_in_foreground(home, submit, StubEngine)


if __name__ == "__main__":
    sys.exit(foreground(Path(sys.argv[2]), sys.argv[3]) if sys.argv[1] == "foreground" else main(StubEngine))

"""Runs simulated worlds, one a seed, and says of each that failed how to see it again.

    scripts/soak                      a hundred seeds
    scripts/soak --for 8h --jobs 2    new seeds for as long as you like
    scripts/soak --seeds 1000-2000    these seeds
    scripts/soak --seed 123 --trace   one seed, with all that happened in it
    scripts/soak --seed 123 --steps 400 --trace    ... up to the daemon's turn 400

The exit code is 1 where a seed failed, 2 where the command is wrong.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path

from scalebox_hpc.testing.simulation import Simulation
from scalebox_hpc.testing.witness import Enough, Violation
from scalebox_hpc.units import duration_s

TAIL = 60  # lines of a trace that are shown of a failure
BATCH = 8  # seeds that a worker takes at once


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of one seed."""

    seed: int
    turns: int
    virtual_s: float
    problem: str = ""  # "": it went as it must
    scenario: str = ""
    trace: str = ""  # text, a line each


def try_seed(seed: int, most_turns: int | None = None, *, keep_trace: bool = False) -> Seen:
    """Let the world of a seed happen, in a folder that is removed again."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="sbx-soak-", dir=memory if memory.is_dir() else None))
    simulation = Simulation(seed, folder, most_turns)
    problem = ""
    try:
        simulation.run()
    except Enough:
        pass
    except Violation as violation:
        problem = str(violation)
    except Exception:  # noqa: BLE001  whatever a daemon or an agent dies of is what we look for
        problem = traceback.format_exc(limit=-8)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    trace = simulation.watch.trace if keep_trace else simulation.watch.trace[-TAIL:] if problem else []
    return Seen(
        seed,
        simulation.watch.turns,
        simulation.world.clock.mono_s,
        problem,
        f"{simulation.scenario.describe()}; {simulation.chaos.describe()}",
        "\n".join(f"{at_s:10.3f}  {what:<9} {text}" for at_s, what, text in trace),
    )


def soak(seeds: Iterable[int], until_s: float | None, jobs: int) -> Iterator[Seen]:
    """Try seeds, in so many processes, up to a time of the monotonic clock or to the last one."""
    waiting = iter(seeds)
    is_due = partial(_is_due, until_s)
    if jobs == 1:
        for seed in waiting:
            yield try_seed(seed)
            if is_due():
                return
        return
    with ProcessPoolExecutor(jobs) as workers:
        while not is_due() and (some := list(islice(waiting, jobs * BATCH))):
            yield from workers.map(try_seed, some)


def _is_due(until_s: float | None) -> bool:
    return until_s is not None and time.monotonic() >= until_s


def main(words: list[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    asked = _read(words)
    if asked.seed is not None:
        seen = try_seed(asked.seed, asked.steps, keep_trace=True)
        lines = seen.trace.splitlines()
        print("\n".join(lines if asked.trace else lines[:2] if not seen.problem else lines[-TAIL:]))
        print(_verdict(seen))
        return 1 if seen.problem else 0
    began_s = time.monotonic()
    until_s = began_s + asked.duration_s if asked.duration_s is not None else None
    tried = turns = failed = 0
    virtual_s = 0.0
    for seen in soak(asked.seeds, until_s, asked.jobs):
        tried, turns, virtual_s = tried + 1, turns + seen.turns, virtual_s + seen.virtual_s
        if seen.problem:
            failed += 1
            print(f"{seen.trace}\n{_verdict(seen)}\n", flush=True)
            if not asked.go_on:
                break
        elif tried % 100 == 0:
            print(f"{tried} seeds, {failed} failed, {time.monotonic() - began_s:.0f} s", flush=True)
    print(
        f"{tried} seeds, {failed} failed: {turns} turns of daemons, {virtual_s / 3600:.0f} h of virtual time,"
        f" in {time.monotonic() - began_s:.0f} s"
    )
    return 1 if failed else 0


def _verdict(seen: Seen) -> str:
    if not seen.problem:
        return f"seed {seen.seed}: all was as it must be, {seen.turns} turns"
    return (
        f"seed {seen.seed} FAILED in turn {seen.turns}: {seen.problem}\n"
        f"  {seen.scenario}\n"
        f"  see it again: scripts/soak --seed {seen.seed} --trace"
    )


def _read(words: list[str] | None) -> argparse.Namespace:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        "scripts/soak", description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--seed", type=int, help="this one alone")
    what.add_argument("--seeds", type=_range, help="from one to another, both included")
    what.add_argument("--for", dest="duration_s", type=duration_s, help="new seeds for so long: 90s, 10m, 8h")
    parser.add_argument("--steps", type=int, help="with --seed: stop after so many turns of the daemon")
    parser.add_argument("--trace", action="store_true", help="with --seed: print all that happened")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--go-on", action="store_true", help="do not stop at the first seed that fails")
    asked = parser.parse_args(words)
    if asked.duration_s is not None:
        asked.seeds = count(time.time_ns() // 1_000_000 % 1_000_000_000 * 1000)
    elif asked.seeds is None:
        asked.seeds = range(100)
    return asked


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


if __name__ == "__main__":
    sys.exit(main())

"""The daemon's counters and what it has in memory, as text that Prometheus reads.

Each sample bears the home, so that the files of many homes may lie in one directory. Runs and their
modules appear while the run is open, so that there are never more lines than there is going on.
"""

from __future__ import annotations

import resource
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import generate_latest

from scalebox_hpc.daemon.attempt_row import OUTCOMES
from scalebox_hpc.daemon.handlers.run_status import elements_of
from scalebox_hpc.daemon.state import ENDED, RunState

if TYPE_CHECKING:
    from scalebox_hpc.daemon.core import Core

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
Rows = Iterable[tuple[Sequence[str], float]]


class _Page:
    """What is collected once."""

    def __init__(self, core: Core, ledger_bytes: int | None) -> None:
        self._core, self._ledger_bytes, self._home = core, ledger_bytes, core.desk.home_id

    def collect(self) -> Iterator[Metric]:
        yield from self._daemon()
        yield from self._work()
        yield from self._done()
        yield from self._times()

    def _gauge(self, name: str, text: str, labels: Sequence[str], rows: Rows) -> Metric:
        family = GaugeMetricFamily(name, text, labels=("home", *labels))
        for values, value in rows:
            family.add_metric([self._home, *values], value)
        return family

    def _counter(self, name: str, text: str, labels: Sequence[str], rows: Rows) -> Metric:
        family = CounterMetricFamily(name, text, labels=("home", *labels))
        for values, value in rows:
            family.add_metric([self._home, *values], value)
        return family

    def _daemon(self) -> Iterator[Metric]:
        settings = self._core.settings
        facts, usage = settings.facts, resource.getrusage(resource.RUSAGE_SELF)
        about = (str(facts.get("version", "")), str(facts.get("host", "")))
        started_s = facts["started_us"] / 1e6
        paused = float(self._ledger_bytes is None)
        yield self._gauge("sbx_daemon_info", "The daemon.", ("version", "host"), [(about, 1.0)])
        yield self._gauge("sbx_paused", "1 while it waits for the server of its ledger.", (), [((), paused)])
        if self._ledger_bytes is not None:
            room = [((), float(self._ledger_bytes))]
            yield self._gauge("sbx_ledger_bytes", "The ledger on its disk.", (), room)
        waiting = [((), float(settings.waiting()))]
        yield self._gauge(
            "sbx_requests_waiting", "Requests and word of hands not yet looked at.", (), waiting
        )
        yield self._gauge("process_start_time_seconds", "Since 1970.", (), [((), started_s)])
        rss = [((), settings.rss_mib() * (1 << 20))]
        yield self._gauge("process_resident_memory_bytes", "Memory.", (), rss)
        yield self._counter(
            "process_cpu_seconds", "CPU time, user and system.", (), [((), usage.ru_utime + usage.ru_stime)]
        )

    def _open(self) -> list[RunState]:
        return [run for run in self._core.desk.world.runs.values() if run.phase not in ENDED]

    def _work(self) -> Iterator[Metric]:
        world, runs = self._core.desk.world, self._open()
        phases = [run.phase for run in runs]
        by_state = [((phase,), float(phases.count(phase))) for phase in sorted(set(phases))]
        yield self._gauge("sbx_runs", "Runs that are not over.", ("state",), by_state)
        yield self._gauge("sbx_runs_removing", "Runs being removed.", (), [((), float(len(world.removals)))])
        tasks = [
            ((run.name, module.spec.name, state), float(count))
            for run in runs
            for module in run.modules.values()
            for state, count in module.counts.items()
        ]
        yield self._gauge("sbx_tasks", "Tasks of runs that are not over.", ("run", "module", "state"), tasks)
        sites = [agent.pool.spec.site for agent in world.agents.values()]
        by_site = [((site,), float(sites.count(site))) for site in sorted(set(sites))]
        yield self._gauge("sbx_agents", "Agents at work.", ("site",), by_site)
        elements, paused = [], []
        for pool in world.pools.values():
            if pool.run.phase not in ENDED or pool.allocations:
                about = (pool.run.name, pool.spec.name, pool.spec.site)
                pending, running, _ = elements_of(pool)
                elements += [((*about, "pending"), float(pending)), ((*about, "running"), float(running))]
                paused.append((about, float(pool.state == "paused")))
        labels = ("run", "pool", "site")
        yield self._gauge("sbx_elements", "Elements of job arrays.", (*labels, "state"), elements)
        yield self._gauge("sbx_pool_paused", "1 where a pool waits for a person.", labels, paused)

    def _done(self) -> Iterator[Metric]:
        meters = self._core.meters
        attempts = [
            ((OUTCOMES.get(cause, "FAILED"), cause), float(count))
            for cause, count in sorted(meters.attempts.items())
        ]
        yield self._counter("sbx_attempts", "Attempts recorded.", ("outcome", "cause"), attempts)
        for name, text, label, counted in (
            ("sbx_run_states", "Runs that came into a state.", "state", meters.runs),
            ("sbx_requests", "Requests handled.", "verb", meters.requests),
            ("sbx_pauses", "Turns that could not be written.", "reason", meters.pauses),
        ):
            rows = [((key,), float(count)) for key, count in sorted(counted.items())]
            yield self._counter(name, text, (label,), rows)

    def _times(self) -> Iterator[Metric]:
        meters = self._core.meters
        for name, text, timing in (
            ("sbx_turn_seconds", "Turns of the daemon, with their commits.", meters.turns),
            ("sbx_commit_seconds", "Commits.", meters.commits),
        ):
            family = HistogramMetricFamily(name, text, labels=("home",))
            family.add_metric([self._home], timing.buckets(), timing.sum_s)
            yield family
        labels, acts = ("home", "site", "call"), meters.acts.rows()
        calls = SummaryMetricFamily("sbx_batch_seconds", "Calls of batch systems.", labels=labels)
        failures = CounterMetricFamily("sbx_batch_failures", "Those that failed.", labels=labels)
        for site, kind, done, failed, took_s in acts:
            calls.add_metric([self._home, site, kind], done, took_s)
            failures.add_metric([self._home, site, kind], failed)
        yield calls
        yield failures


def render(core: Core, *, paused: bool = False) -> str:
    """All metrics as text. `paused`: the ledger cannot be asked now, not even for its size."""
    page = _Page(core, None if paused else core.settings.ledger_bytes())
    return generate_latest(page).decode()

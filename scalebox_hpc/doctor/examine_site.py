"""A site's checks in their order: each is asked only when those before it are good."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from scalebox_hpc.batch.runner import RemoteRunner
from scalebox_hpc.batch.slurm_cli import SlurmCli
from scalebox_hpc.daemon.home import NO_HOME_YET
from scalebox_hpc.doctor import ask, ask_site, ask_slurm, judge, judge_site, judge_slurm
from scalebox_hpc.doctor.facts import Asked, Clock, LoginNode, Slurm
from scalebox_hpc.doctor.finding import Finding
from scalebox_hpc.domain.site import Site
from scalebox_hpc.errors import SiteUnreachable
from scalebox_hpc.sites.base import Transport

Ask = Callable[[], list[Finding]]


def examine_site(
    site: Site, transport: Transport, shared: str, wishes: Sequence[Asked], probe: Ask | None
) -> Iterator[Finding]:
    """All that is to be said of a site, as it is found out.

    `shared` is its shared folder, `wishes` what is asked of its machines, `probe` sends an element there;
    None for none.
    """
    visit = _Visit(site, transport, shared, wishes, probe)
    yield from judge_site.in_order(visit.asks())


class _Visit:
    """What was found out so far; each method asks for one check and judges it."""

    def __init__(
        self, site: Site, transport: Transport, shared: str, wishes: Sequence[Asked], probe: Ask | None
    ) -> None:
        self._site, self._transport, self._shared = site, transport, shared
        self._wishes, self._probe = wishes, probe
        self._slurm: SlurmCli
        self._refused: SiteUnreachable | None = None  # what came of logging in
        self._took_s = 0.0
        self._node: LoginNode
        self._more: dict[str, Any]
        self._controller_s: float | None = None

    def asks(self) -> judge_site.Asks:
        """The checks in their order."""
        asks: dict[str, Ask] = {
            "host": self._host,
            "host key": lambda: [judge_site.host_key(self._site.ssh, self._refused)],
            "log in": lambda: [judge_site.log_in(self._site.ssh, self._refused, self._took_s)],
            "login python": self._python,
            "shared": self._folder,
            "slurm": self._commands,
            "machine": self._machines,
            "containers": self._containers,
            "scratch": self._scratch,
            "transfers": lambda: [judge_site.transfers(ask_site.movers(self._site))],
            "clock": self._clock,
        }
        return asks if self._probe is None else asks | {"probe": self._probe}

    def _host(self) -> list[Finding]:
        ssh = self._site.ssh
        door = None if ssh is None else ask_site.door(ssh)
        if door is None or not door.problem:
            self._refused, self._took_s = ask_site.log_in(self._transport)
        return [judge_site.host(door, self._refused)]

    def _python(self) -> list[Finding]:
        return [judge_site.python(ask_site.python(self._transport, self._site))]

    def _folder(self) -> list[Finding]:
        mark = f".sbx-check-{secrets.token_hex(8)}"
        self._node = ask_site.look(self._transport, self._site, self._shared, mark)
        remote = None if self._site.ssh is None else self._runner()
        self._slurm = SlurmCli(NO_HOME_YET, runner=remote)
        self._more = ask_site.look_again(self._transport, self._site, self._shared, mark)
        return [judge_site.shared(self._node.shared, self._more["seen"], self._site)]

    def _runner(self) -> RemoteRunner:
        return RemoteRunner(self._site.name, self._transport, self._node.uid)

    def _commands(self) -> list[Finding]:
        if self._site.batch == "local":
            return [judge.slurm(None)]
        missing = tuple(self._more["missing"])
        if "scontrol" in missing:
            return [judge.slurm(Slurm(missing), self._there)]
        facts = self._slurm.facts()
        return [judge.slurm(Slurm(missing, facts.version, facts.accounting), self._there)]

    def _machines(self) -> list[Finding]:
        """What Slurm allows, and whether it would take each machine of the site."""
        if self._site.batch == "local":
            return []
        allowed, self._controller_s = ask_slurm.allowed(self._slurm, self._node.user)
        return [
            judge_slurm.limits(allowed, self._site),
            judge_slurm.endings(allowed, self._site),
            *(judge_slurm.machine(self._refusal(asked), allowed) for asked in self._wishes),
        ]

    def _refusal(self, asked: Asked) -> Asked:
        return replace(asked, refusal=ask_slurm.would_take(self._slurm, asked.machine, asked.walltime_s))

    def _containers(self) -> list[Finding]:
        where = f"on {self._there}" if self._there else "here"
        wanted = self._site.containers.runtime
        return judge.containers(ask.containers_seen(wanted, self._more["containers"], where))

    def _scratch(self) -> list[Finding]:
        said = self._more["scratch"]
        place = None if said is None else ask.place_seen(said)
        return [judge_site.scratch(self._site.scratch or "$TMPDIR or /tmp", place)]

    def _clock(self) -> list[Finding]:
        kept = ask.clock_is_kept()
        login_s = self._node.ahead_s if self._site.ssh is not None else None
        return [judge.clock(Clock(kept, None, self._controller_s, login_s))]

    @property
    def _there(self) -> str:
        """The login node, where that is another machine."""
        return self._node.host if self._site.ssh is not None else ""

"""The daemon's side of a conversation with one agent: what was offered, what it holds.

Syncs are numbered by the agent, answers bear the number of the sync they answer. A lease is
offered in each answer until a sync that took one of these answers lists it (then it is held) or
leaves it out (then it is given back). These numbers live in memory only: after a restart of the
daemon, what the ledger says is leased counts as not yet offered.

This file keeps the books of one conversation. It does no I/O and knows nothing of tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from scalebox_hpc.domain.progress import Progress


@dataclass(slots=True)
class Offer:
    """One lease in the hands, or on the way to the hands, of one agent."""

    lease: str  # its text, as on the wire
    cpus: int = 0
    memory_mib: int = 0
    gpus: int = 0
    scratch_mib: int = 0
    module_id: int = 0
    first_answer: int | None = None  # number of the first answer that bore it; None: none yet
    confirmed: bool = False  # listed by a sync since
    started: bool = False
    progress: Progress | None = None  # by its own word, the newest


@dataclass(frozen=True, slots=True)
class Heard:
    """What a sync changed."""

    stale: bool = False  # not above the last one seen: drop it
    given_back: tuple[Offer, ...] = ()
    started: tuple[Offer, ...] = ()  # newly
    confirmed: tuple[Offer, ...] = ()  # newly
    strange: tuple[tuple[str, bool], ...] = ()  # (lease, started) that we do not know it to hold


@dataclass(slots=True)
class Session:
    """The books of one conversation."""

    last_sync: int = 0  # 0: none since this daemon started
    offers: dict[str, Offer] = field(default_factory=dict)
    held: Counter[int] = field(default_factory=Counter)  # leases, by module
    unstarted: Counter[int] = field(default_factory=Counter)  # those not started

    def hear(
        self,
        number: int,
        took: int,
        held: Mapping[str, bool],
        reported: Collection[str],
        *,
        takes_more: bool = True,
    ) -> Heard:
        """Take a sync. `took` is the newest answer that the agent has taken, `held` says what has started.

        An agent that leaves takes no more: what it does not list it will never hold.
        """
        if number <= self.last_sync:
            return Heard(stale=True)
        self.last_sync = number
        results = frozenset(reported)
        started, confirmed, omitted = [], [], []
        for lease, offer in self.offers.items():
            has_started = held.get(lease)
            if has_started is None:
                if lease not in results and (not takes_more or self._was_taken(offer, took)):
                    omitted.append(offer)
                continue
            if not offer.confirmed:
                offer.confirmed = True
                confirmed.append(offer)
            if has_started and not offer.started:
                offer.started = True
                self.unstarted[offer.module_id] -= 1
                started.append(offer)
        strange = [(lease, has_started) for lease, has_started in held.items() if lease not in self.offers]
        for offer in omitted:
            self.drop(offer.lease)
        return Heard(
            given_back=tuple(omitted),
            started=tuple(started),
            confirmed=tuple(confirmed),
            strange=tuple(strange),
        )

    def _was_taken(self, offer: Offer, took: int) -> bool:
        return offer.confirmed or (offer.first_answer is not None and took >= offer.first_answer)

    def progressed(self, told: Mapping[str, Progress]) -> None:
        """Keep how far leases are, of those that are in the agent's hands."""
        for lease, progress in told.items():
            if offer := self.offers.get(lease):
                offer.progress = progress

    def add(self, offer: Offer) -> None:
        """Put a new lease into the agent's hands; the next answer will bear it."""
        self.offers[offer.lease] = offer
        self.held[offer.module_id] += 1
        self.unstarted[offer.module_id] += not offer.started

    def drop(self, lease: str) -> Offer | None:
        """Forget a lease: reported, lapsed or cancelled."""
        offer = self.offers.pop(lease, None)
        if offer is not None:
            self.held[offer.module_id] -= 1
            self.unstarted[offer.module_id] -= not offer.started
        return offer

    def clear(self) -> None:
        """Forget all leases: the agent is over."""
        self.offers.clear()
        self.held.clear()
        self.unstarted.clear()

    def to_offer(self) -> list[Offer]:
        """What an answer to the newest sync has to bear."""
        return [offer for offer in self.offers.values() if not offer.confirmed]

    def answered(self, number: int) -> None:
        """Note that the answer with this number bore everything in `to_offer`."""
        for offer in self.offers.values():
            if not offer.confirmed and offer.first_answer is None:
                offer.first_answer = number

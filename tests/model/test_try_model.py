"""However listings, answers and hellos arrive, a try moves by its table, and what was given up stays so."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scalebox_hpc.engine.elements import OPEN, TryEvent, TryState, advance, should_supersede

S, E = TryState, TryEvent
ANSWERS = st.sampled_from([E.ACCEPTED, E.REFUSED, E.PUT_OFF])
SIGHTS = st.sampled_from([E.SEEN_PENDING, E.SEEN_ACTIVE, E.SEEN_ENDED, E.HELLO])


class TryUnderFire(RuleBasedStateMachine):
    """One try; the batch system answers late or never, lists it or not."""

    def __init__(self) -> None:
        super().__init__()
        self.state = S.PLANNED
        self.path = [S.PLANNED]
        self.heard = self.asked = self.given_up = False
        self.unlisted_s = 0.0

    def move(self, event: TryEvent) -> None:
        self.state = advance(self.state, event)
        self.path.append(self.state)

    @rule()
    @precondition(lambda self: self.state is S.PLANNED)
    def it_is_asked_for(self) -> None:
        self.move(E.ASKED)
        self.asked = True

    @rule(answer=ANSWERS)
    @precondition(lambda self: self.state is S.SUBMITTING)
    def it_is_answered(self, answer: TryEvent) -> None:
        self.move(answer)

    @rule(sight=SIGHTS)
    @precondition(lambda self: self.asked and self.state is not S.PLANNED)
    def it_is_seen(self, sight: TryEvent) -> None:
        """Every sight is news that some state must be able to take: none may be refused."""
        self.move(sight)
        self.unlisted_s = 0.0
        self.heard = self.heard or sight is E.HELLO

    @rule(seconds=st.floats(1, 700))
    def listings_lack_it(self, seconds: float) -> None:
        self.unlisted_s += seconds
        over = should_supersede(
            heard=self.heard, has_job_id=False, unlisted_s=self.unlisted_s, interval_s=30.0
        )
        if self.state in (S.SUBMITTING, S.QUEUED) and over:
            self.move(E.SUPERSEDED)
            self.given_up = True

    @rule()
    @precondition(lambda self: self.state in OPEN)
    def all_its_elements_end(self) -> None:
        self.move(E.ALL_ENDED)

    @invariant()
    def what_was_given_up_never_works_again(self) -> None:
        assert not self.given_up or self.state is S.SUPERSEDED

    @invariant()
    def nothing_heard_from_is_given_up(self) -> None:
        if self.heard and self.state is S.SUPERSEDED:
            assert self.given_up or S.REFUSED in self.path

    @invariant()
    def a_refusal_is_never_taken_back(self) -> None:
        if S.REFUSED in self.path:
            assert self.state in (S.REFUSED, S.SUPERSEDED)


TestTryUnderFire = TryUnderFire.TestCase
TestTryUnderFire.settings = settings(max_examples=200, stateful_step_count=25, deadline=None)

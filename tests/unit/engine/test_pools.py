"""How many elements a pool gets, and when."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalebox_hpc.domain.pipeline import Ranks, Resources
from scalebox_hpc.domain.site import Limits, Machine
from scalebox_hpc.engine.pools import (
    AllocationFacts,
    CancelElements,
    Decision,
    LocalMachine,
    LostDisk,
    ModuleWork,
    PausePool,
    PoolFacts,
    Shape,
    SiteFacts,
    Submit,
    decide,
    element_shape,
    learnt_limit,
    wanted_elements,
)

ONE = Resources(cpus=1, memory_mib=1000)
BIG = Machine("big", cpus=16, memory_mib=64_000)


def work(
    count: int, median_s: float | None = None, longest_s: float = 0.0, resources: Resources = ONE
) -> ModuleWork:
    return ModuleWork("count", resources, count, median_s, longest_s)


def pool(
    *modules: ModuleWork, machine: Machine | None = None, slots: int = 100, name: str = "p"
) -> PoolFacts:
    return PoolFacts(name, slots, 7200.0, machine, modules)


def allocation(name: str = "a", pending: int = 0, active: int = 0, started: bool = True) -> AllocationFacts:
    indices = range(pending + active)
    return AllocationFacts(name, tuple(indices[active:]), tuple(indices[:active]), started, 1, 1000)


def only(decisions: list[Decision]) -> Decision:
    assert len(decisions) == 1, decisions
    return decisions[0]


def elements(facts: PoolFacts, site: SiteFacts | None = None, now: float = 0.0) -> int:
    """The elements that would be asked for; 0 when nothing would."""
    decisions = decide([facts], site or SiteFacts(), now)
    return sum(each.elements for each in decisions if isinstance(each, Submit))


# the shape of an element


def test_without_a_machine_an_element_is_what_one_task_of_any_module_needs() -> None:
    facts = pool(work(5), work(5, resources=Resources(cpus=4, memory_mib=500)))
    assert element_shape(facts) == Shape(4, 1000, 0, 1)


def test_a_machine_is_asked_for_as_it_stands() -> None:
    assert element_shape(pool(work(5), machine=BIG)) == Shape(16, 64_000, 0, 16)


def test_memory_binds_the_slots_of_an_element() -> None:
    facts = pool(work(5, resources=Resources(cpus=1, memory_mib=20_000)), machine=BIG)
    assert element_shape(facts).slots == 3


def test_memory_that_a_machine_leaves_open_is_what_its_slots_need() -> None:
    assert element_shape(pool(work(5), machine=Machine("m", cpus=8))) == Shape(8, 8000, 0, 8)


def test_gpus_bind_the_slots_of_an_element() -> None:
    facts = pool(work(5, resources=Resources(gpus=1)), machine=replace(BIG, gpus=4))
    assert element_shape(facts) == Shape(16, 64_000, 4, 4)


def test_a_pool_of_few_slots_counts_no_more_of_them_in_an_element() -> None:
    assert element_shape(pool(work(5), machine=BIG, slots=3)).slots == 3


RANKED = Resources(cpus=8, memory_mib=1000, nodes=2, ntasks=4)  # four ranks of two cpus


def ranked(count: int = 5, machine: Machine | None = BIG, **more: float | int) -> PoolFacts:
    return replace(pool(work(count, resources=replace(RANKED, **more)), machine=machine), ranks=Ranks(2, 4))


@pytest.mark.parametrize("machine", [None, BIG, Machine("m", cpus=4), Machine("m", cpus=8, gpus=2)])
def test_a_task_with_ranks_has_an_element_of_what_it_takes_to_itself(machine: Machine | None) -> None:
    assert element_shape(ranked(machine=machine)) == Shape(8, 1000, 0, 1)


@pytest.mark.parametrize("machine", [Machine("m", cpus=3), Machine("m", memory_mib=999)])
def test_ranks_that_fit_on_no_node_pause_the_pool(machine: Machine) -> None:
    assert isinstance(only(decide([ranked(machine=machine)], SiteFacts(), 0.0)), PausePool)


def test_more_memory_after_a_retry_is_asked_for_on_each_node() -> None:
    assert element_shape(ranked(memory_mib=4000)).memory_mib == 4000


def test_one_machine_has_no_two_nodes() -> None:
    here = SiteFacts(local=LocalMachine(64, 64_000))
    assert isinstance(only(decide([ranked(machine=None)], here, 0.0)), PausePool)


def test_ranks_on_one_node_take_what_they_need_of_this_machine() -> None:
    facts = replace(ranked(machine=None), ranks=Ranks(1, 4))
    asked = only(decide([facts], SiteFacts(local=LocalMachine(20, 64_000)), 0.0))
    assert asked == Submit("p", 1, 8, 1000, 0, 7200.0)


def test_elements_for_ranks_are_wanted_one_for_each_task_that_would_wait_long() -> None:
    facts = replace(ranked(), modules=(work(5, median_s=600.0, resources=RANKED),))
    assert wanted_elements(facts, element_shape(facts)) == 5


# how many are wanted


@pytest.mark.parametrize(
    ("count", "median_s", "slots", "wanted"),
    [
        (0, 10.0, 100, 0),
        (1, 0.5, 100, 1),
        (1000, 0.5, 1000, 1),  # 500 s of work
        (1000, 60.0, 1000, 100),  # 60 000 s of work
        (1000, 60.0, 40, 40),  # never more than the slots
        (10, 36_000.0, 100, 10),  # never more than the tasks
        (1000, None, 100, 4),  # nothing known: a handful
        (2, None, 100, 2),
    ],
)
def test_wanted_elements_of_one_slot_each(
    count: int, median_s: float | None, slots: int, wanted: int
) -> None:
    facts = pool(work(count, median_s), slots=slots)
    assert wanted_elements(facts, element_shape(facts)) == wanted


def test_slots_of_an_element_share_the_work() -> None:
    facts = pool(work(1600, 60.0), machine=BIG, slots=1000)
    assert wanted_elements(facts, element_shape(facts)) == 10


def test_the_longest_running_task_bounds_an_unknown_median_from_below() -> None:
    facts = pool(work(100, None, longest_s=120.0))
    assert wanted_elements(facts, element_shape(facts)) == 20


def test_a_run_that_is_not_served_wants_nothing() -> None:
    facts = replace(pool(work(100, 60.0)), serving=False)
    assert wanted_elements(facts, element_shape(facts)) == 0


# asking


def test_the_first_submission_is_small() -> None:
    assert elements(pool(work(1000, 60.0))) == 4


def test_the_first_submission_is_no_more_than_the_tasks() -> None:
    assert elements(pool(work(2))) == 2


def test_one_submission_names_what_an_element_needs() -> None:
    assert decide([pool(work(1), machine=BIG)], SiteFacts(), 0.0) == [Submit("p", 1, 16, 64_000, 0, 7200.0)]


def test_each_submission_may_be_twice_its_predecessor() -> None:
    facts = replace(pool(work(1000, 60.0)), allocations=(allocation(active=4),), asked_last=4)
    assert elements(facts) == 8
    assert elements(replace(facts, asked_last=40)) == 80
    assert elements(replace(facts, asked_last=60)) == 96  # what is missing


def test_an_unstarted_allocation_is_waited_for() -> None:
    waiting = allocation(pending=4, started=False)
    facts = replace(pool(work(1000, 60.0)), allocations=(waiting,), asked_last=4, open_at_last=1000)
    assert decide([facts], SiteFacts(), 0.0) == []


def test_a_backlog_that_grew_by_half_does_not_wait() -> None:
    waiting = allocation(pending=4, started=False)
    facts = replace(pool(work(1501, 60.0)), allocations=(waiting,), asked_last=4, open_at_last=1000)
    assert elements(facts) == 8


def test_a_half_started_array_is_not_waited_for() -> None:
    half = allocation(pending=3, active=1)
    facts = replace(pool(work(1000, 60.0)), allocations=(half,), asked_last=4, open_at_last=1000)
    assert elements(facts) == 8


def test_the_array_size_caps_one_submission() -> None:
    facts = replace(pool(work(1000, 60.0)), allocations=(allocation(active=50),), asked_last=50)
    assert elements(facts, SiteFacts(array_limit=10)) == 10
    assert elements(facts, SiteFacts(limits=Limits(array_size=7), array_limit=10)) == 7


def test_the_limit_of_elements_counts_pending_and_running_of_all_pools() -> None:
    site = SiteFacts(limits=Limits(elements=10), elements_elsewhere=2)
    one = replace(pool(work(1000, 60.0)), allocations=(allocation(pending=1, active=4),), asked_last=4)
    other = pool(work(1000, 60.0), name="q")
    decisions = decide([one, other], site, 0.0)
    assert [(each.pool, each.elements) for each in decisions if isinstance(each, Submit)] == [("q", 3)]


def test_a_minute_takes_so_many_submissions_and_no_more() -> None:
    site = SiteFacts(submissions_last_minute=8)
    decisions = decide([pool(work(5), name=f"p{n}") for n in range(5)], site, 0.0)
    assert len(decisions) == 2


def test_a_submission_that_failed_is_not_repeated_before_its_time() -> None:
    facts = replace(pool(work(5)), retry_at_s=100.0)
    assert elements(facts, now=99.0) == 0
    assert elements(facts, now=100.0) == 4


@pytest.mark.parametrize(
    ("known", "alive", "asked", "taken", "expected"),
    [
        (None, 0, 8, False, 4),
        (4, 3, 1, False, 3),
        (None, 0, 1, False, 1),
        (None, 8, 8, True, None),
        (4, 0, 4, True, 5),
        (9, 0, 4, True, 9),
    ],
)
def test_a_limit_that_nobody_told_is_learnt(
    known: int | None, alive: int, asked: int, taken: bool, expected: int | None
) -> None:
    assert learnt_limit(known, alive, asked, taken=taken) == expected


# giving back


def test_pending_elements_above_the_wanted_are_cancelled_newest_first() -> None:
    facts = replace(pool(work(10, 0.5)), allocations=(allocation("a", 2, 2), allocation("b", 3, 0)))
    assert decide([facts], SiteFacts(), 0.0) == [CancelElements("b", (0, 1, 2)), CancelElements("a", (2, 3))]


def test_running_elements_are_never_cancelled() -> None:
    facts = replace(pool(work(10, 0.5)), allocations=(allocation("a", 0, 5),))
    assert decide([facts], SiteFacts(), 0.0) == []


def test_the_first_handful_is_kept_until_a_median_is_known() -> None:
    facts = replace(pool(work(10)), allocations=(allocation("a", 4, 0, started=False),), asked_last=4)
    assert decide([facts], SiteFacts(), 0.0) == []


def test_cancelling_is_not_repeated_while_its_effect_is_awaited() -> None:
    facts = replace(pool(work(0)), allocations=(allocation("a", 4, 0),), cancelled_at_s=100.0)
    assert decide([facts], SiteFacts(), 129.0) == []
    assert decide([facts], SiteFacts(), 130.0) == [CancelElements("a", (0, 1, 2, 3))]


# pausing


def test_three_silent_elements_pause_the_pool() -> None:
    facts = replace(pool(work(10)), silent_endings=3)
    decision = only(decide([facts], SiteFacts(), 0.0))
    assert isinstance(decision, PausePool)
    assert "3 elements in a row ended before their agent said hello" in decision.reason


def test_two_silent_elements_do_not() -> None:
    assert elements(replace(pool(work(10)), silent_endings=2)) == 4


FULL = LostDisk("n17", "/scratch/work: No space left on device (ENOSPC)")


def test_three_agents_without_a_disk_pause_the_pool_and_say_what_to_do() -> None:
    facts = replace(pool(work(10)), disk_endings=3, lost_disk=FULL, allocations=(allocation("a", 1),))
    pause, cancel = decide([facts], SiteFacts(), 0.0)
    assert isinstance(pause, PausePool)
    assert pause.reason == (
        "3 agents in a row had no disk to work on; the last one, on n17: /scratch/work:"
        " No space left on device (ENOSPC); make room there, or set `paths.scratch` in the site file,"
        ' or keep off that node by sbatch = ["--exclude=n17"] in its machine'
    )
    assert cancel == CancelElements("a", (0,))


def test_this_machine_is_not_to_be_kept_off() -> None:
    facts = replace(pool(work(10)), disk_endings=3, lost_disk=FULL)
    decision = only(decide([facts], SiteFacts(local=LocalMachine(4, 8000)), 0.0))
    assert isinstance(decision, PausePool)
    assert "sbatch" not in decision.reason


def test_two_agents_without_a_disk_only_put_off_the_next_submission() -> None:
    facts = replace(pool(work(10)), disk_endings=2, lost_disk=FULL, retry_at_s=30.0)
    assert elements(facts, now=29.0) == 0
    assert elements(facts, now=30.0) == 4


def test_one_bad_node_does_not_pause_what_another_works_for() -> None:
    waiting = (allocation("good", active=1), allocation("a", pending=2))
    facts = replace(pool(work(10)), disk_endings=5, lost_disk=FULL, busy_elsewhere=True, retry_at_s=30.0)
    assert decide([replace(facts, allocations=waiting)], SiteFacts(), 29.0) == [CancelElements("a", (0, 1))]
    assert elements(facts, now=30.0) == 4


def test_a_paused_pool_asks_for_nothing_and_gives_back_what_waits() -> None:
    facts = replace(pool(work(10)), paused=True, silent_endings=3, allocations=(allocation("a", 1, 1),))
    assert decide([facts], SiteFacts(), 0.0) == [CancelElements("a", (1,))]


def test_a_task_that_fits_no_element_pauses_its_pool_with_the_reason() -> None:
    facts = pool(work(1, resources=Resources(cpus=32)), machine=BIG)
    decision = only(decide([facts], SiteFacts(), 0.0))
    assert isinstance(decision, PausePool)
    assert "count needs 32 cpus" in decision.reason
    assert "has 16 cpus" in decision.reason


# this machine

HERE = SiteFacts(local=LocalMachine(cpus=8, memory_mib=16_000))


def test_a_local_element_takes_the_whole_machine_when_the_slots_can_use_it() -> None:
    assert decide([pool(work(1))], HERE, 0.0) == [Submit("p", 1, 8, 8000, 0, 7200.0)]


def test_a_local_element_takes_no_more_than_the_slots_can_use() -> None:
    assert decide([pool(work(9), slots=3)], HERE, 0.0) == [Submit("p", 1, 3, 3000, 0, 7200.0)]


def test_two_local_pools_share_the_machine() -> None:
    decisions = decide([pool(work(9), slots=6, name="p"), pool(work(9), slots=6, name="q")], HERE, 0.0)
    assert decisions == [Submit("p", 1, 6, 6000, 0, 7200.0), Submit("q", 1, 2, 2000, 0, 7200.0)]


def test_a_full_machine_is_waited_for() -> None:
    held = AllocationFacts("a", (), (0,), True, 8, 8000)
    first = replace(pool(work(9), name="p"), allocations=(held,))
    assert decide([first, pool(work(9), name="q")], HERE, 0.0) == []


def test_a_pool_takes_later_what_another_gave_back() -> None:
    held = AllocationFacts("a", (), (0,), True, 2, 2000)
    facts = replace(pool(work(9), slots=6), allocations=(held,))
    assert decide([facts], HERE, 0.0) == [Submit("p", 1, 4, 4000, 0, 7200.0)]


def test_a_local_pool_that_has_what_its_tasks_can_use_asks_for_no_more() -> None:
    held = AllocationFacts("a", (), (0,), True, 2, 2000)
    assert decide([replace(pool(work(2)), allocations=(held,))], HERE, 0.0) == []


def test_a_task_too_big_for_this_machine_pauses_its_pool() -> None:
    decision = only(decide([pool(work(1, resources=Resources(memory_mib=32_000)))], HERE, 0.0))
    assert isinstance(decision, PausePool)
    assert "this machine has 8 cpus, 16000 MiB" in decision.reason


def test_a_machine_of_the_local_site_bounds_the_element() -> None:
    facts = pool(work(9), machine=Machine("half", cpus=4))
    assert decide([facts], HERE, 0.0) == [Submit("p", 1, 4, 4000, 0, 7200.0)]


# whatever the snapshot

ALLOCATIONS = st.lists(
    st.builds(
        allocation,
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 5),
        st.integers(0, 5),
        st.booleans(),
    ),
    max_size=3,
    unique_by=lambda each: each.name,
).map(tuple)
WORKS = st.builds(
    work,
    st.integers(0, 2000),
    st.none() | st.floats(0.01, 36_000),
    st.floats(0, 1000),
    st.builds(Resources, st.integers(1, 4), st.integers(1, 4000)),
)
POOLS = st.builds(
    lambda modules, allocations, machine, slots, asked: replace(
        pool(*modules, machine=machine, slots=slots), allocations=allocations, asked_last=asked
    ),
    st.lists(WORKS, min_size=1, max_size=3),
    ALLOCATIONS,
    st.sampled_from([None, BIG, Machine("m", cpus=4)]),
    st.integers(1, 500),
    st.integers(0, 100),
)


@given(st.lists(POOLS, max_size=4), st.integers(1, 50), st.integers(0, 12))
def test_limits_hold_whatever_the_snapshot(pools: list[PoolFacts], limit: int, submitted: int) -> None:
    site = SiteFacts(limits=Limits(elements=limit), submissions_last_minute=submitted, array_limit=20)
    submits = [each for each in decide(pools, site, 0.0) if isinstance(each, Submit)]
    alive = sum(each.alive for each in pools)
    assert not submits or alive + sum(each.elements for each in submits) <= limit
    assert not submits or len(submits) + submitted <= 10
    assert all(0 < each.elements <= 20 for each in submits)


@given(st.lists(POOLS, max_size=4), st.integers(1, 64), st.integers(1, 64_000))
def test_this_machine_is_never_exceeded(pools: list[PoolFacts], cpus: int, memory_mib: int) -> None:
    used = [each for facts in pools for each in facts.allocations]
    site = SiteFacts(local=LocalMachine(cpus, memory_mib))
    submits = [each for each in decide(pools, site, 0.0) if isinstance(each, Submit)]
    if submits:
        held = sum(each.alive * each.cpus for each in used)
        assert held + sum(each.elements * each.cpus for each in submits) <= cpus
        held = sum(each.alive * each.memory_mib for each in used)
        assert held + sum(each.elements * each.memory_mib for each in submits) <= memory_mib
        assert all(each.cpus > 0 and each.memory_mib > 0 for each in submits)


@given(POOLS)
def test_only_pending_elements_are_given_back_and_never_below_the_wanted(facts: PoolFacts) -> None:
    given_back = [each for each in decide([facts], SiteFacts(), 0.0) if isinstance(each, CancelElements)]
    pending = {each.name: set(each.pending) for each in facts.allocations}
    assert all(set(each.indices) <= pending[each.allocation] for each in given_back)
    if given_back:
        left = facts.alive - sum(len(each.indices) for each in given_back)
        assert left >= wanted_elements(facts, element_shape(facts))

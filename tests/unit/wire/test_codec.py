"""What is written is read back equal; what is not of our protocol is refused by field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalebox_hpc.domain.progress import Progress
from scalebox_hpc.errors import BadMessage
from scalebox_hpc.wire import codec, encode
from scalebox_hpc.wire.messages import (
    BODY_LIMIT,
    Answer,
    Chunk,
    Do,
    Ended,
    Gathered,
    Hello,
    Lease,
    Leaving,
    Log,
    Message,
    Offer,
    Outcome,
    Resources,
    Result,
    Sync,
    Times,
    Welcome,
    lease_id,
)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
line = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\0"), max_size=30)
count = st.integers(0, (1 << 63) - 1)
seconds = st.floats(0, 1e9)
incarnations = st.text("0123456789abcdef", min_size=16, max_size=16)
leases = st.builds(
    Lease, st.integers(0, 10**17), st.integers(0, (1 << 32) - 1).map("{:08x}".format), st.integers(0, 10**9)
)
header_sets = st.dictionaries(st.text("abc_.-XYZ019", min_size=1, max_size=9), text, max_size=4)
messages = st.builds(Message, st.sampled_from(["count", "total"]), line, header_sets)
times = st.builds(Times, *[count] * 8)
texts = st.dictionaries(text, text, max_size=3)
amounts = st.builds(Resources, count, count, count, count)
logs = st.none() | st.builds(Log, text, count, count, text, count, count)


@st.composite
def results(draw: st.DrawFn) -> Result:
    failed = draw(st.booleans())
    small = st.none() | st.integers(-255, 255)
    head = [draw(leases), Outcome.FAILED if failed else Outcome.OK]
    head += [draw(st.sampled_from(sorted(codec.CAUSES))) if failed else None, draw(small), draw(small)]
    middle = [text, count, seconds, seconds, seconds, count, count, text, texts, times, text, text]
    tail = [st.booleans(), st.booleans(), logs, text, st.lists(messages, max_size=3).map(tuple), count]
    return Result(*head, *[draw(one) for one in middle + tail])


quantities = st.integers(0, 10**18) | st.floats(0, 1e18)
units = st.sampled_from(["", "files", "µm"])
progresses = st.builds(Progress, quantities, quantities, quantities, units)
syncs = st.builds(
    Sync,
    incarnation=incarnations,
    number=st.integers(1, 10**9),
    took=count,
    clock_us=count,
    wait=st.booleans(),
    held=st.dictionaries(leases.map(Lease.text), st.booleans(), max_size=3),
    results=st.lists(results(), max_size=3).map(tuple),
    free=amounts,
    prefetch=st.dictionaries(st.integers(0, 10**9), count, max_size=3),
    walltime_left_s=st.none() | seconds,
    leaving=st.none() | st.sampled_from(Leaving),
    reason=text,
    progress=st.dictionaries(leases.map(Lease.text), progresses, max_size=3),
)


def over_the_wire(fields: dict[str, Any]) -> Any:
    return json.loads(json.dumps(fields))


@given(syncs)
def test_a_sync_is_read_as_it_was_written(sync: Sync) -> None:
    assert codec.sync(over_the_wire(encode.sync(sync))) == sync


@given(
    st.builds(
        Hello,
        *[text, text.filter(bool), count, incarnations, count, text, count, amounts, st.none() | seconds],
        *[texts, text, text, count, st.none() | text],
    )
)
def test_a_hello_is_read_as_it_was_written(hello: Hello) -> None:
    assert codec.hello(over_the_wire(encode.hello(hello))) == hello


@given(st.builds(Chunk, incarnations, leases, count, st.lists(messages, max_size=4).map(tuple)))
def test_a_chunk_is_read_as_it_was_written(chunk: Chunk) -> None:
    fields = over_the_wire(encode.chunk(chunk))
    assert codec.chunk(fields) == chunk
    line = codec.spool_line({"incarnation": chunk.incarnation, "chunk": fields})
    assert line.content == chunk


@given(results(), incarnations)
def test_a_spooled_result_is_read_as_it_was_written(result: Result, incarnation: str) -> None:
    line = codec.spool_line(over_the_wire({"incarnation": incarnation, "result": encode.result(result)}))
    assert (line.incarnation, line.content) == (incarnation, result)


@given(st.builds(Ended, text.filter(bool), count, incarnations, count, st.integers(0, 255)))
def test_an_ending_is_read_as_it_was_written(ended: Ended) -> None:
    assert codec.ended(over_the_wire(encode.ended(ended))) == ended


@given(leases)
def test_a_lease_is_read_as_it_was_written(lease: Lease) -> None:
    assert lease_id(lease.text()) == lease


def test_missing_keys_mean_defaults_and_unknown_ones_are_passed_over() -> None:
    result = codec.result({"lease": "7.0000000a.1", "outcome": "ok", "colour": "blue"})
    assert result.lease == Lease(7, "0000000a", 1)
    assert (result.messages, result.times, result.log, result.exit_code) == ((), Times(), None, None)
    sync = codec.sync({"incarnation": "0" * 16, "sync": 1, "from": "the future"})
    assert (sync.held, sync.results, sync.free, sync.leaving) == ({}, (), Resources(), None)
    assert sync.progress == {}


def test_a_page_of_members_is_bounded() -> None:
    fields = {"incarnation": "0" * 16, "lease": "1.00000000.1", "limit": 10**9}
    page = codec.members_page(fields)
    assert (page.after, page.missing, page.limit) == (0, False, 10_000)
    assert codec.members_page(fields | {"what": "missing", "after": 5}).missing
    assert codec.sheet_request({"incarnation": "0" * 16, "module": 3}).module == 3


RESULT = {"lease": "1.00000000.1", "outcome": "ok"}
FAILED = {"lease": "1.00000000.1", "outcome": "failed"}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (RESULT | {"lease": "1.0000000.1"}, "lease"),
        (RESULT | {"lease": "1.0000000g.1"}, "lease"),
        (RESULT | {"lease": "٣.00000000.1"}, "lease"),
        (RESULT | {"lease": "-1.00000000.1"}, "lease"),
        (RESULT | {"lease": ["1.00000000.1"]}, "lease"),
        (RESULT | {"outcome": "great"}, "outcome"),
        (RESULT | {"outcome": []}, "outcome"),
        (RESULT | {"cause": "exit"}, "cause"),
        (FAILED, "cause"),
        (FAILED | {"cause": "bad luck"}, "cause"),
        (FAILED | {"cause": {}}, "cause"),
        (RESULT | {"exit_code": True}, "exit_code"),
        (RESULT | {"exit_code": 1 << 40}, "exit_code"),
        (RESULT | {"slot": -1}, "slot"),
        (RESULT | {"in": 1 << 63}, "in"),
        (RESULT | {"out": 1.5}, "out"),
        (RESULT | {"cpu_user_s": float("nan")}, "cpu_user_s"),
        (RESULT | {"max_rss_mib": float("inf")}, "max_rss_mib"),
        (RESULT | {"stdout": "x" * ((1 << 20) + 1)}, "stdout"),
        (RESULT | {"stderr": "half a pair: \ud800"}, "stderr"),
        (RESULT | {"cut": [1, 0]}, "cut"),
        (RESULT | {"log": ["a", 0, 1]}, "log"),
        (RESULT | {"log": ["a", 0, -1, "b", 0, 0]}, "log"),
        (RESULT | {"log": ["a", 0, True, "b", 0, 0]}, "log"),
        (RESULT | {"times": {"started": "now"}}, "times"),
        (RESULT | {"times": []}, "times"),
        (RESULT | {"user_times": {"a": 1}}, "user_times.a"),
        (RESULT | {"user_times": {str(n): "" for n in range(1001)}}, "user_times"),
        (RESULT | {"messages": {}} | {"messages": "x"}, "messages"),
        (RESULT | {"messages": [["a", "b"]]}, "messages[0].message"),
        (RESULT | {"messages": [["a", "b", None], ["a", "b\nc", None]]}, "messages[1].body"),
        (RESULT | {"messages": [["a", "b\0", None]]}, "messages[0].body"),
        (RESULT | {"messages": [["a", "x" * (BODY_LIMIT + 1), None]]}, "messages[0].body"),
        (RESULT | {"messages": [["a", "é" * (BODY_LIMIT // 2 + 1), None]]}, "messages[0].body"),
        (RESULT | {"messages": [["a", "b", {"no spaces": ""}]]}, "messages[0].headers"),
        (RESULT | {"messages": [["a", "b", {"n": 1}]]}, "messages[0].headers.n"),
        (RESULT | {"messages": [["a", "b", {"n": "x" * (16 << 10)}]]}, "messages[0].headers"),
        (RESULT | {"messages": [["a", "b", {"sbx_key": "x" * 4097}]]}, "messages[0].headers.sbx_key"),
        (RESULT | {"messages": [[1, "b", None]]}, "messages[0].to"),
    ],
)
def test_a_bad_result_is_refused_by_the_name_of_its_field(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(BadMessage) as refused:
        codec.result(fields)
    assert refused.value.fact.partition(":")[0] == named
    with pytest.raises(BadMessage) as refused:
        codec.sync({"incarnation": "0" * 16, "sync": 1, "results": [RESULT, fields]})
    assert refused.value.fact.startswith(f"results[1].{named}:")


SYNC = {"incarnation": "0" * 16, "sync": 1}


def far(*said: Any) -> dict[str, Any]:
    return SYNC | {"progress": {"1.00000000.1": list(said)}}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"sync": 1}, "incarnation"),
        (SYNC | {"incarnation": "../../etc/passwd"}, "incarnation"),
        (SYNC | {"sync": 0}, "sync"),
        (SYNC | {"wait": 1}, "wait"),
        (SYNC | {"held": [["1.00000000.1"]]}, "held"),
        (SYNC | {"held": {}}, "held"),
        (SYNC | {"leaving": "angry"}, "leaving"),
        (SYNC | {"leaving": []}, "leaving"),
        (SYNC | {"free": {"cpus": -1}}, "free.cpus"),
        (SYNC | {"free": []}, "free.resources"),
        (SYNC | {"prefetch": {"x": 1}}, "prefetch.x"),
        (SYNC | {"prefetch": {"1": -1}}, "prefetch.1"),
        (SYNC | {"walltime_left_s": "long"}, "walltime_left_s"),
        (SYNC | {"progress": []}, "progress"),
        (SYNC | {"progress": {"../x": [1, 2, 3, ""]}}, "progress"),
        (far(1, 2, 3), "progress.1.00000000.1"),
        (far(-1, 2, 3, ""), "progress.1.00000000.1"),
        (far(1, 1 << 63, 3, ""), "progress.1.00000000.1"),
        (far(1, 2, float("nan"), ""), "progress.1.00000000.1"),
        (far(True, 2, 3, ""), "progress.1.00000000.1"),
        (far(1, 2, 3, None), "progress.1.00000000.1"),
        (far(1, 2, 3, "x" * 17), "progress.1.00000000.1"),
        (far(1, 2, 3, "\ud800"), "progress.1.00000000.1"),
    ],
)
def test_a_bad_sync_is_refused_by_the_name_of_its_field(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(BadMessage) as refused:
        codec.sync(fields)
    assert refused.value.fact.partition(":")[0] == named


def test_what_is_no_object_is_refused() -> None:
    for read in (codec.sync, codec.hello, codec.chunk, codec.ended, codec.members_page, codec.spool_line):
        with pytest.raises(BadMessage):
            read([])
    with pytest.raises(BadMessage, match="try"):
        codec.hello({"incarnation": "0" * 16})
    with pytest.raises(BadMessage, match="what"):
        codec.members_page({"what": "all"})


def test_answers_are_written_as_agreed() -> None:
    lease = Lease(17, "00c0ffee", 2)
    task = Resources(1, 500, 0, 0, 600.0)
    offer = Offer(lease, 3, "count.17", 1, "17", {"_a": "b"}, task, Gathered(5, 1, 2))
    fields = encode.answer(Answer(4, offers=(offer,), recorded=(lease,), do=Do.DRAIN, reason="idle"))
    assert fields["offers"] == [
        {
            "lease": "17.00c0ffee.2",
            "module": 3,
            "task": "count.17",
            "attempt": 1,
            "body": "17",
            "headers": {"_a": "b"},
            "resources": {"cpus": 1, "memory_mib": 500, "gpus": 0, "scratch_mib": 0, "time_s": 600.0},
            "gather": {"members": 5, "missing": 1, "generation": 2},
        }
    ]
    del fields["offers"]
    assert fields == {
        "sync": 4,
        "superseded": False,
        "recorded": ["17.00c0ffee.2"],
        "refused": [],
        "dead": [],
        "do": "drain",
        "reason": "idle",
    }
    welcome = encode.welcome(Welcome(Do.WORK, token="t", resources=Resources(2, 1000)))
    assert welcome["do"] == "work"
    assert welcome["resources"] == {"cpus": 2, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0}
    assert json.loads(json.dumps(welcome)) == welcome

"""What befalls agents and nodes while primes run: killed, cut off for a while and for long, switched off.

One element runs at a time and has a node for itself, so that what strikes its node stops all the work.
"""

# ruff: noqa: F811 (the fixture `lab` has the name of what takes it)
import os
import signal
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.cluster.box import Site, wait_until
from tests.cluster.recovery import Fault, Tell, judge, now, start, until_done
from tests.cluster.test_scenarios import SITE_FILE, lab  # noqa: F401 (a fixture)
from tests.scenarios.lab import Lab, Row

ONE_A_NODE = SITE_FILE.format(partition="main").replace('"2G"', '"40G"')
FEW = 24
HELD = "while [ -e $SBX_PIPELINE/hold.$SBX_HOST ]; do sleep 0.1; done; "
"""Goes before the program: tasks stay at work on a node as long as the test wants."""


@pytest.fixture
def struck(lab: Lab, site: Site) -> Iterator[Lab]:
    """A lab that gives agents up after 5 s of silence; the nodes are mended afterwards."""
    lab.file("site-configs/slurm-in-a-box.toml", f'lost_after = "5s"\n{ONE_A_NODE}')
    yield lab
    for node in site.nodes:
        site.node_start(node)
        site.link(node, up=True)
    wait_until(lambda: all(is_mended(site, node) for node in site.nodes), 60, "the nodes to be mended")


def is_mended(site: Site, node: str) -> bool:
    """Whether Slurm uses a node; one that was booted, or got a job twice, it may want to be told of."""
    found = state(site, node)
    if found in ("down", "drained"):
        site.run(site.login, f"scontrol update nodename={node} state=resume", root=True, check=False)
    return found in ("idle", "mixed")


def state(site: Site, node: str) -> str:
    """What Slurm says of a node; with a `*`, it does not answer."""
    return site.run(site.login, f"sinfo -h -p main -n {node} -o %T").stdout.strip()


def under_way(lab: Lab) -> str:
    """Wait until primes are counted; returns the node where."""
    until_done(lab, 10)
    [node] = {row["host"] for row in lab.rows()}
    return node


def lost_on(lab: Lab, node: str) -> list[Row]:
    """The attempts on a node that did not succeed."""
    return [row for row in lab.rows() if row["host"] == node and row["outcome"] != "SUCCEEDED"]


def test_kill_9_of_all_agents(struck: Lab, record_property: Tell) -> None:
    start(struck, tasks=FEW, slots=2, pause="0.5")
    under_way(struck)
    for pid in struck.agents():
        os.kill(pid, signal.SIGKILL)
    fault = Fault("kill -9 of all agents", now(), {"agent_lost"}, lost_by={"agent_lost"})
    judge(struck, fault, record_property)


def test_a_node_off_the_network_for_a_while(struck: Lab, site: Site, record_property: Tell) -> None:
    """Slurm misses the node already, the daemon is patient: the agent works on, and tells all of it later."""
    struck.file("site-configs/slurm-in-a-box.toml", ONE_A_NODE)
    start(struck, tasks=FEW, slots=2, pause="0.5")
    node = under_way(struck)
    site.link(node, up=False)
    wait_until(lambda: state(site, node).endswith("*"), 30, "Slurm to miss the node")
    site.link(node, up=True)
    back = now()
    fault = Fault("node off the network for a while", back, set(), loses=False)
    rows = judge(struck, fault, record_property)
    assert any(at(row["ended"]) < back < at(row["recorded"]) for row in rows), "nothing was told later"
    assert {row["host"] for row in rows} == {node}


def test_a_node_off_the_network_for_long(struck: Lab, site: Site, record_property: Tell) -> None:
    """Its agent ends what another has done meanwhile, and Slurm gives the node up: nothing counts twice."""
    start(struck, tasks=FEW, slots=2, pause="0.5", before=HELD)
    node = under_way(struck)
    struck.file(f"hold.{node}", "")
    site.link(node, up=False)
    cut = now()
    assert struck.wait_for_end()["state"] == "SUCCEEDED"
    (struck.directory / f"hold.{node}").unlink()
    wait_until(lambda: state(site, node) == "down*", 60, "Slurm to give up the node")
    assert any((struck.home / "shared" / "spool").iterdir()), "the agent kept no result"
    site.link(node, up=True)
    fault = Fault("node off the network for long", cut, {"agent_lost"}, lost_by={"agent_lost"})
    judge(struck, fault, record_property)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_node_killed_outright(struck: Lab, site: Site, record_property: Tell) -> None:
    start(struck, tasks=FEW, slots=2, pause="0.5")
    node = under_way(struck)
    site.node_stop(node)
    killed = now()
    struck.wait(lambda: lost_on(struck, node), 30, "the end of the daemon's patience")
    site.node_start(node)
    fault = Fault("node killed outright", killed, {"agent_lost", "node_lost"}, loses=True)
    judge(struck, fault, record_property)

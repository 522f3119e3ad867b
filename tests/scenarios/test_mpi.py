"""Tasks with ranks where there is no batch system: one node, this one."""

import platform

from tests.scenarios.lab import Lab

RANKS = """
sbx = 1
[pipeline]
name = "ranks"
[modules.work]
kind = "mpi"
run = '''
echo $SBX_NODES $SBX_NTASKS $SBX_CPUS "[$SBX_CONTAINER]"
cat "$SBX_HOSTFILE"
'''
seed = ["a"]
resources = { nodes = @, ntasks = 2, memory = "50M", time = "1m" }
"""


def test_on_one_machine_all_ranks_are_here(lab: Lab) -> None:
    lab.pipeline(RANKS.replace("@", "1"))
    lab.run()
    [row] = lab.rows()
    here = platform.node()
    assert row["stdout"] == f"1 2 1 []\n{here}\n{here}\n"


def test_one_machine_has_no_second_node(lab: Lab) -> None:
    lab.pipeline(RANKS.replace("@", "2"))
    done = lab.run(exit_code=2)
    assert "modules.work.resources.nodes" in done.text
    assert "--site NAME" in done.text

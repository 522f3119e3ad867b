"""What Slurm prints of its limits, as 24.11 prints it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scalebox_hpc.batch import slurm_site
from scalebox_hpc.batch.slurm_site import Allowance, NodeShape
from scalebox_hpc.domain.pipeline import Ranks
from scalebox_hpc.domain.site import Machine
from tests.unit.batch.wanted import REQUEST

PARTITIONS = """\
PartitionName=main AllowGroups=ALL Default=YES QoS=N/A MaxTime=UNLIMITED MaxCPUsPerNode=UNLIMITED \
Nodes=n[1-2] PreemptMode=REQUEUE State=UP TotalCPUs=32
PartitionName=gpu AllowGroups=ALL Default=NO MaxTime=2-00:00:00 MaxCPUsPerNode=12 PreemptMode=OFF State=DRAIN
"""
SHAPES = """\
main|2|16|65536|(null)
gpu|4|64+|515000+|gpu:a100:4(S:0-1),gpu:t4:2,lustre:1
gpu|odd line
"""


def test_partitions_with_their_nodes() -> None:
    main, gpu = slurm_site.partitions(PARTITIONS, SHAPES)
    assert (main.name, main.default, main.state, main.longest_s) == ("main", True, "UP", None)
    assert main.shapes == (NodeShape(2, 16, 65536, 0),)
    assert (gpu.default, gpu.state, gpu.longest_s, gpu.cpus_per_node) == (False, "DRAIN", 172800.0, 12)
    assert gpu.shapes == (NodeShape(4, 64, 515000, 6),)


def test_associations_and_qualities_of_service() -> None:
    found = list(slurm_site.associations("astro||normal|500|200|1-00:00:00\nother|gpu||||\nodd"))
    assert found == [
        Allowance("account astro", "astro", "", "normal", 200, 86400.0),
        Allowance("account other", "other", "gpu"),
    ]
    [normal] = slurm_site.qualities("normal||300||02:00:00\n")
    assert normal == Allowance("QOS normal", qos="normal", elements=300, longest_s=7200.0)


def test_the_clock_of_the_controller() -> None:
    assert slurm_site.controller_clock_s("Configuration data as of 2026-11-20T20:46:58\n") == 1795207618.0
    assert slurm_site.controller_clock_s("Configuration data as of now\n") is None


NODES = """\
main*|16|64000|(null)|idle|avx2|n1
main*|16|64000|(null)|drained|avx2,ib|n2
main*|16|64000|(null)|idle*|avx2,ib|n3
gpu|64|515000+|gpu:a100:4(S:0-1)|down*|avx2|g1
gpu|64|515000+|gpu:a100:4(S:0-1)|planned|avx2|g2
gpu|64|515000+|(null)|down|avx2|g3
login|odd line
"""


@pytest.mark.parametrize(
    ("machine", "asks", "found"),
    [
        ({}, {}, (3, 2)),
        ({}, {"cpus": 17}, (0, 0)),
        ({}, {"cpus": 32, "ranks": Ranks(2, 4)}, (3, 2)),
        ({}, {"memory_mib": 65_000}, (0, 0)),
        ({"constraint": "avx2&ib"}, {}, (2, 2)),
        ({"constraint": "[ib|opa]"}, {}, (3, 2)),
        ({"partition": "gpu"}, {"gpus": 4}, (2, 1)),
        ({"partition": "gpu,main"}, {}, (6, 4)),
    ],
)
def test_nodes_that_would_do_and_those_of_them_that_are_away(
    machine: dict[str, Any], asks: dict[str, Any], found: tuple[int, int]
) -> None:
    request = replace(REQUEST, **{"cpus": 2, "memory_mib": 1000, "gpus": 0, **asks})
    assert slurm_site.nodes_for(replace(request, machine=Machine("m", **machine)), NODES) == found

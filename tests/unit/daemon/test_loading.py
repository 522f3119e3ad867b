"""What the ledger keeps of a run as it was at its submission."""

from __future__ import annotations

import json

from scalebox_hpc.daemon.desk import SiteFacts
from scalebox_hpc.daemon.loading import Frozen, read_frozen, write_frozen
from scalebox_hpc.domain.allocation import Launch
from scalebox_hpc.domain.site import Site, Ssh, Transfers
from scalebox_hpc.engine.keys import Keys
from tests.fault.pipelines import sums

FROZEN = Frozen(sums(), {}, {"sim": "/shared"})


def test_what_is_written_is_read() -> None:
    assert read_frozen(write_frozen(FROZEN)) == FROZEN
    assert FROZEN.keys is Keys.SHORT_AS_THEY_ARE


def test_a_run_of_a_release_that_knew_digests_only_keeps_to_them() -> None:
    """Else a message whose task is in its ledger would make another one."""
    old = json.loads(write_frozen(FROZEN))
    del old["keys"]
    run = read_frozen(json.dumps(old))
    assert run.keys is Keys.DIGESTS
    assert read_frozen(write_frozen(run)).keys is Keys.DIGESTS, "also once it was resumed"


def test_a_remote_site_is_read_as_it_was_written() -> None:
    ssh = Ssh("login", user="me", port=22, jump=("gate", "me@inner:2222"), master=True)
    site = Site("b", ssh=ssh, transfers=Transfers(streams=2, bandwidth_mib_s=1.5))
    facts = SiteFacts(site, Launch("0" * 16, "/there", "python3", ("module load x",)))
    frozen = Frozen(sums(), {"b": facts}, {"b": "/there/runs/run-1/shared"})
    assert read_frozen(write_frozen(frozen)) == frozen


def test_a_site_of_a_release_that_knew_no_remote_ones_is_on_this_machine() -> None:
    facts = SiteFacts(Site("local", "local"), Launch("0" * 16, "/shared", "python3"))
    old = json.loads(write_frozen(Frozen(sums(), {"local": facts}, {})))
    for key in ("ssh", "transfers"):
        del old["sites"]["local"]["site"][key]
    assert read_frozen(json.dumps(old)).sites == {"local": facts}

"""What the ledger keeps of a run as it was at its submission."""

from __future__ import annotations

import json

from scalebox_hpc.daemon.loading import Frozen, read_frozen, write_frozen
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

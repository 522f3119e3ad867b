"""What a module and a site say of containers, read back from the ledger."""

from scalebox_hpc.domain.container import Bind, Container, Containers, container, containers


def test_what_a_later_release_kept_is_read_without_its_new_keys():
    assert container({"reuse": "task", "args": ["--nv"], "new": 1}) == Container("task", args=("--nv",))
    kept = {"runtime": "apptainer", "binds": [{"source": "/a", "target": "/b", "new": 1}], "new": 1}
    assert containers(kept) == Containers("apptainer", binds=(Bind("/a", "/b"),))


def test_what_an_earlier_release_did_not_keep_has_its_default():
    assert (container({}), containers({})) == (Container(), Containers())

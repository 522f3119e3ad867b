"""`stage` in pipeline.toml: what it becomes, and what is refused with its place and a remedy."""

import pytest

from scalebox_hpc.domain.pipeline import Stage

HEAD = 'sbx = 1\n[pipeline]\nname = "p"\n[params]\nref = "/ref/x"\n'
ONE = HEAD + '[modules.a]\nrun = "cat $SBX_STAGED"\nseed = ["x"]\nstage = {}\n'
GATHER = '[modules.g]\nrun = "cat {bodies}"\ngather = { by = "all" }\nstage = {}\n'


def test_what_is_staged_is_read_with_parameters_filled_in(load_text):
    inputs = '"{body}", "{headers.mate}", "{params.ref}.fai"'
    stage = f'stage = {{ in = [{inputs}], out = ["*.bam", "qc/**/*.txt"] }}'
    module = load_text(ONE.replace("stage = {}", stage)).pipeline.modules["a"]
    read = ((("body",),), (("headers", "mate"),), ("/ref/x.fai",))
    assert module.stage == Stage(read, ("*.bam", "qc/**/*.txt"))
    assert module.digest != load_text(ONE).pipeline.modules["a"].digest


def test_a_module_whose_files_differ_by_message_is_not_warned_about(load_text):
    checked = load_text(ONE.replace("stage = {}", 'stage = { in = ["{body}"] }'))
    assert checked.warnings == ()


@pytest.mark.parametrize(
    ("stage", "key", "problem"),
    [
        ('{ out = ["../x"] }', "stage.out[0]", "leaves the work directory"),
        ('{ out = ["/tmp/x"] }', "stage.out[0]", "leaves the work directory"),
        ('{ out = [""] }', "stage.out[0]", "matches no file"),
        ('{ out = ["publish/x"] }', "stage.out[0]", "goes to the results anyway"),
        ('{ out = ["messages.txt"] }', "stage.out[0]", "is read by sbx itself"),
        ('{ out = ["{body}.x"] }', "stage.out[0]", "{body} cannot be used here"),
        ('{ out = "x" }', "stage.out", "must be a list of texts"),
        ('{ in = [" "] }', "stage.in[0]", "names no file"),
        ('{ in = ["{task}"] }', "stage.in[0]", "{task} cannot be used here"),
        ('{ inn = ["x"] }', "stage.inn", "unknown key"),
        ("[]", "stage", "must be a table"),
    ],
)
def test_what_cannot_be_is_refused(refuse_text, stage, key, problem):
    (found,) = refuse_text(ONE.replace("stage = {}", f"stage = {stage}"))
    assert (found.key, found.line) == (f"modules.a.{key}", 9)
    assert problem in found.problem
    assert found.remedy


def test_a_gather_may_leave_files_but_needs_none(load_text, refuse_text):
    text = ONE.replace("stage = {}", 'to = ["g"]') + GATHER
    assert load_text(text.replace("stage = {}", 'stage = { out = ["x"] }'))
    (found,) = refuse_text(text.replace("stage = {}", 'stage = { in = ["{body}"] }'))
    assert found.key == "modules.g.stage.in"
    assert "members" in found.problem


def test_transfers_stage_nothing_and_defaults_neither(refuse_text):
    (found,) = refuse_text(ONE.replace("stage = {}", 'kind = "transfer"\nstage = { out = ["x"] }'))
    assert "has no meaning" in found.problem
    (found,) = refuse_text(ONE.replace("stage = {}\n", "") + '[defaults]\nstage = { out = ["x"] }\n')
    assert found.key == "defaults.stage"

"""Small pipelines that once went silently wrong; each test says how it is caught now."""

from tests.scenarios.lab import Lab


def test_trap_cd_a_message_file_written_elsewhere(lab: Lab) -> None:
    """Caught by `check`: messages.txt is read from the work directory only."""
    lab.pipeline(
        """
        sbx = 1
        [pipeline]
        name = "cd"
        [modules.a]
        run = "cd \\"$SBX_RESULTS\\" && echo out-{body} > messages.txt"
        seed = ["1"]
        to = ["b"]
        [modules.b]
        run = "echo got {body}"
        """
    )
    checked = lab.sbx("check", "pipeline.toml")
    assert checked.exit_code == 2, str(checked)
    assert "SBX_WORK" in checked.text
    assert "modules.a.run" in checked.text


def test_trap_comma_only_a_module_in_to_is_a_destination(lab: Lab) -> None:
    """Caught by the contract: what stands before the comma is a module only if `to` names it."""
    lab.pipeline(
        """
        sbx = 1
        [pipeline]
        name = "comma"
        [modules.split]
        run = "printf 'merge,call,1\\nmerge,2\\ncall,merge,3\\n' > messages.txt; : {body}"
        seed = ["x"]
        to = ["call"]
        [modules.call]
        run = "echo {body}"
        """.replace("\\n", "\\\\n")
    )
    lab.run()
    assert [task["body"] for task in lab.tasks("call")] == ["merge,call,1", "merge,2", "merge,3"]


def test_trap_comma_a_module_that_is_not_in_to_fails_the_attempt(lab: Lab) -> None:
    """Caught by the contract: a first field that names a module of the pipeline not in `to`."""
    lab.pipeline(
        """
        sbx = 1
        [pipeline]
        name = "comma"
        [modules.split]
        run = "echo merge,2 > messages.txt; : {body}"
        seed = ["x"]
        to = ["call"]
        [modules.call]
        run = "echo {body}"
        to = ["merge"]
        [modules.merge]
        run = "echo {body}"
        """
    )
    lab.run(exit_code=1)
    [row] = lab.rows()
    assert row["cause"] == "output"
    shown = lab.sbx("show", row["task"])
    assert "merge" in shown.text


def test_trap_csvseed_a_sheet_as_a_plain_file(lab: Lab) -> None:
    """Caught by `check`, which names the seed that reads a sheet."""
    lab.pipeline(
        """
        sbx = 1
        [pipeline]
        name = "csvseed"
        [modules.a]
        run = ["echo", "{body}"]
        seed = { file = "samples.csv" }
        """,
        samples_csv="sample,lane\nS001,L1\n",
    )
    checked = lab.sbx("check", "pipeline.toml")
    assert "csv" in checked.text
    assert "modules.a.seed" in checked.text


def test_trap_dollar_braces_after_a_dollar_belong_to_the_shell(lab: Lab) -> None:
    """Caught by the rule: a brace after `$` is literal."""
    lab.pipeline(
        """
        sbx = 1
        [pipeline]
        name = "dollar"
        [modules.a]
        run = '''
        for task in x y; do echo "${task}"-{body}; done
        body=hello; echo ${body}
        '''
        seed = ["B"]
        """
    )
    lab.run()
    [row] = lab.rows()
    assert row["stdout"] == "x-B\ny-B\nhello\n"


def test_trap_dollar_a_placeholder_inside_quotes_is_refused(lab: Lab) -> None:
    """Caught by `check`: a value never becomes shell text."""
    lab.pipeline(
        """
        sbx = 1
        [pipeline]
        name = "dollar"
        [modules.a]
        run = 'echo "${task}-{body}"'
        seed = ["B"]
        """
    )
    checked = lab.sbx("check", "pipeline.toml")
    assert checked.exit_code == 2, str(checked)
    assert "modules.a.run" in checked.text
    assert "quotes" in checked.text


def test_trap_headers_a_line_that_only_looks_like_headers(lab: Lab) -> None:
    """Caught by the contract: it ends in a brace, holds `,{`, yields no headers: cause `output`."""
    lab.pipeline(
        """
        sbx = 1
        [pipeline]
        name = "headers"
        [modules.a]
        run = ["python3", "h.py", "{body}"]
        seed = ["1"]
        to = ["b"]
        [modules.b]
        run = ["echo", "{body}"]
        """,
        h_py='sent = \'ch1,{"size": 24}\\nf"x.dat,{"raw":"f"x.dat"}\\n\\nch2,{"ok":"1"}\\n\'\n'
        "open('messages.txt', 'w').write(sent)\n",
    )
    lab.run(exit_code=1)
    [row] = lab.rows()
    assert (row["module"], row["cause"]) == ("a", "output")
    assert lab.tasks("b") == []


def test_trap_pipe_a_failure_in_front_of_a_pipe_is_a_failure(lab: Lab) -> None:
    """Caught by the contract: text runs with pipefail, so half a file is no success."""
    lab.pipeline(
        """
        sbx = 1
        [pipeline]
        name = "pipe"
        [modules.align]
        run = "./fakealign.sh {body} | sort > \\"$SBX_RESULTS/x.sam\\""
        seed = ["chunk"]
        to = ["merge"]
        [modules.merge]
        run = "cat {members}"
        gather = { by = "all" }
        """,
        fakealign_sh="#!/bin/sh\nprintf 'half a file\\n'; exit 137\n",
    )
    lab.run(exit_code=1)
    [row] = lab.rows()
    assert (row["module"], row["cause"], row["exit_code"]) == ("align", "exit", "137")
    assert [task["cause"] for task in lab.tasks("merge")] == ["incomplete"]


def test_trap_upstream_a_failure_further_up_makes_a_gather_incomplete(lab: Lab) -> None:
    """Caught by the outcome: two of three arrive, and the summary does not pretend to be whole."""
    lab.pipeline(
        """
        sbx = 1
        [pipeline]
        name = "upstream"
        [modules.align]
        run = "test {body} != c2"
        seed = ["c1", "c2", "c3"]
        to = ["filter"]
        [modules.filter]
        run = "true {body}"
        to = ["merge"]
        [modules.merge]
        run = "grep -c . {members}"
        gather = { by = "all" }
        """
    )
    lab.run(exit_code=1)
    assert lab.states("filter") == {"SUCCEEDED": 2}
    [merge] = lab.tasks("merge")
    assert (merge["state"], merge["cause"]) == ("FAILED", "incomplete")

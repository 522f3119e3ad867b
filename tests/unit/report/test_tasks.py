"""What `sbx show` prints of a task."""

from scalebox_hpc.report.tasks import task_text
from tests.cli.fake_daemon import attempt, task


def test_each_attempt_says_why_it_ended() -> None:
    lost = attempt(attempt=1, cause="agent_lost", note="its agent ended: killed by signal 9")
    failed = attempt(attempt=2, cause="timeout", note="it ran longer than its time of 5 s")
    detail = {"task": task(), "attempts": [lost, failed], "sent": 0, "sender": None}
    text = task_text(detail, "primes-7f3a", 100)  # type: ignore[arg-type]
    assert "note of attempt 1: its agent ended: killed by signal 9\n" in text
    assert "\nnote: it ran longer than its time of 5 s" in text

"""Whether the books of a ledger agree with each other, looked at from outside.

It reads the file through a connection of its own and changes nothing. For tests, where nobody
else writes: closing a second connection may drop a process's locks on the file.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

RULES: Final = {
    "a module's counters are its tasks, counted": """
        SELECT name, * FROM (SELECT mo.name AS name,
          mo.ready - sum(coalesce(t.state = 'READY', 0)) AS ready,
          mo.leased - sum(coalesce(t.state = 'LEASED', 0)) AS leased,
          mo.running - sum(coalesce(t.state = 'RUNNING', 0)) AS running,
          mo.succeeded - sum(coalesce(t.state = 'SUCCEEDED', 0)) AS succeeded,
          mo.failed - sum(coalesce(t.state = 'FAILED', 0)) AS failed,
          mo.cancelled - sum(coalesce(t.state = 'CANCELLED', 0)) AS cancelled
          FROM module AS mo LEFT JOIN task AS t USING (module_id) GROUP BY mo.module_id)
        WHERE ready OR leased OR running OR succeeded OR failed OR cancelled""",
    "a task counts its attempts, and numbers them without a gap": """
        SELECT t.task_id, t.attempts, count(a.attempt_id), max(a.attempt)
          FROM task AS t LEFT JOIN attempt AS a USING (task_id) GROUP BY t.task_id
        HAVING t.attempts <> count(a.attempt_id) OR coalesce(max(a.attempt), 0) <> t.attempts""",
    "a task that succeeded has one success in its generation, and its last attempt is it": """
        SELECT t.task_id, t.generation, a.attempt, a.outcome FROM task AS t
          LEFT JOIN attempt AS a ON a.task_id = t.task_id AND a.attempt = t.attempts
         WHERE t.state = 'SUCCEEDED'
           AND (a.outcome IS NOT 'SUCCEEDED' OR 1 <> (SELECT count(*) FROM attempt AS b
                WHERE b.task_id = t.task_id AND b.generation = t.generation AND b.outcome = 'SUCCEEDED'))""",
    "nothing succeeds twice in one generation": """
        SELECT task_id, generation, count(*) FROM attempt WHERE outcome = 'SUCCEEDED'
         GROUP BY task_id, generation HAVING count(*) > 1""",
    "an attempt explains itself": """
        SELECT a.attempt_id, a.outcome, a.cause FROM attempt AS a LEFT JOIN agent AS g USING (agent_id)
         WHERE (a.outcome = 'SUCCEEDED') <> (a.cause = '') OR g.agent_id IS NULL OR a.leased_us IS NULL
            OR a.leased_us > a.recorded_us""",
    "a lease is in the hands of an agent that lives, exactly while the task is held": """
        SELECT t.task_id, t.state, t.agent_id, g.ended_us FROM task AS t LEFT JOIN agent AS g USING (agent_id)
         WHERE (t.state IN ('LEASED', 'RUNNING')) <> (t.agent_id IS NOT NULL)
            OR (t.agent_id IS NOT NULL AND g.ended_us IS NOT NULL)""",
    "a lapsed task is READY and its lapse has a row": """
        SELECT t.task_id, t.state FROM task AS t WHERE t.lapsed = 1 AND (t.state <> 'READY' OR NOT EXISTS
          (SELECT 1 FROM attempt AS a WHERE a.task_id = t.task_id AND a.lease_epoch = t.lease_epoch
              AND a.lease_n = t.lease_n AND a.reported = 0))""",
    "a part counts its members": """
        SELECT p.part_id, p.members, count(m.message_id) FROM part AS p
          LEFT JOIN message AS m ON m.part_id = p.part_id AND m.live = 1
         GROUP BY p.part_id HAVING p.members <> count(m.message_id)""",
    "a part has no more members than its size": """
        SELECT part_id, size, members FROM part WHERE members > size""",
    "a success sent as many messages as it says, or has chunks that wait": """
        SELECT a.attempt_id, a.messages_sent, count(m.message_id) FROM attempt AS a
          LEFT JOIN message AS m ON m.sender = a.attempt_id
         WHERE a.outcome = 'SUCCEEDED'
           AND NOT EXISTS (SELECT 1 FROM chunk AS c WHERE c.attempt_id = a.attempt_id)
         GROUP BY a.attempt_id HAVING a.messages_sent <> count(m.message_id)""",
    "a task and its message know each other": """
        SELECT t.task_id FROM task AS t LEFT JOIN message AS m USING (message_id)
         WHERE m.task_id IS NOT t.task_id""",
    "an allocation is over exactly when no try of it is open": """
        SELECT a.allocation_id, a.ended_us, group_concat(t.state)
          FROM allocation AS a JOIN try AS t USING (allocation_id)
         GROUP BY a.allocation_id
        HAVING (a.ended_us IS NULL) <> (sum(t.state IN ('PLANNED', 'SUBMITTING', 'QUEUED', 'ACTIVE')) > 0)""",
}
"""What must be so after every turn, each with a query for what is not."""


def audit(ledger: Path) -> list[str]:
    """Return every row that breaks a rule, with the rule; nothing where the books are in order."""
    found = []
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as database:
        for rule, query in RULES.items():
            found += [f"{rule}: {row}" for row in database.execute(query)]
    return found


def look(ledger: Path, query: str, *params: Any) -> list[tuple[Any, ...]]:
    """Run a query of a test."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as database:
        return database.execute(query, params).fetchall()

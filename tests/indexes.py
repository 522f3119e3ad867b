"""Which index a statement of every turn must go by, in whatever database."""

INDEXES = {
    "next_due": "task_ready",
    "held_by_agents": "task_held",
    "lease_reported": "attempt_lease",
    "attempts_page": "attempt_run",
    "members_page": "message_part",
    "task_by_key": "task_key",
    "task_by_n": "task_n",
    "bad_tasks": "task_bad",
    "missing_page": "task_bad",
    "fail_ready": "task_ready",
    "cancel_ready": "task_ready",
    "waiting_chunk": "chunk_waiting",
    "waiting_parts": "part_waiting",
    "oldest_lease": "task_held",
}

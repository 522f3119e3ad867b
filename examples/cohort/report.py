"""Say who sent what to the report, and what is missing: report.py MEMBERS."""

import collections
import json
import os
import sys

with open(sys.argv[1]) as members:
    senders = collections.Counter(json.loads(line)["task"].rsplit(".", 1)[0] for line in members)
with open(os.environ["SBX_MISSING"]) as file:
    missing = [json.loads(line) for line in file]

lines = [f"{sender} {count}" for sender, count in sorted(senders.items())]
lines += [f"missing {row['task']} {row['body']} {row['cause']}" for row in missing]
print("\n".join(lines))
os.makedirs("publish", exist_ok=True)
with open("publish/report.txt", "w") as report:
    report.write("\n".join(lines) + "\n")

"""Merge the lanes of one sample: merge.py SAMPLE MEMBERS, where MEMBERS has a JSON object a line."""

import json
import os
import sys

sample, members_file = sys.argv[1:]
with open(members_file) as file:
    members = sorted((json.loads(line) for line in file), key=lambda member: member["headers"]["_lane"])

os.makedirs("publish/samples", exist_ok=True)
with open(f"publish/samples/{sample}.bam", "w") as merged:
    for member in members:
        with open(member["body"]) as lane:
            merged.write(lane.read())

# The lanes are counted as input, then removed once this attempt is accepted.
for name in ("input-files.txt", "removed-files.txt"):
    with open(name, "w") as listing:
        listing.writelines(member["body"] + "\n" for member in members)

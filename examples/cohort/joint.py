"""Put all samples together: joint.py MEMBERS, where each member's body is a file with a lane count."""

import json
import os
import sys

with open(sys.argv[1]) as members:
    files = [json.loads(line)["body"] for line in members]
lanes = 0
for name in files:
    with open(name) as file:
        lanes += int(file.read())

result = f"joint: {len(files)} samples, {lanes} lanes"
print(result)
os.makedirs("publish", exist_ok=True)
with open("publish/joint.vcf", "w") as file:
    file.write(result + "\n")
with open("messages.txt", "w") as messages:
    messages.write("joint.stats\n")

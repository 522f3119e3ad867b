"""Write which series came closest to pi, and where its ranks ran."""

import json
import math
import os
import sys

with open(sys.argv[1]) as file:
    found = [json.loads(line) for line in file]
os.mkdir("publish")
with open("publish/pi.txt", "w") as file:
    for one in sorted(found, key=lambda one: abs(one["pi"] - math.pi)):
        hosts = " ".join(one["hosts"])
        file.write(f"{one['series']} {one['pi']:.9f} off by {abs(one['pi'] - math.pi):.1e} on {hosts}\n")

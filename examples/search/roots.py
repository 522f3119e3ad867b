"""List the roots: roots.py BODIES, a file with one number a line."""

import os
import sys

with open(sys.argv[1]) as bodies:
    roots = sorted(float(line) for line in bodies)
print(*roots)
os.makedirs("publish", exist_ok=True)
with open("publish/roots.txt", "w") as result:
    result.writelines(f"{root}\n" for root in roots)

"""Add up the counts in the file BODIES, one a line; print the sum and leave it as a result."""

import os
import sys

with open(sys.argv[1]) as bodies:
    total = sum(int(line) for line in bodies)
print(total)
os.makedirs("publish", exist_ok=True)  # what is put in here ends up in results/<run>/
with open("publish/total.txt", "w") as result:
    result.write(f"{total}\n")

"""Cut one interval into ten, keep those where cos changes sign: refine.py "FROM TO DEPTH" TOLERANCE."""

import itertools
import math
import sys

PIECES = 10

start, stop, depth = sys.argv[1].split()
low, high, tolerance = float(start), float(stop), float(sys.argv[2])
edges = [low + (high - low) * i / PIECES for i in range(PIECES + 1)]

# The file must exist even when nothing is written to it: without one, the interval itself would go on.
with open("messages.txt", "w") as messages:
    for a, b in itertools.pairwise(edges):
        if math.cos(a) * math.cos(b) > 0:
            continue
        if b - a < tolerance:
            messages.write(f"roots,{(a + b) / 2:.4f}\n")
        else:
            messages.write(f"refine,{a!r} {b!r} {int(depth) + 1}\n")

"""Cut the numbers below LIMIT into ranges of STEP: one message `from to` for each."""

import sys

limit, step = int(sys.argv[1]), int(sys.argv[2])
with open("messages.txt", "w") as messages:
    for start in range(0, limit, step):
        messages.write(f"{start} {min(start + step, limit)}\n")

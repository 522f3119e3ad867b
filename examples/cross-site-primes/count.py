"""Count the primes p with FROM <= p < TO by a sieve over that range only."""

import math
import sys


def primes_below(limit: int) -> list[int]:
    """Return all primes below `limit`."""
    sieve = bytearray([1]) * max(limit, 2)
    sieve[0:2] = b"\0\0"
    for number in range(2, math.isqrt(max(limit - 1, 0)) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, len(sieve), number)))
    return [number for number in range(limit) if sieve[number]]


def count_primes(start: int, stop: int) -> int:
    """Return how many primes lie in [start, stop)."""
    start = max(start, 2)
    if stop <= start:
        return 0
    sieve = bytearray([1]) * (stop - start)
    for prime in primes_below(math.isqrt(stop - 1) + 1):
        first = max(prime * prime, -(-start // prime) * prime)
        sieve[first - start :: prime] = bytes(len(range(first - start, len(sieve), prime)))
    return sum(sieve)


first, last = sys.argv[1].split()
found = count_primes(int(first), int(last))
print(found)
with open("messages.txt", "w") as messages:
    messages.write(f"{found}\n")

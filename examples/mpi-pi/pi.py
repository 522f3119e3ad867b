"""Add up a series for pi, each rank every so many terms; rank 0 tells the others' sum and hosts."""

import json
import platform
import sys

from mpi4py import MPI


def term(series: str, index: int, terms: int) -> float:
    if series == "leibniz":
        return 4 * (-1) ** index / (2 * index + 1)
    return 4 / (1 + ((index + 0.5) / terms) ** 2) / terms


def main() -> None:
    series, terms = sys.argv[1], int(sys.argv[2])
    ranks = MPI.COMM_WORLD
    part = sum(term(series, index, terms) for index in range(ranks.rank, terms, ranks.size))
    pi = ranks.reduce(part, MPI.SUM)
    hosts = ranks.gather(platform.node())
    if ranks.rank == 0:
        print(series, pi, *hosts)
        with open("messages.txt", "w") as file:
            file.write(json.dumps({"series": series, "pi": pi, "hosts": hosts}) + "\n")


main()

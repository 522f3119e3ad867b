"""What tests of back ends ask Slurm for."""

from __future__ import annotations

from scalebox_hpc.domain.allocation import AllocationRequest, Launch
from scalebox_hpc.domain.site import Machine

HOME = "00112233445566aa"
NAME = f"sbx-primes.{HOME}.e1.3.1"
REQUEST = AllocationRequest(NAME, 3, 1, 100, 0, 60.0, Machine("m"), Launch(HOME, "/shared", "python3"))

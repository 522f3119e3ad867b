"""Starts the relay on a login node: `relay.pyz attach ...`; each verb loads no more than it needs."""

import sys

if sys.argv[1:2] == ["serve"]:
    from scalebox_hpc.relay.serve import main
elif sys.argv[1:2] == ["depot"]:
    from scalebox_hpc.relay.depot import main
else:
    from scalebox_hpc.relay.attach import main

main()

"""Starts the agent from a checkout: `python -m scalebox_hpc.agent run ...`. The bundle has its own."""

from scalebox_hpc.agent.main import main

main()

"""Where allocations come from: Slurm, or this machine. Decides nothing."""

"""Run container pipelines as Slurm job arrays, with every task in a ledger."""

__version__ = "0.1.0"

"""Finds out whether a run would work here: asks this machine, judges the answers, submits nothing."""

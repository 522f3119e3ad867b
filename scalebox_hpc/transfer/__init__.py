"""Data moved between places: what, in which pieces, by which command, and whether it arrived."""

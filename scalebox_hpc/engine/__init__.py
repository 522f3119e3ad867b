"""What to do next: pure decisions over snapshots, with `now` passed in."""

"""The process in one element that owns its slots and tasks. Standard library only."""

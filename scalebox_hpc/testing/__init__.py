"""Fakes that pass the same contract suites as the real thing, and a clock that obeys."""

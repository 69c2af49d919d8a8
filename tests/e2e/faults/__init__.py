"""Faults done for real, under a steady load through nginx: `python -m tests.e2e.faults`."""

"""Hostile and careless clients against a real server: `python -m tests.attacks`."""

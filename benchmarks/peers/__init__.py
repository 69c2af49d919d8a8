"""Servers to compare with, a few lines each. They run in an environment of their own."""

"""Measures the service and, for comparison, LitServe; see docs/performance.md."""

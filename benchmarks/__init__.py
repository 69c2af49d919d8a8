"""Measures the service beside what people would use instead; see docs/performance.md."""

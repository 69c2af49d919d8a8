"""Images in, classes out: HTTP, decoding, batching, engines, metrics."""

__version__ = "0.1.0"

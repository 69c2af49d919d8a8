"""One file a resource; no error is handled in any of them."""

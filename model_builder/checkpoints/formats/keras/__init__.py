"""Keras's files: the legacy `.h5`, `.weights.h5`, `.keras`, and the config that they share."""

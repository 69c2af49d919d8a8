"""Fits what tells how sure a model is, on labeled images, and measures it on others."""

"""One command of `resnet` a file."""

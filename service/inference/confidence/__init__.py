"""How sure a model is of an image, by what `resnet calibrate` fitted to its artifact."""

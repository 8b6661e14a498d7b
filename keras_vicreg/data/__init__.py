"""Images from files, data sets and arrays, as arrays or as batches."""

from keras_vicreg.data.loading import class_names, load_images

__all__ = ["class_names", "load_images"]

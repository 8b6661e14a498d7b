"""Evaluation: is a representation worth something? With labels and without."""

from keras_vicreg.evaluation.features import embed
from keras_vicreg.evaluation.knn import KNN, knn
from keras_vicreg.evaluation.linear_probe import LinearProbe, linear_probe

__all__ = ["KNN", "LinearProbe", "embed", "knn", "linear_probe"]

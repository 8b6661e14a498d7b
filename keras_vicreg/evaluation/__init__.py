"""Evaluation: is a representation worth something? With labels and without."""

from keras_vicreg.evaluation.clustering import Clustering, clustering
from keras_vicreg.evaluation.features import embed
from keras_vicreg.evaluation.fine_tune import FineTuned, fine_tune
from keras_vicreg.evaluation.knn import KNN, knn
from keras_vicreg.evaluation.linear_probe import LinearProbe, linear_probe
from keras_vicreg.evaluation.neighbours import mine_neighbours
from keras_vicreg.evaluation.quality import Quality, quality
from keras_vicreg.evaluation.retrieval import Retrieval, retrieval

__all__ = [
    "KNN",
    "Clustering",
    "FineTuned",
    "LinearProbe",
    "Quality",
    "Retrieval",
    "clustering",
    "embed",
    "fine_tune",
    "knn",
    "linear_probe",
    "mine_neighbours",
    "quality",
    "retrieval",
]

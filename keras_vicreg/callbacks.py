"""Callbacks for pretraining: the table of contents of `kv.callbacks`."""

from keras_vicreg.hub_checkpoint import HubCheckpoint
from keras_vicreg.online_knn import OnlineKNN
from keras_vicreg.resume import Resume

__all__ = ["HubCheckpoint", "OnlineKNN", "Resume"]

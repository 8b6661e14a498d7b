"""Callbacks for pretraining: the table of contents of `kv.callbacks`."""

from keras_vicreg.callbacks.hub_checkpoint import HubCheckpoint
from keras_vicreg.callbacks.online_knn import OnlineKNN
from keras_vicreg.callbacks.online_linear_probe import OnlineLinearProbe
from keras_vicreg.callbacks.quality import Quality
from keras_vicreg.callbacks.resume import Resume

__all__ = ["HubCheckpoint", "OnlineKNN", "OnlineLinearProbe", "Quality", "Resume"]

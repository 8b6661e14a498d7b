"""Callbacks for pretraining: the table of contents of `kv.callbacks`."""

from keras_vicreg.hub_checkpoint import HubCheckpoint
from keras_vicreg.online_knn import OnlineKNN
from keras_vicreg.online_linear_probe import OnlineLinearProbe
from keras_vicreg.online_quality import Quality
from keras_vicreg.resume import Resume

__all__ = ["HubCheckpoint", "OnlineKNN", "OnlineLinearProbe", "Quality", "Resume"]

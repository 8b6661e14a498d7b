"""The methods by name: one file each, and one line here."""

# A saved model names its views and its optimizer: whoever loads a method has them.
from keras_vicreg import optimizers, views  # noqa: F401
from keras_vicreg.methods.barlow_twins import BarlowTwins
from keras_vicreg.methods.byol import BYOL
from keras_vicreg.methods.moco import MoCo
from keras_vicreg.methods.scan import SCAN
from keras_vicreg.methods.simclr import SimCLR
from keras_vicreg.methods.simsiam import SimSiam
from keras_vicreg.methods.swav import SwAV
from keras_vicreg.methods.vicreg import VICReg
from keras_vicreg.methods.wmse import WMSE

METHODS = {
    "vicreg": VICReg,
    "barlow_twins": BarlowTwins,
    "simclr": SimCLR,
    "moco": MoCo,
    "swav": SwAV,
    "byol": BYOL,
    "simsiam": SimSiam,
    "wmse": WMSE,
    "scan": SCAN,
}

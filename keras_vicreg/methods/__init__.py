"""The methods by name: one file each, and one line here."""

# A saved model names its views and its optimizer: whoever loads a method has them.
from keras_vicreg import optimizers, views  # noqa: F401
from keras_vicreg.methods.vicreg import VICReg

METHODS = {
    "vicreg": VICReg,
}

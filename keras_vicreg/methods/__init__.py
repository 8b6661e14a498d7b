"""The methods by name: one file each, and one line here."""

from keras_vicreg.methods.vicreg import VICReg

METHODS = {
    "vicreg": VICReg,
}

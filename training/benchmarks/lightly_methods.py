"""What lightly has of a method: its transform, heads and loss, and a step of its own.

The parts are lightly's; how they are put together, and each constant, is as in its
documentation of the method. Nothing here is imported with TensorFlow.
"""

import copy
import re
import sys

import torch


def import_torchvision():
    """Imports it, and declares what its compiled half would, where that does not fit.

    On a CPU build of PyTorch the wheel with CUDA serves then: its operators are not
    used here.
    """
    library = torch.library.Library("torchvision", "FRAGMENT")
    while True:
        try:
            import torchvision  # noqa: F401
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not", str(error))
            if not missing:
                raise
            library.define(f"{missing[1]}() -> ()")
            for name in list(sys.modules):
                if name.startswith("torchvision"):
                    del sys.modules[name]
        else:
            import_torchvision.library = library  # kept alive
            return


import_torchvision()

from lightly import loss, transforms  # noqa: E402
from lightly.models.modules import heads  # noqa: E402
from lightly.models.utils import deactivate_requires_grad, update_momentum  # noqa: E402
from lightly.transforms import byol_transform  # noqa: E402


class VICReg(torch.nn.Module):
    """`encode` maps a batch of normalized views to `(batch, features)`."""

    def __init__(self, encode, features, widths):
        super().__init__()
        self.encode = encode
        self.head = heads.VICRegProjectionHead(features, *widths)
        self.loss = loss.VICRegLoss()

    @staticmethod
    def transform(size):
        return transforms.VICRegTransform(size)

    def forward(self, a, b):
        return self.loss(self.head(self.encode(a)), self.head(self.encode(b)))


class BarlowTwins(VICReg):
    def __init__(self, encode, features, widths):
        super().__init__(encode, features, widths)
        self.head = heads.BarlowTwinsProjectionHead(features, *widths)
        self.loss = loss.BarlowTwinsLoss()

    @staticmethod
    def transform(size):
        return byol(size)


class SimCLR(VICReg):
    def __init__(self, encode, features, widths):
        super().__init__(encode, features, widths)
        self.head = heads.SimCLRProjectionHead(features, *widths)
        self.loss = loss.NTXentLoss(temperature=0.5)

    @staticmethod
    def transform(size):
        return transforms.SimCLRTransform(size, gaussian_blur=0.0)


class BYOL(torch.nn.Module):
    momentum = 0.99

    def __init__(self, encode, features, widths):
        super().__init__()
        self.encode = encode
        self.head = heads.BYOLProjectionHead(features, *widths)
        self.predict = heads.BYOLPredictionHead(widths[-1], *widths)
        self.copies = copy.deepcopy(encode), copy.deepcopy(self.head)
        for part in self.copies:
            deactivate_requires_grad(part)
        self.loss = loss.NegativeCosineSimilarity()

    @staticmethod
    def transform(size):
        return byol(size)

    def forward(self, a, b):
        update_momentum(self.encode, self.copies[0], self.momentum)
        update_momentum(self.head, self.copies[1], self.momentum)
        wanted, found = [], []
        for view in (a, b):
            found.append(self.predict(self.head(self.encode(view))))
            with torch.no_grad():
                wanted.append(self.copies[1](self.copies[0](view)))
        one, other = self.loss(found[0], wanted[1]), self.loss(found[1], wanted[0])
        return (one + other) / 2


def byol(size):
    """Two views of which the second alone is solarized; no blur, as on CIFAR."""
    return byol_transform.BYOLTransform(
        byol_transform.BYOLView1Transform(size, gaussian_blur=0.0),
        byol_transform.BYOLView2Transform(size, gaussian_blur=0.0),
    )


METHODS = {
    "vicreg": VICReg,
    "barlow_twins": BarlowTwins,
    "simclr": SimCLR,
    "byol": BYOL,
}

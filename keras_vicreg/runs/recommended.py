"""What each method is trained with unless a recipe says otherwise.

Nothing here imports a framework: the command line reads it.
"""

import dataclasses

SMALL = 64  # px; up to this size networks and views are those of CIFAR


@dataclasses.dataclass(frozen=True)
class Recommended:
    """The defaults of one method, for images of one kind.

    Attributes:
        optimizer: `"lars"`, `"adamw"` or `"sgd"`.
        rate: peak learning rate at a batch of 256, in proportion for others. `None`
            is `kv.recommended_learning_rate`, for LARS.
        weight_decay: of the optimizer.
        views: name of a recipe of views.
        expander: widths of its layers, `None` for the default of the method's class.
        options: arguments of the method's class.
    """

    optimizer: str
    rate: float | None
    weight_decay: float
    views: str
    expander: tuple[int, ...] | None = None
    options: dict | None = None


@dataclasses.dataclass(frozen=True)
class Method:
    """One method: its defaults, and what it is in a line of a table.

    Attributes:
        small: its defaults up to 64 px.
        large: its defaults for larger images.
        prevents_collapse: what does, in a few words.
        keeps: what it keeps beside encoder and expander, in a few words.
        memory: peak of the training in MB, of ResNet-18 of a quarter of the width with
            batches of 256 images of 32 px, on one GPU in float32; measured by
            `training/compare_methods.py`.
        paper: authors, venue and address.
    """

    small: Recommended
    large: Recommended
    prevents_collapse: str
    keeps: str
    memory: int
    paper: str


def sgd(rate: float, penalty: float, *where, **options) -> Recommended:
    """SGD with momentum as PyTorch has it.

    There the L2 penalty goes through the momentum of 0.9 and counts ten times; here
    weights decay apart from it.
    """
    return Recommended("sgd", rate, 10 * penalty, *where, **options)


def sgd_on_cifar(*where, **options) -> Recommended:
    """One rate for many methods: that of lightly's benchmark of CIFAR-10."""
    return sgd(0.12, 5e-4, *where, **options)


RECOMMENDED = {
    "vicreg": Method(
        # Bardes et al., section 4.2; heads and views of CIFAR: da Costa et al., 2022.
        Recommended("lars", None, 1e-6, "vicreg_cifar", (2048,) * 3),
        Recommended("lars", None, 1e-6, "vicreg", (8192,) * 3),
        prevents_collapse="variance and covariance",
        keeps="nothing",
        memory=814,
        paper="Bardes et al., ICLR 2022, arxiv.org/abs/2105.04906",
    ),
    "barlow_twins": Method(
        # A quarter of the rate: the better one of 5,000 held-out training images.
        sgd(0.03, 5e-4, "barlow_twins", (2048,) * 3),
        Recommended("lars", 0.2, 1.5e-6, "vicreg", (8192,) * 3),
        prevents_collapse="cross-correlation",
        keeps="nothing",
        memory=812,
        paper="Zbontar et al., ICML 2021, arxiv.org/abs/2103.03230",
    ),
    "simclr": Method(
        sgd_on_cifar("simclr_cifar", options={"temperature": 0.5}),
        Recommended("lars", 0.3, 1e-6, "simclr"),
        prevents_collapse="negatives of the batch",
        keeps="nothing",
        memory=677,
        paper="Chen et al., ICML 2020, arxiv.org/abs/2002.05709",
    ),
    "moco": Method(
        sgd_on_cifar("moco_cifar", options={"momentum": 0.99}),
        sgd(0.03, 1e-4, "moco"),
        prevents_collapse="negatives of a queue",
        keeps="copy, two queues",
        memory=734,
        paper="He et al., CVPR 2020, arxiv.org/abs/1911.05722",
    ),
    "swav": Method(
        Recommended("adamw", 0.002, 1e-6, "simclr_cifar", options={"prototypes": 300}),
        Recommended("lars", 0.6, 1e-6, "simclr"),
        prevents_collapse="equal assignment",
        keeps="prototypes",
        memory=651,
        paper="Caron et al., NeurIPS 2020, arxiv.org/abs/2006.09882",
    ),
    "byol": Method(
        sgd_on_cifar("byol", options={"momentum": 0.99}),
        Recommended("lars", 0.45, 1e-6, "vicreg", options={"momentum": 0.99}),
        prevents_collapse="predictor, momentum copy",
        keeps="copy, predictor",
        memory=801,
        paper="Grill et al., NeurIPS 2020, arxiv.org/abs/2006.07733",
    ),
    "simsiam": Method(
        sgd(0.06, 5e-4, "moco_cifar", (2048, 2048)),
        sgd(0.05, 1e-4, "moco"),
        prevents_collapse="predictor, stop-gradient",
        keeps="predictor",
        memory=777,
        paper="Chen and He, CVPR 2021, arxiv.org/abs/2011.10566",
    ),
    "wmse": Method(
        Recommended("adamw", 0.002, 1e-6, "wmse"),
        Recommended("adamw", 0.002, 1e-6, "simclr"),
        prevents_collapse="whitening",
        keeps="nothing",
        memory=657,
        paper="Ermolov et al., ICML 2021, arxiv.org/abs/2007.06346",
    ),
}


def recommended(method: str, image_size: int) -> Recommended:
    """The defaults of a method for images of a size in pixels."""
    of = RECOMMENDED[method]
    return of.small if image_size <= SMALL else of.large

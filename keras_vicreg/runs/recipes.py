"""What one pretraining run is, and the defaults that serve it.

Nothing here imports a framework: the command line reads its defaults from it.
"""

import dataclasses
from dataclasses import dataclass

from keras_vicreg.finite import check_finite
from keras_vicreg.runs.recommended import RECOMMENDED, SMALL, recommended

OPTIMIZERS = ("lars", "adamw", "sgd")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclass(frozen=True)
class Recipe:
    """Everything that is needed to repeat a run, but for the data themselves.

    `None` stands for a default that depends on the method and on the images; `resolved`
    fills it in, see `keras_vicreg.runs.recommended`.

    Attributes:
        data: source of images, see `kv.load_images`.
        data_dir: folder of prepared `tfds:` data sets.
        image_size: height and width of the views, in pixels. Defaults to the size of
            the images, where all are equal.
        encoder: a name of `kv.ENCODERS`, or a backbone from elsewhere:
            `"applications:NAME"`, `"FILE.keras"` or `"package.module:function"`.
        stem: `"imagenet"` or `"cifar"`, of a ResNet. Defaults to `"cifar"` up to
            64 px.
        width: fraction of the encoder's standard width.
        start_from: a preset to go on from, instead of random weights. What the recipe
            leaves open, encoder, expander and image size, is as the preset has it.
        method: a name of `RECOMMENDED`: of `kv.METHODS` without SCAN, which clusters
            the images of a trained encoder.
        method_options: dict of arguments of the method's class, in place of those that
            are recommended.
        expander: widths of the expander's layers. Defaults to those of the method, with
            VICReg 2048 three times up to 64 px, else 8192 three times.
        views: name of the recipe of the views. Defaults to that of the method, with
            VICReg `"vicreg_cifar"` up to 64 px, else `"vicreg"`.
        epochs: number of passes over the images.
        batch_size: number of images in a training step.
        optimizer: `"lars"`, `"adamw"` or `"sgd"`. Defaults to that of the method, with
            VICReg `"lars"`.
        learning_rate: the peak. Defaults to that of the method for the batch size, with
            VICReg `kv.recommended_learning_rate`; another optimizer needs one.
        weight_decay: of the optimizer; biases and the parameters of normalization take
            none. Defaults to that of the method, with another optimizer to 1e-6.
        warmup_epochs: length of the linear warm-up, less than `epochs`; may be a
            fraction. Defaults to 10, or a tenth of the epochs where that is less.
        precision: `"float32"`, `"mixed_bfloat16"` or `"mixed_float16"`.
        microbatch_size: number of images that the network works on at a time, where
            a batch does not fit into memory, see `kv.VICReg`. Defaults to all.
        remat: whether activations of the encoder are computed again in the backward
            pass, not kept, see `keras_vicreg.devices.rematerialization`. Unlike
            pieces, it leaves batch normalization as it is. An encoder that cannot be
            divided gives a warning.
        seed: of weights, order and views.
    """

    data: str = "sample"
    data_dir: str | None = None
    image_size: int | None = None
    encoder: str = "resnet18"
    stem: str | None = None
    width: float = 1
    start_from: str | None = None
    method: str = "vicreg"
    method_options: dict | None = None
    expander: tuple[int, ...] | None = None
    views: str | None = None
    epochs: int = 100
    batch_size: int = 256
    optimizer: str | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    warmup_epochs: float | None = None
    precision: str = "float32"
    microbatch_size: int | None = None
    remat: bool = False
    seed: int = 0

    def __post_init__(self):
        if self.expander is not None:
            object.__setattr__(self, "expander", tuple(self.expander))
        self._check_choice("method", RECOMMENDED)
        self._check_choice("optimizer", (*OPTIMIZERS, None))
        self._check_choice("precision", PRECISIONS)
        self._check_integers(epochs=1, batch_size=2, image_size=8, seed=0)
        self._check_rates()
        if not self.names_resnet and (self.stem, self.width) != (None, 1):
            raise ValueError(
                "`stem` and `width` must be left out unless `encoder` is a ResNet. "
                f"Received: encoder={self.encoder!r}, stem={self.stem!r}, "
                f"width={self.width!r}"
            )
        if self.remat and self.microbatch_size is not None:
            raise ValueError(
                "`remat` must be left out with `microbatch_size`, which computes "
                "everything again already. "
                f"Received: microbatch_size={self.microbatch_size}, remat=True"
            )

    @property
    def names_backbone(self) -> bool:
        """Whether `encoder` is a backbone from elsewhere."""
        return ":" in self.encoder or self.encoder.endswith(".keras")

    @property
    def names_resnet(self) -> bool:
        """Whether `encoder` has a stem and a width to choose."""
        return self.encoder.startswith("resnet") and not self.names_backbone

    def _check_choice(self, name: str, choices) -> None:
        if getattr(self, name) not in choices:
            raise ValueError(
                f"`{name}` must be one of {', '.join(filter(None, choices))}. "
                f"Received: {name}={getattr(self, name)!r}"
            )

    def _check_integers(self, **least) -> None:
        for name, number in least.items():
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < number):
                raise ValueError(
                    f"`{name}` must be an integer of at least {number}. "
                    f"Received: {name}={value!r}"
                )

    def _check_rates(self) -> None:
        """Raises unless an optimizer and its schedule can be made of the numbers."""
        if self.learning_rate is not None:
            check_finite("learning_rate", self.learning_rate, positive=True)
        else:
            self._check_optimizer_is_recommended()
        if self.weight_decay is not None:
            check_finite("weight_decay", self.weight_decay)
        if self.warmup_epochs is not None:
            check_finite("warmup_epochs", self.warmup_epochs)
            if self.warmup_epochs >= self.epochs:
                raise ValueError(
                    "`warmup_epochs` must be less than `epochs`. Received: "
                    f"warmup_epochs={self.warmup_epochs}, epochs={self.epochs}"
                )

    def _check_optimizer_is_recommended(self) -> None:
        """Raises where nobody knows a learning rate for the optimizer."""
        of = RECOMMENDED[self.method]
        sizes = [self.image_size] if self.image_size else [SMALL, SMALL + 1]
        known = {recommended(self.method, size).optimizer for size in sizes}
        if self.optimizer is not None and self.optimizer not in known:
            raise ValueError(
                f"`learning_rate` must be given with an optimizer other than that of "
                f"{self.method}, {of.small.optimizer} up to {SMALL} px and "
                f"{of.large.optimizer} for larger images. Received: "
                f"optimizer={self.optimizer!r}, learning_rate=None"
            )

    def resolved(self, image_size: int) -> "Recipe":
        """The recipe with every default that depends on the images filled in.

        Args:
            image_size: height and width of the images, in pixels.
        """
        small = image_size <= SMALL
        method = recommended(self.method, image_size)
        own = self.optimizer in (None, method.optimizer)
        defaults = {
            "image_size": image_size,
            "stem": ("cifar" if small else "imagenet") if self.names_resnet else None,
            "method_options": method.options,
            "expander": method.expander,
            "views": method.views,
            "optimizer": method.optimizer,
            "learning_rate": method.rate and method.rate * self.batch_size / 256,
            "weight_decay": method.weight_decay if own else 1e-6,
            "warmup_epochs": min(10.0, self.epochs / 10),
        }
        missing = {k: v for k, v in defaults.items() if getattr(self, k) is None}
        return dataclasses.replace(self, **missing)


# What two processor cores learn most from in under two minutes, of the embedded
# sample. Small batches and AdamW take more and larger steps than the paper's LARS,
# which is made for thousands of steps; behind the ImageNet stem there is a sixteenth of
# the positions that are behind the CIFAR stem.
QUICKSTART = {
    "image_size": 64,
    "stem": "imagenet",
    "width": 0.25,
    "expander": (512, 512),
    "views": "vicreg_cifar",
    "epochs": 15,
    "batch_size": 64,
    "optimizer": "adamw",
    "learning_rate": 0.002,
}
# What a preset decides that a run goes on from.
NETWORK = ("image_size", "stem", "width", "expander")

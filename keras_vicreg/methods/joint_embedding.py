"""The base model of all methods: views of an image, one space of embeddings."""

import math
from typing import ClassVar

import keras
from keras import ops

from keras_vicreg.devices import replicas
from keras_vicreg.devices.layer_losses import refuse_in_predictor, refuse_on_replicas
from keras_vicreg.devices.microbatch import check_microbatch_size
from keras_vicreg.heads import mlp
from keras_vicreg.methods.branches import (
    Branches,
    are_widths,
    as_encoders,
    as_pair,
)
from keras_vicreg.methods.embeddings import unit
from keras_vicreg.methods.fitting import Fitting
from keras_vicreg.methods.memory import MomentumCopy, check_momentum
from keras_vicreg.methods.regularizers import variance_covariance
from keras_vicreg.methods.saving import Saving
from keras_vicreg.methods.train_step import TrainStep

HEALTH = "embedding_std"


class JointEmbedding(TrainStep, Branches, Fitting, Saving, keras.Model):
    """Encoder, expander and a loss on the embeddings of the views of an image.

    A method derives from it, hands it `term_weights` and its options, and fills
    `loss_terms`; one that remembers something between steps fills `remember` or
    `after_step` as well. Everything else stands here once: views from images, the
    branches, gathering across replicas, float32, one metric a term, the weighted sum,
    its scale.

    `fit` and `evaluate` take

    - images, when the model has `views`: two views are made on the device;
    - pairs of views: `x=(a, b)` as arrays, or a dataset that yields `((a, b),)`.

    Labels that come along are ignored. Arrays are shuffled anew each epoch, in an
    order that `keras.utils.set_random_seed` decides. Incomplete batches are left out,
    of every kind of data, since the loss is a statistic of the batch.

    Losses of layers of encoder and expander, by regularizers or `add_loss`, are added:
    those of weights once, those of activations for each pass. A predictor's must be of
    weights alone.

    What the literature takes apart are arguments of every method, which differ in
    their formula and in the defaults. With a predictor, a stop-gradient or a momentum
    encoder the branches of the views differ: then predictions of one view are compared
    with targets of the other, both ways round, and the terms are the mean.

    Args:
        encoder: any Keras model that maps images `(batch, height, width, channels)`
            to representations `(batch, features)`, or to feature maps, which are
            then averaged over positions. A pair of models: the views have one each, of
            which the second may take something else than images; `model.encoder`, and
            what a preset keeps, is the first.
        expander: model that maps representations to embeddings
            `(batch, embedding_features)`, or a pair of them, or the widths of its
            layers. Defaults to `None`, that of the method's paper.
        predictor: model that maps embeddings to predictions of equal size, or the
            widths of its hidden layers. Defaults to `None`: predictions are the
            embeddings.
        stop_gradient: whether targets are constants for the gradient. Defaults to
            `False`.
        momentum: float in 0..1: targets come from copies of encoder and expander that
            keep this share of themselves in a step, and are constants for the
            gradient. Defaults to `None`: they come from the same weights.
        total_steps: int, the steps in which the momentum rises to 1 along a cosine.
            Defaults to `None`, a constant momentum.
        variance_weight, covariance_weight: floats, the weights of VICReg's two
            regularizers of the embeddings. Default to 0.
        batch_norm: whether the heads that are made here normalize their hidden
            layers. Defaults to `True`.
        views: a `keras.layers.Layer` that maps images to their views, such as
            `kv.TwoViews`. Defaults to `None`: the data are views.
        term_weights: dict of the weight in the loss of each of the method's terms.
        options: dict of the method's own arguments, for its configuration. They become
            attributes.
        microbatch_size: int, see `kv.VICReg`. Defaults to `None`.
        name: name of the model.
    """

    compares_directions = False  # whether the lengths of embeddings are free
    # What the heads that are made here have, options of `keras_vicreg.heads.mlp`.
    head: ClassVar = {}
    predictor_head: ClassVar = {}

    def __init__(
        self,
        encoder,
        expander=None,
        *,
        predictor=None,
        stop_gradient: bool = False,
        momentum: float | None = None,
        total_steps: int | None = None,
        variance_weight: float = 0.0,
        covariance_weight: float = 0.0,
        batch_norm: bool = True,
        views=None,
        term_weights,
        options: dict | None = None,
        microbatch_size: int | None = None,
        name=None,
    ):
        # Images stay as they are until the encoder's own layers cast them.
        super().__init__(name=name, autocast=False)
        check_microbatch_size(microbatch_size)
        check_momentum(momentum, total_steps)
        check_views(views)
        regularizers = {"variance": variance_weight, "covariance": covariance_weight}
        if any(regularizers.values()):
            term_weights = {**term_weights, **regularizers}
        self.term_weights = {
            name: check_weight(f"{name}_weight", weight)
            for name, weight in term_weights.items()
        }
        self.options = {
            **(options or {}),
            "stop_gradient": stop_gradient,
            "momentum": momentum,
            "total_steps": total_steps,
            "batch_norm": batch_norm,
            "microbatch_size": microbatch_size,
        }
        for option, value in self.options.items():
            setattr(self, option, value)
        self._scope = replicas.scope()
        self.batches = None  # those of `fit`, whose order `Resume` keeps
        self._build_branches(encoder, expander)
        self.views = views  # here, since the order is that of a checkpoint's variables
        self._build_predictor(predictor)
        self.target = None
        if momentum is not None:
            self.target = MomentumCopy(
                self.parts(), momentum, total_steps, name="target"
            )
        self._term_means = {
            name: keras.metrics.Mean(name=name) for name in (*term_weights, HEALTH)
        }
        # Every variable exists: nothing is left for a symbolic pass to find.
        self.built = True

    def _build_branches(self, encoder, expander) -> None:
        """Makes what is left out, and every variable."""
        self.encoder, self.second_encoder = as_encoders(encoder)
        if expander is None:
            expander = self.widths(self.encoder.output_shape[-1])
        if are_widths(expander):
            expander = self.make_head(expander, "expander")
        self.expander, self.second_expander = as_pair("expander", expander)
        for encoder, expander in self.branches():
            if not expander.built:
                expander.build(encoder.output_shape)

    def _build_predictor(self, predictor) -> None:
        shape = self.expander.output_shape
        if are_widths(predictor):
            predictor = self.make_head((*predictor, shape[-1]), "predictor")
        self.predictor = predictor
        if predictor is None:
            return
        refuse_in_predictor(predictor)
        if not predictor.built:
            predictor.build(shape)

    def widths(self, features: int) -> tuple:
        """Of the layers of the paper's head, on representations of so many features."""
        raise ValueError(f"{type(self).__name__} must be given an `expander`.")

    def make_head(self, widths, name: str):
        """The expander or the predictor with layers of these widths."""
        options = self.head if name == "expander" else self.predictor_head
        options = {"batch_norm": self.batch_norm, **options}
        if not self.batch_norm:
            options["output_norm"] = False
        return mlp(widths[:-1], widths[-1], **options, name=name)

    def loss_terms(self, a, b) -> dict:
        """The method's terms, unweighted scalars, of the gathered embeddings.

        Args:
            a: embeddings of one view, `(global batch, features)`, float32; where the
                branches differ, its predictions. A method that takes more views takes
                as many arguments.
            b: embeddings of the other view, same shape; where the branches differ, its
                targets.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `loss_terms`.")

    def compare(self, predictions, targets) -> dict:
        """The terms of all views: the mean over pairs where the branches differ.

        Args:
            predictions: of each view, `(global batch, features)`, float32.
            targets: of each view, the same tuple where the branches are alike.
        """
        if predictions is targets:
            return self.loss_terms(*predictions)
        each = [
            self.loss_terms(prediction, target)
            for i, prediction in enumerate(predictions)
            for j, target in enumerate(targets)
            if i != j
        ]
        return {
            name: sum(terms[name] for terms in each) / len(each) for name in each[0]
        }

    def regularize(self, embeddings) -> dict:
        """VICReg's variance and covariance terms, of the embeddings of all views."""
        return variance_covariance(*embeddings)

    def remember(self, targets) -> None:
        """Keeps what later steps need of a training step's gathered targets."""

    def after_step(self) -> None:
        """Moves what the method remembers, after each training step."""
        if self.target is not None:
            self.target.follow(self.parts())

    def call(self, inputs, training: bool = False):
        """Embeddings of images, or a tuple of embeddings of a tuple of views."""
        if isinstance(inputs, (list, tuple)):
            return self.embed(tuple(inputs), training)
        return self.embed((inputs,), training)[0]

    def _outputs(self, views, embeddings, training: bool) -> tuple:
        """Predictions and targets of each view, of all replicas."""
        predictions = targets = embeddings
        if self.predictor is not None:
            models = [self.predictor] * len(embeddings)
            predictions = self.apply(models, embeddings, training)
        if self.target is not None:
            with self.target.in_place_of(self.parts()):
                targets = self.embed(views, training)
        predictions = global_rows(predictions)
        if self.target is None and self.predictor is None:
            targets = predictions
        else:
            targets = global_rows(targets)
        if self.target is not None or self.stop_gradient:
            targets = tuple(map(ops.stop_gradient, targets))
        return predictions, targets

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """The weighted sum of the terms on the embeddings of all replicas."""
        refuse_on_replicas(self)
        extras = list(self.losses)  # those of layers; another pass clears them
        predictions, targets = self._outputs(x, y_pred, training)
        embeddings = predictions
        if self.predictor is not None:
            embeddings = targets if self.target is None else global_rows(y_pred)
        terms = self.compare(predictions, targets)
        if "variance" in self.term_weights:
            terms = {**terms, **self.regularize(embeddings)}
        if training:
            self.remember(targets)
        loss = sum(weight * terms[name] for name, weight in self.term_weights.items())
        health = spread(embeddings, self.compares_directions)
        rows = ops.shape(embeddings[0])[0]
        for name, value in {**terms, HEALTH: health}.items():
            self._term_means[name].update_state(value, sample_weight=rows)
        for extra in extras:
            loss += ops.sum(extra)
        return replicas.scale_loss(loss)


def global_rows(batches) -> tuple:
    """What all replicas have of each batch, float32."""
    return tuple(replicas.gather(ops.cast(batch, "float32")) for batch in batches)


def spread(views, directions: bool):
    """Mean standard deviation of the embeddings' features, over all views.

    Args:
        views: tuple of tensors, `(batch, features)`.
        directions: whether to take the embeddings times sqrt(features) over their
            lengths: about 1 where they are spread over the sphere.
    """
    if directions:
        views = [math.sqrt(z.shape[-1]) * unit(z) for z in views]
    return sum(ops.mean(ops.std(z, axis=0)) for z in views) / len(views)


def check_views(views) -> None:
    """Raises unless views can be made so, or none have to be."""
    if views is not None and not callable(views):
        raise ValueError(
            "`views` must be a layer that maps images to a pair of views, such as "
            f"`kv.TwoViews(32)`, or None. Received: views={views!r}"
        )


def check_weight(name: str, weight) -> float:
    """Returns `weight` if it can weigh a term of a loss."""
    number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    if not number or not weight >= 0:  # NaN too
        raise ValueError(
            f"`{name}` must be a number of at least 0. Received: {name}={weight!r}"
        )
    return float(weight)

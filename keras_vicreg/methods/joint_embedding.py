"""The base model of all methods: two views of an image, one space of embeddings."""

import contextlib

import keras
from keras import ops

from keras_vicreg import zoo
from keras_vicreg.data.batches import Batches, EpochBatches, fresh_seed
from keras_vicreg.data.complete_batches import complete_batches, until_they_end
from keras_vicreg.data.in_memory import as_views
from keras_vicreg.data.inputs import check_inputs
from keras_vicreg.data.untuned_inputs import untuned_inputs
from keras_vicreg.devices import replicas
from keras_vicreg.devices.microbatch import check_microbatch_size, embed_in_pieces
from keras_vicreg.encoders.backbones import as_encoder, warn_of_slow_statistics
from keras_vicreg.methods.fit_arguments import check_arguments
from keras_vicreg.methods.train_step import TrainStep
from keras_vicreg.views import TwoViews

HEALTH = "embedding_std"


class JointEmbedding(TrainStep, keras.Model):
    """Encoder, expander and a loss on the embeddings of two views.

    A method derives from it, sets `terms` and fills `loss_terms`; one that remembers
    something between steps fills `after_step` as well. Everything else stands here
    once: pairs from images, gathering across replicas, float32, one metric a term,
    the weighted sum, its scale.

    `fit` and `evaluate` take

    - images, when the model has `views`: two views are made on the device;
    - pairs of views: `x=(a, b)` as arrays, or a dataset that yields `((a, b),)`.

    Labels that come along are ignored. Arrays are shuffled anew each epoch, in an
    order that `keras.utils.set_random_seed` decides. Incomplete batches are left out,
    of every kind of data, since the loss is a statistic of the batch.

    Args:
        encoder: any Keras model that maps images `(batch, height, width, channels)`
            to representations `(batch, features)`, or to feature maps, which are
            then averaged over positions.
        expander: model that maps representations to embeddings
            `(batch, embedding_features)`.
        views: a `keras.layers.Layer` that maps images to a pair of views, such as
            `kv.TwoViews`. Defaults to `None`: the data are pairs.
        term_weights: dict of the weight in the loss of each of the method's terms.
        microbatch_size: int, see `kv.VICReg`. Defaults to `None`.
        name: name of the model.
    """

    def __init__(
        self,
        encoder,
        expander,
        *,
        views=None,
        term_weights,
        microbatch_size: int | None = None,
        name=None,
    ):
        # Images stay as they are until the encoder's own layers cast them.
        super().__init__(name=name, autocast=False)
        check_microbatch_size(microbatch_size)
        if views is not None and not callable(views):
            raise ValueError(
                "`views` must be a layer that maps images to a pair of views, such as "
                f"`kv.TwoViews(32)`, or None. Received: views={views!r}"
            )
        self.encoder = as_encoder(encoder)
        warn_of_slow_statistics(self.encoder)
        self.expander = expander
        self.views = views
        self.microbatch_size = microbatch_size
        self._scope = replicas.scope()
        self.batches = None  # those of `fit`, whose order `Resume` keeps
        self.term_weights = {
            name: check_weight(f"{name}_weight", weight)
            for name, weight in term_weights.items()
        }
        if not self.expander.built:
            self.expander.build(self.encoder.output_shape)
        self._term_means = {
            name: keras.metrics.Mean(name=name) for name in (*term_weights, HEALTH)
        }
        # Every variable exists: nothing is left for a symbolic pass to find.
        self.built = True

    def loss_terms(self, a, b) -> dict:
        """The method's terms, unweighted scalars, of the gathered embeddings.

        Args:
            a: embeddings of one view, `(global batch, features)`, float32.
            b: embeddings of the other view, same shape.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `loss_terms`.")

    def after_step(self) -> None:
        """Moves what the method remembers, after each training step."""

    def embed(self, views, training: bool = False) -> tuple:
        """Tuple of batches of images -> their embeddings, of expander on encoder."""
        if training and self.microbatch_size is not None:
            parts = [self.encoder, self.expander]
            return embed_in_pieces(parts, views, self.microbatch_size)
        return tuple(
            self.expander(self.encoder(view, training=training), training=training)
            for view in views
        )

    def call(self, inputs, training: bool = False):
        """Embeddings of images, or a pair of embeddings of a pair of views."""
        if isinstance(inputs, (list, tuple)):
            a, b = inputs
            return self.embed((a, b), training)
        return self.embed((inputs,), training)[0]

    def to_pairs(self, data):
        """What `fit` was given -> `((a, b),)`, views made where there are images."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        check_arguments(None, None, {"sample_weight": sample_weight})
        if isinstance(x, (list, tuple)):
            if len(x) != 2:
                raise ValueError(
                    "A pair of views must hold 2 batches of images. "
                    f"Received: {len(x)} elements"
                )
            return (tuple(x),)
        if y is not None and getattr(y, "shape", None) == x.shape and len(x.shape) == 4:
            raise ValueError(
                "The data must yield pairs of views as `((a, b),)`; from `(a, b)` "
                "Keras reads b as labels. Write "
                "`dataset.map(lambda a, b: ((a, b),))`. "
                f"Received: x and y of shape {tuple(x.shape)}"
            )
        if self.views is None:
            raise ValueError(
                "The data must be pairs of views, `x=(a, b)` or a dataset that yields "
                "`((a, b),)`, since this model was made with `views=None`. Give "
                "`views=kv.TwoViews(image_size)` to train on images. "
                f"Received: images of shape {tuple(x.shape)}"
            )
        return (tuple(self.views(x)),)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """The weighted sum of the terms on the embeddings of all replicas."""
        a, b = (replicas.gather(ops.cast(z, "float32")) for z in y_pred)
        terms = self.loss_terms(a, b)
        loss = sum(weight * terms[name] for name, weight in self.term_weights.items())
        for name, value in {**terms, HEALTH: embedding_std(a, b)}.items():
            self._term_means[name].update_state(value, sample_weight=ops.shape(a)[0])
        for extra in self.losses:  # weight regularizers of the encoder
            loss += ops.sum(extra)
        return replicas.scale_loss(loss)

    def compile(self, optimizer, **kwargs):
        """`keras.Model.compile` without `loss`: the method is the loss.

        Args:
            optimizer: a Keras optimizer, such as `kv.LARS`, or its name.
            **kwargs: `run_eagerly`, `jit_compile`, `steps_per_execution`,
                `auto_scale_loss`, as in `keras.Model.compile`.
        """
        given = {k: v for k, v in kwargs.items() if v is not None}
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if name in given:
                raise ValueError(
                    f"`{name}` must not be given: {type(self).__name__} computes its "
                    "own loss from the embeddings of two views. "
                    f"Received: {name}={given[name]!r}"
                )
        optimizer = keras.optimizers.get(optimizer)
        steps = getattr(
            getattr(optimizer, "inner_optimizer", optimizer),
            "gradient_accumulation_steps",
            None,
        )
        if steps:
            raise ValueError(
                "`gradient_accumulation_steps` must not be given: the loss is a "
                "statistic of the whole batch, and accumulation would compute it on "
                "each part alone; `microbatch_size` of the model has the gradient of "
                f"the whole batch. Received: gradient_accumulation_steps={steps}"
            )
        steps = given.get("steps_per_execution", 1)
        with self._scope():
            if steps != 1 and replicas.num_devices() > 1:
                raise ValueError(
                    "`steps_per_execution` must be 1 on several devices, which Keras "
                    "does not support together. "
                    f"Received: steps_per_execution={steps}"
                )
        super().compile(optimizer=optimizer, **given)

    def compile_from_config(self, config):
        """Compiles a loaded model as the saved one was."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, y=None, batch_size=None, **kwargs):
        """Pretrains on images or pairs of views, as `keras.Model.fit` does.

        Args:
            x: images `(n, height, width, channels)`, 0..255, an array, a tensor or a
                list of images of one size; a pair of such arrays; or any dataset
                Keras accepts, of which the first batch is looked at. A
                `tf.data.Dataset` is not tuned unless its options ask for it, since
                that can double the time of an epoch.
            y: ignored: labels play no part.
            batch_size: int, number of images in a training step, for arrays.
                Defaults to 256.
            **kwargs: as in `keras.Model.fit`.

        Returns:
            A `keras.callbacks.History` with the loss, each unweighted term, and
            `"embedding_std"`, the mean standard deviation of the embeddings, near 0
            in a collapsed run.

        Raises:
            ValueError: if the data are no images or pairs, hold NaN, are not in
                0..255, or are fewer than a batch; for `sample_weight`,
                `class_weight`, `validation_split`, which have no meaning here, and
                for labels that are not one an image.
        """
        check_arguments(x, y, kwargs)
        if Batches.accepts(x):
            batch_size = 256 if batch_size is None else batch_size
            options = {"shuffle": kwargs.get("shuffle", True), "seed": fresh_seed()}
            x = Batches(x, batch_size, channels=self._channels(), **options)
        elif batch_size is not None:
            raise ValueError(
                "`batch_size` must be None when `x` is a dataset, which brings its "
                f"own batches. Received: batch_size={batch_size}, x={type(x).__name__}"
            )
        with self._scope():
            if (validation := kwargs.get("validation_data")) is not None:
                size = kwargs.get("validation_batch_size") or batch_size
                kwargs["validation_data"] = self._to_evaluate(validation, size)
            x = self._complete(x)
            if isinstance(x, EpochBatches):
                x.start_at(kwargs.get("initial_epoch", 0))
                kwargs["shuffle"] = False  # Keras would shuffle the order of batches
            data = untuned_inputs(x, shuffle=kwargs.get("shuffle", True))
            counted = kwargs.get("steps_per_epoch") or kwargs.get("validation_steps")
            self.batches = x if isinstance(x, EpochBatches) else None
            try:
                with contextlib.nullcontext() if counted else until_they_end():
                    return super().fit(data, **kwargs)
            finally:
                self.batches = None

    def evaluate(self, x=None, y=None, batch_size=None, **kwargs):
        """The loss and its terms, as `keras.Model.evaluate` gives them.

        Args:
            x: as in `fit`.
            y: ignored: labels play no part.
            batch_size: int, number of images in a batch, for arrays. Defaults to 256,
                at most all of them.
            **kwargs: as in `keras.Model.evaluate`.

        Raises:
            ValueError: as `fit`.
        """
        if not kwargs.get("_use_cached_eval_dataset"):  # `fit` has seen to it
            check_arguments(x, y, kwargs)
            with self._scope():
                x, y, batch_size = self._to_evaluate((x, y), batch_size), None, None
        with contextlib.nullcontext() if kwargs.get("steps") else until_they_end():
            return super().evaluate(x, y, batch_size, **kwargs)

    def _to_evaluate(self, data, batch_size):
        """What `evaluate` takes -> complete batches of it, in their order."""
        if hasattr(data, "element_spec") or not isinstance(data, (list, tuple)):
            data = (data,)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        check_arguments(x, y, {"sample_weight": sample_weight})
        if Batches.accepts(x):
            samples = len(as_views(x)[0])
            size = min(256 if batch_size is None else batch_size, samples)
            if size == samples:
                size -= size % replicas.num_devices()
            x = Batches(x, size, channels=self._channels(), shuffle=False)
        return untuned_inputs(self._complete(x))

    def _complete(self, x):
        """Data once they are known to be images, without incomplete batches."""
        return complete_batches(
            check_inputs(x, self._channels()), self._check_batch_size
        )

    def _channels(self) -> int | None:
        """How many the images must have, `None` where the views may change that."""
        kept = self.views is None or isinstance(self.views, TwoViews)
        return self.encoder.inputs[0].shape[-1] if kept else None

    def _check_batch_size(self, batch_size) -> None:
        """Raises unless batches of this size can be dealt out and cut into pieces."""
        devices = replicas.num_devices()
        if devices > 1 and (batch_size is None or batch_size % devices):
            raise ValueError(
                "The batch size must be known and a multiple of the number of devices; "
                "batch a dataset with `drop_remainder=True`. "
                f"Received: batch_size={batch_size}, {devices} devices"
            )
        if batch_size is not None:
            check_microbatch_size(self.microbatch_size, batch_size)

    def save_to_preset(self, folder, **card) -> None:
        """Writes encoder and expander as a preset, see `kv.save_to_preset`."""
        zoo.save_to_preset(self, folder, **card)

    @classmethod
    def from_preset(cls, handle, revision: str | None = None, **options):
        """The pretraining model of a preset that has an expander, ready to go on.

        Args:
            handle: as in `kv.from_preset`.
            revision: as in `kv.from_preset`.
            **options: further arguments of the class, such as `views`.

        Raises:
            kv.PresetError: if the preset cannot be had, or has no expander.
        """
        return zoo.from_preset(handle, revision, model_class=cls, **options)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        for index, state in enumerate(self._random_states()):
            store[f"random_state_{index}"] = state

    def load_own_variables(self, store):
        stored = {name: store[name] for name in store.keys()}  # noqa: SIM118
        for index, state in enumerate(self._random_states()):
            if (name := f"random_state_{index}") in stored:
                state.assign(stored.pop(name))
        super().load_own_variables(stored)

    def _random_states(self):
        """States of the generators of views and dropout, which are no weights."""
        weights = {id(v) for v in self.non_trainable_weights}
        return [v for v in self.non_trainable_variables if id(v) not in weights]

    def get_config(self):
        parts = {"encoder": self.encoder, "expander": self.expander}
        if self.views is not None:
            parts["views"] = self.views
        weights = {f"{name}_weight": w for name, w in self.term_weights.items()}
        serialized = {
            name: keras.saving.serialize_keras_object(part)
            for name, part in parts.items()
        }
        return {
            "name": self.name,
            **serialized,
            **weights,
            "microbatch_size": self.microbatch_size,
        }

    @classmethod
    def from_config(cls, config):
        parts = {
            name: keras.saving.deserialize_keras_object(value)
            for name, value in config.items()
            if name in ("encoder", "expander", "views")
        }
        return cls(**{**config, **parts})


def embedding_std(a, b):
    """Mean standard deviation of the embeddings' features, over both views."""
    return (ops.mean(ops.std(a, axis=0)) + ops.mean(ops.std(b, axis=0))) / 2


def check_weight(name: str, weight) -> float:
    """Returns `weight` if it can weigh a term of a loss."""
    number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    if not number or not weight >= 0:  # NaN too
        raise ValueError(
            f"`{name}` must be a number of at least 0. Received: {name}={weight!r}"
        )
    return float(weight)

"""What a pretraining model is compiled and fitted with, and what it refuses."""

import contextlib

import keras

from keras_vicreg.data.batches import Batches, EpochBatches, fresh_seed
from keras_vicreg.data.complete_batches import complete_batches, until_they_end
from keras_vicreg.data.in_memory import as_views
from keras_vicreg.data.inputs import check_inputs
from keras_vicreg.data.untuned_inputs import untuned_inputs
from keras_vicreg.devices import replicas
from keras_vicreg.devices.microbatch import check_microbatch_size
from keras_vicreg.methods.fit_arguments import check_arguments
from keras_vicreg.views import TwoViews


class Fitting:
    """Checks in front of Keras's loops, of a model that has `views` and branches."""

    views_taken = (2, 2)  # the fewest views and the most, `None` for any number
    sizes_taken = 1  # of views, `None` for any number

    def to_views(self, data):
        """What `fit` was given -> `((a, b),)`, views made where there are images."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        check_arguments(None, None, {"sample_weight": sample_weight})
        if isinstance(x, (list, tuple)):
            return (self._checked_views(x),)
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
        return (self._checked_views(self.views(x)),)

    def _checked_views(self, views) -> tuple:
        """Raises unless the loss takes so many views, and of so many sizes."""
        least, most = self.views_taken
        if not least <= len(views) <= (most or len(views)):
            words = f"{least}" if least == most else f"at least {least}"
            raise ValueError(
                f"A pair of views must hold {words} batches of images. "
                f"Received: {len(views)} elements"
            )
        shapes = [tuple(view.shape) for view in views]
        if self.sizes_taken == len(self.branches()) == 1 and len(set(shapes)) > 1:
            raise ValueError(
                f"The two views must have equal shapes. Received: {shapes}"
            )
        return tuple(views)

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
            replicas.sum_gradients_first(self.optimizer)

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
            x = self._batches(x, batch_size, **options)
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
            ends = contextlib.nullcontext() if counted else until_they_end()
            reading = contextlib.nullcontext()
            if isinstance(x, EpochBatches):
                self.batches, reading = x, x.reading()
            try:
                with reading, ends:
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
            x = self._batches(x, size, shuffle=False)
        return untuned_inputs(self._complete(x))

    def _batches(self, x, batch_size, **options):
        """Batches of images or views in memory."""
        batches = Batches(x, batch_size, channels=self._channels(), **options)
        if len(batches.arrays) > 1:
            self._checked_views(batches.arrays)
        return batches

    def _complete(self, x):
        """Data once they are known to be images, without incomplete batches."""
        return complete_batches(
            check_inputs(x, self._channels()), self.check_batch_size
        )

    def _channels(self) -> int | None:
        """How many the images must have, `None` where views or branches differ."""
        kept = self.views is None or isinstance(self.views, TwoViews)
        alike = self.second_encoder is None
        return self.encoder.inputs[0].shape[-1] if kept and alike else None

    def check_batch_size(self, batch_size) -> None:
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

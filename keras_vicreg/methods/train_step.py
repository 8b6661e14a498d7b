"""The custom training step on TensorFlow, JAX and PyTorch.

It extends the stock step of each backend and copies none of it, so loss scaling,
metrics and distribution stay Keras's own: before the step, images become
views; after it, `after_step` moves what a method remembers (a momentum encoder, a
queue). This is the only training code that knows the backend.
"""

import contextlib

import keras

from keras_vicreg.devices import replicas

if keras.config.backend() == "jax":

    class TrainStep:
        """Views before, memory after the step, with JAX's explicit state."""

        def fit(self, *args, **kwargs):
            # Keras takes the values out of the variables while it trains, and leaves
            # them empty where an error ends that.
            held = self._held()
            try:
                return super().fit(*args, **kwargs)
            except BaseException:
                self.jax_state_sync()
                for variable, value in held:
                    if variable._value is None and not value.is_deleted():
                        variable.assign(value)
                raise

        def _held(self) -> list:
            """The variables of model and optimizer, with their values."""
            variables = [*self.trainable_variables, *self.non_trainable_variables]
            variables += self.metrics_variables
            optimizer = getattr(self, "optimizer", None)  # missing until `compile`
            variables += optimizer.variables if optimizer else []
            return [(variable, variable.value) for variable in variables]

        def train_step(self, state, data):
            views, state = self._with_state(state, lambda: self.to_views(data))
            logs, state = super().train_step(state, views)
            _, state = self._with_state(state, self.after_step)
            return logs, state

        def test_step(self, state, data):
            views, state = self._with_state(state, lambda: self.to_views(data))
            return super().test_step(state, views)

        def stateless_call(self, *args, **kwargs):
            # Views pass the encoder one after the other. Inside a call of the model
            # the losses of its layers add up; by itself, each pass begins with none.
            self._get_call_context()
            try:
                return super().stateless_call(*args, **kwargs)
            finally:
                self._maybe_reset_call_context()

        def _with_state(self, state, function):
            """Runs a function that reads and assigns the model's variables."""
            trainable, non_trainable, *rest = state
            variables = (self.trainable_variables, self.non_trainable_variables)
            mapping = [
                *zip(variables[0], trainable),
                *zip(variables[1], non_trainable),
            ]
            with keras.StatelessScope(state_mapping=mapping) as scope:
                result = function()
            new = [[scope.get_current_value(v) for v in group] for group in variables]
            return result, (*new, *rest)

elif keras.config.backend() == "torch":
    import torch

    class TrainStep:
        """Views before, memory after the step, outside of the gradient."""

        def train_step(self, data):
            with torch.no_grad():
                views = self.to_views(data)
            logs = super().train_step(views)
            with torch.no_grad():
                self.after_step()
            return logs

        def test_step(self, data):
            with torch.no_grad():
                return super().test_step(self.to_views(data))

else:
    import tensorflow as tf

    from keras_vicreg.devices.fused_batch_norm import fused_batch_norm

    class TrainStep:
        """Views before, memory after the step, outside of the gradient tape."""

        def train_step(self, data):
            views = self.to_views(data)
            # A loop over pieces of the batch cannot wait for other replicas.
            whole = self.microbatch_size is None
            with (
                fused_batch_norm(self),
                replicas.synchronized_normalization(self)
                if whole
                else contextlib.nullcontext(),
            ):
                logs = super().train_step(views)
            self.after_step()
            return self._of_workers(logs)

        def test_step(self, data):
            return self._of_workers(super().test_step(self.to_views(data)))

        def _of_workers(self, logs):
            """Logs as Keras can reduce them over machines: along an axis (20585)."""
            if not self._has_workers():
                return logs
            return {name: tf.reshape(value, (1,)) for name, value in logs.items()}

        def _maybe_symbolic_build(self, *arguments, **options):
            # Keras cannot take a batch of several machines apart for it (20585), and
            # there is nothing left to build.
            if not self._has_workers():
                super()._maybe_symbolic_build(*arguments, **options)

        def _has_workers(self):
            strategy = self.distribute_strategy
            return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)

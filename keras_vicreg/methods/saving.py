"""What is kept of a pretraining model: configuration, states, presets."""

import keras

from keras_vicreg import zoo

PARTS = ("encoder", "expander", "predictor", "views")


class Saving:
    """Saving of a model with the `PARTS`, `term_weights` and `options` of its own."""

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

    def compile_from_config(self, config):
        """Compiles a loaded model as the saved one was."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

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
        parts = {name: getattr(self, name) for name in PARTS}
        for name in ("encoder", "expander"):
            if (second := getattr(self, f"second_{name}")) is not None:
                parts[name] = [parts[name], second]
        return {
            "name": self.name,
            **{
                name: keras.saving.serialize_keras_object(part)
                for name, part in parts.items()
            },
            **{f"{name}_weight": w for name, w in self.term_weights.items()},
            **self.options,
        }

    @classmethod
    def from_config(cls, config):
        parts = {
            name: keras.saving.deserialize_keras_object(value)
            for name, value in config.items()
            if name in PARTS
        }
        return cls(**{**config, **parts})

"""A model that many devices train, as one device in one process sees it."""

import keras

from keras_vicreg.devices import replicas


class LocalCopy:
    """A copy of a model that is computed with alone, with the weights it has now.

    A model predicts with the devices that it was made for: every process has to take
    part in each batch, and on TensorFlow each replica gets a whole one. What a process
    wants to know for itself, such as an accuracy, it computes on a copy instead. Every
    process holds all weights, so that reading them waits for nobody.

    Where there is one device, the copy is the model itself.

    Args:
        model: a `keras.Model`.

    Example:

    >>> encoder = LocalCopy(model.encoder)
    >>> accuracy = encoder.use(lambda encoder: kv.knn(encoder, train, test).top1)
    """

    def __init__(self, model):
        self.model, self.copy = model, None

    def use(self, function):
        """Returns what `function` of the copy gives."""
        if replicas.num_devices() == 1:
            return function(self.model)
        return replicas.alone(lambda: function(self._updated()))

    def _updated(self):
        if self.copy is None:
            self.copy = keras.models.clone_model(self.model)
        self.copy.set_weights(self.model.get_weights())
        return self.copy

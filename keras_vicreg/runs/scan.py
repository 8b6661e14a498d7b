"""SCAN from an encoder and images to clusters: heads first, then the network."""

import time

import keras
import numpy as np
from keras import ops

import keras_vicreg as kv
from keras_vicreg.data.neighbour_batches import NeighbourBatches
from keras_vicreg.methods.scan import SCAN, head_scores, scan_terms

HEAD_RATE, NETWORK_RATE, DECAY = 1e-3, 1e-4, 1e-4
HEAD_BATCH, NETWORK_BATCH = 512, 128
HEAD_EPOCHS = 50
HEAD_STEPS = 30  # of an epoch at least: small data is gone through several times


def train_scan(
    encoder,
    images,
    features,
    neighbours,
    clusters: int,
    *,
    heads: int = 10,
    epochs: int | None = None,
    network_epochs: int = 0,
    seed: int = 0,
    verbose=0,
    callbacks=(),
) -> SCAN:
    """Trains SCAN's heads on the representations, and then, if asked, the network.

    The heads see standardized representations, which makes their learning rate one for
    all encoders; the scale goes into their weights afterwards. From random heads the
    whole network would take thousands of steps to come where they are in seconds.

    Args:
        encoder: an encoder.
        images: array `(n, height, width, channels)`, 0..255.
        features: their representations, `(n, features)`.
        neighbours: int array `(n, k)`, see `kv.mine_neighbours`.
        clusters: int.
        heads: int. Defaults to 10.
        epochs: int, of the heads, of 30 steps at least each. Defaults to 50.
        network_epochs: int, of the whole network on strongly augmented images. Defaults
            to 0.
        seed: int. Defaults to 0.
        verbose: as in `keras.Model.fit`.
        callbacks: as in `keras.Model.fit`.

    Returns:
        A `kv.SCAN` with its best head chosen.

    Reference:
        Van Gansbeke et al., "SCAN", ECCV 2020, https://arxiv.org/abs/2005.12320
    """
    keras.utils.set_random_seed(seed)
    model = SCAN(encoder, clusters, num_heads=heads, views=kv.StrongViews(seed=seed))
    print(train_heads(model, features, neighbours, epochs, seed=seed))
    if network_epochs:
        how = {"verbose": verbose, "callbacks": list(callbacks)}
        model.encoder.trainable = True
        model.compile(keras.optimizers.AdamW(NETWORK_RATE, weight_decay=DECAY))
        batch_size = min(NETWORK_BATCH, len(images))
        how["epochs"] = network_epochs
        model.fit(images, None, batch_size, neighbours=neighbours, **how)
    return model


def train_heads(model, features, neighbours, epochs=None, *, seed=0) -> str:
    """Trains the one Dense layer of a SCAN on representations, and chooses a head.

    Returns:
        A line that says how it went.
    """
    begin = time.perf_counter()
    copies = -(-HEAD_STEPS * HEAD_BATCH // len(features))
    mean, scale = moments(features)
    rows = np.tile(((features - mean) / scale).astype("float32"), (copies, 1))
    table = np.tile(neighbours, (copies, 1))  # of rows of the first copy
    batches = NeighbourBatches(rows, table, HEAD_BATCH, seed=seed)
    epochs = epochs or HEAD_EPOCHS
    trained = HeadsAlone(model)
    trained.compile(keras.optimizers.Adam(HEAD_RATE))
    history = trained.fit(batches, epochs=epochs, shuffle=False, verbose=0).history
    kernel, bias = trained.dense.get_weights()
    kernel = kernel / scale[:, None]
    model.expander.layers[-1].set_weights([kernel, bias - mean @ kernel])
    logits = model.expander.predict(features, batch_size=1024, verbose=0)
    scores = head_scores(np.asarray(model.logits(logits)), neighbours)
    model.best_head.assign(int(scores.argmin()))
    terms = ", ".join(f"{name} {history[name][-1]:.4g}" for name in model.term_weights)
    return f"Heads: {epochs} epochs, {time.perf_counter() - begin:.1f} s, {terms}"


def moments(features) -> tuple:
    """Mean and standard deviation of each feature, 1 where it is constant."""
    scale = features.std(axis=0, dtype="float64")
    scale = np.where(scale > 0, scale, 1.0)
    return features.mean(axis=0, dtype="float64"), scale


class HeadsAlone(keras.Model):
    """The heads of a SCAN on pairs of standardized representations."""

    def __init__(self, scan: SCAN):
        super().__init__(dtype="float32")
        self.split, self.weights_of = scan.logits, dict(scan.term_weights)
        (layer,) = scan.expander.layers
        self.dense = keras.layers.Dense(
            layer.units, kernel_initializer=layer.kernel_initializer, dtype="float32"
        )
        self.dense.build((None, scan.encoder.output_shape[-1]))
        self.means = {name: keras.metrics.Mean(name=name) for name in self.weights_of}
        self.built = True

    def call(self, pair):
        return tuple(self.split(self.dense(each)) for each in pair)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **kwargs):
        terms = scan_terms(*y_pred)
        for name, value in terms.items():
            self.means[name].update_state(value, sample_weight=ops.shape(x[0])[0])
        return sum(weight * terms[name] for name, weight in self.weights_of.items())

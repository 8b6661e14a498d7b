"""One word -> the devices that a run is spread over."""

import contextlib
import functools
import json
import os

import keras

STRATEGIES = ("auto", "mirrored", "multi_worker", "data_parallel", "none")


@contextlib.contextmanager
def distribution(strategy: str = "auto", devices=None):
    """Models built inside train on many devices, as they would on one large device.

    The loss, its statistics and batch normalization are those of the global batch;
    `batch_size` is the global one, and must be a multiple of the number of devices.

    Args:
        strategy: one of

            - `"mirrored"`: TensorFlow, the devices of one machine;
            - `"data_parallel"`: JAX, the devices of one machine;
            - `"multi_worker"`: several machines or processes. TensorFlow finds them
              in `TF_CONFIG` or in SLURM's variables; JAX in Keras's
              `KERAS_DISTRIBUTION_JOB_ADDRESSES`, `..._NUM_PROCESSES` and
              `..._PROCESS_ID`, or in what `jax.distribution` knows of clusters.
              It must come before anything else that computes;
            - `"none"`: one device;
            - `"auto"`: what fits of these. Several processes are recognised by the
              variables above.

            Defaults to `"auto"`.
        devices: list of devices to use, such as `["GPU:0", "GPU:1"]`. Defaults to
            `None`: all GPUs, or else all logical CPU devices.

    Raises:
        ValueError: if the backend has no such strategy, or a device is not there.

    Example:

    ```python
    with kv.distribution("auto"):
        model = kv.VICReg(encoder, expander, views=views)
        model.compile("adam")
    model.fit(images, batch_size=2048)
    ```
    """
    backend = keras.config.backend()
    if strategy not in STRATEGIES:
        raise ValueError(
            f"`strategy` must be one of {', '.join(STRATEGIES)}. "
            f"Received: strategy={strategy!r}"
        )
    if strategy == "auto":
        strategy = _recognise(backend, devices)
    offered = {
        "tensorflow": {"mirrored": _mirrored, "multi_worker": _workers},
        "jax": {"data_parallel": _data_parallel, "multi_worker": _processes},
        "torch": {},
    }[backend]
    if strategy != "none" and strategy not in offered:
        raise ValueError(
            f"`strategy` must be one of {', '.join([*offered, 'none'])} on the "
            f"{backend} backend. Received: strategy={strategy!r}"
        )
    if strategy == "none":
        yield
        return
    with offered[strategy](devices):
        yield


def _recognise(backend: str, devices) -> str:
    """The strategy that fits the environment."""
    if backend == "tensorflow":
        cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
        processes = sum(len(tasks) for tasks in cluster.values())
        processes = max(processes, int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)))
        several = "mirrored"
    elif backend == "jax":
        processes = int(
            os.environ.get("KERAS_DISTRIBUTION_NUM_PROCESSES")
            or os.environ.get("SLURM_STEP_NUM_TASKS", 1)
        )
        several = "data_parallel"
    else:
        return "none"
    if processes > 1:
        return "multi_worker"
    return several if len(devices or find_devices()) > 1 else "none"


def find_devices() -> list[str]:
    """All GPUs (or TPUs) that the backend sees, or else all logical CPU devices."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        found = tf.config.list_logical_devices
        names = [d.name for d in found("TPU") or found("GPU") or found("CPU")]
        return [name.removeprefix("/device:") for name in names]
    return keras.distribution.list_devices()


def _mirrored(devices):
    import tensorflow as tf

    devices, there = devices or find_devices(), tf.config.list_logical_devices()
    unknown = [
        device
        for device in devices
        if not any(d.name.lower().endswith(device.lower()) for d in there)
    ]
    if unknown:
        raise ValueError(
            f"`devices` must be among {', '.join(d.name for d in there)}. "
            f"Received: {', '.join(unknown)}"
        )
    return _mirrored_strategy(tuple(devices)).scope()


@functools.cache
def _mirrored_strategy(devices: tuple[str, ...]):
    """One strategy for the same devices: two in one process mix their messages up."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices)


def _workers(devices):
    import tensorflow as tf

    _refuse_devices(devices)
    resolver = None
    if "TF_CONFIG" not in os.environ and "SLURM_STEP_NUM_TASKS" in os.environ:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver()
    elif "TF_CONFIG" not in os.environ:
        raise ValueError(
            "`strategy='multi_worker'` must find the machines in TF_CONFIG or in the "
            "variables of SLURM. Received: an environment without either"
        )
    strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    return strategy.scope()


def _data_parallel(devices):
    there = find_devices()
    unknown = [d for d in devices or () if d.lower() not in map(str.lower, there)]
    if unknown:
        raise ValueError(
            f"`devices` must be among {', '.join(there)}. Received: "
            f"{', '.join(unknown)}"
        )
    return keras.distribution.DataParallel(
        devices=devices or there, auto_shard_dataset=False
    ).scope()


def _processes(devices):
    _refuse_devices(devices)
    import jax

    if not jax.distributed.is_initialized():
        keras.distribution.initialize()
    return _data_parallel(None)


def _refuse_devices(devices) -> None:
    if devices is not None:
        raise ValueError(
            "`devices` must be None with `strategy='multi_worker'`: every process uses "
            f"all it has. Received: devices={devices!r}"
        )

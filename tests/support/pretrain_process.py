"""`keras-vicreg pretrain` in a process of its own, which may have to die.

    python pretrain_process.py [OPTION ...]

CPUS is the number of logical processors on TensorFlow. With DIES_IN_EPOCH it kills
itself in the first step of that epoch.
"""

import os
import signal
import sys

from keras_vicreg.commands import main as cli

if "CPUS" in os.environ:
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * int(os.environ["CPUS"]),
    )

if "DIES_IN_EPOCH" in os.environ:
    from keras_vicreg.runs import folder as run_folder

    class Dies(run_folder.HistoryFile):
        """Of all callbacks one that every run has."""

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch
            super().on_epoch_begin(epoch, logs)

        def on_train_batch_begin(self, batch, logs=None):
            if self.epoch + 1 == int(os.environ["DIES_IN_EPOCH"]):
                os.kill(os.getpid(), signal.SIGKILL)

    run_folder.HistoryFile = Dies

sys.exit(cli.main(["pretrain", *sys.argv[1:]]))

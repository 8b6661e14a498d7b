"""Loading a ResNet-50 preset beside building the network and reading its weights.

    python training/benchmarks/preset.py [--backend tensorflow]

What `kv.from_preset` does beyond that is checking: the hash of every file, names,
shapes, finite values. Rounds alternate, and the ratio is that of the medians.
"""

import argparse
import os
import statistics
import tempfile
import time

ROUNDS = 5


def build_and_read(folder: str):
    """The least there is to do: no hash, no check."""
    from safetensors.numpy import load_file

    import keras_vicreg as kv
    from keras_vicreg.presets import reader

    encoder = kv.encoder("resnet50")
    values = load_file(f"{folder}/model.safetensors")
    for name, variable in reader.weight_names(encoder).items():
        variable.assign(values[name])
    return encoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="tensorflow")
    os.environ["KERAS_BACKEND"] = parser.parse_args().backend
    import keras_vicreg as kv

    taken = {"build and read": [], "kv.from_preset": []}
    with tempfile.TemporaryDirectory() as folder:
        kv.save_to_preset(kv.encoder("resnet50"), folder, plain_keras=False)
        for _ in range(ROUNDS):
            for name, load in zip(taken, (build_and_read, kv.from_preset)):
                begin = time.perf_counter()
                load(folder)
                taken[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    for name, seconds in medians.items():
        print(f"{name:>16} {1e3 * seconds:7.0f} ms")
    print(f"{'ratio':>16} {medians['kv.from_preset'] / medians['build and read']:7.2f}")


if __name__ == "__main__":
    main()

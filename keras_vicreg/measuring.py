"""What an encoder is worth on labelled images: protocols by name, and their table."""

import json
from pathlib import Path

import keras_vicreg as kv
from keras_vicreg.run_folder import write_text

# name -> the function of `kv` that measures representations, `protocol(None, ...)`
PROTOCOLS = {"knn": "knn", "linear": "linear_probe"}


def check_protocols(protocols) -> None:
    """Raises unless all `protocols` are known."""
    unknown = [name for name in protocols if name not in PROTOCOLS]
    if unknown:
        raise ValueError(
            f"`protocol` must be among {', '.join(PROTOCOLS)}. "
            f"Received: {', '.join(unknown)}"
        )


def measure(encoder, train, test, protocols=("knn", "linear")) -> dict:
    """Accuracies of an encoder by several protocols, each image embedded once.

    Args:
        encoder: an encoder, or `None` for the pixels themselves.
        train: `(images, labels)`.
        test: `(images, labels)`.
        protocols: names of `PROTOCOLS`.

    Returns:
        A dict: name of the protocol -> what it found, with its interval and settings,
        ready for JSON.
    """
    check_protocols(protocols)
    features = [(kv.embed(encoder, images), labels) for images, labels in (train, test)]
    return {
        name: getattr(kv, PROTOCOLS[name])(None, *features).as_dict()
        for name in protocols
    }


def table(results: dict) -> str:
    """The results of several encoders, a line each: percent, and 95 % intervals."""
    protocols = list(dict.fromkeys(name for row in results.values() for name in row))
    width = max(map(len, results))
    lines = [" " * width + "".join(f"{name:>24}" for name in protocols)]
    for name, row in results.items():
        line = f"{name:>{width}}"
        for protocol in protocols:
            cell = ""
            if found := row.get(protocol):
                low, high = found["top1_interval"]
                cell = f"{found['top1']:.1%} ({low:.1%} to {high:.1%})"
            line += f"{cell:>24}"
        lines.append(line)
    return "\n".join(lines)


def evaluate(handle: str, data: str, protocols=("knn",), data_dir=None, out=None):
    """Measures a preset or the encoder of a run, prints a table, writes a file.

    Args:
        handle: a handle of `kv.from_preset`, or a run folder.
        data: labelled source with a train and a test split, see `kv.load_images`.
        protocols: names of `PROTOCOLS`.
        data_dir: folder of prepared `tfds:` data sets.
        out: path of the file for the results. Defaults to evaluation.json in the run
            folder or, for a preset, the current one. What it holds of other data and
            protocols is kept.

    Returns:
        The content of the file for these data.

    Raises:
        ValueError: if handle, data or protocols are unusable.
    """
    check_protocols(protocols)
    run = Path(handle)
    in_run = (run / "encoder").is_dir()
    file = Path(out) if out else (run if in_run else Path()) / "evaluation.json"
    stored = json.loads(file.read_text()) if file.exists() else {}
    encoder = kv.from_preset(str(run / "encoder") if in_run else handle)
    size = encoder.input_shape[1:3]
    train, test = (
        kv.load_images(
            data,
            image_size=None if None in size else size,
            split=split,
            labels=True,
            data_dir=data_dir,
        )
        for split in ("train", "test")
    )
    name = f"trained, on {data}"
    stored[name] = {
        **stored.get(name, {}),
        **measure(encoder, train, test, protocols),
    }
    write_text(file, json.dumps(stored, indent=2) + "\n")
    print(f"Top-1 accuracy on the {len(test[1]):,} test images of {data}:")
    print(table({name: stored[name]}))
    return stored[name]

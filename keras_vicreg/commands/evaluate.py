"""`keras-vicreg evaluate | finetune | embed`: their options, and what they do.

Nothing is imported before a command runs, so that `--help` answers at once.
"""

import json
import os
import sys
from pathlib import Path

import keras_vicreg as kv
from keras_vicreg.commands.options import (
    check_output_file,
    output_file,
    part,
    positive,
    share,
    whole,
)
from keras_vicreg.terminal import printable


def add_evaluate(commands, shared) -> None:
    """Adds `keras-vicreg evaluate` to the subparsers."""
    parser = commands.add_parser(
        "evaluate",
        parents=[shared],
        help="measure an encoder, with labels and without",
        description="Measures an encoder on images that it was not trained on, prints "
        "a table and writes evaluation.json. Images without labels give quality.",
    )
    parser.set_defaults(command=evaluate)
    add_encoder_and_data(parser, "labelled, in splits; or any images")
    _add_tested(parser)
    parser.add_argument(
        "--protocol",
        help="of knn, linear, linear_sgd, clustering, retrieval, quality, several with "
        "commas between; default: knn, without labels quality",
    )
    parser.add_argument(
        "--out",
        type=output_file,
        help="file for the results; default: evaluation.json in the folder",
    )


def add_finetune(commands, shared) -> None:
    """Adds `keras-vicreg finetune` to the subparsers."""
    parser = commands.add_parser(
        "finetune",
        parents=[shared],
        help="train an encoder on few labels, or on all",
        description="Trains an encoder with a linear head on a share of the labels, "
        "tests it on other images and writes finetune.json.",
    )
    parser.set_defaults(command=finetune)
    add_encoder_and_data(parser, "labelled, in splits")
    _add_tested(parser)
    add = parser.add_argument
    add(
        "--labels",
        dest="label_fraction",
        type=share,
        default=1.0,
        help="share of each class; default: 1",
    )
    add("--epochs", type=whole(1), help="default: 20, or as many as make 500 steps")
    add("--batch-size", type=whole(1), help="default: 256, or a tenth of the images")
    add("--encoder-rate", type=positive, help="learning rate; default: the authors'")
    add("--head-rate", type=positive, help="learning rate; default: the authors'")
    add("--seeds", type=whole(1), default=1, help="runs on other images; default: 1")
    add(
        "--from-scratch",
        action="store_true",
        help="train the same network from random weights too, and compare",
    )
    add(
        "--out",
        type=output_file,
        help="file for the results; default: finetune.json in the folder",
    )


def add_embed(commands, shared) -> None:
    """Adds `keras-vicreg embed` to the subparsers."""
    parser = commands.add_parser(
        "embed",
        parents=[shared],
        help="representations of images as a NumPy file",
        description="Writes the representations of images, (n, features) float32, as "
        "`representations` of an .npz file, with `labels` and `class_names` where the "
        "images have them.",
    )
    parser.set_defaults(command=embed)
    add_encoder_and_data(parser, "sample, a folder, tfds:NAME or hf:NAME")
    parser.add_argument("--split", default="all", help="default: all")
    parser.add_argument("--out", metavar="FILE.npz", type=output_file, required=True)


def add_encoder_and_data(parser, data_help: str) -> None:
    """Adds what is measured, and on which images."""
    add = parser.add_argument
    add("encoder", metavar="ENCODER", help="a preset, a run folder or FILE.keras")
    add("--data", default="sample", help=f"{data_help}; default: sample")
    add("--data-dir", help="where tfds: and hf: data sets are prepared")


def _add_tested(parser) -> None:
    add = parser.add_mutually_exclusive_group().add_argument
    add("--split", help="to test on; default: test, where it has no labels validation")
    add(
        "--validation-split",
        type=part,
        metavar="SHARE",
        help="test on so much of each class of train, where there are no splits",
    )


def evaluate(options) -> dict:
    """Measures a preset or the encoder of a run, prints a table, writes a file.

    What the file holds of other data and protocols is kept.

    Args:
        options: what `add_evaluate` reads.

    Returns:
        What was found for these data, by protocol.

    Raises:
        ValueError: if encoder, data or protocols are unusable.
    """
    from keras_vicreg.data.folder_report import announce
    from keras_vicreg.evaluation import protocols as known
    from keras_vicreg.evaluation.provenance import provenance
    from keras_vicreg.runs.folder import RunFolder
    from keras_vicreg.runs.results import read_results

    announce(options.data)
    labelled = kv.class_names(options.data, data_dir=options.data_dir) is not None
    default = "knn" if labelled else "quality"
    protocols = (options.protocol or default).split(",")
    known.check_protocols(protocols)
    if not labelled:
        protocols = _without_labels(options.data, protocols, known.LABELLED)
    encoder, folder = open_encoder(options.encoder)
    file = _file(options, folder, "evaluation")
    stored = read_results(RunFolder(file.parent), file.name)
    choose = _splits if labelled else _unlabelled
    split, splits = choose(encoder, options)
    test = splits["test" if labelled else "all"]
    found = known.measure(encoder, splits.get("train"), test, protocols, split)
    name = f"trained, on {results_name(options.data, split, options.validation_split)}"
    stored[name] = {**stored.get(name, {}), **found}
    rows = {key: row for key, row in stored[name].items() if key in known.RESULTS}
    stored[name]["measured on"] = provenance(encoder, **splits)
    _write(file, stored)
    count = len(test[1] if labelled else test)
    kind = f"{printable(split)} images" if labelled else "images without labels"
    print(f"On the {count:,} {kind} of {printable(options.data)}, with 95 % intervals:")
    print(known.table({name: rows}))
    return stored[name]


def finetune(options) -> dict:
    """Fine-tunes an encoder on a share of the labels, prints and writes the result.

    From scratch, encoder and head have one learning rate, that of the head: a random
    encoder has as far to go.

    Args:
        options: what `add_finetune` reads.

    Returns:
        What was found: `"pretrained"`, and with `--from-scratch` also `"from
        scratch"` and `"difference"`.

    Raises:
        ValueError: if encoder, data or an option are unusable.
    """
    from keras_vicreg.data.folder_report import announce
    from keras_vicreg.epoch_lines import BAR, LINES
    from keras_vicreg.evaluation import fine_tune
    from keras_vicreg.evaluation.protocols import table
    from keras_vicreg.evaluation.provenance import provenance
    from keras_vicreg.runs.folder import RunFolder

    announce(options.data)
    encoder, folder = open_encoder(options.encoder)
    file = _file(options, folder, "finetune")
    stored = RunFolder(file.parent).read_json(file.name) or {}
    split, splits = _splits(encoder, options)
    given = {
        "label_fraction": options.label_fraction,
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "head_rate": options.head_rate,
        "seeds": tuple(range(options.seeds)),
        "verbose": BAR if sys.stdout.isatty() else LINES,
    }
    rate = options.encoder_rate
    rows = {"pretrained": fine_tune(encoder, **splits, encoder_rate=rate, **given)}
    if options.from_scratch:
        rate = rows["pretrained"].settings["head_rate"]
        network = _reinitialised(encoder)
        rows["from scratch"] = fine_tune(network, **splits, encoder_rate=rate, **given)
    found = {name: row.as_dict() for name, row in rows.items()}
    for row in found.values():
        row["settings"]["split"] = split
    settings = found["pretrained"]["settings"]
    print(
        f"Top-1 accuracy on the {len(splits['test'][1]):,} {printable(split)} "
        f"images of {printable(options.data)}, after {settings['epochs']} epochs on "
        f"{settings['train_images']:,} labels, seeds: {options.seeds}"
    )
    print(table({name: {"fine-tuned": row} for name, row in found.items()}))
    if options.from_scratch:
        found["difference"] = _difference(*rows.values())
    found["measured on"] = provenance(encoder, **splits)
    data = results_name(options.data, split, options.validation_split)
    stored[f"{options.label_fraction:g} of the labels of {data}"] = found
    _write(file, stored)
    return found


def embed(options) -> None:
    """Writes the representations of images to an .npz file.

    Args:
        options: what `add_embed` reads.

    Raises:
        ValueError: if encoder or data are unusable.
    """
    import numpy as np

    from keras_vicreg.data.folder_report import announce

    announce(options.data)
    names = kv.class_names(options.data, options.split, data_dir=options.data_dir)
    encoder, _ = open_encoder(options.encoder)
    data = load_for(encoder, options, options.split, labels=names is not None)
    images, labels = (data, None) if names is None else data
    arrays = {"representations": kv.embed(encoder, images)}
    if names is not None:
        arrays |= {"labels": labels, "class_names": np.array(names)}
    temporary = f"{options.out}.part"
    try:
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, options.out)
    finally:
        Path(temporary).unlink(missing_ok=True)
    shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    print(f"Written: {printable(options.out)}: {shapes}")


def open_encoder(handle: str):
    """The encoder of a preset, run or file, and the run's folder or `None`."""
    from keras_vicreg.runs.encoder_files import load_encoder

    run = Path(handle)
    in_run = any((run / kept).exists() for kept in ("encoder", "encoder.keras"))
    return load_encoder(handle), run if in_run else None


def load_for(encoder, options, split: str, labels: bool = True):
    """Images of the size that an encoder takes, with their labels."""
    size = encoder.input_shape[1:3]
    return kv.load_images(
        options.data,
        image_size=None if None in size else size,
        split=split,
        labels=labels,
        data_dir=options.data_dir,
    )


def _splits(encoder, options) -> tuple[str, dict]:
    """What the images tested are called, and labelled images as `train` and `test`."""
    from keras_vicreg.evaluation.held_out import check_held_out, held_out_split

    if options.validation_split is not None:
        return _held_out(encoder, options)
    if options.split:
        check_held_out(options.split)
    train = load_for(encoder, options, "train")
    split = options.split or held_out_split(options.data, options.data_dir)
    if split is None:
        raise ValueError(
            "`data` must have a test or validation split with labels; "
            "`validation_split` holds a share of the images out. "
            f"Received: {options.data} without"
        )
    name = check_held_out(split)
    if not options.split and name != "test":
        print(f"No labelled test split: measured on the {name} split.")
    return name, {"train": train, "test": load_for(encoder, options, split)}


def _held_out(encoder, options) -> tuple[str, dict]:
    """As `_splits`, of the train split in two parts."""
    from keras_vicreg.evaluation.held_out import hold_out

    images, labels = load_for(encoder, options, "train")
    train, test = hold_out(images, labels, options.validation_split)
    print(
        f"Held out of the train split: {len(test[1]):,} of {len(labels):,} images, "
        f"{options.validation_split:g} of each class, at random (seed 0)."
    )
    return "held-out", {"train": train, "test": test}


def _unlabelled(encoder, options) -> tuple[str, dict]:
    """Name of the split, and its images as `all`."""
    if options.validation_split is not None:
        raise ValueError(
            "`validation_split` must be left out without labels, which nothing learns. "
            f"Received: validation_split={options.validation_split:g}"
        )
    split = options.split or "all"
    return split, {"all": load_for(encoder, options, split, labels=False)}


def results_name(data: str, split: str, held_out: float | None = None) -> str:
    """The name of what was tested, in a file of results."""
    if held_out is not None:
        return f"{data}, {held_out:g} of train held out"
    return data if split in ("test", "all") else f"{data}, {split}"


def _without_labels(data: str, protocols, labelled) -> list:
    """The protocols that can do without labels; says what needs them."""
    lost = [name for name in protocols if name in labelled]
    needs = (
        f"{', '.join(lost or labelled)} need labels, which {data} has not: sub-folders "
        "named for the classes, under train/ and test/ or val/"
    )
    left = [name for name in protocols if name not in labelled]
    if not left:
        raise ValueError(f"{needs}. Without them there is --protocol quality.")
    print(printable(f"Without labels: {', '.join(left)}; {needs}."))
    return left


def _reinitialised(encoder):
    """The same network with random weights."""
    import keras

    keras.utils.set_random_seed(0)
    return keras.models.clone_model(encoder)


def _difference(pretrained, from_scratch) -> dict:
    """How much better the pretrained one is, image by image of those tested."""
    from keras_vicreg.evaluation.accuracy import bootstrap_interval

    gain = pretrained.correct - from_scratch.correct
    low, high = bootstrap_interval(gain)
    print(
        f"Pretrained is better by {100 * gain.mean():+.1f} points "
        f"({100 * low:+.1f} to {100 * high:+.1f})"
    )
    return {"top1": float(gain.mean()), "top1_interval": (low, high)}


def _file(options, folder: Path | None, name: str) -> Path:
    """Where the results go, checked before the work for them."""
    if options.out:
        return Path(options.out)
    file = (folder or Path()) / f"{name}.json"
    try:
        check_output_file(file)
    except ValueError as error:
        raise ValueError(f"{error}. There is `--out` for another place.") from None
    return file


def _write(file: Path, content: dict) -> None:
    from keras_vicreg.runs.folder import write_text

    write_text(file, json.dumps(content, indent=2) + "\n")
    print(f"Written: {printable(file)}")

"""`keras-vicreg cluster`: its options, and what it does.

Nothing is imported before the command runs, so that `--help` answers at once.
"""

import argparse
import json
import os
from pathlib import Path

import keras_vicreg as kv
from keras_vicreg.commands.evaluate import (
    add_encoder_and_data,
    load_for,
    open_encoder,
    results_name,
)
from keras_vicreg.commands.options import LARGEST_SEED, output_folder, whole
from keras_vicreg.terminal import printable

SHOWN = 10  # images of each cluster on the sheet


def add_cluster(commands, shared) -> None:
    """Adds `keras-vicreg cluster` to the subparsers."""
    parser = commands.add_parser(
        "cluster",
        parents=[shared],
        help="sort images into clusters, without labels (SCAN)",
        description="Trains SCAN's heads on the representations of an encoder, so that "
        "images and their neighbours fall into one cluster, and sorts the images. "
        "Labels, where there are any, are compared with the clusters and with k-means.",
    )
    parser.set_defaults(command=cluster)
    add_encoder_and_data(parser, "any images")
    add = parser.add_argument
    add("--split", help="to train on; default: train where there are labels, else all")
    add(
        "--clusters",
        type=whole(2),
        help="default: the number of classes, where there are labels",
    )
    add("--neighbours", type=whole(1), default=20, help="of each image; default: 20")
    add("--heads", type=whole(1), default=10, help="the best is kept; default: 10")
    add("--epochs", type=whole(1), help="of the heads; default: 50")
    add(
        "--network-epochs",
        type=whole(0),
        default=0,
        help="of the whole network after the heads, on strongly augmented images; long "
        "without a GPU; default: 0",
    )
    add(
        "--self-label",
        type=whole(0),
        default=0,
        metavar="EPOCHS",
        help="of self-labelling at the end; long without a GPU; default: 0",
    )
    add("--seed", type=whole(0, LARGEST_SEED), default=0, help="default: 0")
    add(
        "--out",
        type=output_folder,
        help="folder for the results; default: clusters in the run folder or here",
    )


def cluster(options: argparse.Namespace) -> dict:
    """Trains SCAN, prints what came of it and writes it.

    Args:
        options: what `add_cluster` reads.

    Returns:
        The results by name, of k-means and of SCAN; empty without labels.

    Raises:
        ValueError: if encoder, data or an option are unusable.
    """
    from keras_vicreg.data.folder_report import announce

    announce(options.data)
    encoder, run = open_encoder(options.encoder)
    out = _checked_folder(options.out, run)
    images, labels, names, tested = _images(encoder, options)
    clusters = options.clusters or _classes(labels)
    _check_neighbours(options.neighbours, len(images))
    found = _Compared(tested, clusters)
    found.add_kmeans(encoder)
    model = _trained(encoder, images, labels, clusters, options, found)
    assignments, probabilities = model.predict_clusters(images)
    print(_sizes_line(assignments, clusters))
    print(found)
    out.mkdir(parents=True, exist_ok=True)
    _write_model(out / "scan.keras", model)
    _write_table(out / "clusters.csv", names, assignments, probabilities)
    _write_sheet(out / "clusters.png", images, assignments, probabilities)
    results = {name: row.as_dict() for name, row in found.rows.items()}
    _write_results(out / "cluster.json", options, clusters, results)
    if run and results:
        _into_evaluation(run, options.data, tested[0], results)
    return results


def _checked_folder(out: str | None, run: Path | None) -> Path:
    """Where the results go; raises before the work where they could not."""
    from keras_vicreg.runs.folder import RunFolder
    from keras_vicreg.runs.results import read_results

    if run is not None:
        read_results(RunFolder(run))  # which gets a copy of them
    if out is not None:
        return Path(out)
    folder = (run or Path()) / "clusters"
    try:
        output_folder(str(folder))
    except argparse.ArgumentTypeError as error:
        raise ValueError(f"`out` {error}") from None
    return folder


def _trained(encoder, images, labels, clusters: int, options, found):
    """The model of SCAN, each of its trainings measured by `found`."""
    from keras_vicreg.epoch_lines import LINES, progress
    from keras_vicreg.runs.scan import train_scan

    features = kv.embed(encoder, images)
    neighbours = kv.mine_neighbours(features, options.neighbours)
    print(_neighbours_line(neighbours, labels))
    verbose, lines = progress(LINES)
    how = {"verbose": verbose, "callbacks": lines}
    model = train_scan(
        encoder,
        images,
        features,
        neighbours,
        clusters,
        heads=options.heads,
        epochs=options.epochs,
        network_epochs=options.network_epochs,
        seed=options.seed,
        **how,
    )
    print(f"Head {int(model.best_head) + 1} of {options.heads}, chosen without labels.")
    found.add("SCAN", model)
    if options.self_label:
        model, _ = kv.self_label(model, images, epochs=options.self_label, **how)
        found.add("SCAN, self-labelled", model)
    return model


def _images(encoder, options) -> tuple:
    """Images, their labels and names or `None`; split, images, labels to measure on."""
    from keras_vicreg.data.loading import load_named
    from keras_vicreg.data.splits import split_of
    from keras_vicreg.evaluation.held_out import held_out_split

    size = encoder.input_shape[1:3]
    labelled = kv.class_names(options.data, data_dir=options.data_dir) is not None
    split = options.split or ("train" if labelled else "all")
    images, labels, names = load_named(
        options.data, None if None in size else size, split, data_dir=options.data_dir
    )
    if labels is None:
        return images, None, names, None
    other = held_out_split(options.data, options.data_dir)
    if other is None or other == (split_of(split) or split):
        print(f"Measured on the {split} images themselves, whose labels train nothing.")
        return images, labels, names, (split, images, labels)
    return images, labels, names, (other, *load_for(encoder, options, other))


def _classes(labels) -> int:
    import numpy as np

    if labels is None:
        raise ValueError(
            "`clusters` must be given where there are no labels. Received: none"
        )
    return len(np.unique(labels))


def _check_neighbours(neighbours: int, images: int) -> None:
    if neighbours >= images:
        raise ValueError(
            "`neighbours` must be less than the number of images. "
            f"Received: neighbours={neighbours}, {images} images"
        )


def _neighbours_line(neighbours, labels) -> str:
    count, k = neighbours.shape
    line = f"Neighbours: {k} of each of {count:,} images"
    if labels is None:
        return line + "."
    return f"{line}, of its class {(labels[neighbours] == labels[:, None]).mean():.1%}."


def _sizes_line(assignments, clusters: int) -> str:
    """How many images the clusters have, with a warning where that went wrong."""
    import warnings

    import numpy as np

    sizes = np.bincount(assignments, minlength=clusters)
    empty, largest = int((sizes == 0).sum()), sizes.max() / len(assignments)
    if empty or largest > 3 / clusters:
        warnings.warn(
            f"{empty} of {clusters} clusters are empty, and the largest has "
            f"{largest:.0%} of the images: fewer clusters, more neighbours or another "
            "seed may do better.",
            stacklevel=2,
        )
    return f"Clusters: {', '.join(map(str, sorted(sizes, reverse=True)))} images."


class _Compared:
    """Clusters beside classes: of k-means, and of a model as training changes it.

    Each is measured before the next training, which changes the encoder that they
    share.
    """

    def __init__(self, tested, clusters: int):
        self.split, self.images, self.labels = tested or (None, None, None)
        self.clusters, self.rows = clusters, {}

    def add_kmeans(self, encoder) -> None:
        if self.split is not None:
            data = self.images, self.labels
            self.rows["k-means"] = kv.clustering(encoder, data, self.clusters)

    def add(self, name: str, model) -> None:
        from keras_vicreg.evaluation.clustering import compared

        if self.split is not None:
            settings = {"protocol": "scan", "clusters": self.clusters, "method": name}
            assignments, _ = model.predict_clusters(self.images)
            self.rows[name] = compared(assignments, self.labels, settings)

    def __str__(self) -> str:
        from keras_vicreg.evaluation.protocols import percent

        if self.split is None:
            return "Without labels there is nothing to compare the clusters with."
        count = f"{len(self.labels):,} {printable(self.split)}"
        lines = [f"On the {count} images, with 95 % intervals:"]
        width = max(map(len, self.rows))
        for name, row in self.rows.items():
            accuracy = percent(row.accuracy, row.accuracy_interval)
            lines.append(
                f"{name:>{width}}  {accuracy}  NMI {row.nmi:.1%}  ARI {row.ari:.1%}"
            )
        return "\n".join(lines)


def _write_model(file: Path, model) -> None:
    part = file.with_name(".part.keras")  # Keras looks at the ending
    model.save(part)
    os.replace(part, file)
    print(f"Written: {printable(file)}, the model")


def _write_table(file: Path, names, assignments, probabilities) -> None:
    """A line an image: its number, its name where it has one, cluster, probability."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["number", "name", "cluster", "probability"])
    for number, found in enumerate(assignments):
        share = f"{probabilities[number, found]:.4f}"
        writer.writerow([number, names[number] if names else "", int(found), share])
    _write(file, text.getvalue())


def _write_results(file: Path, options, clusters: int, found: dict) -> None:
    names = ("neighbours", "heads", "epochs", "network_epochs", "self_label", "seed")
    settings = {name: getattr(options, name) for name in names}
    content = {
        "encoder": options.encoder,
        "data": options.data,
        "clusters": clusters,
        **settings,
        "found": found,
    }
    _write(file, json.dumps(content, indent=2) + "\n")


def _write_sheet(file: Path, images, assignments, probabilities) -> None:
    """The most certain images of each cluster, a cluster a row."""
    import numpy as np
    from PIL import Image

    height, width = images.shape[1:3]
    clusters, gap = probabilities.shape[1], 2
    sheet = np.full((clusters * (height + gap), SHOWN * (width + gap), 3), 255, "uint8")
    for row in range(clusters):
        members = np.flatnonzero(assignments == row)
        certain = members[np.argsort(-probabilities[members, row], kind="stable")]
        for column, index in enumerate(certain[:SHOWN]):
            top, left = row * (height + gap), column * (width + gap)
            sheet[top : top + height, left : left + width] = images[index]
    part = file.with_suffix(".part")
    Image.fromarray(sheet[:-gap, :-gap]).save(part, "PNG")
    os.replace(part, file)
    print(f"Written: {printable(file)}, the most certain images of each cluster")


def _into_evaluation(run: Path, data: str, split: str, found: dict) -> None:
    """Adds the figures to those of a run, where the report finds them."""
    from keras_vicreg.evaluation.protocols import SCAN
    from keras_vicreg.runs.folder import RunFolder
    from keras_vicreg.runs.results import EVALUATION, read_results

    stored = read_results(RunFolder(run))
    name = f"trained, on {results_name(data, split)}"
    kmeans, *trained = found.values()
    row = {**stored.get(name, {}), "clustering": kmeans, SCAN: trained[-1]}
    _write(run / EVALUATION, json.dumps({**stored, name: row}, indent=2) + "\n")


def _write(file: Path, text: str) -> None:
    from keras_vicreg.runs.folder import write_text

    write_text(file, text)
    print(f"Written: {printable(file)}")

"""Repeats what the card of a built-in preset says, by the commands it came from.

    python training/check_weights.py vicreg_resnet18_sample [--data-dir DIR]

Every result in `run/` of the preset is measured again, with the same draws of labels,
into a temporary folder, and printed beside the published one with its interval. Ends
with 1 if one lies outside. RankMe has no interval: 1 % is allowed.
"""

import argparse
import json
import pathlib
import tempfile

import measure_weights

TRAINED = "trained, on "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("--data-dir", help="where tfds: data sets are prepared")
    arguments = parser.parse_args()
    published = results_in(measure_weights.WEIGHTS / arguments.name / "run")
    with tempfile.TemporaryDirectory() as folder:
        repeated = pathlib.Path(folder)
        for command, *words in commands(arguments.name, arguments.data_dir, published):
            measure_weights.call(command, *words, out=repeated)
        rows = compare(published, results_in(repeated))
    for title, was, low, high, found in rows:
        verdict = "within" if low <= found <= high else "OUTSIDE"
        print(f"{title}: {found:.4f}, {verdict} {was:.4f} ({low:.4f} to {high:.4f})")
    raise SystemExit(any(not low <= found <= high for _, _, low, high, found in rows))


def results_in(run: pathlib.Path) -> dict:
    """What the cards tell of evaluation.json and finetune.json, by title."""
    evaluated = json.loads((run / "evaluation.json").read_text())
    kept = {k: found for k, found in evaluated.items() if k.startswith(TRAINED)}
    tuned = run / "finetune.json"  # missing where only the frozen encoder was measured
    return kept | (json.loads(tuned.read_text()) if tuned.exists() else {})


def commands(name: str, data_dir: str | None, published: dict):
    """Words of the commands that measure the same again."""
    for title, found in published.items():
        if title.startswith(TRAINED):
            data = title.removeprefix(TRAINED)
            command, options = "evaluate", ["--protocol", "knn,linear,quality"]
        else:
            share, data = title.split(" of the labels of ")
            seeds = str(len(found["pretrained"]["settings"]["seeds"]))
            options = ["--labels", share, "--from-scratch", "--seeds", seeds]
            command = "finetune"
        if data_dir and data.startswith("tfds:"):
            options += ["--data-dir", data_dir]
        yield [command, name, "--data", data, *options]


def compare(published: dict, repeated: dict) -> list[tuple]:
    """Rows of title, published value, its interval, and the value found now."""
    rows = []
    for title, protocols in published.items():
        for protocol, was in protocols.items():
            found = repeated[title][protocol]
            if "top1" in was:
                key, interval = "top1", was["top1_interval"]
            elif "rankme" in was:
                key, interval = "rankme", (0.99 * was["rankme"], 1.01 * was["rankme"])
            else:  # what it was measured on
                continue
            rows.append((f"{title}, {protocol}", was[key], *interval, found[key]))
    return rows


if __name__ == "__main__":
    main()

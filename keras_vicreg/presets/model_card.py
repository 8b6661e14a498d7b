"""README.md of a preset, the model card: written from the manifest, never over words
of a person.

The metadata are kept between two markers in the front matter, with the hash of the
text that was generated along with them. Where the text still has that hash nobody has
touched it, and it is written anew; otherwise only the block between the markers is.
"""

import hashlib
import json
import pathlib
import re

from keras_vicreg.presets import folder as folders
from keras_vicreg.presets import manifest as manifests
from keras_vicreg.presets.manifest import Manifest

NAME = "README.md"
BEGIN = "# keras_vicreg: this block is generated, write above or below it"
END = "# keras_vicreg: end"
HASH = "# keras_vicreg: text "
FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.S | re.M)
BLOCK = re.compile(
    rf"^{re.escape(BEGIN)}\r?\n.*?^{re.escape(END)}(?:\r?\n|\Z)", re.S | re.M
)


def render(manifest: Manifest, handle: str, existing: bytes | None = None) -> bytes:
    """The model card.

    Args:
        manifest: the preset.
        handle: what `kv.from_preset` is to be given in its examples.
        existing: a README.md that is there already, whose words are kept.

    Returns:
        Markdown with YAML front matter, in UTF-8.
    """
    text = _text(manifest, handle)
    theirs = ""
    if existing is not None:
        existing = existing.decode("utf-8", "surrogateescape")  # to come back as it is
        front = FRONT_MATTER.match(existing)
        kept = existing[front.end() :] if front else existing
        theirs = BLOCK.sub("", front[1]) if front else ""
        if not (front and HASH + _hash(kept) in front[1].splitlines()):
            text = kept
    metadata = _metadata(manifest, handle, without=_keys(theirs))
    block = f"{BEGIN}\n{metadata}{HASH}{_hash(_text(manifest, handle))}\n{END}\n"
    return f"---\n{theirs}{block}---\n{text}".encode("utf-8", "surrogateescape")


def read(folder: pathlib.Path) -> bytes | None:
    """The README.md of a folder, if there is one in it."""
    path = folder / NAME
    return path.read_bytes() if folders.is_own_file(path) else None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _keys(front_matter: str) -> set[str]:
    """The keys a person has set in the front matter, which count before ours."""
    return set(re.findall(r"^([\w-]+)[ \t]*:", front_matter, re.M))


def _metadata(manifest: Manifest, handle: str, without: set[str]) -> str:
    """The front matter as YAML, by the Hub's own rules."""
    from huggingface_hub import CardData, EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="image-classification",
            dataset_type=metric.get("dataset_id", metric["dataset"]),
            dataset_name=metric["dataset"],
            dataset_split=metric.get("split"),
            metric_type=metric.get("type", "accuracy"),
            metric_name=metric["name"],
            metric_value=metric["value"],
        )
        for metric in manifest.metrics
    ]
    plain = manifests.PLAIN_KERAS[0] in manifest.files
    dataset = manifest.dataset.get("id")
    data = ModelCardData(
        library_name="keras" if plain else "keras-vicreg",
        license=manifest.license or None,
        tags=["keras", "keras-vicreg", "self-supervised-learning", "vision"],
        datasets=[dataset] if isinstance(dataset, str) else None,
        pipeline_tag="image-feature-extraction",
        model_name=_title(handle) if results else None,
        eval_results=results or None,
    )
    ours = {key: v for key, v in data.to_dict().items() if key not in without}
    return f"{CardData(**ours).to_yaml()}\n" if ours else ""


def _title(handle: str) -> str:
    return handle.partition("@")[0].rstrip("/").rsplit("/", 1)[-1]


def _text(manifest: Manifest, handle: str) -> str:
    """Everything below the front matter."""
    parts = [
        f"# {_title(handle)}",
        manifest.description
        or "An image encoder, pretrained without labels with keras_vicreg.",
        _usage(manifest, handle),
        "## Network\n\n" + _table(_network(manifest)),
    ]
    if manifest.metrics:
        parts.append("## Results\n\n" + _results(manifest.metrics))
    if manifest.training:
        parts.append("## Training\n\n" + _table(manifest.training))
    if manifests.CURVES in manifest.files:
        parts.append(f"![Curves of the training]({manifests.CURVES})")
    if manifest.dataset:
        parts.append("## Data\n\n" + _table(manifest.dataset))
    if manifest.limits:
        parts.append(f"## Limits\n\n{manifest.limits}")
    versions = ", ".join(f"{name} {v}" for name, v in manifest.versions.items())
    parts.append(f"Written with {versions}.")
    return "\n" + "\n\n".join(parts) + "\n"


def _usage(manifest: Manifest, handle: str) -> str:
    """How to load it, with this package and without."""
    shape = ["batch", *manifest.preprocessing["image_shape"]]
    shape = ", ".join("any" if side is None else str(side) for side in shape)
    features = manifest.preprocessing["features"]
    # Strings of JSON are strings of Python, whatever quotes are in them.
    literal, there = (
        json.dumps(text, ensure_ascii=False)
        for text in (handle, handle.partition("@")[0])
    )
    lines = [
        "## Use",
        "",
        f"Images go in as they are, 0 to 255, `({shape})`; representations come out, "
        f"`(batch, {features})`.",
        "",
        "```python",
        "import keras_vicreg as kv",
        "",
        f"encoder = kv.from_preset({literal})",
        "representations = encoder.predict(images)",
    ]
    if manifest.expander:
        lines += [f"model = kv.VICReg.from_preset({literal})  # to pretrain further"]
    lines += ["```"]
    if manifests.PLAIN_KERAS[0] in manifest.files:
        lines += [
            "",
            "Without keras_vicreg, on any backend of Keras 3:",
            "",
            "```python",
            "import keras",
            "",
            f"encoder = keras.saving.load_model({there})",
            "```",
        ]
    return "\n".join(lines)


def _network(manifest: Manifest) -> dict:
    rows = {"encoder": manifest.encoder["name"], **manifest.encoder["options"]}
    rows["parameters"] = f"{manifest.weights['parameters']:,}"
    rows["weights"] = manifest.weights["dtype"]
    if manifest.expander:
        rows["expander parameters"] = f"{manifest.expander['parameters']:,}"
    return rows


def _table(rows: dict) -> str:
    """A table of two columns."""
    known = {name: value for name, value in rows.items() if value not in (None, "")}
    lines = [f"| {_cell(name)} | {_cell(value)} |" for name, value in known.items()]
    return "\n".join(["| | |", "| --- | --- |", *lines])


def _results(metrics: list) -> str:
    lines = ["| measured | data | value | |", "| --- | --- | --- | --- |"]
    for metric in metrics:
        data = " ".join(filter(None, [metric["dataset"], metric.get("split")]))
        cells = (metric["name"], data, metric["value"], metric.get("details", ""))
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines)


def _cell(value) -> str:
    if isinstance(value, list):
        value = ", ".join(str(item) for item in value)
    return str(value).replace("|", "\\|").replace("\n", " ")

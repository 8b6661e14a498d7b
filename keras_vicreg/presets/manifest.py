"""The manifest of a preset, vicreg.json: the one file that decides anything.

It comes from strangers, so it is read by hand: of a size, one spelling, known keys,
checked values, a hash of itself. Nothing in it names code.
"""

import dataclasses
import hashlib
import re

from keras_vicreg.presets import strict_json, tensor_file
from keras_vicreg.presets.errors import CorruptPresetError, InvalidPresetError

NAME = "vicreg.json"
FORMAT = 1
MAX_SIZE = 1 << 20  # bytes
ENCODER_WEIGHTS = "model.safetensors"
EXPANDER_WEIGHTS = "expander.safetensors"
WEIGHTS = (ENCODER_WEIGHTS, EXPANDER_WEIGHTS)
PLAIN_KERAS = ("config.json", "metadata.json", "model.weights.h5")
CURVES = "curves.png"
FILES = (*WEIGHTS, *PLAIN_KERAS, CURVES)
PREPROCESSING = {
    "image_shape": list,
    "range": list,
    "mean": list,
    "std": list,
    "features": int,
}
METRIC = {"name": str, "value": float, "dataset": str}
METRIC_MORE = {"type": str, "split": str, "dataset_id": str, "details": str}
# a type -> what JSON calls it
KINDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "an object",
    dict | None: "an object or null",
}


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a preset is, in JSON's own types.

    Args:
        encoder: `{"name": str, "options": dict}`, arguments of `kv.encoder`.
        preprocessing: what the encoder takes and gives, with keys `PREPROCESSING`:
            it follows from `encoder` and is there for other readers.
        weights: `{"file": str, "dtype": str, "parameters": int}`.
        files: file name -> `{"sha256": str, "size": int}`, README.md apart.
        expander: `{"layers": list, "file": str, "dtype": str, "parameters": int}`,
            or `None`.
        description, license, limits: text for the model card.
        training, dataset: dicts for the model card.
        metrics: measured results, dicts with the keys of `METRIC` and perhaps those
            of `METRIC_MORE`.
        versions: package -> version that wrote the preset.
    """

    encoder: dict
    preprocessing: dict
    weights: dict
    files: dict
    expander: dict | None = None
    description: str = ""
    license: str = ""
    limits: str = ""
    training: dict = dataclasses.field(default_factory=dict)
    dataset: dict = dataclasses.field(default_factory=dict)
    metrics: list = dataclasses.field(default_factory=list)
    versions: dict = dataclasses.field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The file, which ends with the hash of all before it.

        Raises:
            ValueError: if it would not be accepted when read again.
        """
        content = {"format": FORMAT, **dataclasses.asdict(self)}
        try:
            data = strict_json.dumps({**content, "sha256": _hash(content)})
            from_bytes(data)
        except (InvalidPresetError, TypeError) as error:
            raise ValueError(
                f"The model card must be of JSON values in their places: {error}"
            ) from None
        return data


def from_bytes(data: bytes) -> Manifest:
    """Reads a manifest.

    Args:
        data: the file, of which no more than `MAX_SIZE` + 1 bytes need be given.

    Raises:
        CorruptPresetError: if it is not as it was written.
        InvalidPresetError: if it is of a newer format, or its values make no sense.
    """
    if len(data) > MAX_SIZE:
        raise InvalidPresetError(f"{NAME} must have at most {MAX_SIZE} bytes.")
    try:
        content = strict_json.loads(data)
        as_written = strict_json.dumps(content) == data
    except (ValueError, RecursionError) as error:
        raise InvalidPresetError(f"{NAME} is not a manifest: {error}.") from None
    if not isinstance(content, dict) or type(content.get("format")) is not int:
        raise InvalidPresetError(f"{NAME} is not a manifest: it has no format number.")
    if content["format"] > FORMAT:
        raise InvalidPresetError(
            f"The preset has format {content['format']} and this version reads "
            f"{FORMAT}: upgrade with `pip install -U keras-vicreg`."
        )
    recorded = content.pop("sha256", None)
    if not as_written or recorded != _hash(content):
        raise CorruptPresetError(
            f"{NAME} is damaged or was edited by hand: write the preset anew with "
            "`save_to_preset`, or download it again."
        )
    try:
        return _checked(content)
    except ValueError as error:
        raise InvalidPresetError(f"{NAME} is not acceptable: {error}.") from None


def _hash(content: dict) -> str:
    return hashlib.sha256(strict_json.dumps(content)).hexdigest()


def _checked(content: dict) -> Manifest:
    if content.pop("format") != FORMAT:
        raise ValueError(f"`format` must be {FORMAT}")
    kinds = {field.name: field.type for field in dataclasses.fields(Manifest)}
    _check_keys("manifest", content, kinds)
    _check_keys("encoder", content["encoder"], {"name": str, "options": dict})
    _check_keys("preprocessing", content["preprocessing"], PREPROCESSING)
    _check_weights("weights", content["weights"], ENCODER_WEIGHTS)
    if content["expander"] is not None:
        weights = dict(content["expander"])
        if not isinstance(weights.pop("layers", None), list):
            raise ValueError("`expander.layers` must be a list")
        _check_weights("expander", weights, EXPANDER_WEIGHTS)
    for metric in content["metrics"]:
        _check_keys("metrics", metric, METRIC, METRIC_MORE)
    _check_files(content)
    return Manifest(**content)


def _check_keys(where: str, value, required: dict, optional: dict | None = None):
    known = {**required, **(optional or {})}
    if not isinstance(value, dict) or not required.keys() <= value.keys():
        raise ValueError(f"`{where}` must hold {', '.join(required)}")
    unknown = value.keys() - known.keys()
    if unknown:
        raise ValueError(f"`{where}` must not hold {min(unknown)[:100]!r}")
    for key, item in value.items():
        kind = known[key]
        accepted = int | float if kind is float else kind
        if not isinstance(item, accepted) or isinstance(item, bool):
            raise ValueError(f"`{key}` of `{where}` must be {KINDS[kind]}")
        if kind is int and not 0 <= item < 1 << 53:
            raise ValueError(f"`{key}` of `{where}` must be between 0 and 2^53")


def _check_weights(where: str, weights: dict, file: str) -> None:
    _check_keys(where, weights, {"file": str, "dtype": str, "parameters": int})
    if weights["file"] != file:
        raise ValueError(f"`{where}.file` must be {file!r}")
    if weights["dtype"] not in tensor_file.DTYPES:
        raise ValueError(f"`{where}.dtype` must be among {list(tensor_file.DTYPES)}")


def _check_files(content: dict) -> None:
    """Known names only, so no name can lead out of the folder."""
    unknown = content["files"].keys() - set(FILES)
    if unknown:
        raise ValueError(f"`files` must not hold {min(unknown)[:100]!r}")
    for name, entry in content["files"].items():
        _check_keys(f"files.{name}", entry, {"sha256": str, "size": int})
        if not re.fullmatch("[0-9a-f]{64}", entry["sha256"]):
            raise ValueError(f"`files.{name}.sha256` must be 64 hexadecimal digits")
    needed = {ENCODER_WEIGHTS} | ({EXPANDER_WEIGHTS} if content["expander"] else set())
    missing = needed - content["files"].keys()
    if missing:
        raise ValueError(f"`files` must hold {min(missing)!r}")

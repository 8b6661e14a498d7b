"""What `keras-vicreg push | pull | list | info` do and print."""

import pathlib

from keras_vicreg import hub, zoo
from keras_vicreg.presets.manifest import Manifest


def push(
    folder: str,
    handle: str,
    private: bool = False,
    token: str | None = None,
    endpoint: str | None = None,
    dry_run: bool = False,
) -> None:
    """Publishes the preset in a folder, or of a run, and prints what that changed.

    Args:
        folder: of a preset or of a run.
        handle: `"hf://user/repo"` or `"hf://user/repo@branch"`.
        private: whether a repository that is made is private.
        token: defaults to the one the user is logged in with.
        endpoint: address of the Hub.
        dry_run: whether to leave it at saying what would change.
    """
    done = hub.push(
        handle,
        folder,
        private=private,
        token=token,
        endpoint=endpoint,
        dry_run=dry_run,
    )
    for name, change in done.changes.items():
        print(f"{change:8} {_size(done.sizes.get(name)):>12}  {name}")
    sent = [name for name, change in done.changes.items() if change != "keep"]
    total = _size(sum(done.sizes.get(name, 0) for name in sent))
    if dry_run:
        print(f"Would change {len(sent)} files of {handle}, {total}.")
    elif sent:
        print(f"Changed {len(sent)} files, {total}: {done.handle}")
    else:
        print(f"Nothing to change: {done.handle}")


def pull(
    handle: str,
    folder: str,
    revision: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
    dry_run: bool = False,
) -> None:
    """Downloads a preset into a folder and prints what that was.

    Args:
        handle: `"hf://user/repo"` or `"hf://user/repo@revision"`.
        folder: where to.
        revision: branch, tag or commit.
        token: defaults to the one the user is logged in with.
        endpoint: address of the Hub.
        dry_run: whether to leave it at saying what would be downloaded.
    """
    pinned, sizes = hub.pull(handle, folder, revision, token, endpoint, dry_run)
    for name, size in sizes.items():
        print(f"{_size(size):>12}  {name}")
    would = "Would download" if dry_run else "Downloaded"
    print(f"{would} {_size(sum(sizes.values()))}, {pinned}, to {pathlib.Path(folder)}")


def list_presets() -> None:
    """Prints a table of the built-in presets."""
    names = zoo.list_presets()
    if not names:
        print("No preset is built in. Others are a folder or hf://user/repo.")
    for name in names:
        manifest, _ = zoo.find_manifest(name)
        results = (f"{m['name']} {m['value']}" for m in manifest.metrics)
        parameters = f"{manifest.weights['parameters']:,} parameters"
        data = manifest.dataset.get("name", "")
        print("  ".join([name, manifest.encoder["name"], parameters, data, *results]))


def info(
    handle: str,
    revision: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
) -> None:
    """Prints what a preset is, without loading it.

    Args:
        handle: as in `kv.from_preset`.
        revision: branch, tag or commit.
        token: defaults to the one the user is logged in with.
        endpoint: address of the Hub.
    """
    manifest, place = zoo.find_manifest(handle, revision, token, endpoint)
    rows = {"preset": place, **_rows(manifest)}
    width = max(map(len, rows)) + 2
    for name, value in rows.items():
        print(f"{name:{width}}{value}")


def _rows(manifest: Manifest) -> dict[str, str]:
    """What there is to say, in the order of interest."""
    takes = manifest.preprocessing
    height, width, channels = takes["image_shape"]
    weights, size = manifest.weights, manifest.files[manifest.weights["file"]]["size"]
    rows = {
        "encoder": f"{manifest.encoder['name']} {_pairs(manifest.encoder['options'])}",
        "images": f"{height or 'any'} x {width or 'any'} x {channels}, 0 to 255",
        "representations": f"{takes['features']:,} features",
        "parameters": f"{weights['parameters']:,}, {weights['dtype']}, {_size(size)}",
    }
    if manifest.expander:
        rows["expander"] = f"{manifest.expander['parameters']:,} parameters"
    for number, metric in enumerate(manifest.metrics):
        place = " ".join(filter(None, [metric["dataset"], metric.get("split")]))
        label = "results" if number == 0 else " " * number
        rows[label] = f"{metric['name']} {metric['value']} on {place}"
    rows |= {
        "data": _pairs(manifest.dataset),
        "training": _pairs(manifest.training),
        "licence": manifest.license,
        "description": manifest.description,
        "limits": manifest.limits,
        "written with": _pairs(manifest.versions),
    }
    return {name: value for name, value in rows.items() if value}


def _pairs(values: dict) -> str:
    known = {name: value for name, value in values.items() if value not in (None, "")}
    return ", ".join(f"{name}={value}" for name, value in known.items())


def _size(size: int | None) -> str:
    if size is None:
        return ""
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"

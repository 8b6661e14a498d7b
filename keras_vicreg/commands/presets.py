"""`keras-vicreg push | pull | list | info`: their options, and what they do.

Nothing is imported before a command runs, so that `--help` answers at once.
"""

import inspect
import pathlib

from keras_vicreg.commands.options import output_folder
from keras_vicreg.terminal import printable


def add_push(commands, shared) -> None:
    """Adds `keras-vicreg push` to the subparsers."""
    parser = commands.add_parser(
        "push", parents=[shared], help="publish a preset on the Hugging Face Hub"
    )
    parser.set_defaults(command=_given_options(push))
    add = parser.add_argument
    add("folder", metavar="DIR", help="folder of a preset or of a run")
    add("handle", metavar="hf://user/repo")
    add("--private", action="store_true", help="if the repository is made")
    _add_hub_options(add)


def add_pull(commands, shared) -> None:
    """Adds `keras-vicreg pull` to the subparsers."""
    parser = commands.add_parser(
        "pull", parents=[shared], help="download a preset from the Hub"
    )
    parser.set_defaults(command=_given_options(pull))
    add = parser.add_argument
    add("handle", metavar="hf://user/repo")
    add("folder", metavar="DIR", type=output_folder)
    add("--revision", help="branch, tag or commit; default: main")
    _add_hub_options(add)


def add_list(commands, shared) -> None:
    """Adds `keras-vicreg list` to the subparsers."""
    parser = commands.add_parser("list", parents=[shared], help="built-in presets")
    parser.set_defaults(command=_given_options(list_presets))


def add_info(commands, shared) -> None:
    """Adds `keras-vicreg info` to the subparsers."""
    parser = commands.add_parser(
        "info", parents=[shared], help="what a preset is, without its weights"
    )
    parser.set_defaults(command=_given_options(info))
    add = parser.add_argument
    add("handle", metavar="HANDLE", help="built-in name, folder or hf://user/repo")
    add("--revision", help="branch, tag or commit; default: main")
    _add_hub_options(add, dry_run=False)


def _add_hub_options(add, dry_run: bool = True) -> None:
    add("--token", help="default: the one you are logged in with")
    add("--endpoint", help="address of the Hub")
    if dry_run:
        add("--dry-run", action="store_true", help="say what would be done")


def _given_options(command):
    """The options of its names are the arguments of `command`."""
    names = inspect.signature(command).parameters

    def run(options):
        command(**{key: v for key, v in vars(options).items() if key in names})

    return run


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
    from keras_vicreg import hub

    done = hub.push(
        handle,
        folder,
        private=private,
        token=token,
        endpoint=endpoint,
        dry_run=dry_run,
    )
    for name, change in done.changes.items():
        _say(f"{change:8} {_size(done.sizes.get(name)):>12}  {name}")
    sent = [name for name, change in done.changes.items() if change != "keep"]
    total = _size(sum(done.sizes.get(name, 0) for name in sent))
    if dry_run:
        _say(f"Would change {len(sent)} files of {handle}, {total}.")
    elif sent:
        _say(f"Changed {len(sent)} files, {total}: {done.handle}")
    else:
        _say(f"Nothing to change: {done.handle}")


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
    from keras_vicreg import hub

    pinned, sizes = hub.pull(handle, folder, revision, token, endpoint, dry_run)
    for name, size in sizes.items():
        _say(f"{_size(size):>12}  {name}")
    would = "Would download" if dry_run else "Downloaded"
    _say(f"{would} {_size(sum(sizes.values()))}, {pinned}, to {pathlib.Path(folder)}")


def list_presets() -> None:
    """Prints a table of the built-in presets."""
    from keras_vicreg import zoo

    names = zoo.list_presets()
    if not names:
        _say("No preset is built in. Others are a folder or hf://user/repo.")
    for name in names:
        manifest, _ = zoo.find_manifest(name)
        results = (f"{m['name']} {m['value']}" for m in manifest.metrics)
        parameters = f"{manifest.weights['parameters']:,} parameters"
        data = manifest.dataset.get("name", "")
        _say("  ".join([name, manifest.encoder["name"], parameters, data, *results]))


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
    from keras_vicreg import zoo

    manifest, place = zoo.find_manifest(handle, revision, token, endpoint)
    rows = {"preset": place, **_rows(manifest)}
    width = max(map(len, rows)) + 2
    for name, value in rows.items():
        _say(f"{name:{width}}{value}")


def _rows(manifest) -> dict[str, str]:
    """What a manifest has to say, in the order of interest."""
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


def _say(line: str) -> None:
    """Prints a line in which words may be a stranger's."""
    print(printable(line))


def _size(size: int | None) -> str:
    if size is None:
        return ""
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"

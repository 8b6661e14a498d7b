"""From the Hub to a model, or to a folder."""

import pathlib
import shutil

from keras_vicreg.atomic_folder import replacing
from keras_vicreg.hub.repository import parse
from keras_vicreg.hub.snapshot import resolve
from keras_vicreg.presets import folder as folders
from keras_vicreg.presets import manifest as manifests
from keras_vicreg.presets import model_card, reader, writer
from keras_vicreg.presets.manifest import Manifest


def load(handle: str, revision: str | None, model_class=None, options=None):
    """The model of a preset on the Hub; `kv.from_preset` in full."""
    snapshot = resolve(parse(handle, revision))
    manifest = snapshot.manifest()
    return reader.build(
        manifest,
        lambda name: snapshot.read(manifest, name),
        model_class,
        options,
    )


def find_manifest(
    handle: str,
    revision: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
) -> tuple[Manifest, str]:
    """The manifest of a preset on the Hub, and the handle of the commit it is of."""
    repository = parse(handle, revision, token, endpoint)
    snapshot = resolve(repository)
    return snapshot.manifest(), repository.pinned(snapshot.commit)


def pull(
    handle: str,
    folder,
    revision: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
    dry_run: bool = False,
) -> tuple[str, dict[str, int]]:
    """Downloads a whole preset into a folder, which changes whole or not at all.

    Args:
        handle: `"hf://user/repo"` or `"hf://user/repo@revision"`.
        folder: where to; it must not exist, be empty, or hold a preset, which is
            replaced.
        revision: branch, tag or commit. Defaults to the main branch.
        token: defaults to the one the user is logged in with.
        endpoint: address of the Hub. Defaults to `HF_ENDPOINT`, else the public one.
        dry_run: whether to leave it at saying what would be downloaded.

    Returns:
        The handle of the commit, and file name -> bytes.

    Raises:
        kv.PresetError: if the preset cannot be had or is damaged. The folder is then
            as it was.
    """
    folder = pathlib.Path(folder)
    writer.check_replaceable(folder)
    repository = parse(handle, revision, token, endpoint)
    snapshot = resolve(repository)
    manifest = snapshot.manifest()
    sizes = {name: entry["size"] for name, entry in manifest.files.items()}
    sizes[manifests.NAME] = snapshot.path(manifests.NAME).stat().st_size
    pinned = repository.pinned(snapshot.commit)
    if dry_run:
        return pinned, sizes
    with replacing(folder, writer.OWN) as new:
        for name in manifest.files:
            (new / name).write_bytes(snapshot.read(manifest, name))
        shutil.copyfile(snapshot.path(manifests.NAME), new / manifests.NAME)
        card = snapshot.card()
        if card is None:
            card = model_card.render(manifest, f"hf://{repository.name}")
        (new / model_card.NAME).write_bytes(card)
        folders.verify(new)
    return pinned, sizes

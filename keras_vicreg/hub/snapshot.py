"""One commit of a repository: every file of a preset comes from it, and is checked."""

import contextlib
import hashlib
import pathlib
import warnings

from keras_vicreg.hub import calls
from keras_vicreg.hub.calls import call, is_offline
from keras_vicreg.hub.repository import COMMIT, Repository
from keras_vicreg.presets import folder as folders
from keras_vicreg.presets import manifest as manifests
from keras_vicreg.presets import model_card
from keras_vicreg.presets.errors import (
    CorruptPresetError,
    HubConnectionError,
    InvalidPresetError,
    PresetNotFoundError,
)
from keras_vicreg.presets.manifest import Manifest

LIMITS = {manifests.NAME: manifests.MAX_SIZE, model_card.NAME: 10 << 20}  # bytes


class Snapshot:
    """The files of a repository at one commit, in the Hub's cache.

    Args:
        repository: which.
        commit: its hash.
        listing: file name -> what the Hub says of it at that commit, or `None` if it
            was not asked, because what is in the cache may do.
    """

    def __init__(self, repository: Repository, commit: str, listing: dict | None):
        self.repository, self.commit, self.listing = repository, commit, listing

    def manifest(self) -> Manifest:
        """The manifest; if it is damaged, that of one fresh download."""
        try:
            return folders.read_manifest(self.path(manifests.NAME).parent)
        except (CorruptPresetError, InvalidPresetError):
            return folders.read_manifest(self.path(manifests.NAME, fresh=True).parent)

    def read(self, manifest: Manifest, name: str) -> bytes:
        """The checked content of a file; if damaged, of one fresh download."""
        size = manifest.files[name]["size"]
        try:
            folder = self.path(name, size=size).parent
            return folders.read_file(folder, manifest, name)
        except CorruptPresetError:
            folder = self.path(name, size=size, fresh=True).parent
            return folders.read_file(folder, manifest, name)

    def card(self) -> bytes | None:
        """The README.md, if there is one; if damaged, of one fresh download."""
        try:
            content = self.path(model_card.NAME).read_bytes()
        except PresetNotFoundError:
            return None
        listed = self.listing and self.listing[model_card.NAME]
        if listed and listed.lfs is None and git_id(content) != listed.blob_id:
            content = self.path(model_card.NAME, fresh=True).read_bytes()
        return content

    def path(self, name: str, size: int | None = None, fresh: bool = False):
        """Where a file lies, downloaded if need be.

        Args:
            name: of the file.
            size: bytes it has by the manifest. If the Hub has another file than that,
                it is not downloaded.
            fresh: whether to download it even if it is there.
        """
        there = None if fresh else cached(self.repository, name, self.commit)
        if there is not None:
            return there
        if is_offline():
            raise _not_in_cache(self.repository, name)
        if self.listing is None:
            self.listing = listing_of(ask(self.repository, self.commit))
        if name not in self.listing:
            raise PresetNotFoundError(
                f"{self.repository.name} has no {name} at {self.commit[:12]}: it holds "
                "no preset, or not all of it."
            )
        listed = self.listing[name].size
        if size is not None and size != listed:
            raise CorruptPresetError(
                f"{name} of {self.repository.name} has {listed} bytes and its manifest "
                f"says {size}: whoever published it must push again."
            )
        if listed > LIMITS.get(name, listed):
            raise InvalidPresetError(
                f"{name} of {self.repository.name} has {listed} bytes, more than the "
                f"{LIMITS[name]} such a file may have."
            )
        path = call(
            self.repository,
            lambda: self.repository.api.hf_hub_download(
                self.repository.name, name, revision=self.commit, force_download=fresh
            ),
        )
        return pathlib.Path(path)


def resolve(repository: Repository) -> Snapshot:
    """The snapshot that a repository's revision stands for now.

    A commit that is in the cache is taken from there without a request. Anything else
    is asked of the Hub; only where the Hub cannot be reached is the last known commit
    of a branch taken from the cache, with a warning.
    """
    known = cached(repository, manifests.NAME, repository.revision)
    if known and (is_offline() or COMMIT.fullmatch(repository.revision)):
        return Snapshot(repository, known.parent.name, None)
    if is_offline():
        raise _not_in_cache(repository, manifests.NAME)
    try:
        info = ask(repository, repository.revision)
    except HubConnectionError as error:
        if known is None:
            raise
        commit = known.parent.name
        warnings.warn(f"{error} Taken from the cache: {commit}.", stacklevel=2)
        return Snapshot(repository, commit, None)
    _remember(repository, info.sha)
    return Snapshot(repository, info.sha, listing_of(info))


def cached(repository: Repository, name: str, revision: str) -> pathlib.Path | None:
    """A file in the cache, if it is there."""
    import huggingface_hub

    path = huggingface_hub.try_to_load_from_cache(
        repository.name, name, _cache(), revision
    )
    return pathlib.Path(path) if isinstance(path, str) else None


def _cache() -> pathlib.Path:
    from huggingface_hub import constants

    return pathlib.Path(constants.HF_HUB_CACHE)


def ask(repository: Repository, revision: str):
    """What the Hub says of a repository at a revision: commit, files, visibility."""
    return call(
        repository,
        lambda: repository.api.model_info(
            repository.name,
            revision=revision,
            files_metadata=True,
            timeout=calls.SILENCE,
        ),
    )


def listing_of(info) -> dict:
    """File name -> size and hashes, of what the Hub says of a repository."""
    return {file.rfilename: file for file in info.siblings}


def git_id(content: bytes) -> str:
    """The hash by which git, and so the Hub's listing, knows a small file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _remember(repository: Repository, commit: str) -> None:
    """Notes the commit of a branch or tag in the cache, for when there is no network.

    The client does so when it is asked for a branch. It is asked for commits only, so
    that no two files can be of different ones.
    """
    if COMMIT.fullmatch(repository.revision):
        return
    folder = _cache() / f"models--{repository.name.replace('/', '--')}" / "refs"
    with contextlib.suppress(OSError):  # a cache that cannot be written to
        ref = folder / repository.revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        new = ref.with_name(f".{ref.name}.{commit}")
        new.write_text(commit)
        new.replace(ref)


def _not_in_cache(repository: Repository, name: str) -> HubConnectionError:
    return HubConnectionError(
        f"{name} of {repository.name} at {repository.revision} is not in the cache, or "
        "damaged there, and offline mode is on: unset HF_HUB_OFFLINE to download it."
    )

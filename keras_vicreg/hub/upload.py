"""From a folder or a model to the Hub, in one commit or none."""

import dataclasses
import hashlib
import pathlib
import tempfile

from keras_vicreg import __version__
from keras_vicreg.atomic_folder import current
from keras_vicreg.hub.calls import TRIES, call, wait
from keras_vicreg.hub.repository import COMMIT, Repository, parse
from keras_vicreg.hub.snapshot import Snapshot, ask, git_id, listing_of
from keras_vicreg.presets import folder as folders
from keras_vicreg.presets import manifest as manifests
from keras_vicreg.presets import model_card, writer
from keras_vicreg.presets.built_in import find_folder
from keras_vicreg.presets.errors import (
    CorruptPresetError,
    HubAccessError,
    HubConnectionError,
    PresetError,
    PresetNotFoundError,
)


@dataclasses.dataclass(frozen=True)
class Push:
    """What a push did, or would do.

    Args:
        handle: of the commit the preset is in now, `"hf://user/repo@commit"`.
        changes: file name -> `"add"`, `"replace"`, `"delete"` or `"keep"`.
        sizes: file name -> bytes, of those not deleted.
    """

    handle: str
    changes: dict[str, str]
    sizes: dict[str, int]


def upload_preset(
    handle: str,
    folder_or_model,
    private: bool = False,
    token: str | None = None,
    commit_message: str | None = None,
) -> str:
    """Publishes a preset on the Hugging Face Hub.

    All files change in one commit, or none does. What is there already is not sent
    again, and the words of a README.md there are kept.

    Args:
        handle: `"hf://user/repo"`, which is made if there is none, or
            `"hf://user/repo@branch"`.
        folder_or_model: folder of a preset, or what `kv.save_to_preset` takes.
        private: whether a repository that is made is private. Defaults to `False`.
        token: of the Hub, with write permission. Defaults to the one the user is
            logged in with.
        commit_message: defaults to one that names this package.

    Returns:
        The handle of the commit, `"hf://user/repo@commit"`, which never changes.

    Raises:
        kv.PresetError: if it cannot be published; the repository is as it was.

    Example:

    ```python
    handle = kv.upload_preset("hf://user/resnet18-photos", model)
    encoder = kv.from_preset(handle)
    ```
    """
    options = {"private": private, "token": token, "commit_message": commit_message}
    if isinstance(folder_or_model, (str, pathlib.Path)):
        return push(handle, folder_or_model, **options).handle
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary) / "preset"
        writer.write(folder_or_model, folder)
        return push(handle, folder, **options).handle


def push(
    handle: str,
    folder,
    private: bool = False,
    token: str | None = None,
    commit_message: str | None = None,
    endpoint: str | None = None,
    dry_run: bool = False,
) -> Push:
    """Publishes the preset in a folder; `upload_preset` in full.

    Args:
        handle: as in `upload_preset`.
        folder: of the preset, or the name of a built-in one.
        private: as in `upload_preset`.
        token: as in `upload_preset`.
        commit_message: as in `upload_preset`.
        endpoint: address of the Hub. Defaults to `HF_ENDPOINT`, else the public one.
        dry_run: whether to leave it at saying what would change.
    """
    repository = parse(handle, token=token, endpoint=endpoint)
    if COMMIT.fullmatch(repository.revision):
        raise ValueError(
            "`handle` must name a branch, since a commit cannot be changed. "
            f"Received: handle={handle!r}"
        )
    folder = find_folder(str(folder))
    manifest = folders.steadily(folder, folders.verify)
    if not dry_run:
        _make_repository(repository, private)
    first, failure = None, None
    for attempt in range(TRIES + 1):
        plan = _plan(repository, current(folder), manifest, private)
        first = first or plan
        if dry_run or not plan.operations:
            # After a commit this is the proof that all of it arrived, and after one
            # whose answer was lost, that it did.
            return Push(repository.pinned(plan.head), first.changes, first.sizes)
        if attempt < TRIES:
            try:
                _commit(repository, plan, manifest, commit_message)
            except HubConnectionError as error:
                failure = error
                wait(attempt)
    raise failure or CorruptPresetError(
        f"What arrived at {repository.name} is not what was sent: push again."
    )


def _make_repository(repository: Repository, private: bool) -> None:
    """Makes the repository if there is none, and any branch but the main one."""
    import huggingface_hub

    if not (repository.token or huggingface_hub.get_token()):
        raise HubAccessError(
            "Publishing takes a token: log in with `hf auth login`, set HF_TOKEN, or "
            "pass `token`."
        )
    name, branch = repository.name, repository.revision
    try:
        ask(repository, "main")
    except PresetNotFoundError:
        call(
            repository,
            lambda: repository.api.create_repo(name, private=private, exist_ok=True),
        )
    if branch != "main":
        call(
            repository,
            lambda: repository.api.create_branch(name, branch=branch, exist_ok=True),
        )


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What is to be done to make a commit hold the preset."""

    head: str | None
    operations: list
    changes: dict[str, str]
    sizes: dict[str, int]


def _plan(repository: Repository, folder, manifest, private: bool) -> _Plan:
    """Compares the preset with the head of the branch."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    try:
        info = ask(repository, repository.revision)
    except PresetNotFoundError:  # in a dry run, before there is a repository
        info = None
    if private and info is not None and not info.private:
        raise PresetError(
            f"{repository.name} exists and is public: make it private at "
            f"{repository.endpoint}/{repository.name}/settings, or choose another name."
        )
    remote = listing_of(info) if info else {}
    card = model_card.read(folder)
    if model_card.NAME in remote:  # whose words count
        card = Snapshot(repository, info.sha, remote).card()
    card = model_card.render(manifest, f"hf://{repository.name}", card)
    small = {manifests.NAME: manifest.to_bytes(), model_card.NAME: card}
    entries = manifest.files | {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        for name, data in small.items()
    }
    operations, changes = [], {}
    for name, entry in entries.items():
        source = small.get(name) or folder / name
        changes[name] = _change(source, entry, remote.get(name))
        if changes[name] != "keep":
            operations.append(CommitOperationAdd(name, source))
    for name in sorted(remote.keys() & set(manifests.FILES) - entries.keys()):
        changes[name] = "delete"
        operations.append(CommitOperationDelete(name))
    sizes = {name: entry["size"] for name, entry in entries.items()}
    return _Plan(info and info.sha, operations, changes, sizes)


def _change(source: bytes | pathlib.Path, entry: dict, remote) -> str:
    """What to do about a file, given what the Hub says of the one it has."""
    if remote is None:
        return "add"
    if remote.lfs is not None:  # a large file, which need not be read for this
        return "keep" if remote.lfs.sha256 == entry["sha256"] else "replace"
    data = source if isinstance(source, bytes) else source.read_bytes()
    return "keep" if remote.blob_id == git_id(data) else "replace"


def _commit(repository: Repository, plan: _Plan, manifest, message: str | None):
    """Sends all changes as one commit on top of the head they were planned for."""
    from huggingface_hub import CommitOperationAdd

    name, branch = repository.name, repository.revision
    additions = [o for o in plan.operations if isinstance(o, CommitOperationAdd)]
    call(
        repository,
        lambda: repository.api.preupload_lfs_files(
            name, additions, revision=branch, free_memory=False
        ),
        tries=1,
    )
    for addition in additions:
        entry = manifest.files.get(addition.path_in_repo)
        if entry and addition.upload_info.sha256.hex() != entry["sha256"]:
            raise CorruptPresetError(
                f"{addition.path_in_repo} changed while it was sent: push again."
            )
    call(
        repository,
        lambda: repository.api.create_commit(
            name,
            plan.operations,
            commit_message=message or f"Upload with keras_vicreg {__version__}",
            revision=branch,
            parent_commit=plan.head,
        ),
        tries=1,
    )

"""What a handle names: a repository on the Hub, and a revision of it."""

import dataclasses
import os
import re

HANDLE = re.compile(r"hf://([\w.-]+/[\w.-]+?)(?:@(.+))?", re.ASCII)
REVISION = re.compile(r"\w(?:[\w-]|[./](?=[\w-]))*", re.ASCII)
COMMIT = re.compile("[0-9a-f]{40}")


@dataclasses.dataclass(frozen=True)
class Repository:
    """A model repository on the Hub.

    Args:
        name: `"user/repo"`.
        revision: branch, tag or commit. Defaults to `"main"`.
        endpoint: address of the Hub, without a slash at its end.
        token: what opens it; `None` for the one the user is logged in with, `False`
            for none.
    """

    name: str
    revision: str
    endpoint: str
    token: str | bool | None = None

    @property
    def api(self):
        """The Hub's client for this endpoint and token."""
        import huggingface_hub

        from keras_vicreg import __version__

        return huggingface_hub.HfApi(
            endpoint=self.endpoint,
            token=self.token,
            library_name="keras_vicreg",
            library_version=__version__,
        )

    def pinned(self, commit: str) -> str:
        """The handle of one commit, which never changes."""
        return f"hf://{self.name}@{commit}"


def parse(
    handle: str,
    revision: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
) -> Repository:
    """The repository of `"hf://user/repo"` or `"hf://user/repo@revision"`.

    Args:
        handle: the address.
        revision: another way to name the revision.
        token: of the Hub.
        endpoint: defaults to `HF_ENDPOINT` as it is set now, else the public Hub.

    Raises:
        ValueError: if it is none, or names two revisions.
    """
    from huggingface_hub import constants

    match = HANDLE.fullmatch(handle) if isinstance(handle, str) else None
    if not match:
        raise ValueError(
            "`handle` must be hf://user/repo or hf://user/repo@revision. "
            f"Received: handle={handle!r}"
        )
    name, inside = match.groups()
    if inside and revision and inside != revision:
        raise ValueError(
            "`revision` must not contradict the one in `handle`. "
            f"Received: revision={revision!r}, handle={handle!r}"
        )
    revision = inside or revision or "main"
    if not REVISION.fullmatch(revision):
        raise ValueError(
            "`revision` must be a branch, a tag or a commit. "
            f"Received: revision={revision!r}"
        )
    endpoint = endpoint or os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    return Repository(name, revision, endpoint.rstrip("/"), token)

"""One call to the Hub: bounded in time, tried again, and its failures in our words."""

import contextlib
import os
import threading
import time

from keras_vicreg.presets.errors import (
    HubAccessError,
    HubConnectionError,
    PresetError,
    PresetNotFoundError,
)

TRIES = 4
WAIT = 1.0  # seconds before the second try, doubled for each further one
LONGEST_WAIT = 30.0  # seconds, also where the Hub asks for more
SILENCE = 60.0  # seconds without a byte after which an answer is no longer awaited
HTTP_LIBRARIES = {"httpx", "httpx2", "httpcore", "httpcore2", "hf_xet"}


def call(repository, action, tries: int = TRIES):
    """`action()`, which calls the Hub's client and nothing else.

    Args:
        repository: the `Repository` it is about, for the messages.
        action: function without arguments. What it does may happen twice: the answer
            to a first try may be what was lost.
        tries: how often at most.

    Raises:
        kv.PresetError: in place of whatever the client raises.
    """
    if is_offline():
        raise HubConnectionError(
            f"{repository.name} cannot be reached in offline mode: unset "
            "HF_HUB_OFFLINE."
        )
    for attempt in range(tries):
        try:
            with _bounded():
                return action()
        except Exception as error:
            # A bug of ours is to be seen, not to be taken for the network.
            if isinstance(error, (PresetError, TypeError, AttributeError)):
                raise
            reason = _reason(error)
            if attempt == tries - 1 or not _passes(reason):
                raise translated(reason, repository) from error
            wait(attempt, _asked_wait(reason))


def wait(attempt: int, asked: float | None = None) -> None:
    """Waits before the next try, the longer the more there were.

    Args:
        attempt: number of the try that failed, from 0.
        asked: seconds the Hub asked for.
    """
    time.sleep(min(asked or WAIT * 2**attempt, LONGEST_WAIT))


def is_offline() -> bool:
    """Whether the user has asked to stay off the network, now or at start."""
    from huggingface_hub import constants

    now = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    return now or constants.HF_HUB_OFFLINE


def _reason(error: Exception) -> Exception:
    """The failure behind those the client wraps it in."""
    from huggingface_hub.errors import HfHubHTTPError

    cause = error
    while cause is not None:
        if isinstance(cause, HfHubHTTPError) or _is_transport(cause):
            return cause
        cause = cause.__cause__
    return error


def _is_transport(error: Exception) -> bool:
    library = type(error).__module__.partition(".")[0]
    return isinstance(error, ConnectionError) or library in HTTP_LIBRARIES


def _status(error: Exception) -> int | None:
    response = getattr(error, "response", None)
    return getattr(response, "status_code", None)


def _passes(error: Exception) -> bool:
    """Whether the next try may go better."""
    status = _status(error)
    if status is not None:
        return status in (408, 429) or status >= 500
    # Transfers that end early and answers that make no sense are OSError, without a
    # number, and RuntimeError; a full disk is an OSError with one.
    unnumbered = isinstance(error, OSError) and error.errno is None
    return _is_transport(error) or unnumbered or isinstance(error, RuntimeError)


def _asked_wait(error: Exception) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", {})
    asked = headers.get("Retry-After", "")
    return float(asked) if asked.isdigit() else None


def translated(error: Exception, repository) -> PresetError:
    """The failure as one of ours, with what to do about it."""
    from huggingface_hub import errors

    name, endpoint, status = repository.name, repository.endpoint, _status(error)
    if isinstance(error, errors.GatedRepoError):
        return HubAccessError(
            f"{name} is gated: ask for access at {endpoint}/{name}, then log in with "
            "`hf auth login` or pass a token of that account."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return PresetNotFoundError(
            f"There is no repository {name} at {endpoint}, or it is private: check the "
            "name, and log in with `hf auth login` or pass a token that may read it."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return PresetNotFoundError(
            f"{name} has no branch, tag or commit {repository.revision!r}: see "
            f"{endpoint}/{name}/tree/main for those there are."
        )
    if isinstance(error, errors.EntryNotFoundError) and status:
        return PresetNotFoundError(f"{name} lacks a file of the preset: {error}")
    if status is not None and status < 500:
        return _refusal(status, error, repository)
    if isinstance(error, ValueError) or getattr(error, "errno", None) is not None:
        return PresetError(f"The transfer of {name} failed: {error}")
    return HubConnectionError(
        f"{endpoint} does not answer as it should for {name}: "
        f"{type(error).__name__} {error}. Try again later; what is in the cache can be "
        "used with HF_HUB_OFFLINE=1."
    )


def _refusal(status: int, error: Exception, repository) -> PresetError:
    """What the Hub means by a status between 400 and 499."""
    name, endpoint = repository.name, repository.endpoint
    tokens = f"{endpoint}/settings/tokens"
    if status == 401:
        return HubAccessError(
            f"The Hub does not accept the token for {name}: make a new one at "
            f"{tokens}, then `hf auth login` or set HF_TOKEN."
        )
    if status == 403:
        return HubAccessError(
            f"The token may not do this to {name}: make one with write permission for "
            f"it at {tokens}."
        )
    if status == 412:
        return HubConnectionError(
            f"Somebody else keeps changing {name} at the same time: push again later."
        )
    if status == 429:
        return HubConnectionError(
            f"The Hub asks for fewer requests for {name}: wait some minutes, and log "
            "in, which allows for more."
        )
    return PresetError(f"The Hub refuses the request for {name}: {error}")


_inside = 0
_waits_before = None
_lock = threading.Lock()


@contextlib.contextmanager
def _bounded():
    """The client waits for ever in most of its requests; inside, `SILENCE` at most."""
    from huggingface_hub.utils import get_session

    global _inside, _waits_before
    with _lock:
        if _inside == 0:
            _waits_before = get_session().timeout
        get_session().timeout = SILENCE
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                get_session().timeout = _waits_before

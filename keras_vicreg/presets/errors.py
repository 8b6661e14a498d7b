"""What can go wrong with a preset: one kind of error for each thing to do about it."""

from keras_vicreg.terminal import printable


class PresetError(Exception):
    """A preset could not be read, written or transferred.

    The message is one line and says what to do.
    """

    def __init__(self, message: str):
        # Parts of it may come from a stranger's file or server.
        super().__init__(printable(" ".join(message.split()))[:1000])


class PresetNotFoundError(PresetError):
    """There is no such preset, folder, repository, revision or file."""


class InvalidPresetError(PresetError):
    """What was found is not a preset this version accepts; nothing was loaded."""


class CorruptPresetError(PresetError):
    """The files differ from what the manifest says of them; nothing was loaded."""


class HubAccessError(PresetError):
    """The Hub refuses: a token is missing, wrong or read-only, or access is gated."""


class HubConnectionError(PresetError):
    """The Hub cannot be reached, or does not answer as it should."""

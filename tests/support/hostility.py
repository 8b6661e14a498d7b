"""Making presets that lie, and looking at what loading them does."""

import contextlib
import hashlib
import os
import re
import resource
import sys
import time
from pathlib import Path

import pytest

import keras_vicreg as kv
from keras_vicreg import zoo
from keras_vicreg.presets import manifest as manifests
from keras_vicreg.presets import strict_json

WEIGHTS = "model.safetensors"
DEEP = b"[" * 100_000 + b"]" * 100_000
# Values that no place of a manifest asks for.
HOSTILE = [
    True,
    -1,
    0.5,
    2**53,
    2**64,
    10**30,
    1e308,
    "../../../etc/passwd",
    "/etc/passwd",
    "os.system",
    "__import__('os').abort()",
    "model.safetensors\u0000",
    "x" * 100_000,
    [[[[[[[[]]]]]]]],
    [10**9, 10**9, 3],
    [-1, 32, 3],
    ["32", "32", "3"],
    {"module": "builtins", "class_name": "eval"},
    {"__class__": "keras.layers.Lambda"},
]
DECISIVE = ("format", "encoder", "preprocessing", "weights", "files", "expander")
REFUSED_OPTIONS = {"vit_base": ("stem", "width"), "resnet200x2": ("width",)}
EVENTS = ("os.system", "subprocess.Popen", "socket.connect", "os.exec", "ctypes.dlopen")


class Watch:
    """Notes what the interpreter does while it is on: files written, commands run.

    Byte code that Python itself caches when a module is first imported is not one.
    """

    def __init__(self):
        self.on, self.seen = False, []
        sys.addaudithook(self.hook)

    def hook(self, event, args):
        if not self.on:
            return
        if event in EVENTS:
            self.seen.append((event, args))
        if event == "open" and isinstance(args[0], (str, bytes)):
            flags = args[2] if isinstance(args[2], int) else 0
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and "__pycache__" not in os.fsdecode(args[0]):
                self.seen.append((event, args[0]))


WATCH = Watch()


def peak(anew=False):
    """The largest resident set, in bytes; if `anew`, what Linux knows of it is erased.

    Else what an earlier test took would hide what a later one takes.
    """
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
    if anew:
        with contextlib.suppress(OSError):  # some containers do not let one
            Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def refuse(folder, model_class=None, error=kv.PresetError):
    """Loads what must not load, and looks at what that did."""
    WATCH.seen.clear()
    start = time.thread_time()  # of this thread: others and the machine do not count
    WATCH.on = True
    try:
        with pytest.raises(error) as caught:
            zoo.from_preset(folder, model_class=model_class)
    finally:
        WATCH.on = False
    assert time.thread_time() - start < 2
    assert not WATCH.seen
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 1000
    return str(caught.value)


def sign(folder, data):
    """Writes a manifest as somebody would who knows how."""
    data.pop("sha256", None)
    content = strict_json.dumps(data)
    data["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / manifests.NAME).write_bytes(strict_json.dumps(data))


def replace_weights(folder, data, content, name=WEIGHTS):
    """Puts other weights in, with the size and hash they have."""
    (folder / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    data["files"][name] = {"sha256": digest, "size": len(content)}
    sign(folder, data)


def places(value, path=()):
    """Paths to all values inside lists and dicts."""
    items = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def put(data, path, value):
    *parents, last = path
    for key in parents:
        data = data[key]
    data[last] = value


def share_slow(parts):
    """The first part of many in every run, the others in the long one."""
    return [0, *(pytest.param(part, marks=pytest.mark.slow) for part in parts[1:])]

"""The command line, `keras-vicreg`. Frameworks are imported when a command runs."""

import argparse
import contextlib
import os
import re
import sys
import warnings

from keras_vicreg import __version__
from keras_vicreg.commands import (
    cluster,
    convert,
    evaluate,
    methods,
    presets,
    pretrain,
    preview,
    report,
)
from keras_vicreg.commands.streams import lasting, silent
from keras_vicreg.terminal import printable

BACKENDS = ("tensorflow", "jax", "torch")
# What is called otherwise inside than the option that it comes from.
INSIDE = {"name": "encoder", "peak": "learning_rate", "recipe": "views"}


def main(arguments=None) -> int:
    """Runs `keras-vicreg`.

    Args:
        arguments: list of strings. Defaults to those of the process.

    Returns:
        The exit code: 0 done, 2 bad usage or bad input (one line on stderr), 1
        anything else.
    """
    with lasting():
        options = build_parser().parse_args(arguments)
        with silent() if options.quiet else contextlib.nullcontext():
            return _run(options)


def _run(options) -> int:
    if options.backend:
        os.environ["KERAS_BACKEND"] = options.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    theirs, warnings.formatwarning = warnings.formatwarning, _format_warning
    try:
        if getattr(options, "framework", True):
            _import_keras()
        options.command(options)
    except _bad_input() as error:
        return _fail(_with_option_names(error, options.option_names), code=2)
    except OSError as error:
        return _fail(error, code=1)
    except KeyboardInterrupt:
        return _fail("interrupted; what was written is whole", code=130)
    finally:
        warnings.formatwarning = theirs
    return 0


def _import_keras() -> None:
    """Imports Keras and its backend without what TensorFlow says of the machine.

    Its C++ start-up writes to the file descriptor of stderr whatever the log level;
    what Python raises comes through as ever.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        import keras  # noqa: F401
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package not in BACKENDS:
            raise
        raise ImportError(
            f"The backend {package} is not installed: "
            f"pip install 'keras-vicreg[{package}]', or --backend with another one."
        ) from error
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _bad_input() -> tuple:
    """What is the user's to mend; imported only when something was raised."""
    from keras_vicreg import PresetError

    return ValueError, TypeError, ImportError, PresetError


def _fail(error, code: int) -> int:
    """One line on stderr."""
    line = _one_line(error) or type(error).__name__
    print(f"keras-vicreg: error: {line}", file=sys.stderr)
    return code


def _with_option_names(error, names: dict[str, str]) -> str:
    """The message, with a command's options for the arguments inside: `--batch-size`.

    Args:
        error: anything.
        names: of the options, by argument.
    """
    inside = {name: names[a] for name, a in INSIDE.items() if a in names}
    names = {**inside, **names}
    return re.sub(r"(?<=`)(\w+)(?=`)", lambda m: names.get(m[1], m[1]), str(error))


def _one_line(message) -> str:
    """An error or a warning, which may quote a stranger's file."""
    return printable(" ".join(str(message).split()))


def _format_warning(message, category, filename, lineno, line=None) -> str:
    return f"keras-vicreg: warning: {_one_line(message)}\n"


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message):
        sys.exit(_fail(f"{message} (see {self.prog} --help)", code=2))


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = _Parser(
        prog="keras-vicreg",
        description="Pretrain image encoders without labels: VICReg in Keras 3.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    shared = _Parser(add_help=False)
    shared.add_argument(
        "--backend",
        choices=BACKENDS,
        help="of Keras; default: KERAS_BACKEND, or else tensorflow",
    )
    shared.add_argument(
        "--quiet", action="store_true", help="print warnings and errors alone"
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (
        pretrain.add_pretrain,
        methods.add_methods,
        evaluate.add_evaluate,
        evaluate.add_finetune,
        evaluate.add_embed,
        cluster.add_cluster,
        report.add_report,
        preview.add_preview,
        convert.add_convert,
        presets.add_push,
        presets.add_pull,
        presets.add_list,
        presets.add_info,
    ):
        add(commands, shared)
    for command in commands.choices.values():
        command.set_defaults(option_names=_option_names(command))
    return parser


def _option_names(parser) -> dict[str, str]:
    """The options of a command by the arguments that they fill in."""
    return {
        action.dest: action.option_strings[-1]
        for action in parser._actions
        if action.option_strings
    }


if __name__ == "__main__":
    sys.exit(main())

"""The command line, `keras-vicreg`. Frameworks are imported when a command runs."""

import argparse
import dataclasses
import os
import sys
import time

from keras_vicreg import __version__
from keras_vicreg.commands import evaluate as evaluate_commands
from keras_vicreg.commands import report as report_command
from keras_vicreg.runs.recipes import (
    NETWORK,
    OPTIMIZERS,
    PRECISIONS,
    QUICKSTART,
    Recipe,
)


def main(arguments=None) -> int:
    """Runs `keras-vicreg`.

    Args:
        arguments: list of strings. Defaults to those of the process.

    Returns:
        The exit code: 0 done, 2 bad usage or bad input (one line on stderr), 1
        anything else.
    """
    options = build_parser().parse_args(arguments)
    if options.backend:
        os.environ["KERAS_BACKEND"] = options.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        _import_keras()
        options.command(options)
    except _bad_input() as error:
        return _fail(error, code=2)
    except OSError as error:
        return _fail(error, code=1)
    except KeyboardInterrupt:
        return _fail("interrupted; what was written is whole", code=130)
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
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _bad_input() -> tuple:
    """What is the user's to mend; imported only when something was raised."""
    from keras_vicreg import PresetError

    return ValueError, TypeError, ImportError, PresetError


def _fail(error, code: int) -> int:
    """One line on stderr."""
    line = " ".join(str(error).split()) or type(error).__name__
    print(f"keras-vicreg: error: {line}", file=sys.stderr)
    return code


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
        choices=("tensorflow", "jax", "torch"),
        help="of Keras; default: KERAS_BACKEND, or else tensorflow",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (
        _add_pretrain,
        evaluate_commands.add_evaluate,
        evaluate_commands.add_finetune,
        evaluate_commands.add_embed,
        report_command.add_report,
        _add_preview,
        _add_convert,
        _add_push,
        _add_pull,
        _add_list,
        _add_info,
    ):
        add(commands, shared)
    return parser


def _add_pretrain(commands, shared) -> None:
    parser = commands.add_parser(
        "pretrain",
        parents=[shared],
        argument_default=argparse.SUPPRESS,
        help="pretrain an encoder on images without labels",
        description="Pretrains an encoder. With no option at all: a small ResNet on "
        "the embedded photographs, in under three minutes on two processor cores. "
        "Run again with the same --run-dir, it resumes.",
    )
    parser.set_defaults(command=run_pretrain, backend=None)
    add = parser.add_argument
    add("--data", help="sample, a folder, tfds:NAME or hf:NAME; default: sample")
    add("--data-dir", help="where tfds: and hf: data sets are prepared")
    add("--image-size", type=int, help="of the views, px; default: that of the images")
    add(
        "--encoder",
        help="resnet18 and others, applications:NAME, FILE.keras, or module:function "
        "for a backbone of your own; default: resnet18",
    )
    add("--stem", choices=("imagenet", "cifar"), help="default: cifar up to 64 px")
    add("--width", type=float, help="fraction of the standard width; default: 1")
    add("--from", dest="start_from", metavar="PRESET", help="go on from its weights")
    add("--method", help="default: vicreg")
    add("--expander", type=_widths, metavar="N,N,N", help="widths of its layers")
    add("--views", metavar="RECIPE", help="default: vicreg_cifar up to 64 px, vicreg")
    add("--epochs", type=int, help="default: 100")
    add("--batch-size", type=int, help="default: 256")
    add("--optimizer", choices=OPTIMIZERS, help="default: lars")
    add("--learning-rate", type=float, help="peak; default: the paper's for the batch")
    add("--weight-decay", type=float, help="default: 1e-6")
    add("--warmup-epochs", type=float, help="default: 10, at most a tenth of all")
    add("--precision", choices=PRECISIONS, help="default: float32")
    add("--microbatch-size", type=int, help="images at a time, to spare memory")
    add("--remat", action="store_true", help="compute again, to spare memory")
    add("--seed", type=int, help="of weights, order and views; default: 0")
    add("--run-dir", help="default: runs/DATE-TIME; processes of one run share it")
    add(
        "--distribution",
        help="auto, mirrored, multi_worker, data_parallel or none; default: auto, all "
        "devices there are",
    )


def _add_preview(commands, shared) -> None:
    parser = commands.add_parser(
        "preview",
        parents=[shared],
        help="a picture of images beside their views",
        description="Draws images and, to the right of each, its views: what the "
        "encoder will see.",
    )
    parser.set_defaults(command=run_preview)
    add = parser.add_argument
    add("--data", default="sample", help="sample, a folder, tfds:NAME or hf:NAME")
    add("--data-dir", help="where tfds: and hf: data sets are prepared")
    add("--recipe", default="vicreg", help="of the views; default: vicreg")
    add("--image-size", type=int, help="of the views, px; default: that of the images")
    add("--count", type=int, default=16, help="number of images; default: 16")
    add("--seed", type=int, default=0, help="of choice and views; default: 0")
    add("--out", default="views.png", help="PNG file; default: views.png")


def _add_convert(commands, shared) -> None:
    parser = commands.add_parser(
        "convert",
        parents=[shared],
        help="make a preset of a PyTorch checkpoint",
        description="Makes a preset of a PyTorch checkpoint: the authors' backbones "
        "and full checkpoints, ResNets of torchvision and timm, .pth or .safetensors. "
        "Nothing in the file is run, and PyTorch is not needed.",
    )
    parser.set_defaults(command=run_convert)
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT")
    add("--out", metavar="DIR", help="folder for the preset")
    add("--dry-run", action="store_true", help="say what it is, write nothing")


def _add_push(commands, shared) -> None:
    parser = commands.add_parser(
        "push", parents=[shared], help="publish a preset on the Hugging Face Hub"
    )
    parser.set_defaults(command=run_preset_command("push"))
    add = parser.add_argument
    add("folder", metavar="DIR", help="folder of a preset or of a run")
    add("handle", metavar="hf://user/repo")
    add("--private", action="store_true", help="if the repository is made")
    _add_hub_options(add)


def _add_pull(commands, shared) -> None:
    parser = commands.add_parser(
        "pull", parents=[shared], help="download a preset from the Hub"
    )
    parser.set_defaults(command=run_preset_command("pull"))
    add = parser.add_argument
    add("handle", metavar="hf://user/repo")
    add("folder", metavar="DIR")
    add("--revision", help="branch, tag or commit; default: main")
    _add_hub_options(add)


def _add_list(commands, shared) -> None:
    parser = commands.add_parser("list", parents=[shared], help="built-in presets")
    parser.set_defaults(command=run_preset_command("list_presets"))


def _add_info(commands, shared) -> None:
    parser = commands.add_parser(
        "info", parents=[shared], help="what a preset is, without its weights"
    )
    parser.set_defaults(command=run_preset_command("info"))
    add = parser.add_argument
    add("handle", metavar="HANDLE", help="built-in name, folder or hf://user/repo")
    add("--revision", help="branch, tag or commit; default: main")
    _add_hub_options(add, dry_run=False)


def _add_hub_options(add, dry_run: bool = True) -> None:
    add("--token", help="default: the one you are logged in with")
    add("--endpoint", help="address of the Hub")
    if dry_run:
        add("--dry-run", action="store_true", help="say what would be done")


def _widths(text: str) -> tuple[int, ...]:
    """`"512,512"` -> `(512, 512)`."""
    return tuple(int(width) for width in text.split(","))


def run_pretrain(options) -> None:
    """`keras-vicreg pretrain`."""
    fields = {field.name for field in dataclasses.fields(Recipe)}
    given = {k: v for k, v in vars(options).items() if k in fields}
    if given.get("data", "sample") == "sample" and "encoder" not in given:
        from_preset = NETWORK if "start_from" in given else ()
        quickstart = {k: v for k, v in QUICKSTART.items() if k not in from_preset}
        given = {**quickstart, **given}
    recipe = Recipe(**given)
    run_dir = getattr(options, "run_dir", None) or time.strftime("runs/%Y%m%d-%H%M%S")
    from keras_vicreg.runs.pretraining import pretrain

    pretrain(recipe, run_dir, distribution=getattr(options, "distribution", "auto"))


def run_preview(options) -> None:
    """`keras-vicreg preview`."""
    import numpy as np
    from PIL import Image

    import keras_vicreg as kv
    from keras_vicreg.views.preview import preview

    images = kv.load_images(
        options.data, image_size=options.image_size, data_dir=options.data_dir
    )
    if not 1 <= options.count <= len(images):
        raise ValueError(
            f"`count` must be at least 1 and at most {len(images)}, the number of "
            f"images. Received: count={options.count}"
        )
    order = np.random.default_rng(options.seed).permutation(len(images))
    chosen = images[np.sort(order[: options.count])]
    size = options.image_size or images.shape[1:3]
    views = kv.TwoViews(size, recipe=options.recipe, seed=options.seed)(chosen)
    temporary = f"{options.out}.part"
    Image.fromarray(preview(chosen, views)).save(temporary, "PNG")
    os.replace(temporary, options.out)
    print(f"Written: {options.out}, {options.count} images and their views")


def run_convert(options) -> None:
    """`keras-vicreg convert`."""
    if not options.out and not options.dry_run:
        raise ValueError("`--out` must name a folder, unless with --dry-run.")
    from keras_vicreg import convert_torch
    from keras_vicreg.pytorch.checkpoint import read_checkpoint

    checkpoint = read_checkpoint(options.checkpoint)
    model = convert_torch(options.checkpoint)
    encoder = getattr(model, "encoder", model)
    print(f"{options.checkpoint}: sha256 {checkpoint.sha256}")
    print(
        f"{checkpoint.name} {checkpoint.options}, {encoder.count_params():,} "
        f"parameters, {encoder.output_shape[-1]} features"
        + (f", expander {checkpoint.units}" if checkpoint.units else "")
    )
    for key in checkpoint.unused:
        print(f"left out: {key}")
    print("A forward pass gave finite numbers.")
    if options.dry_run:
        print("Dry run: nothing was written.")
        return
    from keras_vicreg import save_to_preset

    save_to_preset(model, options.out)
    print(f"Written: {options.out}")


def run_preset_command(name: str):
    """`keras-vicreg push | pull | list | info`: the options are the arguments."""

    def run(options):
        from keras_vicreg.commands import presets as preset_commands

        given = {
            key: value
            for key, value in vars(options).items()
            if key not in ("command", "backend")
        }
        getattr(preset_commands, name)(**given)

    return run


if __name__ == "__main__":
    sys.exit(main())

"""`keras-vicreg pretrain`: its options, and what it does.

No framework is imported before the command runs, so that `--help` answers at once.
"""

import argparse
import dataclasses
import sys
import time

from keras_vicreg.commands.options import (
    LARGEST_SEED,
    not_negative,
    output_folder,
    portion,
    positive,
    whole,
    widths,
)
from keras_vicreg.runs.recipes import (
    NETWORK,
    OPTIMIZERS,
    PRECISIONS,
    QUICKSTART,
    Recipe,
)

# Options that say nothing of what the run is.
OTHERS = ("distribution", "max_unreadable")


def add_pretrain(commands, shared) -> None:
    """Adds `keras-vicreg pretrain` to the subparsers."""
    parser = commands.add_parser(
        "pretrain",
        parents=[shared],
        argument_default=argparse.SUPPRESS,
        help="pretrain an encoder on images without labels",
        description="Pretrains an encoder. With no option at all: a small ResNet on "
        "the embedded photographs, in under three minutes on two processor cores. "
        "Run again with the same --run-dir, it resumes.",
    )
    parser.set_defaults(command=run_pretrain, backend=None, quiet=False)
    add = parser.add_argument
    add("--data", help="sample, a folder, tfds:NAME or hf:NAME; default: sample")
    add("--data-dir", help="where tfds: and hf: data sets are prepared")
    add(
        "--image-size",
        type=whole(8),
        help="of the views, px; default: that of the images",
    )
    add(
        "--encoder",
        help="resnet18 and others, applications:NAME, FILE.keras, or module:function "
        "for a backbone of your own; default: resnet18",
    )
    add("--stem", choices=("imagenet", "cifar"), help="default: cifar up to 64 px")
    add("--width", type=positive, help="fraction of the standard width; default: 1")
    add("--from", dest="start_from", metavar="PRESET", help="go on from its weights")
    add("--method", help="see `keras-vicreg methods`; default: vicreg")
    add("--expander", type=widths, metavar="N,N,N", help="widths of its layers")
    add("--views", metavar="RECIPE", help="default: that of the method")
    add("--epochs", type=whole(1), help="default: 100")
    add("--batch-size", type=whole(2), help="default: 256")
    add("--optimizer", choices=OPTIMIZERS, help="default: that of the method")
    add(
        "--learning-rate",
        type=positive,
        help="peak; default: the method's for the batch",
    )
    add("--weight-decay", type=not_negative, help="default: that of the method")
    add(
        "--warmup-epochs", type=not_negative, help="default: 10, at most a tenth of all"
    )
    add("--precision", choices=PRECISIONS, help="default: float32")
    add("--microbatch-size", type=whole(1), help="images at a time, to spare memory")
    add("--remat", action="store_true", help="compute again, to spare memory")
    add("--seed", type=whole(0, LARGEST_SEED), help="of all draws; default: 0")
    add(
        "--run-dir",
        type=output_folder,
        help="default: runs/DATE-TIME; processes of one run share it",
    )
    add(
        "--distribution",
        help="auto, mirrored, multi_worker, data_parallel or none; default: auto, all "
        "devices there are",
    )
    add(
        "--max-unreadable",
        type=portion,
        help="share of the files that may be unreadable; default: 0.5",
    )


def run_pretrain(options) -> None:
    """`keras-vicreg pretrain`."""
    fields = {field.name for field in dataclasses.fields(Recipe)}
    given = {k: v for k, v in vars(options).items() if k in fields}
    if given.get("data", "sample") == "sample" and "encoder" not in given:
        elsewhere = {*(NETWORK if "start_from" in given else ())}
        if "method" in given:
            elsewhere |= {"expander", "views"}
        quickstart = {k: v for k, v in QUICKSTART.items() if k not in elsewhere}
        given = {**quickstart, **given}
    recipe = Recipe(**given)
    run_dir = getattr(options, "run_dir", None) or time.strftime("runs/%Y%m%d-%H%M%S")
    from keras_vicreg.epoch_lines import BAR, LINES
    from keras_vicreg.runs.pretraining import pretrain

    others = {k: v for k, v in vars(options).items() if k in OTHERS}
    verbose = BAR if sys.stdout.isatty() else LINES
    pretrain(recipe, run_dir, verbose, **others)

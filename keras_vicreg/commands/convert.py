"""`keras-vicreg convert`: its options, and what it does.

Nothing is imported before the command runs, so that `--help` answers at once.
"""

from keras_vicreg.commands.options import output_folder


def add_convert(commands, shared) -> None:
    """Adds `keras-vicreg convert` to the subparsers."""
    parser = commands.add_parser(
        "convert",
        parents=[shared],
        help="make a preset of a PyTorch checkpoint",
        description="Makes a preset of the ResNet in a PyTorch checkpoint, .pth or "
        ".safetensors: a backbone, or what a training script saved. Nothing in the "
        "file is run, and PyTorch is not needed.",
    )
    parser.set_defaults(command=run_convert)
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT")
    add("--out", metavar="DIR", type=output_folder, help="folder for the preset")
    add("--prefix", help="which network, where there are several; its keys begin so")
    add("--dry-run", action="store_true", help="say what it is, write nothing")


def run_convert(options) -> None:
    """`keras-vicreg convert`."""
    if not options.out and not options.dry_run:
        raise ValueError("`--out` must name a folder, unless with --dry-run.")
    from keras_vicreg import convert_torch, save_to_preset
    from keras_vicreg.pytorch.checkpoint import read_checkpoint
    from keras_vicreg.terminal import printable

    checkpoint = read_checkpoint(options.checkpoint, options.prefix)
    model = convert_torch(options.checkpoint, prefix=checkpoint.prefix)
    encoder = getattr(model, "encoder", model)
    print(f"{printable(options.checkpoint)}: sha256 {checkpoint.sha256}")
    print(
        f"{checkpoint.name} {checkpoint.options}, {encoder.count_params():,} "
        f"parameters, {encoder.output_shape[-1]} features"
        + (f", expander {checkpoint.units}" if checkpoint.units else "")
    )
    if checkpoint.prefix:
        print(f"taken: {printable(checkpoint.prefix)}")
    for subtree, count in checkpoint.left_out().items():
        print(f"left out: {printable(subtree)} ({count:,} tensor{'s'[: count > 1]})")
    print("A forward pass gave finite numbers.")
    if options.dry_run:
        print("Dry run: nothing was written.")
        return
    save_to_preset(model, options.out)
    print(f"Written: {printable(options.out)}")

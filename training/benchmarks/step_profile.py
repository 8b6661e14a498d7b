"""Where the time of a training step goes, by kind of work, on each backend.

    python training/benchmarks/step_profile.py [--task TASK] [--pairs N] CONTENDER

Contenders and tasks are those of `step.py`. One round warms up; of the next ones that
of least CPU time is told. All runs on one core, so an operation's time by the clock is
its share of the core. For Linux; traces of TensorFlow are read with JAX.

Milliseconds of the CPU a step on a core of an Intel Xeon (AVX-512) that others used
too, best of two rounds, ResNet-18 on 32 pairs of 32 px and ResNet-50 on 16 of 96 px:

                  ResNet-18                                       ResNet-50
                  PyTorch     TF  unfused   TF+XLA   JAX  torch   PyTorch    TF
    forward           500    529      542      517   647    543       475   467
    by input         1160    540      545      561   599   1090      1023   473
    by weights       with    580      584      526  1172   with      with   528
    batch norm.       146    110      402      904   236    327       208   185
    elementwise       175     58       85        1     2    157       264    99
    products           97     52       55       81    62     56        98    57
    padding             -     12       12        -     -     17         -    13
    copies             34      0        0      642   667    393        29     0
    optimizer          34     48       58       42    38     32        57    81
    the rest           21     50       20        4     0    140        22    46
    all              2167   1979     2303     3278  3421   2754      2175  1950

- TensorFlow: 83 % are convolutions, as fast as PyTorch's, both by oneDNN. The fused
  kernel of batch normalization saves 292 of 402 ms. The lead over PyTorch is made of
  elementwise work and products, of which VICReg's loss on its smaller side has fewer.
- XLA's convolutions are as fast. Its time goes to transposes before those by weights,
  into which it fuses, and repeats, the elementwise work before them, and on TensorFlow
  to the sums of batch normalization.
- JAX 0.10 hands convolutions to YNNPACK, of which those by weights take twice as long.
  With `-LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION` in XLA's flag
  `--xla_cpu_experimental_ynn_fusion_type` the step takes 2633 ms, by weights 520.
  Without YNNPACK altogether it took 4674 ms by the clock, 2000 of them batch
  normalization.
- Keras on torch: convolutions as in PyTorch, but Keras copies their input to channels
  first and back again, and composes batch normalization. By the clock, best of two:
  2831 ms; without the first copy 2618, with torch's batch normalization 2527, with
  both 2356. None of this is in the package.
"""

import argparse
import collections
import os
import re
import tempfile
import time
from pathlib import Path

import step

# What a profiler tells of a piece of work -> its kind; the first pattern found counts.
# What none finds is the rest: Python and the framework itself.
LAYER = r"/\w*(bn\d|downsample_1|batch_normalization)"
TENSORFLOW = (  # scope/name:Type
    (r"Conv2DBackpropInput", "convolutions, by input"),
    (r"Conv2DBackpropFilter", "convolutions, by weights"),
    (r"Conv2D", "convolutions, forward"),
    (r"MatMul", "matrix products"),
    (r"/sgd/", "optimizer"),
    (LAYER, "batch normalization"),
    (r"_pad", "padding"),
    (r":\w*(Transpose|Tile|Concat|Slice)", "copies and layouts"),
    (r"^StatefulPartitionedCall/", "elementwise"),
)
XLA = (  # an instruction of the compiled step, then those that are fused into it
    (r" f32\[(?!batch,)\S+ convolution\(", "convolutions, by weights"),
    (r" convolution\(.*(transpose\(|gradient_tape|lhs_)", "convolutions, by input"),
    (r" convolution\(", "convolutions, forward"),
    (r" dot\(", "matrix products"),
    (r"[/\"]sgd/", "optimizer"),
    (r"^(transpose|copy)", "copies and layouts"),
    (LAYER, "batch normalization"),
    (r"^pad", "padding"),
    (r"", "elementwise"),
)
MAPS = r"\[\[batch, \d+, \d+, \d+\]"
TORCH = (  # operation [shapes of its inputs] < its caller < ...
    (r"Optimizer|_foreach_", "optimizer"),
    (r"^aten::convolution_backward", "convolutions, backward"),
    (r"^aten::\w*convolution", "convolutions, forward"),
    (r"^aten::(addmm|mm) ", "matrix products"),
    (r"constant_pad", "padding"),
    (r"^aten::copy_", "copies and layouts"),
    (r"^aten::\w*batch_norm", "batch normalization"),
    (rf"^aten::(mul|sub|pow|neg|mean|sum|div)\w* {MAPS}", "batch normalization"),
    (rf"^aten::add\w* {MAPS}, \[1, 1, 1", "batch normalization"),
    (r"^aten::(add|sub|mul|div|pow|neg|sum|mean|var|std|r?sqrt)", "elementwise"),
    (r"^aten::(relu|clamp|threshold|max|fill|zero|where)", "elementwise"),
)


def measure(contender, task, pairs, rounds):
    """The round of least CPU time: its seconds, and the share of each kind of work."""
    backend, option = step.CONTENDERS[contender]
    name, side, usual = step.TASKS[task]
    pairs = pairs or usual
    os.environ["KERAS_BACKEND"] = backend or ""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    steps = step.keras_steps if backend else step.torch_steps
    with tempfile.TemporaryDirectory() as folder:
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_dump_to={folder}"
        os.environ["XLA_FLAGS"] = f"{flags} --xla_dump_hlo_as_text"
        run = steps(option, 1, name, side, pairs)
        run()  # traces and compiles
        traces = [trace(run, backend, Path(folder, str(i))) for i in range(rounds)]
        used, work = min(traces, key=lambda trace: trace[0])
        patterns = TENSORFLOW if backend == "tensorflow" else TORCH
        if option == "xla":
            patterns, compiled = XLA, instructions(folder)
            work = [(compiled[what], own) for what, own in work if what in compiled]
    total = collections.Counter()
    for what, own in work:
        what = re.sub(rf"\[{pairs}\b", "[batch", what)
        kinds = (kind for pattern, kind in patterns if re.search(pattern, what))
        total[next(kinds, None)] += own
    del total[None]
    total["the rest"] = max(0.0, used - sum(total.values()))
    whole = sum(total.values())  # above `used` if others took the core meanwhile
    return used, {kind: own / whole for kind, own in total.most_common()}


def trace(run, backend, folder):
    """A round: seconds of the CPU, and `[(what, seconds)]` of its pieces of work."""
    if backend == "tensorflow":
        import tensorflow as tf

        profiler, pieces = tf.profiler.experimental.Profile(str(folder)), xplane_pieces
    elif backend == "jax":
        import jax

        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0
        profiler = jax.profiler.trace(folder, profiler_options=options)
        pieces = xplane_pieces
    else:
        import torch

        cpu = [torch.profiler.ProfilerActivity.CPU]
        profiler = torch.profiler.profile(activities=cpu, record_shapes=True)
        pieces = torch_pieces
    with profiler as profile:
        begin = time.process_time()
        run()
        used = time.process_time() - begin
    return used, list(pieces(profile or folder))


def torch_pieces(profile):
    for event in profile.events():
        what, caller = f"{event.name} {event.input_shapes}", event.cpu_parent
        while caller:
            what, caller = f"{what} < {caller.name}", caller.cpu_parent
        yield what, event.self_cpu_time_total / 1e6


def xplane_pieces(folder):
    from jax.profiler import ProfileData

    (file,) = folder.rglob("*.xplane.pb")
    for plane in ProfileData.from_file(str(file)).planes:
        for line in plane.lines:
            yield from ((event.name, event.duration_ns / 1e9) for event in line.events)


def instructions(folder):
    """`{name: text}` of the instructions of the largest program that XLA compiled."""
    files = Path(folder).glob("*cpu_after_optimizations.txt")
    text = max(files, key=lambda file: file.stat().st_size).read_text()
    bodies = dict(re.findall(r"^%(\S+) \(.*?\{\n(.*?)^\}", text, re.M | re.S))
    found = {}
    for name, rest in re.findall(r"^  (?:ROOT )?%(\S+) = (.*)", text, re.M):
        called = re.search(r"calls=%([\w.-]+)", rest)
        found[name] = f"{name} = {rest}\n{bodies[called[1]] if called else ''}"
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("contender", choices=step.CONTENDERS, metavar="CONTENDER")
    parser.add_argument("--task", choices=step.TASKS, default=next(iter(step.TASKS)))
    parser.add_argument("--pairs", type=int, help="in a batch; the task's by default")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    used, shares = measure(**vars(options))
    used *= 1e3 / step.STEPS
    print(f"{options.contender}, {options.task}: {used:.0f} ms of the CPU a step")
    for kind, share in shares.items():
        print(f"  {kind:26}{share * used:8.1f} ms{share:7.1%}")


if __name__ == "__main__":
    main()

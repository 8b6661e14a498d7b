"""Checkpoints as the training scripts of the field save them, with tiny networks.

Each layout is a function of `wanted`, the state dict of the network whose authors
evaluate it, and `copy`, that of another one which stands beside it: keys, wrappers and
neighbours are those of the published files, all projectors smaller.
"""

import argparse
import collections

import numpy as np
import torch
from torch import nn


def under(prefix, state):
    return {prefix + key: value for key, value in state.items()}


def state_of(prefix, *modules):
    return under(prefix, nn.Sequential(*modules).state_dict())


def with_fc(state, classes=10):
    """With the classifier, or the first linear layer of a head, where it usually is."""
    linear = nn.Linear(32, classes).state_dict()
    return state | under("fc.", linear)


def mlp(prefix, *units, features=32, bias=True, last_bias=False):
    """Linear, batch normalization, ReLU, ..., Linear."""
    modules = []
    for width in units[:-1]:
        modules += [nn.Linear(features, width, bias), nn.BatchNorm1d(width), nn.ReLU()]
        features = width
    return state_of(prefix, *modules, nn.Linear(features, units[-1], last_bias))


def exclude_bias_and_norm(p):
    """What the authors' optimizers refer to, and no reader has."""
    return p.ndim == 1


class Callback:
    """An object of a training script, and a class that keys its state."""

    def __init__(self):
        self.best, self.history = torch.ones(()), [0.1, 0.2]


def training(state, key="state_dict", **more):
    """What a training loop saves around a state dict."""
    group = {"lr": 0.1, "params": [0], "weight_decay_filter": exclude_bias_and_norm}
    momentum = {0: {"mu": torch.zeros(3), "step": torch.tensor(4.0)}}
    optimizer = {"state": momentum, "param_groups": [group]}
    return {"epoch": 9, "arch": "resnet50", key: state, "optimizer": optimizer, **more}


def lightning(state):
    callbacks = {Callback: {"wait": 3}, "EarlyStopping{'mode': 'min'}": Callback()}
    return {
        **training(state),
        "pytorch-lightning_version": "2.0",
        "callbacks": callbacks,
        "hyper_parameters": argparse.Namespace(batch_size=256),
    }


def vicreg_full(wanted, copy):
    state = under("module.backbone.", wanted)
    return training(state | mlp("module.projector.", 12, 12, 8), "model")


def vicregl_full(wanted, copy):
    content = vicreg_full(wanted, copy)
    content["model"] |= mlp("module.maps_projector.", 8, 8)
    content["model"] |= state_of("module.classifier.", nn.Linear(32, 10))
    return content


def barlow_full(wanted, copy):
    state = under("module.backbone.", wanted)
    state |= mlp("module.projector.", 12, 12, 8, bias=False)
    norm = nn.BatchNorm1d(8, affine=False).state_dict()
    return training(state | under("module.bn.", norm), "model")


def swav(wanted, copy):
    state = under("module.", wanted) | mlp("module.projection_head.", 16, 8)
    return state | {"module.prototypes.weight": torch.ones(30, 8)}


def deepcluster(wanted, copy):
    state = swav(wanted, copy)
    state["module.prototypes.prototypes0.weight"] = state.pop(
        "module.prototypes.weight"
    )
    return state


def moco(wanted, copy):
    state = under("module.encoder_q.", with_fc(wanted))
    state |= under("module.encoder_k.", with_fc(copy))
    queue = {"module.queue": torch.ones(8, 16), "module.queue_ptr": torch.zeros(1)}
    return training(state | queue)


def moco_v2(wanted, copy):
    content = moco(wanted, copy)
    for name in ("encoder_q", "encoder_k"):
        state = content["state_dict"]
        del state[f"module.{name}.fc.weight"], state[f"module.{name}.fc.bias"]
        state |= state_of(f"module.{name}.fc.", nn.Linear(32, 32), nn.ReLU())
    return content


def moco_v3(wanted, copy):
    state = under("module.base_encoder.", wanted)
    state |= mlp("module.base_encoder.fc.", 16, 8)
    state |= under("module.momentum_encoder.", copy)
    state |= mlp("module.momentum_encoder.fc.", 16, 8)
    state |= mlp("module.predictor.", 16, 8, features=8)
    return training(state, scaler={"scale": 65536.0, "_growth_tracker": 3})


def simsiam(wanted, copy):
    state = under("module.encoder.", wanted) | mlp("module.encoder.fc.", 16, 16, 8)
    return training(state | mlp("module.predictor.", 4, 8, features=8))


def linear_probe(wanted, copy):
    state = under("module.", with_fc(wanted))
    return training(state, best_acc1=torch.tensor(68.1))


def dino_full(wanted, copy):
    student = under("module.backbone.", copy) | mlp("module.head.mlp.", 16, 8)
    teacher = under("backbone.", wanted) | mlp("head.mlp.", 16, 8)
    loss = {"center": torch.zeros(1, 8)}
    args = argparse.Namespace(arch="resnet50", local_crops_scale=(0.05, 0.14))
    return {
        **training(student, "student", teacher=teacher),
        "args": args,
        "dino_loss": loss,
    }


def obow(wanted, copy):
    return {"epoch": 200, "network": with_fc(wanted, 40)}


def vissl(wanted, copy):
    trunk = under("_feature_blocks.", wanted)
    heads = state_of("0.clf.", nn.Linear(32, 8))
    model = {"model": {"trunk": trunk, "heads": heads}, "meters": {"train": []}}
    phase = {"phase_idx": 199, "iteration": 1, "loss": {"name": "simclr_info_nce"}}
    return {**phase, "classy_state_dict": {"base_model": model, "train": True}}


def pycontrast(wanted, copy):
    state = under("module.encoder.", wanted) | mlp("module.head.", 16, 8)
    shadow = under("module.encoder.", copy) | mlp("module.head.", 16, 8)
    options = argparse.Namespace(method="InfoMin", jigsaw=True)
    content = {"opt": options, "contrast": {"memory": torch.ones(9, 8)}}
    return {**training(state, "model"), **content, "model_ema": shadow}


def pixpro(wanted, copy):
    state = under("module.encoder.", wanted) | under("module.encoder_k.", copy)
    return {**training(state, "model"), "opt": argparse.Namespace(crop=0.08)}


def solo_learn(wanted, copy):
    state = under("backbone.", wanted) | under("momentum_backbone.", copy)
    state |= mlp("projector.", 12, 8, last_bias=True)
    state |= state_of("classifier.", nn.Linear(32, 10))
    return lightning(state)


def solo_learn_before(wanted, copy):
    state = under("encoder.", wanted) | under("momentum_encoder.", copy)
    return lightning(state | mlp("projector.", 12, 8))


def openmmlab(wanted, copy):
    state = under("backbone.", wanted) | under("target_net.module.0.", copy)
    state |= {"data_preprocessor.mean": torch.ones(3)}
    state |= mlp("neck.mlp.", 16, 8) | mlp("head.predictor.mlp.", 16, 8, features=8)
    meta = {"mmengine_version": "0.1", "seed": 0, "scores": np.arange(4.0)}
    return {"meta": meta, "state_dict": state, "message_hub": Callback()}


def openmmlab_probe(wanted, copy):
    state = under("backbone.", wanted) | state_of("head.fc.", nn.Linear(32, 10))
    return {"meta": {}, "state_dict": state}


def lightly(wanted, copy):
    state = under("backbone.", wanted)
    state |= mlp("projection_head.layers.", 12, 12, 8)
    state |= state_of("online_classifier.linear.", nn.Linear(32, 10))
    return lightning(state)


def lightly_student(wanted, copy):
    content = lightly(wanted, copy)
    content["state_dict"] |= under("student_backbone.", copy)
    return content


def lightly_teacher(wanted, copy):
    content = lightly(wanted, copy)
    content["state_dict"] |= under("teacher_backbone.", copy)
    return content


def lightly_query(wanted, copy):
    content = lightly(wanted, copy)
    content["state_dict"] |= under("query_backbone.", copy)
    return content


def two_backbones(wanted, copy):
    return under("teacher_backbone.", wanted) | under("student_backbone.", copy)


def byol_pytorch(wanted, copy):
    """The network, the online encoder around it, and its moving average."""
    state = under("online_encoder.net.", wanted)
    state |= under("target_encoder.net.", copy)
    return state | mlp("online_predictor.net.", 12, 8, features=8)


def compiled(wanted, copy):
    return {"model": under("_orig_mod.module.", wanted)}


def supcontrast(wanted, copy):
    """The CIFAR script that calls a projection shortcut what it is."""
    state = {
        f"encoder.{key}".replace(".downsample.", ".shortcut."): value
        for key, value in wanted.items()
    }
    return training(state | mlp("head.", 16, 8), "model")


def expanded(wanted, copy):
    view = torch.ones(1).expand(1000)
    return {"state_dict": wanted, "weights": view, "index": torch.arange(4)[::2]}


def ordered_and_default(wanted, copy):
    counts = collections.defaultdict(int, {"a": 1})
    shapes = {(3, 4): "a key that is a tuple", frozenset({1}): 2}
    return {"net": collections.OrderedDict(wanted), "counts": counts, "shapes": shapes}


def parameters(wanted, copy):
    state = {key: nn.Parameter(value) for key, value in wanted.items() if value.dim()}
    state["bn1.weight"].origin = "an attribute"
    return {"weights": state}


class Tagged(torch.Tensor):
    """A tensor of a class that no reader has."""


LAYOUTS = {
    "backbone": lambda wanted, copy: wanted,
    "torchvision": lambda wanted, copy: with_fc(wanted),
    "VICReg": vicreg_full,
    "VICRegL": vicregl_full,
    "Barlow Twins": barlow_full,
    "SwAV": swav,
    "SwAV training": lambda wanted, copy: training(swav(wanted, copy), amp=[None]),
    "DeepCluster-v2": deepcluster,
    "SeLa-v2": lambda w, c: under("module.", w) | mlp("module.projection_head0.", 8),
    "MoCo": moco,
    "MoCo query": lambda w, c: training(under("module.encoder_q.", with_fc(w))),
    "MoCo v2": moco_v2,
    "MoCo v3": moco_v3,
    "SimSiam": simsiam,
    "SimSiam linear": linear_probe,
    "DINO": dino_full,
    "OBoW": obow,
    "VISSL": vissl,
    "PyContrast": pycontrast,
    "PixPro": pixpro,
    "solo-learn": solo_learn,
    "solo-learn 1.0.3": solo_learn_before,
    "OpenMMLab": openmmlab,
    "OpenMMLab linear": openmmlab_probe,
    "lightly": lightly,
    "lightly DINO": lightly_student,
    "lightly BYOL": lightly_teacher,
    "lightly MoCo": lightly_query,
    "teacher and student": two_backbones,
    "SimCLR converted": lambda w, c: {"state_dict": with_fc(w)},
    "BYOL for PyTorch": byol_pytorch,
    "torch.compile": compiled,
    "SupContrast": supcontrast,
    "expanded beside": expanded,
    "containers": ordered_and_default,
    "parameters": parameters,
    "subclass": lambda w, c: {k: v.as_subclass(Tagged) for k, v in w.items()},
    "a list": lambda wanted, copy: {"models": [{"state": wanted}, None]},
    "the same twice": lambda wanted, copy: {"model": wanted, "state_dict": wanted},
}

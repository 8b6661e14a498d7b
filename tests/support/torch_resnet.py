"""The authors' networks in PyTorch, written from the paper: what ours are held to.

Module names are those of the authors' and of torchvision's checkpoints. `TorchResNet`
takes images as ours does, `(batch, height, width, channels)` in 0..255.
"""

import torch
from torch import nn

LAYOUTS = {
    "resnet18": ("basic", (2, 2, 2, 2), 1),
    "resnet34": ("basic", (3, 4, 6, 3), 1),
    "resnet50": ("bottleneck", (3, 4, 6, 3), 1),
    "resnet101": ("bottleneck", (3, 4, 23, 3), 1),
    "resnet50x2": ("bottleneck", (3, 4, 6, 3), 2),
    "resnet200x2": ("bottleneck", (3, 24, 36, 3), 2),
    "resnet20": ("basic", (3, 3, 3), 1 / 4),
    "resnet32": ("basic", (5, 5, 5), 1 / 4),
    "resnet44": ("basic", (7, 7, 7), 1 / 4),
    "resnet56": ("basic", (9, 9, 9), 1 / 4),
}
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def conv(inputs, outputs, kernel, stride=1):
    padding = kernel // 2
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)


class Block(nn.Module):
    """A residual block; the last convolution gives `outputs` filters."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(self.residual(x) + shortcut)


class Basic(Block):
    expansion = 1

    def __init__(self, inputs, planes, stride):
        super().__init__(inputs, planes, stride)
        self.conv1 = conv(inputs, planes, 3, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv(planes, planes, 3)
        self.bn2 = nn.BatchNorm2d(planes)

    def residual(self, x):
        return self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))


class Bottleneck(Block):
    expansion = 4

    def __init__(self, inputs, planes, stride):
        super().__init__(inputs, 4 * planes, stride)
        self.conv1 = conv(inputs, planes, 1)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv(planes, planes, 3, stride)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = conv(planes, 4 * planes, 1)
        self.bn3 = nn.BatchNorm2d(4 * planes)

    def residual(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))


class TorchResNet(nn.Module):
    """Images in 0..255 -> representations; `fc` is only in the state dict."""

    def __init__(self, name, stem="imagenet", width=1, classes=None):
        super().__init__()
        kind, depths, widen = LAYOUTS[name]
        block = {"basic": Basic, "bottleneck": Bottleneck}[kind]
        planes = inputs = int(64 * widen * width)
        if stem == "imagenet":
            self.conv1 = conv(3, planes, 7, 2)
            self.maxpool = nn.MaxPool2d(3, 2, 1)
        else:
            self.conv1 = conv(3, planes, 3)
            self.maxpool = nn.Identity()
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        for stage, depth in enumerate(depths):
            blocks = []
            for i in range(depth):
                stride = 2 if stage > 0 and i == 0 else 1
                blocks.append(block(inputs, planes, stride))
                inputs = planes * block.expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
            planes *= 2
        self.stages = len(depths)
        self.features = inputs
        if classes:
            self.fc = nn.Linear(inputs, classes)

    def forward(self, images):
        dtype = self.conv1.weight.dtype
        mean = images.new_tensor(IMAGENET_MEAN, dtype=dtype)
        std = images.new_tensor(IMAGENET_STD, dtype=dtype)
        x = ((images.to(dtype) / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return x.mean((2, 3))


def randomize(model, seed=0):
    """Random weights and statistics everywhere, none of them at its default."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        if value.dim() == 4:
            fan_out = value.shape[0] * value.shape[2] * value.shape[3]
            value.normal_(0, (2 / fan_out) ** 0.5, generator=generator)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=generator)
        elif value.dim() == 1 and name.endswith("weight"):
            value.uniform_(0.5, 1.0, generator=generator)
        elif value.dim():
            value.normal_(0, 0.1, generator=generator)
    return model

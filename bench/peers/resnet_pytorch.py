"""ResNet-20 (32 pixels, batch 128) in PyTorch, channels last: images per second of a training step.

Run by bench/training-step-peers.ts: prints one figure per line that it reads, so that processes take turns.
Usage: resnet_pytorch.py THREADS STEPS
"""
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

threads, steps = int(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(threads)
torch.manual_seed(1)
BATCH = 128


class Conv(nn.Sequential):
    def __init__(self, given, filters, size, stride):
        super().__init__(
            nn.Conv2d(given, filters, size, stride, padding=size // 2, bias=False),
            nn.BatchNorm2d(filters, eps=1e-3),
        )


class Block(nn.Module):
    def __init__(self, given, filters, stride):
        super().__init__()
        self.first = Conv(given, filters, 3, stride)
        self.second = Conv(filters, filters, 3, 1)
        self.shortcut = Conv(given, filters, 1, stride) if stride == 2 else nn.Identity()

    def forward(self, x):
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


widths = ((16, 16, 1), (16, 32, 2), (32, 64, 2))
blocks = [
    Block(given if block == 0 else filters, filters, stride if block == 0 else 1)
    for given, filters, stride in widths
    for block in range(3)
]
model = nn.Sequential(
    Conv(3, 16, 3, 1), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
).to(memory_format=torch.channels_last)
model.train()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
images = torch.randn(BATCH, 3, 32, 32).to(memory_format=torch.channels_last)
labels = torch.randint(0, 10, (BATCH,))


def step():
    optimizer.zero_grad(set_to_none=True)
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    return loss.item()


for _ in range(2):
    step()
print("ready", torch.__version__, flush=True)
for _ in sys.stdin:
    started = time.perf_counter()
    for _ in range(steps):
        step()
    print(BATCH * steps / (time.perf_counter() - started), flush=True)

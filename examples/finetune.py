"""Fine-tunes a ResNet-18 on data/dataset; prints each class's accuracy, VOC label, ILSVRC index.

It needs torch and torchvision, which this project does not install: see docs/training.md.
"""

import sys
from pathlib import Path

import torch
from labels import folder_labels
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, models, transforms

# Arguments, all optional: dataset, epochs, pixels a side, weights (DEFAULT: ILSVRC; else random).
arguments = [*sys.argv[1:], *["data/dataset", "5", "224", ""][len(sys.argv) - 1 :]]
dataset, epochs, side, weights = Path(arguments[0]), *map(int, arguments[1:3]), arguments[3]

torch.manual_seed(0)
normalize = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # as the weights
crop = [transforms.RandomResizedCrop(side, scale=(0.5, 1)), transforms.RandomHorizontalFlip()]
center = [transforms.Resize(side), transforms.CenterCrop(side)]
loaders = {
    split: DataLoader(
        datasets.ImageFolder(
            dataset / split, transforms.Compose([*steps, transforms.ToTensor(), normalize])
        ),
        batch_size=32, shuffle=split == "train",
    )
    for split, steps in (("train", crop), ("val", center))
}  # fmt: skip
labels = folder_labels(dataset, loaders["train"].dataset.classes)

# With ILSVRC weights, the output of a class starts as the mean of its ILSVRC outputs.
model = models.resnet18(weights=weights or None)
old, model.fc = model.fc, nn.Linear(model.fc.in_features, len(labels))
with torch.no_grad():
    for row, one in enumerate(labels):
        if weights and one.ilsvrc:
            model.fc.weight[row] = old.weight[list(one.ilsvrc)].mean(0)
            model.fc.bias[row] = old.bias[list(one.ilsvrc)].mean()

optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
model.train()
for epoch in range(epochs):
    for photos, targets in loaders["train"]:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(photos), targets)
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss of the last batch {loss.item():.3f}", flush=True)

counts = torch.zeros(len(labels), len(labels), dtype=torch.long)  # [class, predicted class]
model.eval()
with torch.inference_mode():
    for photos, targets in loaders["val"]:
        for target, guess in zip(targets, model(photos).argmax(1), strict=True):
            counts[target, guess] += 1
same_voc = torch.tensor([[bool(a.voc) and a.voc == b.voc for b in labels] for a in labels])
for row, one in enumerate(labels):
    ilsvrc = " ".join(map(str, one.ilsvrc)) or "-"
    print(f"{one.folder:20} VOC {one.voc or '-':12} ILSVRC {ilsvrc:8}", end=" ")
    print(f"{counts[row, row] / counts[row].sum():6.1%}")
with_voc = counts[torch.tensor([bool(one.voc) for one in labels])].sum()
print(f"right class {counts.trace() / counts.sum():.1%}", end=", ")
print(f"right VOC label {(counts * same_voc).sum() / with_voc:.1%}")

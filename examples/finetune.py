"""Fine-tunes a ResNet-18 on data/dataset and reports it by class, VOC label and ILSVRC index.

It needs torch and torchvision, which this project does not install: see docs/training.md.
"""

import argparse
from pathlib import Path

import torch
from labels import FolderLabels, folder_labels
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, models, transforms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # as torchvision's own weights expect


def loader(folder: Path, side: int, train: bool) -> DataLoader:
    """Return batches of photos of `side` x `side` pixels, cropped at random for training."""
    fit = [transforms.Resize(side), transforms.CenterCrop(side)]
    vary = [transforms.RandomResizedCrop(side, scale=(0.5, 1)), transforms.RandomHorizontalFlip()]
    last = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    photos = datasets.ImageFolder(folder, transforms.Compose([*(vary if train else fit), *last]))
    return DataLoader(photos, batch_size=32, shuffle=train, num_workers=2)


def make_model(weights: str, labels: list[FolderLabels]) -> nn.Module:
    """Return a ResNet-18 with an output for each folder.

    With ILSVRC weights, an output starts as the mean of the ILSVRC outputs of its classes.
    """
    model = models.resnet18(weights="DEFAULT" if weights == "DEFAULT" else None)
    if weights not in ("", "DEFAULT"):
        model.load_state_dict(torch.load(weights, weights_only=True))
    old, model.fc = model.fc, nn.Linear(model.fc.in_features, len(labels))
    with torch.no_grad():
        for row, one in enumerate(labels):
            if weights and one.ilsvrc:
                model.fc.weight[row] = old.weight[list(one.ilsvrc)].mean(0)
                model.fc.bias[row] = old.bias[list(one.ilsvrc)].mean()
    return model


def train(model: nn.Module, batches: DataLoader, optimizer: torch.optim.Optimizer) -> float:
    """Train for one epoch; return the mean loss of its batches."""
    model.train()
    losses = []
    for photos, targets in batches:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(photos), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses) / len(losses)


@torch.inference_mode()
def confusion(model: nn.Module, batches: DataLoader, classes: int) -> torch.Tensor:
    """Return how many photos of each class (row) the model takes for each class (column)."""
    model.eval()
    counts = torch.zeros(classes, classes, dtype=torch.long)
    for photos, targets in batches:
        for target, guess in zip(targets, model(photos).argmax(1), strict=True):
            counts[target, guess] += 1
    return counts


def report(counts: torch.Tensor, labels: list[FolderLabels]) -> None:
    """Print the share of right answers by folder, in all, and by VOC label."""
    for row, one in enumerate(labels):
        voc = f"{one.voc} ({one.voc_index})" if one.voc else "-"
        ilsvrc = " ".join(map(str, one.ilsvrc)) or "-"
        right = counts[row, row] / counts[row].sum()
        print(f"{one.folder:20} VOC {voc:16} ILSVRC {ilsvrc:8} {right:6.1%}")
    same = torch.tensor([[bool(a.voc) and a.voc == b.voc for b in labels] for a in labels])
    labelled = torch.tensor([bool(one.voc) for one in labels])
    print(f"right class {counts.trace() / counts.sum():.1%}", end=", ")
    print(f"right VOC label {(counts * same).sum() / counts[labelled].sum():.1%}")


def main() -> None:
    """Parse, train, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", nargs="?", type=Path, default=Path("data/dataset"))
    parser.add_argument("--fold", default="", help="of a dataset in folds: fold_1, fold_2 ...")
    parser.add_argument("--weights", default="", help="DEFAULT, or a .pth file (default: random)")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--side", type=int, default=224, help="pixels (default: 224)")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate (default: 0.001)")
    args = parser.parse_args()
    torch.manual_seed(0)
    train_set = loader(args.dataset / args.fold / "train", args.side, train=True)
    val_set = loader(args.dataset / args.fold / "val", args.side, train=False)
    labels = folder_labels(args.dataset, train_set.dataset.classes)
    model = make_model(args.weights, labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.rate)
    for epoch in range(args.epochs):
        print(f"epoch {epoch + 1}: loss {train(model, train_set, optimizer):.3f}", flush=True)
    report(confusion(model, val_set, len(labels)), labels)


if __name__ == "__main__":
    main()

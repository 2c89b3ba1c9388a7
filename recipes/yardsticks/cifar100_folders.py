"""Download CIFAR-100 and write its images as FOLDER/train/CLASS/00000.png and FOLDER/test/CLASS/00000.png.

python recipes/yardsticks/cifar100_folders.py FOLDER
"""

import sys
from pathlib import Path

from torchvision.datasets import CIFAR100


def main(folder: Path) -> None:
    for part in ("train", "test"):
        images = CIFAR100(str(folder / "download"), train=part == "train", download=True)
        for i, (image, label) in enumerate(images):
            path = folder / part / images.classes[label] / f"{i:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

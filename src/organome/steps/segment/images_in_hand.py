"""The images of one scan on their way through the stages of segment_organs."""

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from organome.domain.contrasts import LeftOut
from organome.domain.scans import Contrast, Scan
from organome.steps.segment.contrast_choice import ContrastChoice


@dataclass(frozen=True, slots=True)
class ImageInHand:
    """One image of a scan.

    Attributes:
        contrast: What it shows.
        labels: What the labeller has made of it so far.
    """

    contrast: Contrast
    labels: Any


@dataclass(frozen=True, slots=True)
class ScanInHand:
    """A scan with the images that are labelled.

    Attributes:
        scan: The scan.
        choice: Which of its images are wanted.
        path: Where the first of them was published.
        image: That image; all labels must lie on its grid.
        images: Those that are prepared or labelled so far.
        left_out: Wanted images that take no part.
    """

    scan: Scan
    choice: ContrastChoice
    path: Path
    image: sitk.Image
    images: tuple[ImageInHand, ...]
    left_out: Mapping[Contrast, LeftOut]


def in_turn(
    first: ImageInHand,
    others: Sequence[Contrast],
    prepare: Callable[[Contrast], ImageInHand | None],
    *,
    ahead: bool,
) -> Generator[tuple[Contrast, ImageInHand | None]]:
    """Prepare images one after the other, so that no more than two are in memory at a time.

    Args:
        first: One that is prepared already.
        others: What else to prepare.
        prepare: Reads and prepares one; None where it takes no part.
        ahead: Prepare the next one while the last is used.
    """
    if not ahead or not others:
        yield first.contrast, first
        for contrast in others:
            yield contrast, prepare(contrast)
        return
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = reader.submit(prepare, others[0])
        yield first.contrast, first
        for place, contrast in enumerate(others, start=1):
            image = coming.result()
            if place < len(others):
                coming = reader.submit(prepare, others[place])
            yield contrast, image

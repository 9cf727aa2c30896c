"""Score a model on phantoms it has never seen, and write its card."""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np

from organome.compute.labelmaps.overlap import count_confusion, dice_by_organ, swapped_share_by_pair
from organome.domain.organs import ORGANS
from organome.domain.scans import Contrast
from organome.io.files.atomic import write_text_atomic
from organome.io.models.folders import read_model
from organome.phantoms.bodies.anatomy import draw_body
from organome.phantoms.rendering.fields_of_view import ct_grid
from organome.phantoms.rendering.render import (
    SampledGrid,
    render_image,
    truth_labelmap,
)

FIRST_UNSEEN_SEED: Final = 50_000
WHOLE_SCAN: Final = SampledGrid(  # a stitched neck-to-knee scan
    (224, 174, 370), (2.232142857, 2.232142857, 3.0), (-248.9, -193.1, -448.5)
)
CARD: Final = "README.md"
RECORD: Final = "training.json"
SCORES: Final = "dice.json"
_CARD: Final = """\
# The phantom model

**This model is not for people.** It was trained on procedural phantoms and knows nothing of real \
anatomy: what it labels in a real image has no meaning. It is here so that the whole pipeline \
runs, and is tested, without a download.

A stock nnU-Net v2 folder (`plans.json`, `dataset.json`, `fold_0/checkpoint_final.pth`):
MR contrasts and CT in one network, 40 organs by MRSegmentator's ids, no mirroring, no
optimiser state. `nnUNetv2_predict_from_modelfolder -f 0 -chk checkpoint_final.pth` runs
it, on images whose axes are stored in LPS order.

## How it was trained

`organome dev train-model` draws bodies and trains; its `--help` says how.
The result depends on how many steps fit into the budget.

{origin}
## Dice on unseen phantoms

{n_bodies} bodies that were not in the training, each in {n_contrasts} contrasts, on the grid of a \
stitched UK Biobank scan (CT: chest to pelvis): mean **{dice:.3f}** over all organs in view. \
Printed by `organome dev score-model`.

{table}

Largest share of a left/right pair given to the other side: {swapped:.1%}.
"""


@dataclass(frozen=True, slots=True)
class ImageScore:
    """How a model did on one image of one unseen phantom.

    Attributes:
        contrast: What the image shows.
        seed: Seed of the phantom.
        dice: Dice coefficient by organ, only of organs in view.
        swapped: Share of voxels given to the other side, by left organ.
    """

    contrast: Contrast
    seed: int
    dice: Mapping[str, float]
    swapped: Mapping[str, float]


def run(
    *,
    model: Path,
    n_bodies: int = 3,
    contrasts: Sequence[Contrast] = tuple(Contrast),
    n_processes: int = 2,
    on_image: Callable[[ImageScore], None] | None = None,
) -> str:
    """Segment unseen phantoms in every contrast, score them, and write the card of the model.

    Args:
        model: Model folder; ``dice.json`` and ``README.md`` are written into it.
        n_bodies: Phantoms.
        contrasts: Contrasts to score.
        n_processes: Images at a time.
        on_image: Called after each image.

    Returns:
        The card.
    """
    jobs = [
        (model, FIRST_UNSEEN_SEED + i, contrast) for i in range(n_bodies) for contrast in contrasts
    ]
    scores = []
    with ProcessPoolExecutor(n_processes, mp_context=get_context("spawn")) as pool:
        for score in pool.map(_score_image, jobs):
            scores.append(score)
            if on_image is not None:
                on_image(score)
    records = [asdict(score) for score in scores]
    write_text_atomic(model / SCORES, json.dumps(records, indent=1) + "\n")
    record = json.loads((model / RECORD).read_text()) if (model / RECORD).exists() else {}
    card = render_card(scores, record)
    write_text_atomic(model / CARD, card)
    return card


def _score_image(job: tuple[Path, int, Contrast]) -> ImageScore:
    import torch

    from organome.compute.inference.loading import load_segmenter, segment

    folder, seed, contrast = job
    torch.set_num_threads(1)
    segmenter = load_segmenter(read_model(folder), device="auto", tile_step_size=0.5)
    body, grid = draw_body(seed), ct_grid() if contrast is Contrast.CT else WHOLE_SCAN
    image = render_image(body, contrast, grid, np.random.default_rng([seed, 7]))
    truth = truth_labelmap(body, grid)
    confusion = count_confusion(truth, segment(image, segmenter))
    return ImageScore(contrast, seed, dice_by_organ(confusion), swapped_share_by_pair(confusion))


def render_card(scores: Sequence[ImageScore], record: Mapping[str, Any]) -> str:
    """Write the card of the phantom model as Markdown."""
    contrasts = list(dict.fromkeys(score.contrast for score in scores))
    rows = [f"| organ | {' | '.join(contrasts)} |", "|---" * (len(contrasts) + 1) + "|"]
    for organ in ORGANS:
        cells = (_mean(scores, contrast, organ.name) for contrast in contrasts)
        rows.append(f"| {organ.name} | {' | '.join(cells)} |")
    cells = (f"**{_mean(scores, contrast, None)}**" for contrast in contrasts)
    rows.append(f"| **mean** | {' | '.join(cells)} |")
    return _CARD.format(
        origin="".join(f"- {name.replace('_', ' ')}: {value}\n" for name, value in record.items()),
        n_bodies=len({score.seed for score in scores}),
        n_contrasts=len(contrasts),
        dice=float(np.mean([value for score in scores for value in score.dice.values()])),
        table="\n".join(rows),
        swapped=max((v for score in scores for v in score.swapped.values()), default=0.0),
    )


def _mean(scores: Sequence[ImageScore], contrast: Contrast, organ: str | None) -> str:
    values = [
        value
        for score in scores
        if score.contrast is contrast
        for name, value in score.dice.items()
        if organ in (None, name)
    ]
    return f"{np.mean(values):.2f}" if values else "-"

"""Make one visit of a phantom cohort: all files of one person on one day."""

from pathlib import Path
from typing import Final

import SimpleITK as sitk
from threadpoolctl import threadpool_limits

from organome.domain.scans import DIXON_CONTRASTS, Contrast
from organome.io.images.image_files import write_image
from organome.phantoms.bodies import anatomy
from organome.phantoms.bodies.anatomy import Body
from organome.phantoms.bodies.people import Covariates
from organome.phantoms.delivery.cohort import (
    CohortPlan,
    DeliveredImage,
    DeliveredScan,
    Visit,
    VisitRecord,
    labelmap_name,
    planted,
    visit_rng,
)
from organome.phantoms.delivery.defects import Defect, Format, PhantomSeries, spoil_series
from organome.phantoms.delivery.dicom_writing import ct_header, encode_series
from organome.phantoms.delivery.ukb_delivery import deliver_archive
from organome.phantoms.rendering import render as rendering
from organome.phantoms.rendering.fields_of_view import abdomen_grid, ct_grid, stitched_grid
from organome.phantoms.rendering.render import SampledGrid


def deliver_ct_series(
    image: sitk.Image, visit: Visit, covariates: Covariates, *, output: Path
) -> DeliveredScan:
    """Write a CT below ``ct/<participant>/``, one file per slice.

    Args:
        image: Hounsfield units.
        visit: Who and when.
        covariates: For the header.
        output: The phantom folder.
    """
    path = Path(Format.CT, visit.participant, f"ct_{visit.instance}")
    folder = output / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in encode_series(image, ct_header(visit, covariates)):
        (folder / name).write_bytes(content)
    return DeliveredScan(Format.CT, "ct", (DeliveredImage(path.as_posix(), Contrast.CT),))


# BIDS has no entity for Dixon contrasts; ``part-`` with the suffix of the German National
# Cohort's converter (TPTBox).
BIDS_ENDINGS: Final = {
    Contrast.IN_PHASE: "part-inphase_vibe",
    Contrast.OPPOSED_PHASE: "part-outphase_vibe",
    Contrast.FAT: "part-fat_vibe",
    Contrast.WATER: "part-water_vibe",
    Contrast.T1: "T1w",
    Contrast.T2: "T2w",
    Contrast.CT: "ct",
}
# Every format that is read shows up, whoever is in the cohort.
FILE_SUFFIXES: Final = {"dixon": ".nii.gz", "t1": ".nrrd", "t2": ".mha", "ct": ".nii.gz"}


def deliver_bids(
    series: tuple[PhantomSeries, ...],
    visit: Visit,
    *,
    protocol: str,
    defect: Defect | None,
    output: Path,
) -> DeliveredScan:
    """Write the images of one protocol below ``bids/sub-*/ses-*/``."""
    stem = f"sub-{visit.participant}_ses-{visit.instance}"
    folder = Path(Format.BIDS, f"sub-{visit.participant}", f"ses-{visit.instance}")
    images = []
    for one in series:
        kind = "ct" if one.contrast is Contrast.CT else "anat"
        path = folder / kind / f"{stem}_{BIDS_ENDINGS[one.contrast]}.nii.gz"
        write_image(output / path, one.image)
        images.append(DeliveredImage(path.as_posix(), one.contrast))
    return DeliveredScan(Format.BIDS, protocol, tuple(images), defect)


def deliver_files(
    series: tuple[PhantomSeries, ...],
    visit: Visit,
    *,
    protocol: str,
    defect: Defect | None,
    output: Path,
    labelmap: sitk.Image | None,
) -> DeliveredScan:
    """Write the images of one protocol below ``nifti/``, each protocol in a format of its own.

    Args:
        series: What to write.
        visit: Who and when.
        protocol: What was acquired.
        defect: What was planted in them.
        output: The phantom folder.
        labelmap: Delivered with the images, turned onto their grid; None: none is delivered.
    """
    labelmap_path = None
    if labelmap is not None:
        labelmap_path = Path(Format.NIFTI, "labelmaps", labelmap_name(visit, protocol)).as_posix()
        write_image(output / labelmap_path, _turned_like(labelmap, series[0].image))
    images = []
    for one in series:
        name = f"{visit.participant}_{visit.instance}_{protocol}_{one.contrast}"
        path = Path(Format.NIFTI, "images", name + FILE_SUFFIXES[protocol])
        write_image(output / path, one.image)
        images.append(DeliveredImage(path.as_posix(), one.contrast, labelmap_path))
    return DeliveredScan(Format.NIFTI, protocol, tuple(images), defect)


def _turned_like(labelmap: sitk.Image, image: sitk.Image) -> sitk.Image:
    axes = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())
    turned: sitk.Image = sitk.DICOMOrient(labelmap, axes)
    return turned


LABELMAPS: Final = Path("truth", "labelmaps")
COARSE_BODY_MM: Final = (4.0, 4.0, 5.0)  # finer bodies are lost on a reduced matrix
# Random streams 0 to 9 belong to the archive's stations.
STREAMS: Final = {"dixon": 10, "t1": 11, "t2": 12, "ct": 13}
DEFECT_STREAM: Final = 20


def make_visit(visit: Visit, *, plan: CohortPlan, output: Path) -> VisitRecord:
    """Draw the person, write the visit in every format, and the true labelmaps.

    Args:
        visit: Who, when, and what goes wrong.
        plan: The cohort that the visit belongs to.
        output: The phantom folder.
    """
    # With more threads, products of matrices add up in an order that depends on their number.
    with threadpool_limits(limits=1, user_api="blas"):
        return _make_visit(visit, plan=plan, output=output)


def _make_visit(visit: Visit, *, plan: CohortPlan, output: Path) -> VisitRecord:
    body = _draw(visit, plan)
    scans: list[DeliveredScan] = []
    if visit.with_ct:
        protocols: dict[str, SampledGrid] = {"ct": ct_grid(reduce=plan.reduce)}
    else:
        protocols = {"dixon": stitched_grid(reduce=plan.reduce)}
        if Format.UKB in plan.formats:
            scans.append(deliver_archive(body, visit, output=output, reduce=plan.reduce))
        if {Format.BIDS, Format.NIFTI} & set(plan.formats):
            abdomen = abdomen_grid(reduce=plan.reduce)
            protocols |= {"t1": abdomen, "t2": abdomen}
    for protocol, grid in protocols.items():
        labelmap = rendering.truth_labelmap(body, grid)
        write_image(output / LABELMAPS / labelmap_name(visit, protocol), labelmap)
        scans += _deliver_images(
            body, visit, protocol=protocol, grid=grid, labelmap=labelmap, plan=plan, output=output
        )
    return VisitRecord(visit, body.covariates, body.volumes_ml, tuple(scans))


def _draw(visit: Visit, plan: CohortPlan) -> Body:
    return anatomy.draw_body(
        visit.body_seed,
        sex=visit.sex,
        years_later=visit.years_later,
        spacing_xyz_mm=anatomy.SPACING_MM if plan.reduce == 1 else COARSE_BODY_MM,
    )


def _deliver_images(
    body: Body,
    visit: Visit,
    *,
    protocol: str,
    grid: SampledGrid,
    labelmap: sitk.Image,
    plan: CohortPlan,
    output: Path,
) -> list[DeliveredScan]:
    """Deliver one protocol in every format that takes whole images."""
    image_files = {Format.BIDS, Format.NIFTI}
    formats = set(plan.formats) & (image_files | {Format.CT} if visit.with_ct else image_files)
    if not formats:
        return []
    sound = _render(body, visit, protocol=protocol, grid=grid)
    planned = planted(visit, Format.NIFTI)
    series = spoil_series(planned, sound, visit_rng(visit, DEFECT_STREAM))
    # a swap of fat and water leaves a T1 alone
    defect = planned if any(a is not b for a, b in zip(series, sound, strict=True)) else None
    scans = []
    if Format.CT in formats:
        scans.append(deliver_ct_series(sound[0].image, visit, body.covariates, output=output))
    if Format.BIDS in formats:
        scans.append(deliver_bids(series, visit, protocol=protocol, defect=defect, output=output))
    if Format.NIFTI in formats:
        given = labelmap if plan.labelmaps else None
        scans.append(
            deliver_files(
                series, visit, protocol=protocol, defect=defect, output=output, labelmap=given
            )
        )
    return scans


def _render(
    body: Body, visit: Visit, *, protocol: str, grid: SampledGrid
) -> tuple[PhantomSeries, ...]:
    rng = visit_rng(visit, STREAMS[protocol])
    if protocol == "dixon":
        images = rendering.render_dixon(body, grid, rng)
        return tuple(PhantomSeries(contrast, images[contrast]) for contrast in DIXON_CONTRASTS)
    contrast = Contrast(protocol)
    return (PhantomSeries(contrast, rendering.render_image(body, contrast, grid, rng)),)

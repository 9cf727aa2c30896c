"""From a scan as delivered to images by station and contrast, whatever the cohort."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
import SimpleITK as sitk
from isal import isal_zlib

from organome.cohorts import nako
from organome.cohorts.dicom_series import check_modality, choose_single_series
from organome.cohorts.series import Series
from organome.cohorts.ukb import (
    MANIFEST_NAME,
    PANCREAS,
    Choice,
    choose_pancreas,
    choose_series,
    manifest_flags,
    own_sources,
)
from organome.compute.geometry.arrays import Mask
from organome.compute.geometry.grids import share_grid
from organome.compute.labelmaps.view import Seen, find_seen
from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.headers import Header
from organome.domain.outcomes import Reason
from organome.domain.scans import (
    DIXON_CONTRASTS,
    CohortKind,
    Contrast,
    MissingRescale,
    Scan,
    Source,
)
from organome.io.dicom.slices import DicomFiles, DicomSlice, join_files, parse_files, read_folder
from organome.io.dicom.voxels import AIR_HU, LOWEST_HU, stack_slices
from organome.io.files.archives import ARCHIVE_SUFFIX, read_members
from organome.io.files.delivered import is_folder
from organome.io.files.identity import input_identity
from organome.io.images.image_files import check_image, read_delivered
from organome.io.images.sidecars import Sidecar, read_sidecar
from organome.shards.faults import lacks_memory, machine_fault, system_error

# What later steps read of every Dixon scan; the other contrasts serve where these look exchanged.
REQUIRED: Final = frozenset({Contrast.FAT, Contrast.WATER})
# What costs a station at an end that station only: no setting and no second look puts it right.
DAMAGED: Final = frozenset(
    {Reason.ARCHIVE_BROKEN, Reason.FILE_BROKEN, Reason.SLICES_MISSING}
    | {Reason.NOT_FINITE, Reason.CONSTANT_IMAGE}
)

FAT_HU: Final = -50  # -120 to -60 in people; air is -1000
SOFT_HU: Final = (-200, 300)  # fat to enhanced blood
MIN_SOFT_SHARE: Final = 0.01  # of voxels; a body fills a tenth of its image at least


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """What is known of an image beside its voxels, whatever contrast it turns out to show.

    Attributes:
        image: The image itself.
        frame_uid: Frame of reference of its DICOM series; empty if there is none.
        seen: What was seen of it, where the padding that says so was replaced.
    """

    image: sitk.Image
    frame_uid: str = ""
    seen: Seen | None = None

    @classmethod
    def of(cls, image: sitk.Image, replaced_zyx: Mask | None, *, frame_uid: str = "") -> "Origin":
        """Note what was seen of an image, before where its padding was is forgotten."""
        seen = None if replaced_zyx is None else find_seen(image, replaced_zyx)
        return cls(image, frame_uid, seen)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a scan consists of.

    Attributes:
        stations: From head to foot as far as the cohort says, each its images by contrast. A scan
            that is not a sequence of stations has one.
        header: What one of its DICOM files, or a JSON beside an image, says of scanner and
            participant; None without one.
        flags: What was odd and got handled.
        n_files_left_out: Files among its DICOM files that are not slices, None without DICOM.
        scalings: How stored DICOM values became intensities.
        origins: Of images that were read, those left out included.
    """

    stations: tuple[Mapping[Contrast, sitk.Image], ...]
    header: Header | Sidecar | None
    flags: frozenset[Flag]
    n_files_left_out: int | None = None
    scalings: frozenset[str] = frozenset()
    origins: tuple[Origin, ...] = ()

    def seen(self, image: sitk.Image) -> Seen:
        """Return what was seen of one of the images, as it was delivered."""
        noted = (one.seen for one in self.origins if one.image is image)
        return next((one for one in noted if one is not None), None) or find_seen(image)


@dataclass(frozen=True, slots=True)
class _Archive:
    path: str
    files: DicomFiles
    flags: frozenset[Flag]


class _Stacker:
    """Makes images of series, and keeps account of what was odd about their voxels."""

    def __init__(self, files: DicomFiles, missing_rescale: MissingRescale) -> None:
        self._missing_rescale = missing_rescale
        self._slices: dict[Header, DicomSlice] = {one.header: one for one in files.slices}
        self.flags = set(files.flags)
        self.scalings: set[str] = set()
        self.origins: list[Origin] = []

    def image(self, series: Series, contrast: Contrast) -> sitk.Image:
        """Stack a series, and check the image.

        Raises:
            ScanError: If files or voxels of the series are not in order.
        """
        check_modality(series, contrast)
        slices = [self._slices[header] for header in series.slices]
        stack = stack_slices(
            slices,
            hounsfield=contrast is Contrast.CT,
            missing_rescale=self._missing_rescale,
        )
        self.flags |= stack.flags | _unit_flags(stack.image, contrast)
        self.scalings |= stack.scalings
        image = _checked(stack.image, contrast)
        frame_uid = series.first.frame_of_reference_uid
        self.origins.append(Origin.of(image, stack.replaced_zyx, frame_uid=frame_uid))
        return image


class Deliveries:
    """Reads what the scans of one kind of cohort were delivered as."""

    def __init__(
        self,
        kind: CohortKind,
        contrasts: Sequence[Contrast],
        missing_rescale: MissingRescale = MissingRescale.REFUSE,
        orientation: str = "",
    ) -> None:
        self._kind = kind
        self._missing_rescale = missing_rescale
        self._contrasts = contrasts
        self._orientation = orientation
        self._last: _Archive | None = None

    def read(self, scan: Scan) -> Delivery:
        """Read the images of a scan and check each.

        What is wrong with a contrast that is not required costs that contrast only,
        unless no other is left; a damaged station at an end costs that station only.

        Raises:
            ScanError: If files, series or voxels are not in order.
        """
        if self._kind == "ukb":
            delivery = self._read_archive(scan)
        elif self._kind == "nako" and scan.protocol == nako.DIXON and _are_archives(scan):
            delivery = self._read_stations(scan)
        else:
            delivery = _read_sources(
                scan, self._contrasts, self._missing_rescale, self._orientation
            )
        delivery = _without_copies(delivery)
        return replace(delivery, flags=delivery.flags | _frame_flags(delivery))

    def _read_archive(self, scan: Scan) -> Delivery:
        shown = (Contrast.T1,) if scan.protocol == PANCREAS else DIXON_CONTRASTS
        contrasts = [one for one in self._contrasts if one in shown]
        if not contrasts:
            raise ScanError(Reason.CONTRAST_MISSING, f"none of {', '.join(shown)} is wanted")
        archive = self._archive(scan)
        headers = (one.header for one in archive.files.slices)
        choice = (
            choose_pancreas(headers)
            if scan.protocol == PANCREAS
            else choose_series(
                headers, contrasts=contrasts, required=REQUIRED, station=scan.station
            )
        )
        return self._stacked(archive, choice, _Lost(contrasts))

    def _read_stations(self, scan: Scan) -> Delivery:
        """Read the Dixon stations of NAKO, of whose contrasts each has an archive of its own."""
        contrasts = [one for one in self._contrasts if one in DIXON_CONTRASTS]
        if not contrasts:
            fact = f"none of {', '.join(DIXON_CONTRASTS)} is wanted"
            raise ScanError(Reason.CONTRAST_MISSING, fact)
        lost = _Lost(contrasts)
        key = "\n".join(one.path for one in scan.sources)
        if self._last is None or self._last.path != key:
            self._last = None
            parts: list[DicomFiles] = []
            n_files = 0
            for number, source in enumerate(scan.sources):
                if source.contrast is None or source.contrast in contrasts:
                    with lost.unless_required(source.contrast):
                        members = [
                            (f"{number}/{name}", content)
                            for name, content in read_members(Path(source.path))
                        ]
                        parts.append(parse_files(members, n_before=n_files))
                        n_files += len(members)
            if not parts:
                lost.whole(())  # raises what was wrong
            self._last = _Archive(path=key, files=join_files(parts), flags=frozenset())
        archive = self._last
        if scan.station is None:
            self._last = None
        headers = [one.header for one in archive.files.slices]
        choice = choose_series(
            [one for one in headers if not nako.is_composed(one)],
            contrasts=contrasts,
            required=REQUIRED,
            station=scan.station,
            n_stations=nako.STATIONS,
        )
        return self._stacked(archive, choice, lost)

    def _stacked(self, archive: _Archive, choice: Choice, lost: "_Lost") -> Delivery:
        """Stack the series that were chosen."""
        stacker = _Stacker(archive.files, self._missing_rescale)
        stations: list[dict[Contrast, sitk.Image]] = []
        for number, station in enumerate(choice.stations):
            stations.append({})
            for contrast, series in station.items():
                with lost.unless_required(contrast, station=number):
                    stations[-1][contrast] = stacker.image(series, contrast)
        return Delivery(
            stations=lost.whole(stations),
            header=next(iter(choice.stations[0].values())).first,
            flags=choice.flags | archive.flags | stacker.flags | lost.flags,
            n_files_left_out=archive.files.n_left_out,
            scalings=frozenset(stacker.scalings),
            origins=tuple(stacker.origins),
        )

    def _archive(self, scan: Scan) -> _Archive:
        """Read an archive, once for all its stations where each is a scan: they are neighbours."""
        source, *copies = own_sources(scan)
        if self._last is not None and self._last.path == source.path:
            return self._last
        self._last = None  # 100 MB that need not be there twice
        if copies and len({str(input_identity(Path(one.path))) for one in (source, *copies)}) > 1:
            fact = f"{1 + len(copies)} archives of one name, which differ"
            raise ScanError(Reason.SEVERAL_SERIES, fact)
        archive = _read_ukb_archive(source.path)
        if copies:
            archive = replace(archive, flags=archive.flags | {Flag.DELIVERED_TWICE})
        if scan.station is not None:
            self._last = archive
        return archive


def _are_archives(scan: Scan) -> bool:
    return all(nako.is_archive(Path(one.path)) for one in scan.sources)


def _read_ukb_archive(path: str) -> _Archive:
    manifests = []

    def dicom_files() -> Iterator[tuple[str, bytes]]:
        for name, content in read_members(Path(path)):
            if MANIFEST_NAME.search(name):
                manifests.append(content.decode("latin-1"))
            else:
                yield name, content

    files = parse_files(dicom_files())
    names = {one.header.file for one in files.slices}
    flags = manifest_flags(manifests[0], names) if manifests else frozenset()
    return _Archive(path=path, files=files, flags=flags)


def _read_sources(
    scan: Scan, contrasts: Sequence[Contrast], missing_rescale: MissingRescale, orientation: str
) -> Delivery:
    if len({source.station is None for source in scan.sources}) > 1:
        raise ScanError(Reason.SEVERAL_SERIES, "images with and without a station")
    stations: list[dict[Contrast, sitk.Image]] = []
    read: list[Delivery] = []
    flags: set[Flag] = set()
    lost = _Lost({one.contrast for one in scan.sources} & set(contrasts))
    by_station = groupby(scan.sources, key=lambda one: one.station)
    for number, (_, sources) in enumerate(by_station):
        images: dict[Contrast, sitk.Image] = {}
        for source in sources:
            if source.contrast is not None and source.contrast not in contrasts:
                continue
            with lost.unless_required(source.contrast, station=number):
                one = _read_source(source, missing_rescale, orientation)
                for contrast, image in one.stations[0].items():
                    if contrast in images:
                        _check_same(contrast, images[contrast], image)
                        flags.add(Flag.DELIVERED_TWICE)
                    images[contrast] = image
                read.append(one)
        stations.append({one: images[one] for one in contrasts if one in images})
    whole = lost.whole(stations)
    if not any(whole):
        raise ScanError(Reason.CONTRAST_MISSING, "the scan has none of the wanted contrasts")
    left_out = [one.n_files_left_out for one in read if one.n_files_left_out is not None]
    return Delivery(
        stations=whole,
        header=next((one.header for one in read if one.header is not None), None),
        flags=frozenset(flags | lost.flags).union(*(one.flags for one in read)),
        n_files_left_out=sum(left_out) if left_out else None,
        scalings=frozenset().union(*(one.scalings for one in read)),
        origins=tuple(origin for one in read for origin in one.origins),
    )


class _Lost:
    """Contrasts and end stations that a scan goes on without, because something is wrong there."""

    def __init__(self, contrasts: Collection[Contrast | None]) -> None:
        """Note what is required: fat and water, or the only contrast."""
        self.flags: frozenset[Flag] = frozenset()
        self._required = {one for one in contrasts if one in REQUIRED or len(contrasts) == 1}
        self._errors: dict[Contrast, ScanError] = {}
        self._damaged: dict[int, ScanError] = {}

    @contextmanager
    def unless_required(
        self, contrast: Contrast | None, *, station: int | None = None
    ) -> Iterator[None]:
        """Note what is wrong with a contrast; raise it if the contrast is required.

        Args:
            contrast: The contrast; None: not known, so required.
            station: Place of its station from the head; None: it is all stations'. Damage to a
                required contrast of one station is noted as well, but not an error of the operating
                system: a permission or a limit may be corrected, and nothing would ask again.

        Raises:
            ScanError: What is wrong; a fault of the machine or a lack of memory always.
        """
        try:
            yield
        except ScanError as error:
            if contrast is None or machine_fault(error) or lacks_memory(error):
                raise
            if contrast not in self._required:
                self._errors.setdefault(contrast, error)
            elif station is None or error.reason not in DAMAGED or system_error(error):
                raise
            else:
                self._damaged.setdefault(station, error)

    def whole(
        self, stations: Sequence[Mapping[Contrast, sitk.Image]]
    ) -> tuple[Mapping[Contrast, sitk.Image], ...]:
        """Return the stations that can be used, with the contrasts that all of them have.

        A station at an end that lacks a required contrast which others have, or in which one is
        damaged, is left out.

        Raises:
            ScanError: What was wrong with a station within, or if nothing is left.
        """
        there = {one for images in stations for one in images}
        needed = there & self._required
        places = [
            n
            for n, images in enumerate(stations)
            if needed <= set(images) and n not in self._damaged
        ]
        ends = (places[0], places[-1] + 1) if places else (0, len(stations))
        for place, error in self._damaged.items():
            if ends[0] <= place < ends[1]:
                raise error
        if places and len(places) < len(stations):
            stations = stations[slice(*ends)]
            self.flags |= {Flag.STATIONS_MISSING}
        lost = {one for one in there - needed if not _is_whole(one, stations, needed)}
        if self._errors and not there - lost - set(self._errors):
            raise next(iter(self._errors.values()))
        lost |= set(self._errors)
        if lost:
            self.flags |= {Flag.CONTRAST_LEFT_OUT}
        return tuple(
            {contrast: image for contrast, image in images.items() if contrast not in lost}
            for images in stations
        )


def _is_whole(
    contrast: Contrast,
    stations: Sequence[Mapping[Contrast, sitk.Image]],
    needed: Collection[Contrast],
) -> bool:
    """Return whether a contrast goes with those that are required; without any, it does."""
    if not needed:
        return True
    return all(
        contrast in images
        and all(share_grid(images[contrast], images[one]) for one in needed if one in images)
        for images in stations
    )


def _without_copies(delivery: Delivery) -> Delivery:
    """Leave out contrasts of which one has the voxels of another: one name is wrong.

    Raises:
        ScanError: CONTENT_REPEATED if one of them is required, or none is left.
    """
    seen: dict[_Voxels, tuple[int, Contrast]] = {}
    lost: set[Contrast] = set()
    fact = ""
    for station, images in enumerate(delivery.stations, start=1):
        for contrast, image in images.items():
            first, other = seen.setdefault(_Voxels(image), (station, contrast))
            if (first, other) == (station, contrast):
                continue
            fact = f"{contrast} has the voxels of {other}"
            if first != station or len(delivery.stations) > 1:
                fact = f"{contrast} of station {station} has the voxels of {other} of {first}"
            if {contrast, other} & REQUIRED:
                raise ScanError(Reason.CONTENT_REPEATED, fact)
            lost |= {contrast, other}
    if not lost:
        return delivery
    stations = tuple(
        {one: image for one, image in images.items() if one not in lost}
        for images in delivery.stations
    )
    if not all(stations):
        raise ScanError(Reason.CONTENT_REPEATED, fact)
    return replace(delivery, stations=stations, flags=delivery.flags | {Flag.CONTRAST_LEFT_OUT})


class _Voxels:
    """The voxels of an image as a key: equal are those of the same shape, type and bytes."""

    def __init__(self, image: sitk.Image) -> None:
        voxels_zyx = sitk.GetArrayViewFromImage(image)
        self._image = image  # a view does not keep it alive
        self._bytes = voxels_zyx.reshape(-1).view(np.uint8)
        self._kind = (voxels_zyx.shape, voxels_zyx.dtype)
        self._hash = hash((*self._kind, isal_zlib.crc32(self._bytes)))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Voxels):
            return NotImplemented
        return self._kind == other._kind and np.array_equal(self._bytes, other._bytes)


def _frame_flags(delivery: Delivery) -> frozenset[Flag]:
    """Compare frames of reference: somebody who was moved in between has a new one."""
    used = [image for images in delivery.stations for image in images.values()]
    origins = (one for one in delivery.origins if any(one.image is image for image in used))
    uids = {one.frame_uid for one in origins} - {""}
    return frozenset({Flag.FRAME_DIFFERS}) if len(uids) > 1 else frozenset()


def _check_same(contrast: Contrast, one: sitk.Image, other: sitk.Image) -> None:
    """Refuse two images of a contrast at one place, unless they are one image in two files.

    Raises:
        ScanError: SEVERAL_SERIES.
    """
    a, b = sitk.GetArrayViewFromImage(one), sitk.GetArrayViewFromImage(other)
    if not share_grid(one, other) or not np.array_equal(a, b):
        fact = f"two images of {contrast} at one place, which differ"
        raise ScanError(Reason.SEVERAL_SERIES, fact)


def _read_source(source: Source, missing_rescale: MissingRescale, orientation: str) -> Delivery:
    """Read one source as a delivery of one image."""
    path = Path(source.path)
    try:
        if is_folder(path) or path.suffix.lower() == ARCHIVE_SUFFIX:
            return _read_series(path, source.contrast, missing_rescale)
        delivered = read_delivered(path, orientation=orientation)
    except ScanError as error:
        if source.contrast is None:
            raise
        raise ScanError(error.reason, f"{source.contrast}: {error.fact}") from error
    if source.contrast is None:
        raise ScanError(Reason.CONTRAST_MISSING, "the list does not say what the image shows")
    image, flags, replaced_zyx = delivered.image, delivered.flags, None
    if source.contrast is Contrast.CT:
        image, replaced_zyx = _without_padding(image)
    if replaced_zyx is not None:
        flags |= {Flag.PADDING_REPLACED}
    return Delivery(
        ({source.contrast: image},),
        header=read_sidecar(path),
        flags=flags | _unit_flags(image, source.contrast),
        origins=(Origin.of(image, replaced_zyx),),
    )


def _without_padding(image: sitk.Image) -> tuple[sitk.Image, Mask | None]:
    """Make air of what lies below any tissue and air of a CT, as where it comes as DICOM.

    Returns:
        The image, and where that was; None: nowhere.
    """
    voxels_zyx = sitk.GetArrayViewFromImage(image)
    if voxels_zyx.min() >= LOWEST_HU:
        return image, None
    highest = float(voxels_zyx.max())
    filled = sitk.Threshold(image, lower=LOWEST_HU, upper=highest, outsideValue=AIR_HU)
    return filled, voxels_zyx < LOWEST_HU


def _unit_flags(image: sitk.Image, contrast: Contrast) -> frozenset[Flag]:
    """Look for air or fat, and for soft tissue: stored, scaled or shifted values lack one."""
    if contrast is not Contrast.CT:
        return frozenset()
    voxels_zyx = sitk.GetArrayViewFromImage(image)
    low, high = SOFT_HU
    n_soft = np.count_nonzero((voxels_zyx >= low) & (voxels_zyx <= high))
    is_in_hu = voxels_zyx.min() < FAT_HU and n_soft >= MIN_SOFT_SHARE * voxels_zyx.size
    return frozenset() if is_in_hu else frozenset({Flag.CT_NOT_IN_HU})


def _read_series(
    path: Path, contrast: Contrast | None, missing_rescale: MissingRescale
) -> Delivery:
    """Read the one series that a folder or archive is there for."""
    files = parse_files(read_folder(path) if is_folder(path) else read_members(path))
    headers: Sequence[Header] = [one.header for one in files.slices]
    if is_folder(path):
        headers = _directly_in(headers)
    chosen = choose_single_series(headers, contrast)
    stacker = _Stacker(files, missing_rescale)
    image = stacker.image(chosen.series, chosen.contrast)
    extra = {Flag.EXTRA_SERIES} if len(headers) < len(files.slices) else set()
    return Delivery(
        stations=({chosen.contrast: image},),
        header=chosen.series.first,
        flags=chosen.flags | stacker.flags | extra,
        n_files_left_out=files.n_left_out,
        scalings=frozenset(stacker.scalings),
        origins=tuple(stacker.origins),
    )


def _directly_in(headers: Sequence[Header]) -> Sequence[Header]:
    """Leave out series that lie wholly in folders of the folder, if others do not: not meant."""
    meant = {one.series_uid for one in headers if "/" not in one.file}
    return [one for one in headers if one.series_uid in meant] if meant else headers


def _checked(image: sitk.Image, contrast: Contrast) -> sitk.Image:
    try:
        check_image(image)
    except ScanError as error:
        raise ScanError(error.reason, f"{contrast}: {error.fact}") from error
    return image

"""What listing costs: archives by name, beside pydicom opening them file by file.

    python benchmarks/listing.py [--archives 2000] [--linked 20000] [--repeats 3]

A cohort of small archives of UK Biobank's layout is made (24 series of 8 slices each, 192 DICOM
files), and a second, larger one that links to the same files under other names. Listed are both,
as new and once more when all is known, and once more with a look at the time of every file
(``--check``). The peer reads the header of every DICOM file in every tenth archive of the smaller
cohort by pydicom, which is what deciding by content would take at the least.

Each figure is the median of the repeats, each in a process of its own, start of the program
included; seconds and peak memory are those of that process alone (wait4). The file cache is warm.
The last line is one JSON object: ``zips_per_s`` of the larger cohort listed as new,
``ratio_pydicom`` (how many times as long pydicom takes for an archive), ``peak_gib`` (the most that
listing took).
"""

import argparse
import io
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Final

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

N_SERIES, N_SLICES = 24, 8
FIRST_ID: Final = 1_000_000
PEER_SHARE: Final = 10
PEER: Final = """\
import io, sys, zipfile
from pathlib import Path
from subprocess import DEVNULL, Popen
from pydicom import dcmread
for path in sorted(Path(sys.argv[1]).glob("*/*.zip"))[:: int(sys.argv[2])]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist()[:-1]:  # the last is the manifest
            dcmread(io.BytesIO(archive.read(name)), stop_before_pixels=True).SeriesDescription
"""


def dicom_file(series: int, index: int) -> bytes:
    """Make one slice."""
    slice_ = Dataset()
    slice_.file_meta = FileMetaDataset()
    slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice_.file_meta.MediaStorageSOPClassUID = slice_.SOPClassUID = MRImageStorage
    uid = f"1.2.826.{series}.{index}"
    slice_.SOPInstanceUID = uid
    slice_.file_meta.MediaStorageSOPInstanceUID = UID(uid)
    slice_.Modality, slice_.SeriesInstanceUID = "MR", f"1.2.826.{series}"
    slice_.SeriesNumber, slice_.InstanceNumber = series, index
    slice_.SeriesDescription = f"Dixon_BH_17s_{('in', 'opp', 'F', 'W')[series % 4]}"
    slice_.ImagePositionPatient, slice_.PixelSpacing = [0, 0, 4.5 * index], [2.23, 2.23]
    slice_.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    slice_.Rows, slice_.Columns, slice_.SamplesPerPixel = 12, 16, 1
    slice_.PhotometricInterpretation = "MONOCHROME2"
    slice_.BitsAllocated = slice_.BitsStored = 16
    slice_.HighBit, slice_.PixelRepresentation = 15, 0
    slice_.PixelData = np.full((12, 16), series * index, np.uint16).tobytes()
    content = io.BytesIO()
    slice_.save_as(content, enforce_file_format=True)
    return content.getvalue()


def archive() -> bytes:
    """Make an archive of a visit."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as zipped:
        for series in range(1, N_SERIES + 1):
            for index in range(N_SLICES):
                zipped.writestr(f"{series}.{index}.dcm", dicom_file(series, index))
        zipped.writestr("manifest.cvs", "filename\n")
    return content.getvalue()


def make_cohorts(folder: Path, *, n_archives: int, n_linked: int) -> tuple[Path, Path]:
    """Write the smaller cohort and link the larger one to it."""
    small, large, content = folder / "small", folder / "large", archive()
    written: list[Path] = []
    for root, n in ((small, n_archives), (large, n_linked)):
        for eid in range(FIRST_ID, FIRST_ID + n):
            path = root / str(eid % 100) / f"{eid}_20201_2_0.zip"
            path.parent.mkdir(parents=True, exist_ok=True)
            if root == small:
                path.write_bytes(content)
                written.append(path)
            else:
                path.hardlink_to(written[eid % len(written)])
    return small, large


def measure(command: Sequence[str | Path]) -> tuple[float, float]:
    """Return wall seconds and peak memory in GiB of a process."""
    start_s = time.perf_counter()
    process = Popen([str(word) for word in command], stdout=DEVNULL, stderr=DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[0]} ended with {status}")
    return time.perf_counter() - start_s, usage.ru_maxrss / (1 << 20)


def list_command(root: Path, scans: Path, *flags: str) -> list[str | Path]:
    """Return the call that lists a cohort."""
    return [
        *(Path(sys.executable).with_name("organome"), "list-scans", "--kind=ukb", "--cohort=c"),
        *(f"--root={root}", f"--scans={scans}", "--shard-size=300", *flags),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--archives", type=int, default=2000)
    parser.add_argument("--linked", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, Python {platform.python_version()}; {platform.machine()},"
        f" local disk; load {os.getloadavg()[0]:.1f}"
    )
    print(f"median of {given.repeats} runs (smallest to largest)")
    print(f"{'archives':>8} {'way':10} {'wall s':>20} {'per s':>8} {'peak GiB':>9}")
    rates: dict[tuple[int, str], float] = {}
    peaks_gib = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        roots = make_cohorts(folder, n_archives=given.archives, n_linked=given.linked)
        for root, n in zip(roots, (given.archives, given.linked), strict=True):
            runs: dict[str, list[tuple[float, float]]] = {"new": [], "known": [], "check": []}
            for _ in range(given.repeats):
                shutil.rmtree(folder / "scans", ignore_errors=True)
                runs["new"].append(measure(list_command(root, folder / "scans")))
                runs["known"].append(measure(list_command(root, folder / "scans")))
                check = list_command(root, folder / "scans", "--check")
                runs["check"].append(measure(check))
            shutil.rmtree(folder / "scans")
            peaks_gib += [peak for of_way in runs.values() for _, peak in of_way]
            if root == roots[0]:
                peer: list[str | Path] = [sys.executable, "-c", PEER, root, str(PEER_SHARE)]
                runs["pydicom"] = [measure(peer) for _ in range(given.repeats)]
            for way, measured in runs.items():
                n_read = n // PEER_SHARE if way == "pydicom" else n
                walls_s = sorted(wall_s for wall_s, _ in measured)
                rates[n, way] = n_read / statistics.median(walls_s)
                spread = f"{statistics.median(walls_s):.2f} ({walls_s[0]:.2f} to {walls_s[-1]:.2f})"
                peak_gib = max(peak for _, peak in measured)
                print(
                    f"{n_read:8,} {way:10} {spread:>20} {rates[n, way]:8,.0f} {peak_gib:9.2f}",
                    flush=True,
                )
    zips_per_s = rates[given.linked, "new"]
    figures = {
        "zips_per_s": round(zips_per_s),
        "zips_per_s_2k": round(rates[given.archives, "new"]),
        "ratio_pydicom": round(zips_per_s / rates[given.archives, "pydicom"]),
        "peak_gib": round(max(peaks_gib), 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

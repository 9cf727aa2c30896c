"""Name the measured shards in a file; ten thousand paths do not fit on a command line."""

from pathlib import Path

from organome.domain.errors import SetupError
from organome.io.files.atomic import write_text_atomic


def run(*, scans: Path, results: Path, output: Path) -> None:
    """Write one folder of measured scans per line, for every shard that is listed.

    Args:
        scans: Folder of the sample sheet, one Parquet file per shard.
        results: Folder that holds one folder of measured scans per shard.
        output: The text file.

    Raises:
        SetupError: If nothing is listed, or a listed shard is not measured: its scans would lack
            their rows.
    """
    folders = [results / shard.stem for shard in sorted(scans.glob("[0-9]*.parquet"))]
    if not folders:
        raise SetupError(f"{scans}: no shards, list the scans first")
    missing = [folder for folder in folders if not (folder / "ledger.parquet").is_file()]
    if missing:
        raise SetupError(f"{len(missing)} shards are not measured, the first: {missing[0]}")
    write_text_atomic(output, "".join(f"{folder}\n" for folder in folders))

"""Snakemake as a fork of one that has imported everything: in a second or two it starts otherwise.

python tests/doubles/snakemakes.py      reads a line of JSON a run, writes a line when it ended
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory


def run_snakemake(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run Snakemake in a process of its own.

    Returns:
        Its exit code, and what it wrote to standard output and errors.
    """
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with TemporaryDirectory() as folder:
        output = Path(folder, "output.txt")
        asked = {"arguments": [*arguments], "environment": {**environment}, "output": str(output)}
        asked["folder"] = str(Path.cwd())
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return code, output.read_text()


@cache
def _server() -> subprocess.Popen[str]:
    # It ends when this process does: then its input ends.
    # -P: `import radiomics` finds pyradiomics, not the double beside this file.
    command = [sys.executable, "-P", __file__]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _serve() -> None:
    import snakemake.cli  # noqa: F401

    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            _be_snakemake(**asked)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _be_snakemake(
    arguments: Sequence[str], environment: Mapping[str, str], output: str, folder: str
) -> None:
    import snakemake.cli

    code = 1
    try:
        os.setsid()
        for fd, path, flags in (
            (0, os.devnull, os.O_RDONLY),
            (1, output, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        ):
            os.dup2(os.open(path, flags), fd)
        os.dup2(1, 2)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv[:] = [str(Path(sys.executable).with_name("snakemake")), *arguments]
        snakemake.cli.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else bool(end.code)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()

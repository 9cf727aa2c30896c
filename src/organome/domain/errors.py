"""The error tree.

```
OrganomeError
├ SetupError      the job stops, exit code 2; the scans stay undone, not failed
│ └ MachineFault  the same, exit code 69; on another machine or later it may go well
├ Interrupted     the job was asked to stop, exit code 75; started again it goes on where it was
└ ScanError       this scan fails, the shard goes on; carries a Reason
```

Anything else that a scan raises is a row, too, with the reason ``unexpected_error``; elsewhere it
is a bug and stops the job. Only ``shards`` turns errors into rows.
"""

from organome.domain.outcomes import Reason


class OrganomeError(Exception):
    """Root of all errors that Organome raises on purpose."""


class SetupError(OrganomeError):
    """The job cannot work for any scan: no model, digest differs, unknown cohort."""


class MachineFault(SetupError):
    """The machine is at fault: disk full, mount lost, GPU broken, processes die of no scan.

    Elsewhere or later the same job may go well.

    Attributes:
        is_local: Whether this machine is better avoided: not where the disk of a delivery is at
            fault, which all machines share.
    """

    def __init__(self, message: str, *, is_local: bool = True) -> None:
        super().__init__(message)
        self.is_local = is_local


class Interrupted(OrganomeError):
    """The job was asked to stop, or another attempt took its shard over."""


class ScanError(OrganomeError):
    """This scan cannot be done; the shard goes on.

    Attributes:
        reason: Why, in the released vocabulary of reasons.
        fact: What was found, in one line. It may name a file inside the scan's archive or series,
            but holds neither a participant nor a header text: it stands in the cohort tables.
    """

    def __init__(self, reason: Reason, fact: str) -> None:
        super().__init__(reason, fact)  # as given, so that it can be pickled
        self.reason = reason
        self.fact = fact

    def __str__(self) -> str:
        """Return both in one line."""
        return f"{self.reason}: {self.fact}"

import math
from pathlib import Path

import pytest
import yaml

from doubles.steps import make_scans
from organome.domain.errors import SetupError
from organome.domain.outcomes import Attempt, Outcome, Reason, Status
from organome.io.tables.ledgers import LEDGER, write_ledger
from organome.io.tables.scan_lists import write_shard
from organome.shards.work_folder import WorkFolder
from organome.steps.inspect.estimate import (
    FIXED_JOB_S,
    Estimate,
    JobShape,
    Leftover,
    StepCost,
    hours_left,
    propose_size,
    run,
    step_cost,
)

PREPARE, SEGMENT, MEASURE = "prepare_images", "segment_organs", "measure_volumes"
BROKEN = Reason.ARCHIVE_BROKEN


class Cohort:
    """A run folder with ledgers and journals of invented times."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def list_shards(self, n_shards: int, *, n_scans: int) -> None:
        for shard in range(n_shards):
            scans = make_scans(n_scans, shard=shard)
            write_shard(self.folder / "scans" / f"{shard:04d}.parquet", scans)

    def publish(
        self, step: str, shard: int, seconds: list[float], n_failed_before: int = 0
    ) -> None:
        outcomes, attempts = self._decided(step, shard, seconds, n_failed_before)
        write_ledger(
            self.folder / "results" / step / f"{shard:04d}" / LEDGER,
            outcomes,
            {one.scan: attempt for one, attempt in zip(outcomes, attempts, strict=True)},
        )

    def begin(self, step: str, shard: int, seconds: list[float]) -> None:
        """Leave a shard half done, as a step that was stopped does."""
        work = self.folder / "work" / step / f"{shard:04d}"
        held = WorkFolder(work, output=self.folder / "results" / step / f"{shard:04d}")
        for outcome, attempt in zip(*self._decided(step, shard, seconds, 0), strict=True):
            held.record(outcome, elapsed_s=attempt.elapsed_s, files=[])
        held.close()

    def estimate(self, **flags) -> Estimate:
        return run(self.folder, **flags)

    @staticmethod
    def _decided(
        step: str, shard: int, seconds: list[float], n_failed_before: int
    ) -> tuple[list[Outcome], list[Attempt]]:
        scans = [scan.scan for scan in make_scans(len(seconds) + n_failed_before, shard=shard)]
        outcomes = [Outcome(scan, step, Status.DONE, "f") for scan in scans[: len(seconds)]]
        outcomes += [
            Outcome(scan, PREPARE, Status.FAILED, "f", reason=BROKEN, fact="broken")
            for scan in scans[len(seconds) :]
        ]
        return outcomes, [
            Attempt(elapsed_s=each_s) for each_s in [*seconds, *[0.0] * n_failed_before]
        ]


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    """Four listed shards of five scans; one is through, with a broken scan."""
    cohort = Cohort(tmp_path)
    cohort.list_shards(4, n_scans=5)
    cohort.publish(PREPARE, 0, [6, 6, 6, 6.3], 1)
    cohort.publish(SEGMENT, 0, [9, 9, 9, 12], 1)
    cohort.publish(MEASURE, 0, [1, 1, 1, 1], 1)
    return cohort


def configuration(estimate: Estimate) -> dict:
    text = str(estimate)
    return yaml.safe_load(text[text.index("\nshard_size:") :])


def test_only_scans_that_went_through_are_timed(cohort: Cohort) -> None:
    costs = cohort.estimate().costs
    assert [cost.step for cost in costs] == [PREPARE, SEGMENT, MEASURE]
    assert [cost.n_measured for cost in costs] == [4, 4, 4]
    assert [cost.median_s for cost in costs] == [6, 9, 1]
    assert [cost.mean_s for cost in costs] == pytest.approx([6.075, 9.75, 1])
    assert [cost.n_left for cost in costs] == [15, 15, 15]


def test_what_is_printed_last_goes_into_the_configuration(cohort: Cohort) -> None:
    assert configuration(cohort.estimate()) == {
        "shard_size": 270,
        "resources": {
            PREPARE: {"seconds_per_scan": 6.1},
            SEGMENT: {"seconds_per_scan": 9.8},
            MEASURE: {"seconds_per_scan": 1.0},
        },
    }
    several = configuration(cohort.estimate(n_processes=2, n_gpus=4, n_cpu_processes=3))
    assert several["resources"] == {
        PREPARE: {"seconds_per_scan": 6.1, "processes": 3},
        SEGMENT: {"seconds_per_scan": 9.8, "processes": 2, "gpus": 4},
        MEASURE: {"seconds_per_scan": 1.0, "processes": 3},
    }


def test_shards_under_way_are_timed_by_their_journals(cohort: Cohort) -> None:
    cohort.begin(SEGMENT, 1, [10, 20])
    cohort.begin(SEGMENT, 2, [30])
    segment = cohort.estimate().costs[1]
    assert (segment.n_measured, segment.n_left) == (7, 12)
    assert segment.mean_s == pytest.approx((9 * 3 + 12 + 10 + 20 + 30) / 7)


def configure(cohort: Cohort, more: str = "", *, segment: str = "model: phantom") -> None:
    (cohort.folder / "config.yaml").write_text(
        f"cohort: {{name: c, kind: ukb, root: .}}\nsegment: {{{segment}}}\n{more}"
    )


def measure_jobs(cohort: Cohort) -> None:
    """Leave what Snakemake measured of jobs of two steps."""
    for step, peaks in ((PREPARE, ("900.5", "NA", "1200")), (SEGMENT, ("12000", "16000"))):
        folder = cohort.folder / "logs" / "benchmarks" / step
        folder.mkdir(parents=True)
        for shard, peak in enumerate(peaks):
            (folder / f"{shard:04d}.tsv").write_text(f"s\tmax_rss\tmax_vms\n1.5\t{peak}\t9\n")


def proposed_gb(cohort: Cohort) -> dict[str, float | None]:
    resources = configuration(cohort.estimate())["resources"]
    return {step: asked.get("mem_gb") for step, asked in resources.items()}


def test_memory_is_proposed_from_what_the_jobs_took(cohort: Cohort) -> None:
    measure_jobs(cohort)
    (cohort.folder / "logs" / "slurm").mkdir()  # there a job has one process unless asked for more
    configure(cohort, "resources: {segment_organs: {processes: 2, gpus: 2}}\n")
    # 1.26 GB, and a fifth more; four processes
    assert proposed_gb(cohort) == {PREPARE: 2, SEGMENT: 5.5, MEASURE: None}


def test_no_memory_is_proposed_where_nobody_knows_how_many_processes_took_it(
    cohort: Cohort,
) -> None:
    measure_jobs(cohort)
    assert set(proposed_gb(cohort).values()) == {None}
    configure(cohort, segment="model: phantom, device: cuda")
    assert proposed_gb(cohort) == {PREPARE: None, SEGMENT: 20.5, MEASURE: None}  # one on a GPU
    for segment in ("model: phantom", "model: phantom, device: cpu", "source: labelmaps"):
        configure(cohort, segment=segment)
        assert set(proposed_gb(cohort).values()) == {None}
    configure(cohort, "resources: {prepare_images: {processes: 1}}\n")
    assert proposed_gb(cohort)[PREPARE] == 2


@pytest.mark.parametrize(
    ("segment", "n_gpus", "assumes"),
    [
        ("source: labelmaps", 0, False),
        ("model: phantom, device: cpu", 0, False),
        ("model: phantom, device: cuda", 4, False),
        ("model: phantom", 4, True),
    ],
)
def test_gpus_are_those_of_the_configuration(
    cohort: Cohort, segment: str, n_gpus: int, assumes: bool
) -> None:
    configure(cohort, "resources: {segment_organs: {gpus: 4}}\n", segment=segment)
    estimate = cohort.estimate()
    assert estimate.shapes[SEGMENT].n_gpus == n_gpus
    assert (estimate.gpu_h > 0) == (n_gpus > 0)
    assert ("segment.device is auto: taken as 4 GPU" in str(estimate)) == assumes
    assert cohort.estimate(n_gpus=1).shapes[SEGMENT].n_gpus == 1
    assert cohort.estimate(n_gpus=1).assumed == ""


RADIOMICS, PICTURES = "measure_radiomics", "draw_pictures"
WITH_RADIOMICS = "radiomics: {contrasts: {water: mr}}\n"


def test_steps_that_are_wanted_and_not_timed_are_named(cohort: Cohort) -> None:
    configure(cohort, WITH_RADIOMICS)
    estimate = cohort.estimate()
    assert [cost.step for cost in estimate.costs] == [
        PREPARE,
        SEGMENT,
        MEASURE,
        RADIOMICS,
        PICTURES,
    ]
    assert f"left out of the bill: {RADIOMICS}, {PICTURES}" in str(estimate)
    cohort.publish(RADIOMICS, 0, [2, 2, 2, 2], 1)
    cohort.publish(PICTURES, 0, [1, 1, 1, 1], 1)
    assert "left out of the bill" not in str(cohort.estimate())


def test_steps_that_are_no_longer_wanted_are_not_counted(cohort: Cohort) -> None:
    cohort.publish(RADIOMICS, 0, [2, 2, 2, 2], 1)
    configure(cohort, "pictures: {enabled: false}\n")
    assert [cost.step for cost in cohort.estimate().costs] == [PREPARE, SEGMENT, MEASURE]


def test_the_first_shard_is_to_be_made_whole(tmp_path: Path) -> None:
    cohort = Cohort(tmp_path)
    cohort.list_shards(1, n_scans=2)
    configure(cohort, WITH_RADIOMICS)
    targets = " ".join(f"results/{step}/0000/{LEDGER}" for step in (MEASURE, RADIOMICS, PICTURES))
    with pytest.raises(SetupError, match=f"--targets {targets}$"):
        cohort.estimate()


def test_all_jobs_are_counted(cohort: Cohort) -> None:
    without = "pictures: {enabled: false}\n"
    configure(cohort, without)
    assert "shards 1, jobs 7" in str(cohort.estimate())  # three of the shard, four of the cohort
    configure(cohort, without + "keep_images: false\n")
    assert "shards 1, jobs 8" in str(cohort.estimate())
    configure(cohort, WITH_RADIOMICS, segment="source: labelmaps")
    assert "shards 1, jobs 8" in str(cohort.estimate())


def test_a_place_that_is_not_a_run_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no such run folder"):
        run(tmp_path / "mistyped")


def test_images_that_were_not_kept_are_not_left_to_prepare(cohort: Cohort) -> None:
    (cohort.folder / "results" / PREPARE / "0000" / LEDGER).unlink()
    prepare = cohort.estimate().costs[0]
    assert (prepare.n_measured, prepare.n_left) == (0, 15)
    assert PREPARE not in configuration(cohort.estimate())["resources"]


def test_a_cohort_that_is_not_listed_yet_is_extrapolated(cohort: Cohort) -> None:
    estimate = cohort.estimate(n_listed=100_005)
    assert [cost.n_left for cost in estimate.costs] == [100_000] * 3
    assert estimate.n_shards == 371
    starts_h = 371 * 20 / 3600
    assert estimate.gpu_h == pytest.approx(100_000 * 9.75 / 3600 + starts_h)
    assert estimate.core_h == pytest.approx(100_000 * 7.075 / 3600 + 2 * starts_h)
    assert "keep them" not in str(estimate)


def test_too_many_jobs_are_warned_of(cohort: Cohort) -> None:
    assert "WARNING" not in str(cohort.estimate(n_listed=270 * 6665))
    assert "shards of 271 scans" in str(cohort.estimate(n_listed=270 * 6665 + 1))


def test_listed_scans_keep_their_shards(cohort: Cohort) -> None:
    estimate = cohort.estimate()
    assert (estimate.n_scans, estimate.n_shards, estimate.n_shards_listed) == (20, 1, 4)
    assert "listed in 4 shards and keep them" in str(estimate)


def test_nothing_measured_is_nothing_to_estimate_from(tmp_path: Path) -> None:
    cohort = Cohort(tmp_path)
    cohort.list_shards(1, n_scans=2)
    with pytest.raises(SetupError, match="run one shard first"):
        cohort.estimate()
    cohort.publish(SEGMENT, 0, [], 2)
    with pytest.raises(SetupError, match="run one shard first"):
        cohort.estimate()


def test_the_bill_of_a_hundred_thousand_scans(cohort: Cohort) -> None:
    shard = cohort.folder / "results" / SEGMENT / "0000"  # of five scans
    (shard / "labelmaps.zip").write_bytes(bytes(200_000 - (shard / LEDGER).stat().st_size))
    estimate = cohort.estimate()
    assert estimate.leftovers[SEGMENT] == Leftover(n_files=2 / 5, n_bytes=40_000)
    starts_h = math.ceil(100_000 / estimate.size.n_scans) * 20 / 3600
    core_h = 100_000 * (6.075 + 1) / 3600 + 2 * starts_h
    gpu_h = 100_000 * 9.75 / 3600 + starts_h
    told = str(estimate)
    assert f"scans like these take {core_h:,.0f} core-hours and {gpu_h:,.0f} GPU-hours" in told
    assert "segment_organs publishes 40,000 files of 4 GiB" in told


def test_the_bill_says_what_its_figures_are(cohort: Cohort) -> None:
    bill = str(cohort.estimate())
    assert "core-hours are wall time times processes, without the cores beside GPUs" in bill
    assert "CPU-hours" not in bill
    assert "bytes that are read are not measured" in bill
    folder = cohort.folder / "logs" / "benchmarks" / MEASURE
    folder.mkdir(parents=True)
    for shard, cpu_s in (("0000", "30"), ("0001", "15"), ("0002", "NA"), ("gone", "99")):
        (folder / f"{shard}.tsv").write_text(f"s\tcpu_time\n1.5\t{cpu_s}\n")
    estimate = cohort.estimate()
    assert estimate.cpu_s == {MEASURE: 4.5}  # of two shards of five scans
    assert "measure_volumes takes 125 CPU-hours, starts included" in str(estimate)


def test_the_bill_of_images_that_are_not_kept_says_so(cohort: Cohort) -> None:
    configure(cohort)
    assert "until it is measured" not in str(cohort.estimate())
    configure(cohort, "keep_images: false\n")
    assert "GiB a shard, until it is measured" in str(cohort.estimate())
    (cohort.folder / "results" / PREPARE / "0000" / LEDGER).unlink()
    assert "prepare_images: the images are gone" in str(cohort.estimate())


def test_the_start_of_jobs_is_told(cohort: Cohort) -> None:
    assert "20 s of each job go into starting it" in str(cohort.estimate())


PREPARE, SEGMENT, MEASURE = "prepare_images", "segment_organs", "measure_volumes"
ONE = JobShape()
SHAPES = {PREPARE: ONE, SEGMENT: JobShape(n_processes=1, n_gpus=1), MEASURE: ONE}


def cost(step: str, mean_s: float, *, n_left: int = 0) -> StepCost:
    return step_cost(step, [mean_s], n_left=n_left)


def propose(*costs: StepCost, shapes=SHAPES, target_min: float = 45, max_other_min: float = 120):
    return propose_size(costs, shapes, target_min=target_min, max_other_min=max_other_min)


def test_costs_are_median_tail_and_mean() -> None:
    summed = step_cost(SEGMENT, [*range(1, 100), 1000], n_left=7)
    assert (summed.n_measured, summed.median_s, summed.n_left) == (100, 50.5, 7)
    assert summed.p95_s == pytest.approx(95.05)
    assert summed.mean_s == pytest.approx(59.5)
    assert math.isnan(step_cost(SEGMENT, [], n_left=7).mean_s)


def test_a_segment_job_takes_as_long_as_wanted() -> None:
    size = propose(cost(PREPARE, 6), cost(SEGMENT, 9.8), cost(MEASURE, 1.2))
    assert (size.n_scans, size.bound_by) == (270, SEGMENT)
    assert size.job_min == pytest.approx(
        {
            step: (FIXED_JOB_S + 270 * each_s) / 60
            for step, each_s in ((PREPARE, 6), (SEGMENT, 9.8), (MEASURE, 1.2))
        }
    )


def test_processes_and_gpus_side_by_side_make_shards_larger() -> None:
    shapes = SHAPES | {SEGMENT: JobShape(n_processes=2, n_gpus=3)}
    assert propose(cost(SEGMENT, 9.8), shapes=shapes).n_scans == 1600
    on_cpu = SHAPES | {SEGMENT: JobShape(n_processes=4, n_gpus=0)}
    assert propose(cost(SEGMENT, 9.8), shapes=on_cpu).n_scans == 1000


def test_no_other_step_takes_too_long() -> None:
    size = propose(cost(PREPARE, 60), cost(SEGMENT, 0.5), max_other_min=60)
    assert (size.n_scans, size.bound_by) == (59, PREPARE)
    assert size.job_min[PREPARE] <= 60


def test_a_step_without_a_timed_scan_does_not_count() -> None:
    size = propose(step_cost(PREPARE, [], n_left=5), cost(SEGMENT, 9.8))
    assert size.n_scans == 270
    assert set(size.job_min) == {SEGMENT}


@pytest.mark.parametrize(("segment_s", "n_scans"), [(0.0, 10_000), (0.01, 10_000), (1e6, 1)])
def test_sizes_are_those_that_the_configuration_takes(segment_s: float, n_scans: int) -> None:
    assert propose(cost(SEGMENT, segment_s)).n_scans == n_scans


def test_a_job_must_be_longer_than_its_start() -> None:
    with pytest.raises(SetupError, match="to start"):
        propose(cost(SEGMENT, 10), target_min=0.3)


def test_hours_are_of_what_is_left_and_of_starting_jobs() -> None:
    costs = [cost(PREPARE, 3.6, n_left=1000), cost(SEGMENT, 7.2, n_left=2000)]
    shapes = {PREPARE: JobShape(n_processes=2), SEGMENT: JobShape(n_processes=4, n_gpus=2)}
    core_h, gpu_h = hours_left(costs, shapes, shard_size=300)
    starts_h = FIXED_JOB_S / 3600
    assert core_h == pytest.approx(1.0 + 4 * starts_h * 2)
    assert gpu_h == pytest.approx(4.0 / 4 + 7 * starts_h * 2)
    on_cpu_h, no_gpu_h = hours_left(
        costs, shapes | {SEGMENT: JobShape(n_processes=4)}, shard_size=300
    )
    assert no_gpu_h == 0
    assert on_cpu_h == pytest.approx(core_h + 4.0 + 7 * starts_h * 4)

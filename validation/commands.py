"""What the command line does, after its arguments were read."""

import argparse
import difflib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from tqdm import tqdm

from validation.contenders import standard_contenders
from validation.record import Row
from validation.report import MissingExtraError, check_extra
from validation.results import Results, assess, write_results
from validation.scenarios import STANDARD_SCENARIOS
from validation.study import Study, run
from validation.tolerances import Verdict


class UnusableArgumentError(ValueError):
    """An argument that cannot be used; the message says what was expected."""


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=Named)


def list_standard() -> int:
    """Print the standard scenarios and estimators."""
    print("Scenarios")
    for scenario in STANDARD_SCENARIOS:
        print(f"  {scenario.name} ({scenario.replicates} replicates, {scenario.role.name})\n    {scenario.sentence}")
    print("Estimators")
    for contender in standard_contenders():
        print(f"  {contender.name}\n    {contender.estimator}")
    return 0


def run_standard(options: argparse.Namespace) -> int:
    """Run the standard study, or a part of it; write and print what came out; return the exit status."""
    study = Study(
        scenarios=choose("scenario", options.scenario, STANDARD_SCENARIOS),
        contenders=choose("estimator", options.estimator, standard_contenders()),
        seed=options.seed,
        replicates=options.replicates,
    )
    if not study.cells():
        raise UnusableArgumentError("--estimator Exact runs on small scenarios only, and none was chosen; see `list`")
    try:
        check_extra()
    except MissingExtraError as problem:
        raise UnusableArgumentError(str(problem)) from None
    from validation.report.page import write_report  # needs the extra that was checked just now

    prepare(options.output)
    results = assess(study, _run_with_progress(study, options.workers))
    write_results(results, options.output / "results.json")
    write_report(results, options.output / "index.html")
    print_outcome(results)
    print(f"Report: {options.output / 'index.html'}")
    return results.exit_status


def choose(what: str, names: Sequence[str] | None, available: Sequence[N]) -> tuple[N, ...]:
    """Return the named ones of `available`, in its order, or all; raise with the nearest name for one unknown."""
    known = {each.name: each for each in available}
    for name in names or ():
        if name not in known:
            near = difflib.get_close_matches(name.lower(), [each.lower() for each in known], n=1, cutoff=0.5)
            meant = next((f"; did you mean {each}?" for each in known if near and each.lower() == near[0]), ".")
            raise UnusableArgumentError(f"--{what}: no {what} {name!r}{meant} There are: {', '.join(known)}")
    return tuple(each for each in available if names is None or each.name in names)


def prepare(folder: Path) -> None:
    """Make the output folder and check that it can be written to, before anything is computed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as problem:
        raise UnusableArgumentError(f"--output: cannot write to {folder} ({problem.strerror})") from None


def print_outcome(results: Results) -> None:
    """Print the failed and underpowered claims, and how many came out how."""
    for verdict in (Verdict.FAIL, Verdict.UNDERPOWERED):
        for f in results.findings:
            if f.verdict is verdict:
                at = f" at {f.worst}" if f.worst else ""
                missing = f", {f.missing} fits without a result" if f.missing else ""
                accepted = f"accepted {_text(f.low, '-inf')} to {_text(f.high, 'inf')}"
                print(
                    f"{verdict.name}  {f.scenario} / {f.estimator} / {f.kind}: "
                    f"{f.unit} = {_text(f.statistic)}{at}, {accepted}{missing}"
                )
    counts = Counter(finding.verdict for finding in results.findings)
    print(", ".join(f"{counts[verdict]} {verdict.name}" for verdict in Verdict))


def _run_with_progress(study: Study, workers: int | None) -> tuple[Row, ...]:
    with tqdm(total=len(study.cells()), unit="fit", disable=None, desc="validation") as bar:
        failed = 0

        def advance(rows: tuple[Row, ...]) -> None:
            nonlocal failed
            failed += sum(row.failed for row in rows)
            bar.set_postfix_str(f"{rows[0].scenario}/{rows[0].estimator}, {failed} failed", refresh=False)
            bar.update()

        return run(study, workers=workers, on_rows=advance)


def _text(value: float | None, otherwise: str = "none") -> str:
    return otherwise if value is None else f"{value:.3g}"

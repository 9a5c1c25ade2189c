"""The command line: ``python -m validation run``, and what else `python -m validation --help` lists."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from validation.study import worker

UNUSABLE = 2
INTERRUPTED = 130
WITH_WORKERS = ("run", "mine", "resume")
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status.

    0 if every claim passed, 1 if one failed, 2 for unusable arguments, 3 if claims were only underpowered.
    """
    options = _parser().parse_args(arguments)
    try:
        return _act(options)
    except BrokenPipeError:  # whoever read the output has gone; Python would complain once more when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("validation: interrupted", file=sys.stderr)
        return INTERRUPTED


def _act(options: argparse.Namespace) -> int:
    if options.command in WITH_WORKERS:
        worker.serve()
    # Here, so that --help and a wrong argument answer at once, and worker processes do not import it.
    from validation.cli import commands
    from validation.cli.compare import compare_command

    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "list": commands.list_available,
        "run": commands.run_study,
        "mine": commands.study_own_data,
        "resume": commands.resume,
        "report": commands.report,
        "compare": compare_command,
    }
    try:
        return actions[options.command](options)
    except commands.UNUSABLE as problem:
        print(f"validation: {problem}", file=sys.stderr)
        return UNUSABLE
    except commands.InterruptedRunError as problem:
        print(f"validation: {problem}", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m validation",
        description="Check estimators on synthetic data with known truth, and write a report.",
        epilog="Exit status of run, mine and resume: 0 all claims passed, 1 a claim failed, 2 unusable arguments, "
        "3 underpowered only.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{list,run,mine,resume,report,compare}")
    for add_command in (_add_list, _add_run, _add_own_data, _add_resume, _add_report, _add_compare):
        add_command(commands)
    return parser


def _add_list(commands: Commands) -> None:
    listing = commands.add_parser("list", help="list presets, scenarios and estimators")
    _add_modules(listing)


def _add_run(commands: Commands) -> None:
    run = commands.add_parser("run", help="run a study and write study.sqlite, index.html and results.json")
    _add_modules(run)
    run.add_argument("--scenario", nargs="+", action="extend", metavar="NAME", help="run these scenarios only")
    run.add_argument("--estimator", nargs="+", action="extend", metavar="NAME", help="run these estimators only")
    run.add_argument(
        "--preset",
        choices=("quick", "standard", "full"),
        default="quick",
        help="scenarios, estimators and replicates, and so what can be claimed; `list` has them (default: quick)",
    )
    _add_output(run, "report")
    _add_machines(run)


def _add_own_data(commands: Commands) -> None:
    own_data = commands.add_parser(
        "mine",
        help="study your own data: which estimator can be trusted for which query at this number of rows",
        description=(
            "Fit every estimator to a file, take a fit as the truth, and study data sets like the file's; then take "
            "draws of the posterior as truths, add rows of each to the file's, and see whether posteriors are "
            "calibrated around them."
        ),
    )
    own_data.add_argument("file", metavar="DATA", help="a CSV or Parquet file")
    own_data.add_argument("--columns", nargs="+", required=True, metavar="COLUMN", help="the columns that Z causes")
    own_data.add_argument(
        "--model",
        default="gaussian_mixture",
        help="gaussian_mixture, or my_models.py:make, a function of K that returns a CausalMixture of these columns",
    )
    own_data.add_argument("--K", type=_at_least(1), required=True, help="number of classes of Z")
    own_data.add_argument("--unit", metavar="COLUMN", help="rows with the same entry here, as a patient's, share one Z")
    own_data.add_argument("--scale", type=_positive, metavar="SD", help="known scale within a class (default: unknown)")
    own_data.add_argument("--concentration", type=_positive, default=1.0, help="of the weights' prior (default: 1)")
    own_data.add_argument(
        "--truth", choices=("EM", "MAP", "NUTS"), help="whose fit is the truth (default: EM if it converged)"
    )
    _add_output(own_data, "report-mine")
    _add_machines(own_data)


def _add_resume(commands: Commands) -> None:
    resume = commands.add_parser("resume", help="go on with a study that was interrupted or killed")
    resume.add_argument("study", type=Path, metavar="STUDY.sqlite")
    _add_machines(resume)


def _add_report(commands: Commands) -> None:
    report = commands.add_parser("report", help="write the report of a study from its rows alone")
    report.add_argument("study", type=Path, metavar="STUDY.sqlite")
    report.add_argument("--output", type=Path, metavar="DIR", help="folder to write to (default: the study's)")
    report.add_argument("--format", choices=("html", "markdown"), default="html")


def _add_compare(commands: Commands) -> None:
    compare = commands.add_parser(
        "compare",
        help="say what changed between two studies beyond noise",
        description="Exit status: 0 nothing got worse, 1 something did, 2 unusable arguments.",
    )
    compare.add_argument("old", type=Path, metavar="OLD.sqlite")
    compare.add_argument("new", type=Path, metavar="NEW.sqlite")
    compare.add_argument(
        "--false-alarm", type=_probability, default=1e-3, metavar="P", help="of any change (default: 1e-3)"
    )


def _add_modules(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scenarios",
        nargs="+",
        action="extend",
        metavar="MODULE",
        help="your own scenarios: my_scenarios.py or a module",
    )
    parser.add_argument(
        "--estimators",
        nargs="+",
        action="extend",
        metavar="MODULE:NAME",
        help="your own estimators: my_module:MyEstimator",
    )


def _add_output(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--output", type=Path, default=Path(default), metavar="DIR", help=f"folder to write to (default: {default})"
    )
    parser.add_argument(
        "--replicates", type=_at_least(1), metavar="R", help="replicates of every scenario (default: the preset's)"
    )
    parser.add_argument("--seed", type=_at_least(0), default=0, metavar="S", help="seed of the study (default: 0)")


def _add_machines(parser: argparse.ArgumentParser) -> None:
    machines = parser.add_mutually_exclusive_group()
    machines.add_argument(
        "--workers", type=_at_least(1), metavar="W", help="worker processes (default: the available cores)"
    )
    machines.add_argument("--cluster", metavar="ADDRESS", help="a running dask.distributed scheduler: tcp://host:8786")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors; the exit status says it all")


def _at_least(least: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not text.lstrip("-").isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")
        return int(text)

    return whole


def _below(bound: float, expected: str) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not 0 < value < bound:
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
        return value

    return number


_positive = _below(float("inf"), "a positive number")
_probability = _below(1.0, "a number between 0 and 1")


if __name__ == "__main__":
    sys.exit(main())

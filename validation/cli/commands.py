"""What the command line does, after its arguments were read."""

import argparse
import difflib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeVar

from estimators.fits.atomic_file import write_atomically
from validation.claims.results import Results, results_of, write_results
from validation.cli.progress import progress
from validation.scenarios import STANDARD_SCENARIOS, Scenario
from validation.statistics.check import Verdict
from validation.statistics.search import in_words
from validation.study import own_data
from validation.study.cluster import ClusterError, cluster
from validation.study.contenders import Contender, standard_contenders
from validation.study.own_modules import ModuleError, absolute, contender_in, fingerprint, name_of, scenarios_in
from validation.study.plan import Plan
from validation.study.presets import PRESETS
from validation.study.store import PLAIN, Store, StoreError
from validation.study.study import Study, run

STUDY_FILE = "study.sqlite"


class UnusableArgumentError(ValueError):
    """An argument that cannot be used; the message says what was expected."""


class InterruptedRunError(Exception):
    """A run that was interrupted; the message says how to go on."""


Choice = TypeVar("Choice", Scenario, Contender)
# What is wrong with a file, the data, a module or a cluster is wrong with an argument.
UNUSABLE = (UnusableArgumentError, StoreError, ClusterError, own_data.DataError, ModuleError)


def list_available(options: argparse.Namespace) -> int:
    """Print presets, scenarios and estimators."""
    scenarios, contenders = _own(options.scenarios, options.estimators)
    scenarios, contenders = (*STANDARD_SCENARIOS, *scenarios), (*standard_contenders(), *contenders)
    print("Presets")
    for preset in PRESETS.values():
        print(f"  {preset.name}: {preset.sentence}")
    print("Scenarios (replicates by preset)")
    for scenario in scenarios:
        counts = ", ".join(f"{name} {PRESETS[name].replicates_of(scenario)}" for name in ("quick", "standard", "full"))
        print(f"  {scenario.name} ({counts}; {scenario.role.name})\n    {scenario.sentence}")
    print("Estimators")
    for contender in contenders:
        part = "" if contender.share == 1 else f" ({contender.share:.0%} of the replicates)"
        print(f"  {contender.name}{part}\n    {contender.estimator}")
    return 0


def run_study(options: argparse.Namespace) -> int:
    """Run the standard study, a part of it, or the user's own scenarios; return the exit status."""
    arguments = {
        "command": "run",
        "scenario": options.scenario,
        "estimator": options.estimator,
        "scenarios": options.scenarios and [absolute(reference) for reference in options.scenarios],
        "estimators": options.estimators and [absolute(reference) for reference in options.estimators],
        "seed": options.seed,
        "preset": options.preset,
        "replicates": options.replicates,
    }
    study, references = _study_of(arguments), _references(arguments)
    arguments["fingerprints"] = {reference: fingerprint(reference) for reference in references}
    path = prepare(options.output)
    return _run(study, lambda: Store.create(path, study.plan(), arguments=arguments), options, references)


def study_own_data(options: argparse.Namespace) -> int:
    """Fit the user's data, study data sets like them, and report what can be trusted; return the exit status."""
    asked = PLAIN.structure(vars(options), own_data.Arguments)
    path = prepare(options.output)
    columns = own_data.read(asked)
    scenarios, notes = own_data.prepare(asked, columns, seed=options.seed)
    study = _own_data_study(scenarios, options.seed, options.replicates)
    arguments = {
        "command": "mine",
        "asked": asked,
        "columns": columns,
        "truths": own_data.truths(scenarios),
        "seed": options.seed,
        "replicates": options.replicates,
    }
    begin = partial(Store.create, path, _own_data_plan(study), arguments=arguments, notes=notes)
    return _run(study, begin, options, _model_reference(asked))


def resume(options: argparse.Namespace) -> int:
    """Go on with a study that was interrupted; return the exit status."""
    store = Store.open(options.study)
    arguments = store.arguments
    if not arguments:
        raise StoreError(f"{options.study}: begun from Python; give the same study to validation.run with this store")
    if arguments["command"] == "mine":
        asked = PLAIN.structure(arguments["asked"], own_data.Arguments)
        scenarios = own_data.rebuilt(asked, arguments["columns"], arguments["truths"])
        study = _own_data_study(scenarios, arguments["seed"], arguments["replicates"])
        references = _model_reference(asked)
    else:
        for reference, before in arguments["fingerprints"].items():
            if fingerprint(reference) != before:
                raise UnusableArgumentError(f"{reference} has changed since the study was begun; begin another")
        study, references = _study_of(arguments), _references(arguments)
    _check_same(study, store.plan, options.study)
    return _run(study, lambda: store, options, references)


def report(options: argparse.Namespace) -> int:
    """Write the report of a study from its rows alone."""
    with closing(Store.open(options.study)) as store:
        results = results_of(store)
    folder = options.output or options.study.parent
    writable(folder)
    done, planned = len(results.rows), results.plan.num_rows
    if done < planned:
        print(f"The study is not complete: {done} of {planned} rows. python -m validation resume {options.study}")
    _write(results, folder, options.format)
    return 0


def choose(noun: str, names: Sequence[str] | None, available: Sequence[Choice]) -> tuple[Choice, ...]:
    """Return the named ones of `available`, in its order, or all; raise with the nearest name for one unknown."""
    by_lower_case = {item.name.lower(): item.name for item in available}
    for name in names or ():
        if name not in by_lower_case.values():
            near = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0.5)
            advice = f"; did you mean {by_lower_case[near[0]]}?" if near else "."
            listed = ", ".join(item.name for item in available)
            raise UnusableArgumentError(f"--{noun}: no {noun} {name!r}{advice} There are: {listed}")
    return tuple(item for item in available if names is None or item.name in names)


def prepare(folder: Path) -> Path:
    """Make the output folder, check that it can be written to, and return the path of the study's file in it."""
    writable(folder)
    path = folder / STUDY_FILE
    if path.exists():
        raise UnusableArgumentError(
            f"--output: there is a study in {folder} already; go on with it (python -m validation resume {path}), "
            "remove it, or name another folder"
        )
    return path


def writable(folder: Path) -> None:
    """Make a folder and check that it can be written to, before anything is computed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as problem:
        raise UnusableArgumentError(f"--output: cannot write to {folder} ({problem.strerror})") from None


def print_outcome(results: Results) -> None:
    """Print the failed and underpowered claims, and how many came out how."""
    for verdict in (Verdict.FAIL, Verdict.UNDERPOWERED):
        for f in results.findings:
            if f.verdict is verdict:
                at = f" at {f.worst}" if f.worst else ""
                missing = f", {f.missing} fits without a result" if f.missing else ""
                more = f"; {in_words(f.needed)} replicates would do" if f.needed else ""
                print(
                    f"{verdict.name}  {f.scenario} / {f.estimator} / {f.kind}: {f.unit} = {_text(f.statistic)}{at}, "
                    f"between {_text(f.low, '-inf')} and {_text(f.high, 'inf')}, where {_text(f.least, '-inf')} to "
                    f"{_text(f.most, 'inf')} is claimed{missing}{more}{f'; {f.why}' if f.why else ''}"
                )
    print(results.outcome)


# ---------------------------------------------------------------- inside


def _run(study: Study, begin: Callable[[], Store], options: argparse.Namespace, references: Sequence[str]) -> int:
    """Run what is left of a study, begun only where it can be run, and write its report."""
    with ExitStack() as stack:
        executor = None
        if options.cluster:
            executor = stack.enter_context(cluster(options.cluster, [name_of(reference) for reference in references]))
        store = stack.enter_context(closing(begin()))
        try:
            results = _complete(study, store, executor, options)
            _write(results, store.path.parent, "html", quiet=options.quiet)
        except KeyboardInterrupt:
            raise InterruptedRunError(
                f"interrupted; {len(store.done())} of {store.plan.num_rows} rows are kept. "
                f"Go on with: python -m validation resume {store.path}"
            ) from None
    if not options.quiet:
        print_outcome(results)
    return results.exit_status


def _complete(study: Study, store: Store, executor: Executor | None, options: argparse.Namespace) -> Results:
    with progress(store.plan.num_rows, done=len(store.done()), quiet=options.quiet) as on_outcome:
        run(study, store=store, executor=executor, workers=options.workers, on_outcome=on_outcome)
    return results_of(store)


def _write(results: Results, folder: Path, form: str, *, quiet: bool = False) -> None:
    path = folder / ("report.md" if form == "markdown" else "index.html")
    try:
        write_results(results, folder / "results.json")
        if form == "markdown":
            from validation.report.markdown import render_markdown

            write_atomically(path, render_markdown(results))
        else:
            from validation.report.page import write_report

            write_report(results, path)
    except OSError as problem:
        raise UnusableArgumentError(
            f"cannot write the report to {folder} ({problem.strerror}); the study is whole: "
            "python -m validation report makes it again"
        ) from problem
    if not quiet:
        print(f"Report: {path}")


def _study_of(arguments: Mapping[str, Any]) -> Study:
    """The study that arguments ask for. One's own scenarios are run alone, unless standard ones are named too."""
    try:
        own_scenarios, own_contenders = _own(arguments["scenarios"], arguments["estimators"])
        preset = PRESETS[arguments["preset"]]
        own = [scenario.name for scenario in own_scenarios]
        names = arguments["scenario"] or own or list(preset.scenarios) or None
        fitted = arguments["estimator"] or [
            *preset.contenders,
            *(own.name for own in own_contenders if preset.contenders),
        ]
        standard = (replace(one, laplace=one.laplace and preset.laplace) for one in standard_contenders())
        study = Study(
            scenarios=choose("scenario", names, (*own_scenarios, *STANDARD_SCENARIOS)),
            contenders=choose("estimator", fitted or None, (*standard, *own_contenders)),
            seed=arguments["seed"],
            preset=arguments["preset"],
            replicates=arguments["replicates"],
        )
    except ValueError as problem:
        raise UnusableArgumentError(str(problem)) from problem
    if not study.tasks():
        raise UnusableArgumentError(
            "--estimator: none of those chosen runs on the scenarios chosen: Exact and SMC run on small scenarios "
            "only, and NUTS alone where a posterior is compared with another program's; see `list`"
        )
    return study


def _own_data_study(scenarios: tuple[Scenario, ...], seed: int, replicates: int | None) -> Study:
    return Study(scenarios, own_data.contenders(), seed=seed, preset="mine", replicates=replicates)


def _own_data_plan(study: Study) -> Plan:
    try:
        return own_data.asked(study.plan())
    except (ArithmeticError, ValueError) as problem:
        raise own_data.DataError(
            f"no study can be planned at the fit ({problem}); is --scale, if given, in the units of the columns?"
        ) from problem


def _own(
    scenarios: Sequence[str] | None, estimators: Sequence[str] | None
) -> tuple[tuple[Scenario, ...], tuple[Contender, ...]]:
    """The user's own scenarios and estimators, by references."""
    own_scenarios = tuple(scenario for reference in scenarios or () for scenario in scenarios_in(reference))
    return own_scenarios, tuple(contender_in(reference) for reference in estimators or ())


def _references(arguments: Mapping[str, Any]) -> list[str]:
    return [*(arguments["scenarios"] or ()), *(arguments["estimators"] or ())]


def _model_reference(asked: own_data.Arguments) -> list[str]:
    return [asked.model] if ":" in asked.model else []


def _check_same(study: Study, plan: Plan, path: Path) -> None:
    """Raise where a study that was built again is not the one whose rows are in the file."""
    built = Counter((scenario, name) for task in study.tasks() for scenario, name, _ in task.keys)
    begun = {(scenario.name, name): n for scenario in plan.scenarios for name, n in scenario.replicates.items()}
    settings = {contender.name: repr(contender.estimator) for contender in standard_contenders()}
    if built != begun or any(plan.contenders.get(name, text) != text for name, text in settings.items()):
        raise StoreError(
            f"{path}: the study was begun by another release, whose scenarios or estimators differ; "
            "resume it with that one"
        )


def _text(value: float | None, otherwise: str = "none") -> str:
    return otherwise if value is None else f"{value:.3g}"

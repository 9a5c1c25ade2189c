"""Progress: a bar where somebody watches, elsewhere lines of the logger on long work, and nothing else is changed."""

import logging
import sys
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import tqdm
import tqdm.std

from estimators import EM, Data, GaussianMixture
from estimators.algorithms import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still until it is set."""
    time = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress, "monotonic", lambda: time.now)
    return time


def test_long_work_is_told_in_lines_with_rate_and_time_left(
    clock: SimpleNamespace, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, logger="estimators")
    with progress.progress(40, "EM", None) as bar:
        for _ in range(20):
            clock.now += 1.5
            bar.update()
    assert caplog.messages == [
        "EM:  18% 7/40 [00:10<00:49,  1.50s/it]",
        "EM:  35% 14/40 [00:21<00:39,  1.50s/it]",
    ]
    assert {(record.name, record.levelname) for record in caplog.records} == {("estimators", "INFO")}
    assert capsys.readouterr() == ("", "")


def test_a_search_is_told_without_a_total(clock: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="estimators")
    with progress.search_progress("MAP", None) as bar:
        bar.update(10)
        clock.now += 20.0
        bar.update(10)
    assert caplog.messages == ["MAP, modes: 20 starts [00:20,  1.00 starts/s]"]


def test_where_nothing_is_done_time_goes_on(clock: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="estimators")
    with progress.progress(4, "NUTS chains", None) as bar:
        for _ in range(3):
            clock.now += 6.0
            bar.update(0)
    assert caplog.messages == ["NUTS chains:   0% 0/4 [00:12<?, ?it/s]"]


def test_short_work_and_what_is_turned_off_are_not_told(
    clock: SimpleNamespace, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, logger="estimators")
    for setting, seconds in ((None, 9.0), (False, 60.0)):
        with progress.progress(1, "EM", setting) as bar:
            clock.now += seconds
            bar.update()
    assert not caplog.messages and capsys.readouterr() == ("", "")


@pytest.mark.parametrize("setting", [None, True])
def test_a_bar_is_one_line_at_a_terminal_and_where_it_is_asked_for(
    setting: bool | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if setting is None:
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress.progress(4, "EM", setting) as bar:
        bar.mininterval = 0.0
        bar.update()
        bar.update()
    shown = capsys.readouterr().err
    assert "EM:  50%" in shown and "2/4 [" in shown and "it/s]" in shown and "\n" not in shown


def test_the_logger_is_left_as_it_is() -> None:
    logger = logging.getLogger("estimators")
    before = list(logger.handlers), logger.level, logger.propagate, logger.disabled
    EM().fit(GaussianMixture(2), Data(X=[0.0, 1.0, 10.0, 11.0, 12.0]), seed=0)
    assert (list(logger.handlers), logger.level, logger.propagate, logger.disabled) == before == ([], 0, True, False)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], Any]]:
    """Tqdm imported anew as in a notebook's kernel, which has a widget or has none."""

    def imported(widget: Any) -> Any:
        shell = type("ZMQInteractiveShell", (), {})()
        modules = {"ipykernel.zmqshell": {}, "IPython": {"get_ipython": lambda: shell}}
        bars = type("tqdm_notebook", (tqdm.std.tqdm,), {"__module__": "tqdm.notebook"})
        modules["tqdm.notebook"] = {"WARN_NOIPYW": "no widgets", "IProgress": widget, "tqdm": bars, "trange": None}
        for name, members in modules.items():
            module = ModuleType(name)
            vars(module).update(members)
            monkeypatch.setitem(sys.modules, name, module)
        for name in ("tqdm.auto", "tqdm.autonotebook"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        return progress.bar_class.__wrapped__()

    known = {name: sys.modules.get(name) for name in ("tqdm.auto", "tqdm.autonotebook")}
    yield imported
    monkeypatch.undo()
    for name, module in known.items():
        if module is None:
            sys.modules.pop(name, None)
            delattr(tqdm, name.rpartition(".")[2])
        else:
            sys.modules[name] = module
            setattr(tqdm, name.rpartition(".")[2], module)


def test_a_notebook_has_its_widget_and_no_warning_where_it_has_none(notebook: Callable[[Any], Any]) -> None:
    """Warnings are errors here."""
    assert progress.is_in_notebook(notebook(object()))
    assert not progress.is_in_notebook(notebook(None))
    assert notebook(None).monitor_interval == 0

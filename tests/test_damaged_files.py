"""Files that are not, or no longer, what `Fit.save` wrote: refused in words, before it takes memory."""

import json
import os
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from estimators import CausalMixture, Data, Fit, GaussianMixture, PyroModel, Status
from estimators.fits import archive
from estimators.mechanisms import Bernoulli, Gaussian, LinearGaussian
from tests.refusals import refused

MODEL = GaussianMixture(K=2)
ROWS = Data(
    X=[0.0, 1.0, 9.0, 10.0],
    Z=[-1, 0, 1, -1],
    intervened={"Z": [False, True, False, False]},
    weights=[1.0, 2.0, 1.0, 0.5],
)
DRAWS = {
    "theta": torch.tensor([[0.4, 0.6], [0.25, 0.75]]).double(),
    "mu_X": torch.tensor([[0.1, 9.5], [1 / 3, 9]]).double(),
}
FIT = Fit(
    MODEL,
    "posterior",
    DRAWS,
    2,
    Status.LOW_ESS,
    {"seed": 3},
    {"lp": torch.tensor([-1.5, -2.5]).double()},
    ROWS,
    ("low", "high"),
)
DAMAGED = ("load", "damaged", "restore a copy, or fit again")
SAID = r"^load: .* is not a saved fit, is damaged"
PLACES = 400


def program(N: int) -> None:
    rate = pyro.sample("rate", dist.Gamma(2.0, 1.0))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Bernoulli(0.5))
        pyro.sample("x", dist.Normal(5.0 * z, rate))


PROGRAM = PyroModel(program)
PROGRAM_FIT = Fit(
    PROGRAM, "map", {"rate": torch.tensor([1.5]).double()}, 1, Status.CONVERGED, {}, {}, Data(x=[0.0, 5.0, 6.0])
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fit.npz"


def content(fit: Fit, path: Path) -> bytes:
    fit.save(path)
    return path.read_bytes()


def sealed(members: Callable[[zipfile.ZipFile], None], version: int = archive.VERSION) -> bytes:
    """Any members, with the checksum at the end that a fit has."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        members(file)
    without = archive.packed({}, {}).tobytes()
    seal = without[without.rindex(b"exact-estimators fit") : -archive.DIGEST_LENGTH]
    seal = seal.replace(b"version %d" % archive.VERSION, b"version %d" % version)
    with zipfile.ZipFile(buffer, "a") as file:
        file.comment = seal + b"0" * archive.DIGEST_LENGTH
    whole = buffer.getvalue()[: -archive.DIGEST_LENGTH]
    return whole + archive.hashlib.sha256(whole).hexdigest().encode()


def edited(fit: Fit, path: Path, document: Mapping[str, Any] | None = None, **arrays: np.ndarray | None) -> None:
    """Save a fit with other values (``draws__mu_X`` for the array draws/mu_X, None to leave it out), sealed anew."""
    fit.save(path)
    before, found = archive.unpacked(path)
    found |= {name.replace("__", "/"): value for name, value in arrays.items()}  # type: ignore[misc]
    kept = {name: value for name, value in found.items() if value is not None}
    path.write_bytes(archive.packed(before | dict(document or {}), kept))


# ---------------------------------------------------------------- damage


def test_every_changed_byte_is_seen(path: Path) -> None:
    whole = bytearray(content(FIT, path))
    rng = np.random.default_rng(0)
    places = {*range(0, len(whole), len(whole) // PLACES), *range(len(whole) - 200, len(whole), 7)}
    for place in places:
        changed = whole.copy()
        changed[place] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=SAID):
            Fit.load(path)


def test_every_other_length_is_seen(path: Path) -> None:
    whole = content(FIT, path)
    for length in [*range(0, len(whole), len(whole) // 60), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=SAID):
            Fit.load(path)
    for added in (b"\0", b"\n", b"more", whole):
        for other in (whole + added, added + whole):
            path.write_bytes(other)
            with pytest.raises(ValueError, match=SAID):
                Fit.load(path)


def test_damage_to_the_file_of_a_program_is_seen_too(path: Path) -> None:
    whole = bytearray(content(PROGRAM_FIT, path))
    assert torch.equal(Fit.load(path, model=PROGRAM)["rate"], PROGRAM_FIT["rate"])
    for place in range(0, len(whole), 173):
        changed = whole.copy()
        changed[place] ^= 0x55
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=SAID):
            Fit.load(path, model=PROGRAM)


def numpys(fit: Fit, path: Path, save: Callable[..., None]) -> None:
    """The same arrays as NumPy writes them, without the checksum."""
    fit.save(path)
    with np.load(path) as arrays:
        again = dict(arrays)
    with path.open("wb") as file:
        save(file, **again)


FILES: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("mu = 3\n"),
    "one array": lambda path: path.write_bytes(npy(np.zeros(3))),
    "another program's archive": lambda path: path.write_bytes(npz(a=np.zeros(3))),
    "saved again by NumPy": lambda path: numpys(FIT, path, np.savez),
    "compressed by NumPy": lambda path: numpys(FIT, path, np.savez_compressed),
    "no member": lambda path: path.write_bytes(sealed(lambda file: None)),
    "no document": lambda path: path.write_bytes(
        sealed(lambda file: file.writestr("draws/theta.npy", npy(np.ones(2))))
    ),
    "not a document": lambda path: path.write_bytes(archive.packed([1, 2], {})),  # type: ignore[arg-type]
    "an odd member": lambda path: path.write_bytes(sealed(lambda file: file.writestr("../header", b"{}"))),
}


def npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    buffer = BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


@pytest.mark.parametrize("write", FILES.values(), ids=FILES)
def test_another_file_is_refused(write: Callable[[Path], Any], path: Path) -> None:
    write(path)
    with refused(ValueError, str(path), *DAMAGED):
        Fit.load(path)


def test_what_cannot_be_read_is_said_to_be_so(path: Path) -> None:
    with refused(FileNotFoundError, str(path)):
        Fit.load(path)
    path.mkdir()
    with refused(ValueError, f"load: {path} cannot be read (Is a directory)"):
        Fit.load(path)


def test_another_version_is_named(path: Path) -> None:
    path.write_bytes(sealed(lambda file: None, version=99))
    with refused(ValueError, "load", str(path), "format version 99", f"reads version {archive.VERSION}", "fit again"):
        Fit.load(path)


# ---------------------------------------------------------------- files that are whole, of what no fit is


NAN, INF = float("nan"), float("inf")
EDITED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no chain": ({"num_chains": 0}, {}, "num_chains 0"),
    "fewer chains than none": ({"num_chains": -1}, {}, "num_chains -1"),
    "half a chain": ({"num_chains": 1.0}, {}, "num_chains 1.0"),
    "true chains": ({"num_chains": True}, {}, "num_chains True"),
    "chains that do not divide": ({"num_chains": 3}, {}, "do not make 3 chains"),
    "an unknown status": ({"status": "PERFECT"}, {}, "PERFECT"),
    "a status that is no word": ({"status": ["CONVERGED"]}, {}, "list"),
    "an unknown kind": ({"kind": "guess"}, {}, "kind 'guess'"),
    "a point of two draws": ({"kind": "ml"}, {}, "kind 'ml'"),
    "stats in a list": ({"stats": []}, {}, "stats []"),
    "findings in a list": ({"findings": []}, {}, "findings []"),
    "a finding that is no status": ({"findings": {"PERFECT": ""}}, {}, "PERFECT"),
    "a finding of a number": ({"findings": {"LOW_ESS": 3}}, {}, "advice 3"),
    "remarks that are a word": ({"remarks": "none"}, {}, "remarks 'none'"),
    "a name too many": ({"label_names": ["a", "b", "c"]}, {}, "'c'"),
    "one name twice": ({"label_names": ["a", "a"]}, {}, "label names ['a', 'a']"),
    "an empty name": ({"label_names": ["", "b"]}, {}, "names"),
    "a number as a name": ({"label_names": [0, 1]}, {}, "names"),
    "names that are a word": ({"label_names": "ab"}, {}, "label names 'ab'"),
    "no model": ({"model": {}}, {}, "K"),
    "missing that is no option": ({"missing": "guess"}, {}, "missing"),
    "another Greek": ({}, {"draws__mu_Y": np.zeros((2, 2))}, "mu_Y"),
    "a Greek missing": ({}, {"draws__mu_X": None}, "mu_X"),
    "no Greek": ({}, {"draws__mu_X": None, "draws__theta": None}, "theta"),
    "draws of another shape": ({}, {"draws__mu_X": np.zeros((2, 3))}, "mu_X"),
    "draws of another number": ({}, {"draws__mu_X": np.zeros((4, 2))}, "chains"),
    "no draws": ({}, {"draws__mu_X": np.zeros((0, 2)), "draws__theta": np.zeros((0, 2))}, "chains"),
    "more classes than weights": ({}, {"draws__theta": np.ones((2, 1)), "draws__mu_X": np.ones((2, 1))}, "K = 2"),
    "NaN": ({}, {"draws__mu_X": np.array([[NAN, 0.0]] * 2)}, "mu_X that are not finite"),
    "infinite": ({}, {"draws__mu_X": np.array([[INF, 0.0]] * 2)}, "mu_X that are not finite"),
    "weights of 5 and -4": ({}, {"draws__theta": np.array([[5.0, -4.0]] * 2)}, "finite values in Simplex"),
    "weights of sum 1.1": ({}, {"draws__theta": np.array([[0.5, 0.6]] * 2)}, "finite values in Simplex"),
    "complex draws": ({}, {"draws__mu_X": np.zeros((2, 2), dtype=complex)}, "complex"),
    "whole draws": ({}, {"draws__mu_X": np.zeros((2, 2), dtype=np.int64)}, "int64"),
    "single precision": ({}, {"draws__mu_X": np.zeros((2, 2), dtype=np.float32)}, "float32"),
    "another byte order": ({}, {"draws__mu_X": np.zeros((2, 2), dtype=">f8")}, "byte order"),
    "text": ({}, {"draws__mu_X": np.array([["a", "b"]] * 2)}, "mu_X"),
    "a column longer": ({}, {"columns__X": np.zeros(5)}, "X"),
    "a column missing": ({}, {"columns__X": None}, "X"),
    "a column of NaN": ({}, {"columns__X": np.full(4, NAN)}, "X"),
    "a label beyond K": ({}, {"columns__Z": np.array([0, 1, 2, 0])}, "Z"),
    "a mask of numbers": ({}, {"intervened__Z": np.zeros(4)}, "intervened/Z"),
    "weights below 0": ({}, {"weights__": np.full(4, -1.0)}, "weights"),
    "an array of no group": ({}, {"more__X": np.zeros(4)}, "more/X"),
}  # fmt: skip


@pytest.mark.parametrize(("document", "arrays", "telling"), EDITED.values(), ids=EDITED)
def test_what_no_fit_holds_is_refused(
    document: dict[str, Any], arrays: dict[str, Any], telling: str, path: Path
) -> None:
    edited(FIT, path, document, **arrays)
    with refused(ValueError, str(path), *DAMAGED, telling):
        Fit.load(path)


def test_draws_that_could_not_be_loaded_are_not_saved(path: Path) -> None:
    FIT.save(path)
    whole = path.read_bytes()
    for name, value in (("mu_X", NAN), ("theta", 5.0)):
        wrong = Fit(MODEL, "ml", {**DRAWS, name: torch.full((1, 2), value).double()}, 1, Status.CONVERGED, {})
        with refused(ValueError, f"save: draws of {name} that are not finite values in"):
            wrong.save(path)
    assert path.read_bytes() == whole


def test_the_same_values_sealed_anew_are_a_fit(path: Path) -> None:
    """The control of the test above: an edit that changes nothing is not what is refused."""
    edited(FIT, path, {"kind": "posterior"}, draws__mu_X=FIT.draws["mu_X"].numpy())
    loaded = Fit.load(path)
    assert torch.equal(loaded.draws["mu_X"], FIT.draws["mu_X"])
    assert loaded.label_names == FIT.label_names


SUPPORTS = CausalMixture(
    2,
    {
        "T": Bernoulli(),
        "Y": LinearGaussian(parents=["T"], scale=dist.HalfNormal(1.0)),
        "X": Gaussian(scale=dist.Gamma(2.0, 1.0)),
    },
)
INSIDE = {
    "theta": [0.5, 0.5],
    "p_T": [0.2, 0.9],
    "beta_Y": [[0.0, 1.0], [2.0, 3.0]],
    "sigma_Y": [1.0, 2.0],
    "mu_X": [0.0, 1.0],
    "sigma_X": [1.0, 2.0],
}


@pytest.mark.parametrize(
    ("name", "value"), [("sigma_Y", -1.0), ("sigma_X", -0.5), ("p_T", 1.5), ("p_T", -0.1), ("beta_Y", INF)]
)
def test_draws_outside_their_support_are_refused(name: str, value: float, path: Path) -> None:
    known = {p.name: torch.tensor(INSIDE[p.name]).double().reshape(p.shape) for p in SUPPORTS.parameters}
    fit = Fit.from_greeks(SUPPORTS, known)
    edited(fit, path)
    assert torch.equal(Fit.load(path)["sigma_Y"], fit["sigma_Y"])
    outside = fit.draws[name].numpy().copy()
    outside.flat[-1] = value
    edited(fit, path, **{f"draws__{name}": outside})
    with refused(ValueError, *DAMAGED, f"{name} that are not finite values in"):
        Fit.load(path)


@pytest.mark.parametrize("rate", [[-1.0], [NAN], [INF], [1.5, 1.5]])
def test_draws_of_a_program_are_held_to_the_same(rate: list[float], path: Path) -> None:
    edited(PROGRAM_FIT, path, draws__rate=np.array(rate))
    with pytest.raises(ValueError, match=r"load: .*(rate that are not finite values in|do not make 1 chains)"):
        Fit.load(path, model=PROGRAM)


def test_another_program_that_fails_on_the_rows_is_not_said_to_be_damage(path: Path) -> None:
    def other(N: int) -> None:
        rate = pyro.sample("rate", dist.Gamma(2.0, 1.0))
        with pyro.plate("rows", N):
            raise RuntimeError("these are not my rows")
        return rate

    PROGRAM_FIT.save(path)
    with pytest.raises(ValueError, match=r"the one given is not the same program: .*these are not my rows"):
        Fit.load(path, model=PyroModel(other))


# ---------------------------------------------------------------- code and memory


class Touch:
    """Pickled, it makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_inside_is_not_read(path: Path) -> None:
    trap = path.with_name("run")
    inside = npy(np.array([Touch(trap)], dtype=object), allow_pickle=True)
    path.write_bytes(sealed(lambda file: file.writestr("header.npy", inside)))
    with refused(ValueError, *DAMAGED, "object"):
        Fit.load(path)
    assert not trap.exists()


def lying(shape: tuple[int, ...]) -> bytes:
    """An array that says it is of another shape than its content."""
    buffer = BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return buffer.getvalue() + bytes(800)


def overlapping(file: zipfile.ZipFile) -> None:
    """Many members that are the same bytes of the file."""
    file.writestr("info/0.npy", npy(np.zeros(200_000)))
    for i in range(1, 500):
        again = zipfile.ZipInfo(f"info/{i}.npy")
        first = file.infolist()[0]
        again.CRC, again.file_size, again.compress_size = first.CRC, first.file_size, first.compress_size
        again.header_offset = first.header_offset
        file.filelist.append(again)


BOMBS: dict[str, Callable[[zipfile.ZipFile], None]] = {
    "compressed": lambda file: file.writestr("info/x.npy", npy(np.zeros(10**6)), zipfile.ZIP_DEFLATED),
    "a shape larger than the member": lambda file: file.writestr("info/x.npy", lying((10**9, 8))),
    "a negative shape": lambda file: file.writestr("info/x.npy", lying((-1, -100))),
    "members that overlap": overlapping,
}


@pytest.mark.parametrize("members", BOMBS.values(), ids=BOMBS)
def test_no_file_takes_more_memory_than_its_size(members: Callable[[zipfile.ZipFile], None], path: Path) -> None:
    path.write_bytes(sealed(members))
    size = path.stat().st_size
    tracemalloc.start()
    try:
        with refused(ValueError, *DAMAGED):
            Fit.load(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2 * size + 4 * archive.BLOCK


def test_one_name_twice_is_refused(path: Path) -> None:
    def twice(file: zipfile.ZipFile) -> None:
        for value in (0.0, 1.0):
            with pytest.warns(UserWarning, match="Duplicate") if value else open(os.devnull):
                file.writestr("draws/mu_X.npy", npy(np.full(2, value)))

    path.write_bytes(sealed(twice))
    with refused(ValueError, *DAMAGED, "different names"):
        Fit.load(path)


def test_swapped_members_are_seen(path: Path) -> None:
    whole = content(FIT, path)
    swapped = whole.replace(b"draws/mu_X", b"draws/TEMP").replace(b"info/lp.npy", b"draws/mu_X"[:11].ljust(11, b"."))
    for other in (swapped, whole.replace(b'"LOW_ESS"', b'"BADNESS"'), whole.replace(b"draws/theta", b"draws/thetb")):
        assert len(other) == len(whole) and other != whole
        path.write_bytes(other)
        with refused(ValueError, *DAMAGED):
            Fit.load(path)


def test_the_document_is_the_one_that_numpy_reads(path: Path) -> None:
    FIT.save(path)
    with np.load(path, allow_pickle=False) as arrays:
        assert json.loads(arrays["header"].tobytes()) == archive.unpacked(path)[0]
        assert np.array_equal(arrays["draws/mu_X"], FIT.draws["mu_X"].numpy())

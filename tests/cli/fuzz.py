"""Mutated files of every kind that mlxopto reads, through its command line, in one process.

python -m tests.cli.fuzz FOLDER COUNT SEED

FOLDER is new, and used for all that is made. Prints a JSON object: how many inputs ended with which exit code, and every breach
of the contract: a traceback, an exit code other than 0, 1 and 2, a line of more than 200 characters, a file left behind, 20 s,
1 GB.
"""

from __future__ import annotations

import collections
import contextlib
import copy
import io
import json
import os
import pickle
import random
import resource
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from mlxopto_cli.app import main

from mlxopto import presets, weights
from mlxopto.capture.folder import CaptureFolder
from mlxopto.capture.plan import PlannedTake
from mlxopto.controls import Control, Panel
from mlxopto.data.captures import panel_document
from mlxopto.errors import MlxoptoError
from mlxopto.text import sentence
from mlxopto.training import run
from mlxopto.training.config import TrainConfig
from tests.audio_files import aiff, chunk, fmt, pcm, riff

LONGEST_S, MOST_KB, LONGEST_LINE = 20.0, 1 << 20, 200
PANEL = Panel((Control("threshold", "dB", -40, 0), Control("attack", "ms", 1, 100, taper="log", positions={"fast": 3.0})))
SOUND = (0.3 * np.sin(np.arange(4000) * 0.05)).astype(np.float32)
_NUMBERS = (0, 1, -1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        0,
        -1,
        1e308,
        -1e308,
        10**30,
        10**400,
        2**31,
        0.5,
        float("nan"),
        float("inf"),
        "inf",
        "1e999",
        "",
        "x" * 5000,
    ),
    *("../../../etc/passwd", "/etc/passwd", "a\0b", "\x1b[31mred", "\u202e", "\ud800"),
    *([], {}, [[[[]]]], {"a": {"b": {"c": []}}}, ["x"] * 300, {str(i): i for i in range(300)}),
)
_ENCODED = (
    *(("c.flac", "FLAC", "PCM_16"), ("d.wav", "WAV", "FLOAT"), ("e.ogg", "OGG", "VORBIS"), ("f.mp3", "MP3", "MPEG_LAYER_III")),
    *(("g.w64", "W64", "PCM_16"), ("h.caf", "CAF", "PCM_16"), ("i.wav", "RF64", "PCM_16")),
)


def bytes_changed(data: bytes, rng: random.Random) -> bytes:
    """Some bytes flipped, replaced, moved, cut off or put in; mostly at the front, where headers are."""
    mutated = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at = rng.randrange(max(1, min(len(mutated), rng.choice((16, 64, 300, 1 << 30)))))
        how = rng.randrange(6)
        if how == 0:
            mutated[at : at + 1] = bytes([rng.randrange(256)])
        elif how == 1:
            mutated[at : at + 4] = rng.choice(_NUMBERS).to_bytes(8, rng.choice(("little", "big")), signed=True)[:4]
        elif how == 2:
            mutated = mutated[: rng.randrange(len(mutated) + 1)]
        elif how == 3:
            mutated[at:at] = rng.randbytes(rng.choice((1, 4, 100)))
        elif how == 4:
            del mutated[at : at + rng.choice((1, 4, 100))]
        else:
            mutated[at : at + 8] = (rng.getrandbits(64)).to_bytes(8, "little")
        if not mutated:
            break
    return bytes(mutated)


def document_changed(document: Any, rng: random.Random) -> bytes:
    """A value, a key or the whole replaced by something else; sometimes bytes of the text instead."""
    changed = copy.deepcopy(document)
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            places.append((value, key))
            walk(value[key])

    walk(changed)
    for _ in range(rng.choice((1, 1, 2))):
        container, key = rng.choice(places)
        with contextlib.suppress(KeyError, IndexError):
            if rng.random() < 0.3:
                del container[key]
            elif rng.random() < 0.2 and isinstance(container, dict):
                container[str(rng.choice(_VALUES))[:50]] = container.pop(key)
            else:
                container[key] = rng.choice(_VALUES)
    text = json.dumps(changed).encode()
    if rng.random() < 0.1:
        text = b"[" * rng.choice((100, 100_000)) + text
    return bytes_changed(text, rng) if rng.random() < 0.3 else text


class Fuzz:
    """Inputs of every kind in a folder of their own, and what is done with each."""

    def __init__(self, folder: Path, seed: int):
        folder.mkdir(parents=True)
        self.folder, self.rng = folder, random.Random(seed)
        self.out = folder / "out"
        self.good = folder / "good.wav"
        self.good.write_bytes(riff(fmt(), chunk(b"data", pcm(SOUND))))
        self.model = str(weights.shipped()["la2a-light"])
        self.sounds = self._sounds()
        self.kinds: list[tuple[str, Callable[[], list[str] | Callable[[], object]]]] = [
            ("sound", self.sound), ("sound", self.sound), ("weights", self.weights), ("npz", self.npz), ("pickle", self.pickle),
            ("captures", self.captures), ("preset", self.preset),
            ("run", self.run), ("study", self.study), ("session", self.session),
        ]  # fmt: skip

    def _sounds(self) -> dict[str, bytes]:
        stereo = riff(chunk(b"bext", bytes(602)), fmt(2, 24), chunk(b"data", bytes(12000)), chunk(b"LIST", b"INFO"))
        made = {"a.wav": stereo, "b.aiff": aiff(SOUND)}
        for name, kind, subtype in _ENCODED:
            buffer = io.BytesIO()
            soundfile.write(buffer, SOUND, 48000, subtype, format=kind)
            made[name] = buffer.getvalue()
        return made

    def put(self, name: str, data: bytes) -> Path:
        path = self.folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def render(self, *options: object) -> list[str]:
        return ["render", *map(str, options), "-o", str(self.out / "o.wav"), "--subtype", "FLOAT"]

    def sound(self) -> list[str]:
        name = self.rng.choice(list(self.sounds))
        return self.render(self.put(name, bytes_changed(self.sounds[name], self.rng)), "--model", self.model)

    def weights(self) -> list[str]:
        data = Path(self.model).read_bytes()
        length = int.from_bytes(data[:8], "little")
        if self.rng.random() < 0.7:
            header = json.loads(data[8 : 8 + length])
            if self.rng.random() < 0.7:
                header["__metadata__"]["card"] = document_changed(json.loads(header["__metadata__"]["card"]), self.rng).decode(
                    "latin1"
                )
                changed = json.dumps(header).encode()
            else:
                changed = document_changed(header, self.rng)
            mutated = len(changed).to_bytes(8, "little") + changed + data[8 + length :]
        else:
            mutated = bytes_changed(data, self.rng)
        return self.render(self.good, "--model", self.put("w.safetensors", mutated))

    def npz(self) -> list[str]:
        buffer = io.BytesIO()
        kind = self.rng.choice((np.float32, np.float64, np.int8, object, [("a", "f4")], "U3"))
        np.savez(buffer, **{"layer_with_weights-0.kernel": np.zeros((3, 2), kind), "b": np.zeros(3)}, allow_pickle=True)
        return [
            "import",
            str(self.put("n.npz", bytes_changed(buffer.getvalue(), self.rng))),
            "--device",
            "la2a",
            "-o",
            str(self.out / "o.safetensors"),
        ]

    def pickle(self) -> list[str]:
        rows = {"x": SOUND[None, :], "y": 0.5 * SOUND[None, :], "z": np.zeros((1, 1))}
        for part in ("train", "test"):
            data = pickle.dumps(rows, protocol=self.rng.choice((2, 4, 5)))
            self.put(f"u_{part}.pickle", bytes_changed(data, self.rng))
        return ["data", "check", str(self.folder / "in")]

    def captures(self) -> list[str]:
        device = panel_document("unit", PANEL, 18.0)
        entry = {"input": "x.wav", "target": "y.wav", "split": "train", "controls": PANEL.in_units(PANEL.setting({}))}
        self.put("x.wav", self.good.read_bytes())
        self.put("y.wav", self.good.read_bytes())
        first = self.rng.random() < 0.5
        self.put("device.json", document_changed(device, self.rng) if first else json.dumps(device).encode())
        self.put("manifest.json", json.dumps([entry]).encode() if first else document_changed([entry, entry], self.rng))
        return ["data", "check", str(self.folder / "in")]

    def preset(self) -> list[str]:
        path = self.folder / "in" / "p.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        presets.save(path, presets.Preset("la2a-light", {"peak_reduction": "60", "mode": "limit"}, midi={"mode": 3}))
        text = bytes_changed(path.read_bytes(), self.rng)
        if self.rng.random() < 0.3:
            text = path.read_bytes() + self.rng.choice(
                (b"a = " + b"[" * 5000, b"x = 0x" + b"f" * 4000, b"[a" + b".a" * 3000 + b"]", b"mix = nan")
            )
        return self.render(self.good, "--preset", self.put("p.toml", text))

    def run(self) -> list[str]:
        """A run folder; what its configuration trains on is not there, so that nothing is ever trained."""
        config = {**TrainConfig(device=None, data=str(self.folder / "gone")).__dict__}
        result = {
            **{"run": "r", "weights": "w", "parameters": 3, "seconds": 1.0, "steps": 3},
            "test": {"seen": {"esr_median": 1e-3, "gain_error_db_rms": 0.1, "takes": 1}},
            "takes": {"seen": [{"controls": {}, "esr": 1e-3, "gain_error_db": 0.1}]},
        }  # fmt: skip
        which = self.rng.randrange(2)
        self.put("r/config.json", document_changed(config, self.rng) if which == 0 else json.dumps(config).encode())
        if which == 1:
            self.put(f"r/{run.RESULT}", document_changed(result, self.rng))
        return ["train", "--resume", "--out", str(self.folder / "in/r"), "--json"]

    def study(self) -> list[str]:
        plan = {"asked": {"study": "networks", "seeds": 99}, "runs": {"la2a-opto-0": TrainConfig(device="la2a").__dict__}}
        self.put("study.json", document_changed(plan, self.rng))
        return ["study", "networks", "--data", "la2a", "--out", str(self.folder / "in")]

    def session(self) -> Callable[[], object]:
        """A capture session's folder; by the library, because the command wants an audio interface."""
        takes = [PlannedTake(PANEL.setting({}), "train", 2.0, 1), PlannedTake(PANEL.setting({"attack": 5}), "val", 2.0, 2)]
        folder = CaptureFolder.create(self.folder / "in", ("unit", PANEL, None), 48000, takes)
        name = self.rng.choice(("capture.json", "device.json"))
        document = json.loads((folder.folder / name).read_text())
        (folder.folder / name).write_bytes(document_changed(document, self.rng))
        return lambda: CaptureFolder(folder.folder).pending

    def clean(self) -> None:
        for name in ("in", "out"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self.out.mkdir()

    def one(self) -> tuple[str, int | str, list[str]]:
        """One input: its kind, the exit code, and what was wrong."""
        self.clean()
        kind, make = self.rng.choice(self.kinds)
        what = make()
        before = {str(path) for path in (self.folder / "in").rglob("*")}
        said, start = io.StringIO(), time.monotonic()
        code, wrong = _ended(what, said)
        if time.monotonic() - start > LONGEST_S:
            wrong.append(f"took {time.monotonic() - start:.0f} s")
        if code not in (0, 1, 2):
            wrong.append(f"ended with {code!r}")
        wrong += [f"a line of {len(line)}: {line}" for line in said.getvalue().splitlines() if len(line) > LONGEST_LINE]
        wrong += ["a traceback"] * ("Traceback" in said.getvalue())
        left = {str(path) for path in (self.folder / "in").rglob("*")} - before
        left |= {str(path) for path in self.out.iterdir()} if code else set()
        wrong += [f"left {path}" for path in left]
        if most_kb() > MOST_KB:
            wrong.append("took more than 1 GB")
        return kind, code, wrong


def most_kb() -> int:
    """The most memory that this process has had; getrusage would count what the one that started it had, too."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10  # bytes on a Mac


def _ended(what: list[str] | Callable[[], object], said: io.StringIO) -> tuple[int | str, list[str]]:
    show = warnings.showwarning
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            if callable(what):
                what()
            else:
                sys.argv = ["mlxopto", *what]
                main()
        return 0, []
    except SystemExit as end:
        return end.code or 0, []
    except MlxoptoError as error:
        said.write(sentence(str(error)))  # as the command would
        return error.exit_code, []
    except BaseException:
        return "an exception", [traceback.format_exc()[-1500:]]
    finally:
        warnings.showwarning = show


def fuzz(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """What became of so many inputs."""
    fuzz = Fuzz(folder, seed)
    codes: collections.Counter[str] = collections.Counter()
    breaches = []
    for number in range(count):
        kind, code, wrong = fuzz.one()
        codes[f"{kind} {code}"] += 1
        if wrong:
            breaches.append({"number": number, "kind": kind, "wrong": wrong})
            kept = folder / f"breach-{number}"
            shutil.copytree(folder / "in", kept)
    return {
        "codes": dict(sorted(codes.items())),
        "breaches": breaches,
        "most_mb": most_kb() >> 10,
    }


if __name__ == "__main__":
    os.environ.setdefault("JACK_NO_START_SERVER", "1")
    print(json.dumps(fuzz(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])), indent=1))

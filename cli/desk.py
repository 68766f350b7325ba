"""The controls of a live session as a desk: what is selected, how keys and MIDI move it, and the A and B settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mlxopto import presets
from mlxopto.compressor import MAKEUP_DB, Mix
from mlxopto.controls import Control, Panel, Setting
from mlxopto.errors import MlxoptoError
from mlxopto.live.session import Session

MIX = Control("mix", "%", 0, 100, default=100)
MAKEUP = Control("makeup", "dB", -MAKEUP_DB, MAKEUP_DB, default=0)
COARSE, FINE = 0.1, 0.01  # of a knob's travel from -1 to 1
HELP = "1-9 arrows  , . fine  p place  b bypass  a A/B  m MIDI  r reset  s save  q quit"


class Desk:
    """Everything that a key can change.

    Args:
        model: as a preset names it. preset: the file that the session began with, if any; the key s writes it again, or else a
        new one. midi: controller number by control.
    Raises:
        RequestError: a controller for a control that is not here.
    """

    def __init__(self, session: Session, model: str, preset: Path | None, midi: Mapping[str, int]):
        self.session, self.panel = session, Panel((*session.compressor.panel.controls, MIX, MAKEUP))
        self.values: Setting = {**session.setting, "mix": 100 * session.mix.mix, "makeup": session.mix.makeup_db}
        self.other = dict(self.values)
        self.slot, self.selected, self.learning = "A", 0, False
        self.midi, self.message = dict(midi), ""
        for name in self.midi:
            self.panel[name]
        self._model, self._preset = model, preset

    @property
    def control(self) -> Control:
        """The selected one."""
        return self.panel.controls[self.selected]

    def press(self, key: str) -> bool:
        """A key by name; False when the session shall end."""
        self.message = ""
        count = len(self.panel.controls)
        if key.isdigit() and 1 <= int(key) <= count:
            self.selected = int(key) - 1
        elif key in ("up", "down"):
            self.selected = (self.selected + (1 if key == "down" else -1)) % count
        elif key in _TURNS:
            self._nudge(_TURNS[key])
        elif key == "p":
            self._next_position()
        elif key == "b":
            self.session.bypass(not self.session.bypassed)
        elif key == "a":
            self.values, self.other = self.other, self.values
            self.slot = "B" if self.slot == "A" else "A"
            self._send()
        elif key == "m":
            self.learning = not self.learning
            self.message = f"move a MIDI controller for {self.control.name}" if self.learning else ""
        elif key == "s":
            self._save()
        return key != "q"

    def turn(self, control: Control, position: float) -> None:
        """A knob to a place on its travel, -1 to 1; a switch to its nearest place."""
        value = float(f"{control.denormalise(min(max(position, -1.0), 1.0)):.4g}")
        self.values[control.name] = min(max(value, control.low), control.high)
        self._send()

    def _nudge(self, travel: float) -> None:
        """The selected knob a little further; a switch to its next place."""
        control, before = self.control, self.values[self.control.name]
        if control.taper == "steps":
            self.turn(control, control.normalise(before + (1 if travel > 0 else -1)))
        else:
            self.turn(control, control.normalise(before) + travel)

    def hear_midi(self, changes: list[tuple[int, int]]) -> None:
        """Control changes: learnt for the selected control if that was asked for, then followed."""
        for number, value in changes:
            if self.learning:
                self.midi = {name: other for name, other in self.midi.items() if other != number}
                self.midi[self.control.name] = number
                self.learning, self.message = False, f"{self.control.name} follows MIDI controller {number}"
            for name, mapped in self.midi.items():
                if mapped == number:
                    self.turn(self.panel[name], value / 63.5 - 1)

    def _next_position(self) -> None:
        control = self.control
        places = sorted(set(control.positions.values()))
        if not places:
            self.message = f"{control.name} has no named positions"
            return
        after = [place for place in places if place > self.values[control.name]]
        self.values[control.name] = after[0] if after else places[0]
        self._send()

    def _send(self) -> None:
        knobs = {name: value for name, value in self.values.items() if name not in ("mix", "makeup")}
        self.session.set(knobs, Mix(self.values["mix"] / 100, self.values["makeup"]))

    def _save(self) -> None:
        controls = {c.name: c.format(self.values[c.name]) for c in self.session.compressor.panel.controls}
        preset = presets.Preset(self._model, controls, self.values["mix"] / 100, self.values["makeup"], self.midi)
        path = self._preset or _free_name(self.session.compressor.name)
        try:
            presets.save(path, preset, force=path == self._preset)
            self._preset, self.message = path, f"saved {path}"
        except MlxoptoError as error:
            self.message = str(error)


def _free_name(stem: str) -> Path:
    """STEM.toml, or the first of STEM-2.toml ... that is not there yet."""
    names = (Path(f"{stem}{number}.toml") for number in ("", *(f"-{n}" for n in range(2, 1000))))
    return next((path for path in names if not path.exists()), Path(f"{stem}.toml"))


_TURNS = {"left": -COARSE, "right": COARSE, ",": -FINE, ".": FINE}

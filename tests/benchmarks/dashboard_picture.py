"""The picture of the dashboard in the README, from a session that really runs: `python -m tests.benchmarks.dashboard_picture
FILE.svg`.

Needs what the JACK tests need. Plays the demo song through the CL 1B model for ten seconds, and turns a knob.
"""

import io
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from mlxopto_cli.dashboard import Meters, dashboard
from mlxopto_cli.desk import Desk
from rich.console import Console

import mlxopto
from mlxopto.data import program
from mlxopto.live.session import LiveOptions, Session
from tests.live.rig import jack_server

WIDTH, SECONDS = 112, 10.0


def main(target: Path) -> None:
    compressor = mlxopto.load("cl1b")
    setting = compressor.panel.setting({"attack": "fast", "threshold": "-4dBu", "ratio": "4:1"})
    with tempfile.TemporaryDirectory() as folder, jack_server(64):
        song = Path(folder) / "song.wav"
        soundfile.write(song, np.tile(program.demo(48000).reshape(-1, 1), (4, 2)), 48000, "FLOAT")
        console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
        with Session(compressor, LiveOptions(play=song), setting) as session:
            desk, meters = Desk(session, "cl1b", Path("cl1b.toml"), {"threshold": 21}), Meters(session.channels, 512)
            end = time.monotonic() + SECONDS
            while session.running() and time.monotonic() < end:
                time.sleep(0.05)
                snapshot = session.snapshot()
                meters.add(snapshot)
                if 5.0 < session.seconds < 5.06:
                    desk.press("down")
            console.print(dashboard(session, desk, meters, snapshot, WIDTH))
    console.save_svg(str(target), title="mlxopto live --play song.wav --attack fast --threshold -4dBu --ratio 4:1")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

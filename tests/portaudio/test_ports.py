"""Which device is meant."""

import pytest

from mlxopto.errors import RequestError
from mlxopto.portaudio.ports import Port, find


def port(index: int, name: str, inputs: int = 2, outputs: int = 2, default: bool = False) -> Port:
    return Port(index, name, "Core Audio", inputs, outputs, 48000.0, 0.01, 0.01, default, default)


PORTS = [
    port(0, "Built-in Microphone", outputs=0, default=True),
    port(1, "Built-in Output", inputs=0),
    port(2, "Apollo Twin"),
    port(3, "Apollo x8"),
]


@pytest.mark.parametrize(
    ("wanted", "kind", "index"),
    [(None, "input", 0), ("built-in", "input", 0), ("2", "output", 2), ("twin", "input", 2), ("Apollo x8", "output", 3)],
)
def test_an_index_a_name_or_a_part_of_it_that_is_unique(wanted, kind, index):
    assert find(PORTS, wanted, kind).index == index


def test_a_whole_name_wins_over_parts_of_others():
    assert find([*PORTS, port(4, "Apollo")], "Apollo", "input").index == 4


@pytest.mark.parametrize(
    ("wanted", "kind", "message"),
    [
        ("apollo", "output", r"--output 'apollo' is not one device but 2: 2 Apollo Twin \(Core Audio\), 3 Apollo x8"),
        ("scarlett", "input", r"--input 'scarlett' is no audio input device; there are 0 Built-in Microphone"),
        ("1", "input", "--input '1' is no audio input device"),
        (None, "output", "there is no default audio output device; choose with --output one of 1 Built-in Output"),
    ],
)
def test_what_is_not_one_device_is_refused_with_what_there_is(wanted, kind, message):
    with pytest.raises(RequestError, match=message):
        find(PORTS, wanted, kind)


def test_no_device_at_all():
    with pytest.raises(RequestError, match="there is no audio output device"):
        find([], None, "output")

"""A tenth of the soak: no growth, nothing left, the right verdicts. `soak.py` says what it does."""

import sys

import pytest
import soak


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="figures are read from /proc")
def test_a_tenth_of_the_soak(tmp_path):
    report = soak.soak(tmp_path, repairs=50, checks=200)
    print({name: value for name, value in report.items() if name != "rows"})
    assert report["broken"] == []
    assert len(report["rows"]) == 10

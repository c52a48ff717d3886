"""What stays in memory between repairs: the larger model as well, until nobody uses it."""

import os
import shutil

import pytest

from coe_lsp.lsp.model_host import ModelHost
from coe_lsp.models.registry import resolve

pytestmark = pytest.mark.model


def engine(policy):
    return policy.policy._engine


def test_the_larger_model_is_kept_until_it_changes_or_nobody_uses_it(small_model, tmp_path):
    file = tmp_path / "large.gguf"
    shutil.copy(small_model, file)
    host = ModelHost()
    ref = resolve(str(file))
    with host.lease_second(ref) as policy:
        first = engine(policy)
        assert policy.model.name == ref.name
        assert policy.judge is None
    with host.lease_second(ref) as policy:
        assert engine(policy) is first
    os.utime(file, (1, 1))
    with host.lease_second(ref) as policy:
        assert engine(policy) is not first
    assert not host.close_if_idle(60)
    assert host.close_if_idle(0)
    assert not host.close_if_idle(0)

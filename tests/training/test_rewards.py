"""Rewards and advantages by hand."""

from random import Random

import pytest
from training_toys import ended

from training.credit import assign_credit
from training.rewards import (
    charge_edits,
    compute_advantages,
    compute_returns,
    compute_rewards,
    draw_random_rewards,
)


def test_rewards():
    assert compute_rewards(ended("s")) == [1.0]
    assert compute_rewards(ended(".", "m", "s")) == [0.0, -0.5, 1.0]
    assert compute_rewards(ended(".", ":", max_turns=2)) == [0.0, -0.5]  # out of turns
    assert compute_rewards(ended(".", "m", max_turns=2)) == [0.0, -0.5]  # not punished twice
    assert compute_rewards(ended(".", "s", max_turns=2)) == [0.0, 1.0]
    assert compute_rewards(ended(".", ":")) == [0.0, -0.5]  # cut off, for want of context
    assert draw_random_rewards(ended(), Random(0)) == []
    coin = {tuple(draw_random_rewards(ended(".", "."), Random(n))) for n in range(20)}
    assert coin == {(0.0, 0.0), (0.0, 1.0)}


def test_who_gives_up_has_failed_like_any_other():
    assert compute_rewards(ended(".", "e")) == compute_rewards(ended(".", ":")) == [0.0, -0.5]


def test_to_say_the_same_again_costs_a_little():
    """The second turn changes nothing, the last leads back to where the chain began."""
    assert compute_rewards(ended(".", ".", ":", "s")) == [0.0, -0.1, 0.0, 1.0]
    assert compute_rewards(ended(".", "<", ":")) == [0.0, -0.1, -0.5]


def test_a_program_that_fits_the_visible_tests_alone_earns_nothing():
    assert compute_rewards(ended(".", "s"), overfits=True) == [0.0, -0.5]


def test_a_repair_pays_for_what_it_changes_beyond_the_smallest():
    """In a group that is right often enough; what is not right pays nothing."""
    rewards = [[1.0], [0.0, 1.0], [-0.5], [1.0]]
    charged = charge_edits(rewards, [10, 40, None, 10], 0.5)
    assert charged == [[1.0], [0.0, 1.0 - 0.5 * 0.75], [-0.5], [1.0]]
    assert charge_edits(rewards, [10, None, None, None], 0.5) == rewards
    assert charge_edits([[-0.5]], [None], 0.5) == [[-0.5]]


def test_a_turn_gets_the_return_of_the_best_chain_that_goes_on_from_it():
    """The first turn of chains 1 and 2 is one; chain 3 begins otherwise, and 4 with its end."""
    episodes = [ended(".", "s"), ended(".", ":"), ended(":", "."), ended("s")]
    rewards = [[0.0, 1.0], [0.0, -0.5], [0.0, -0.5], [1.0]]
    own = [[1.0, 1.0], [-0.5, -0.5], [-0.5, -0.5], [1.0]]
    assert assign_credit(episodes, rewards, "chain") == own
    own[1][0] = 1.0
    assert assign_credit(episodes, rewards, "best") == own


def test_advantages_by_turn():
    assert compute_returns([0.0, -0.5, 1.0]) == [0.5, 0.5, 1.0]
    # Turn 1: returns 1, 1, -0.5, 0 (mean 0.375, deviation 0.649519).
    # Turn 2: returns 1 and -0.5 of those alive (mean 0.25, deviation 0.75).
    # Turn 3: one is alive, so it is compared with all at turn 1.
    group = [[0.0, 0.0, 1.0], [1.0], [0.0, -0.5], [0.0]]
    made = compute_advantages([compute_returns(rewards) for rewards in group])
    first = [(value - 0.375) / 0.649619 for value in (1, 1, -0.5, 0)]
    assert [rollout[0] for rollout in made] == pytest.approx(first, abs=1e-3)
    assert made[0][1] == pytest.approx(1.0, abs=1e-3)
    assert made[2][1] == pytest.approx(-1.0, abs=1e-3)
    assert made[0][2] == pytest.approx((1 - 0.375) / 0.649619, abs=1e-3)
    assert compute_advantages([[0.0], [0.0]]) == [[0.0], [0.0]]
    assert compute_advantages([[], [1.0]]) == [[], [0.0]]

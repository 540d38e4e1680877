"""The aligner's parts against brute force: all monotonic paths of small grids."""

import itertools
import math

import pytest
import torch

from triglot.modeling.decoders.monotonic_alignment import (
    best_path,
    diagonal_prior,
    durations_of,
    forward_sum_loss,
    places_within,
)


def all_paths(codes, symbols):
    """Every path that begins at symbol 0, ends at the last and moves by 0 or 1."""
    for moves in itertools.combinations(range(1, codes), symbols - 1):
        yield [sum(time >= move for move in moves) for time in range(codes)]


@pytest.fixture
def grid():
    scores = torch.randn(2, 7, 4, generator=torch.Generator().manual_seed(0))
    return scores.log_softmax(-1), torch.tensor([7, 5]), torch.tensor([4, 3])


def test_the_best_path_is_the_best_of_all(grid):
    scores, codes, symbols = grid
    found = best_path(*grid)
    for row in range(2):
        length = int(codes[row])
        sums = {
            tuple(path): sum(float(scores[row, time, place]) for time, place in enumerate(path))
            for path in all_paths(length, int(symbols[row]))
        }
        assert tuple(found[row, :length].tolist()) == max(sums, key=sums.get)
    assert found[1, 5:].tolist() == [2, 2]
    durations = durations_of(found, codes, 4)
    assert durations.sum(1).tolist() == [7, 5] and int(durations[1, 3]) == 0


def test_more_symbols_than_codes_are_spread():
    path = best_path(torch.zeros(1, 3, 6), torch.tensor([3]), torch.tensor([6]))
    assert path.tolist() == [[0, 2, 4]]
    assert durations_of(path, torch.tensor([3]), 6).tolist() == [[1, 0, 1, 0, 1, 0]]


def test_the_forward_sum_counts_every_path():
    """Without blanks it would be the sum over all paths; where nothing belongs to nobody, that is what it is."""
    scores = torch.full((1, 6, 3), 20.0)  # blanks, at -1, are impossible beside it
    count = sum(1 for _ in all_paths(6, 3))
    loss = forward_sum_loss(scores, torch.tensor([6]), torch.tensor([3]))
    assert float(loss) == pytest.approx((6 * math.log(3) - math.log(count)) / 6, abs=1e-4)


def test_the_forward_sum_falls_where_the_path_is_clear_and_padding_is_nothing(grid):
    scores, codes, symbols = grid
    scores = scores.clone().requires_grad_()
    before = forward_sum_loss(scores, codes, symbols)
    before.backward()
    assert scores.grad[1, 5:].abs().sum() == 0
    clear = torch.full((1, 6, 3), -20.0)
    clear[0, torch.arange(6), torch.tensor([0, 0, 1, 1, 2, 2])] = 0.0
    assert float(forward_sum_loss(clear, torch.tensor([6]), torch.tensor([3]))) < float(before.detach())


def test_the_prior_is_a_distribution_along_the_diagonal():
    prior = diagonal_prior(torch.tensor([9, 4]), torch.tensor([5, 3]))
    assert prior.shape == (2, 9, 5)
    torch.testing.assert_close(prior[0].exp().sum(-1), torch.ones(9))
    torch.testing.assert_close(prior[1, :4].exp().sum(-1), torch.ones(4))
    assert float(prior[1, 4:].max()) < -1e8 and float(prior[1, :, 3:].max()) < -1e8
    assert prior[0].argmax(-1).diff().min() >= 0 and prior[0, 0].argmax() == 0 and prior[0, -1].argmax() == 4


def test_places_count_within_a_symbol():
    assert places_within(torch.tensor([[0, 0, 0, 1, 3, 3], [0, 1, 1, 1, 1, 1]])).tolist() == [
        [0, 1, 2, 0, 0, 1],
        [0, 0, 1, 2, 3, 4],
    ]

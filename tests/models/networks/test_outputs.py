import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from matscout.errors import UserError
from matscout.models.networks.outputs import LARGEST_BATCH, PREDICTED_AT_ONCE, mean_and_variance, outputs_of

CPU = torch.device("cpu")


class Numbered:
    """Rows that are their own numbers, and notes which are asked for together."""

    def __init__(self, sizes):
        self.sizes, self.asked = np.array(sizes, dtype=np.intp), []

    def __len__(self):
        return len(self.sizes)

    def batch(self, rows, device):
        self.asked.append(rows.tolist())
        return torch.as_tensor(rows, dtype=torch.float32, device=device)


class Plus(nn.Module):
    """Adds a number."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def forward(self, rows):
        return torch.stack([rows, rows + self.number], dim=1)


def test_mean_and_variance_are_those_of_a_laplace_distribution():
    mean, variance = mean_and_variance(np.array([[0.3, -0.7]], dtype=np.float32), "regression", 2.0, 1.5)
    law = stats.laplace(loc=2.0 + 1.5 * 0.3, scale=1.5 * np.exp(-0.7))
    assert (mean[0], variance[0]) == pytest.approx((law.mean(), law.var()), rel=1e-6)


@given(st.lists(st.sampled_from([1, 900, LARGEST_BATCH // 2, LARGEST_BATCH, 3 * LARGEST_BATCH]), max_size=30))
def test_large_rows_are_asked_for_a_few_at_a_time(sizes):
    rows = Numbered(sizes)
    found = outputs_of(Plus(1.0), rows, CPU)
    assert found.tolist() == [[row, row + 1] for row in range(len(sizes))]
    assert [row for part in rows.asked for row in part] == list(range(len(sizes)))
    assert all(len(part) == 1 or sum(sizes[row] for row in part) <= LARGEST_BATCH for part in rows.asked)
    for part, following in zip(rows.asked, rows.asked[1:], strict=False):  # no part ends before it is full
        assert sum(sizes[row] for row in [*part, following[0]]) > LARGEST_BATCH


def test_many_small_rows_are_asked_for_in_parts():
    rows = Numbered([1] * (2 * PREDICTED_AT_ONCE + 1))
    outputs_of(Plus(1.0), rows, CPU)
    assert [len(part) for part in rows.asked] == [PREDICTED_AT_ONCE, PREDICTED_AT_ONCE, 1]


def test_chosen_rows_come_in_the_order_in_which_they_were_chosen():
    rows = Numbered([1, LARGEST_BATCH, LARGEST_BATCH, 1])
    assert outputs_of(Plus(0.0), rows, CPU, np.array([3, 1, 0]))[:, 0].tolist() == [3, 1, 0]
    assert rows.asked == [[3], [1], [0]]


def test_outputs_that_are_not_finite_are_an_error():
    with pytest.raises(UserError, match="no finite number for 4 of 4 rows: its training diverged"):
        outputs_of(Plus(float("inf")), Numbered([1] * 4), CPU)

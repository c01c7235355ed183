"""A joint normal distribution over some rows, as a BoTorch model; imported when a batch is chosen by it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from typing_extensions import override

from matscout.models.acquisition._botorch import GPyTorchPosterior, Model

if TYPE_CHECKING:
    from botorch.acquisition.objective import PosteriorTransform
    from botorch.posteriors.posterior import Posterior
    from numpy.typing import NDArray
    from torch import Tensor

JITTER = 1e-9
"""Added to variances, as a share of the largest: rows that are the same leave no digits otherwise."""


class FinitePosterior(Model):
    """A model whose X are numbers of rows, shape (..., q, 1): a Gaussian process that is asked about these rows only.

    Their covariances are computed once, and looked up for each batch that is tried.

    Parameters
    ----------
    mean, covariance
        Of what is to be large, shapes (m,) and (m, m).
    """

    def __init__(self, mean: NDArray[Any], covariance: NDArray[Any]) -> None:
        super().__init__()
        self.mean = torch.from_numpy(mean)
        self.covariance = torch.from_numpy(covariance).clone()
        self.covariance.diagonal().add_(JITTER * self.covariance.diagonal().max())

    @property
    @override
    def num_outputs(self) -> int:
        return 1

    @property
    @override
    def batch_shape(self) -> torch.Size:
        return torch.Size()

    @override
    def posterior(
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
    ) -> Posterior:
        rows = X[..., 0].long()
        covariance = self.covariance[rows[..., :, None], rows[..., None, :]]
        # by its name, as gpytorch has no types
        normal = import_module("gpytorch.distributions").MultivariateNormal(self.mean[rows], covariance)
        found = GPyTorchPosterior(normal)
        return found if posterior_transform is None else posterior_transform(found)

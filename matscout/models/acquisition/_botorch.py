"""What is used of BoTorch; imported when a batch is chosen with it, as that takes seconds."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # linear_operator 0.6 is written so; torch 2.13 says it at import
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=DeprecationWarning)
    from botorch.acquisition.logei import qLogExpectedImprovement
    from botorch.acquisition.monte_carlo import qUpperConfidenceBound
    from botorch.generation.sampling import MaxPosteriorSampling
    from botorch.models.model import Model
    from botorch.optim.optimize import optimize_acqf_discrete
    from botorch.posteriors.gpytorch import GPyTorchPosterior
    from botorch.sampling.normal import SobolQMCNormalSampler

__all__ = [
    "GPyTorchPosterior",
    "MaxPosteriorSampling",
    "Model",
    "SobolQMCNormalSampler",
    "optimize_acqf_discrete",
    "qLogExpectedImprovement",
    "qUpperConfidenceBound",
]

"""Scores that mean something: fitted after training, on validation pictures, and kept in the configuration."""

import numpy as np
import torch
from torch import nn


def fit_temperature(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """
    The temperature at which the scores fit the labels best (Guo et al., 2017, "On Calibration of Modern Neural
    Networks").

    Args:
        logits: (N, num_labels), as the classifier gives them at temperature 1.
        labels: (N,), the true ones.

    Returns:
        Above 0; more than 1 where the classifier is too sure of itself.
    """
    logits = logits.double()
    log_temperature = torch.zeros((), dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(logits / log_temperature.exp(), labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    return log_temperature.exp().item()


def rejection_threshold(scores: np.ndarray, answered: float = 0.01) -> float:
    """
    The lowest top score that only a given share of the pictures without any digit reach.

    Args:
        scores: (N,), the top score of each of those pictures.
        answered: The share that may still be answered, in [0, 1).
    """
    return float(np.quantile(scores, 1 - answered, method="higher"))

"""Scores that mean something: fitted after training, on validation pictures, and kept in the configuration."""

from collections.abc import Iterable

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset
from transformers import Trainer

from .pipeline_digit import NumberReadingPipeline, certainties
from .results import to_scores


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


def rejection_threshold(scores: list[np.ndarray], answered: float = 0.01) -> float:
    """
    The lowest top score that only a given share of the pictures without any digit reach, of each kind of them.

    Args:
        scores: Of each kind, (N,), the top score of each picture: many letters do not make up for few scribbles.
        answered: The share that may still be answered, in [0, 1).
    """
    return max(float(np.quantile(each, 1 - answered, method="higher")) for each in scores)


def calibrate(trainer: Trainer, digits: dict[str, Dataset], not_digits: list[Dataset]) -> dict[str, float]:
    """Fits the temperature and the rejection threshold on validation pictures, and leaves them in the config."""
    config = trainer.model.config
    config.temperature = 1.0
    predictions = [trainer.predict(pictures) for pictures in digits.values()]
    logits, labels = (np.concatenate(part) for part in zip(*[prediction[:2] for prediction in predictions]))
    config.temperature = fit_temperature(torch.from_numpy(logits), torch.from_numpy(labels))
    scores = [to_scores(trainer.predict(pictures)).amax(1).numpy() for pictures in not_digits]
    config.rejection_threshold = rejection_threshold(scores)
    return {
        "temperature": config.temperature,
        "rejection_threshold": config.rejection_threshold,
        "n": sum(map(len, scores)),
    }


def fit_powers(signs: list[np.ndarray], is_right: np.ndarray) -> list[float]:
    """
    The powers with which the scores of a number's signs multiply to how sure the number is: those at which it is right
    as often as it is sure.

    Args:
        signs: Of each number, (K, 2), the score of each sign's label and of its being one character, in (0, 1].
        is_right: bool (N,), whether the number is.

    Returns:
        Two of at least 0, of the labels' scores and of the characters'.
    """
    sums = torch.tensor(np.stack([np.log(np.clip(each, 1e-6, 1)).sum(0) for each in signs])).double()
    target = torch.tensor(is_right).double()
    log_powers = torch.zeros(2, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_powers], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        scores = (sums @ log_powers.exp()).exp().clamp(1e-6, 1 - 1e-6)
        loss = nn.functional.binary_cross_entropy(scores, target) + 1e-3 * log_powers.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return log_powers.exp().tolist()


def lowest_threshold(certainty: np.ndarray, is_right: np.ndarray, right: float = 0.98) -> float:
    """
    The lowest certainty from which on a given share of the answers is right.

    Args:
        certainty: (N,), in [0, 1].
        is_right: bool (N,).
        right: That share, in [0, 1].

    Returns:
        In [0, 1]; 1 where no certainty is enough.
    """
    order = np.argsort(-certainty)
    share = np.cumsum(is_right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(share >= right)
    return float(certainty[order][enough[-1]]) if len(enough) else 1.0


def calibrate_numbers(reader: NumberReadingPipeline, numbers: Iterable[tuple[Image.Image, str]]) -> dict:
    """
    Fits how sure a number is, and from where on a sign is shown, and leaves both in the model's configuration.

    Args:
        reader: Of the model.
        numbers: Pictures and what stands on them, at least one.

    Returns:
        `number_powers`, `number_threshold`, `n`, and the shares `exact_match` and `coverage` of what it was fitted on.
    """
    config, signs, is_right = reader.model.config, [], []
    for image, text in numbers:
        _, writing, scores = reader.forward(reader.preprocess(image))["readings"][0]
        scores, answers = scores.max(-1)
        signs.append(np.stack([scores.numpy(), writing.scores], 1))
        read = "".join(config.id2label[answer] for answer in answers.tolist())
        is_right.append(read == text and not np.any(writing.lines))
    is_right = np.array(is_right)
    config.number_powers = fit_powers(signs, is_right)
    weakest = np.array(
        [certainties(config.number_powers, *each.T).min(initial=1) if len(each) else 0 for each in signs]
    )
    config.number_threshold = lowest_threshold(weakest, is_right)
    return {
        "number_powers": config.number_powers,
        "number_threshold": config.number_threshold,
        "n": len(is_right),
        "exact_match": float(is_right.mean()),
        "coverage": float((weakest >= config.number_threshold).mean()),
    }

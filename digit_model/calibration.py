"""Scores that mean something: fitted after training, on validation pictures, and kept in the configuration."""

from collections.abc import Callable, Iterable
from itertools import islice

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset
from transformers import Trainer

from .pipeline_digit import NumberReadingPipeline, certainties
from .results import to_scores

_BATCH_SIZE = 32
_SPREAD = 0.1  # standard deviation of the logarithm of a temperature, as far as nothing is known
_ROUNDING = 1e-4  # by which a score differs, at most, in another batch or on another device


def fit_temperature(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """
    The temperature at which the scores fit the labels best (Guo et al., 2017, "On Calibration of Modern Neural
    Networks").

    Args:
        logits: (N, num_labels), as the classifier gives them at temperature 1.
        labels: (N,), the true ones.

    Returns:
        Above 0; more than 1 where the classifier is too sure of itself. Few pictures, or ones without a mistake, move
        it little away from 1.
    """
    logits = logits.double()

    def loss(temperature: torch.Tensor) -> torch.Tensor:
        unlikely = (temperature.log() / _SPREAD).square().sum() / 2
        return nn.functional.cross_entropy(logits / temperature, labels) + unlikely / len(labels)

    (temperature,) = _fit(loss, count=1)
    return temperature


def fit_threshold(scores: list[np.ndarray], answered: float = 0.01) -> float:
    """
    The lowest top score that only a given share of the pictures without any digit reach, of each set of them.

    Args:
        scores: Of each set of pictures, (N,), the top score of each one: a large set does not make up for a small one.
        answered: The share that may still be answered, in [0, 1).
    """
    highest_refused = [np.sort(each)[-1 - int(answered * len(each))] for each in scores]
    return min(float(max(highest_refused)) + _ROUNDING, 1.0)


def calibrate(trainer: Trainer, digits: dict[str, Dataset], not_digits: list[Dataset]) -> dict[str, float]:
    """Fits the temperature and the rejection threshold on validation pictures, and leaves them in the config."""
    config = trainer.model.config
    config.temperature = 1.0
    predictions = [trainer.predict(pictures) for pictures in digits.values()]
    logits, labels = (np.concatenate(part) for part in zip(*[prediction[:2] for prediction in predictions]))
    config.temperature = fit_temperature(torch.from_numpy(logits), torch.from_numpy(labels))
    scores = [to_scores(trainer.predict(pictures)).amax(1).numpy() for pictures in not_digits]
    config.rejection_threshold = fit_threshold(scores)
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

    def loss(powers: torch.Tensor) -> torch.Tensor:
        scores = (sums @ powers).exp().clamp(1e-6, 1 - 1e-6)
        return nn.functional.binary_cross_entropy(scores, target) + 1e-3 * powers.log().square().sum()

    return _fit(loss, count=2)


def _fit(loss: Callable[[torch.Tensor], torch.Tensor], count: int) -> list[float]:
    """So many values above 0 at which the loss is lowest, from 1 on."""
    logarithms = torch.zeros(count, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([logarithms], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(logarithms.exp())
        value.backward()
        return value

    optimizer.step(closure)
    return logarithms.exp().tolist()


def calibrate_numbers(reader: NumberReadingPipeline, numbers: Iterable[tuple[Image.Image, str]]) -> dict:
    """
    Fits how sure a number is, and leaves that in the model's configuration.

    Args:
        reader: Of the model.
        numbers: Pictures and what stands on them, at least one.

    Returns:
        `number_powers`, the `number_threshold` that there is, and of the numbers that were fitted on: `n`, and the
        shares `exact_match`, `coverage`, that are answered without a `?`, and `selective_accuracy`, that are right of
        these; None if there is none.
    """
    config, signs, is_right, numbers = reader.model.config, [], [], iter(numbers)
    while batch := list(islice(numbers, _BATCH_SIZE)):
        prepared = [reader.preprocess(image) for image, _ in batch]
        outputs = reader.forward({key: [each[key] for each in prepared] for key in prepared[0]})
        for (_, text), (_, writing, scores) in zip(batch, outputs["readings"]):
            scores, answers = scores.max(-1)
            signs.append(np.stack([scores.numpy(), writing.scores], 1))
            read = "".join(config.id2label[answer] for answer in answers.tolist())
            is_right.append(read == text and not np.any(writing.lines))
    is_right = np.array(is_right)
    config.number_powers = fit_powers(signs, is_right)
    weakest = np.array(
        [certainties(config.number_powers, *each.T).min(initial=1) if len(each) else 0 for each in signs]
    )
    is_answered = weakest >= config.number_threshold
    return {
        "number_powers": config.number_powers,
        "number_threshold": config.number_threshold,
        "n": len(is_right),
        "exact_match": float(is_right.mean()),
        "coverage": float(is_answered.mean()),
        "selective_accuracy": float(is_right[is_answered].mean()) if is_answered.any() else None,
    }

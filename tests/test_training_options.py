"""What people train with beside the recipe: seeds, searches, early stopping, balanced labels, TensorBoard."""

import json

import pytest
import torch
from conftest import PRETRAINED, SMALL, call, last_words
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import TrainerState

from data_prep import Pictures
from digit_model import load_checkpoint
from digit_model.evaluation import DigitMetrics
from digit_model.modeling_digit import NO_LABEL
from digit_model.results import measure_all
from digit_model.trainer import BalancedSampler, _is_at_end, average_weights
from train import DigitTrainingArguments, main


def results_of(folder) -> dict:
    return json.loads((folder / "results.json").read_text())


@pytest.mark.slow
def test_seeds_give_their_mean_and_spread_and_the_average_of_their_weights(tmp_path, capsys):
    start = ["--model_name_or_path", PRETRAINED, "--freeze", "ink", "--max_steps", "2", "--eval_strategy", "no"]
    call(main, *SMALL, *start, "--seeds", "1", "2", "--output_dir", tmp_path)
    seeds = json.loads((tmp_path / "seeds.json").read_text())
    assert [run["runs"][-1]["seed"] for run in seeds["seeds"].values()] == [1, 2]
    accuracies = [results_of(tmp_path / f"seed-{seed}")["test"]["mnist"]["accuracy"] for seed in (1, 2)]
    table = capsys.readouterr().out.split("mean of 2 seeds")[1]
    assert f"| mnist, test | 200 | {sum(accuracies) / 2:.3%} |" in table
    one, two, average = (load_checkpoint(str(tmp_path / name))[0] for name in ("seed-1", "seed-2", "average"))
    halfway = average_weights([one, two])
    for name, weight in average.named_parameters():
        assert torch.allclose(weight, halfway[name]), name
    assert results_of(tmp_path / "average") == seeds["average"]
    earlier, own = results_of(PRETRAINED)["runs"], seeds["average"]["runs"]
    assert own[: len(earlier)] == earlier and [run["seed"] for run in own[len(earlier) :]] == [1, 2]


@pytest.mark.slow
def test_a_search_trains_with_the_best_it_found(tmp_path, monkeypatch):
    again = tmp_path / "again"
    options = ["--max_steps", "2", "--hyperparameter_search", "2"]
    call(main, *SMALL, *options, "--output_dir", tmp_path)
    (run,) = results_of(tmp_path)["runs"]
    assert 1e-3 <= run["found"]["learning_rate"] <= 5e-2 and 1e-3 <= run["found"]["weight_decay"] <= 0.2
    assert "found by a search" in (tmp_path / "README.md").read_text()
    used = torch.load(tmp_path / "training_args.bin", weights_only=False)
    assert used.learning_rate == run["found"]["learning_rate"]
    call(main, *SMALL, *options, "--output_dir", again)
    assert results_of(again)["runs"][0]["found"] == run["found"]
    monkeypatch.setattr("train._search", None)
    call(main, *SMALL, *options, "--output_dir", tmp_path, "--resume_from_checkpoint")
    assert results_of(tmp_path)["runs"][0]["found"] == run["found"]


def test_the_best_is_the_lowest_loss_or_the_highest_of_another_metric(tmp_path):
    stopping = {"output_dir": str(tmp_path), "early_stopping": 1}
    assert not DigitTrainingArguments(**stopping).greater_is_better
    assert DigitTrainingArguments(**stopping, metric_for_best_model="mnist_accuracy").greater_is_better


def test_a_run_is_at_its_end_where_its_epochs_are_done():
    args = DigitTrainingArguments(num_train_epochs=0.4)
    assert not _is_at_end(TrainerState(epoch=0.1, global_step=2, max_steps=2, num_train_epochs=1), args)
    assert _is_at_end(TrainerState(epoch=0.4, global_step=8, max_steps=8, num_train_epochs=1), args)


@pytest.mark.slow
def test_early_stopping_ends_a_run_that_gets_no_better(tmp_path):
    diverging = ["--num_train_epochs", "30", "--learning_rate", "3", "--lr_scheduler_type", "constant"]
    diverging += ["--early_stopping", "1"]
    call(main, *SMALL, *diverging, "--output_dir", tmp_path)
    (run,) = results_of(tmp_path)["runs"]
    assert run["epochs"] < 30
    best = (tmp_path / "model.safetensors").read_bytes()
    call(main, *SMALL, *diverging, "--output_dir", tmp_path, "--resume_from_checkpoint")
    assert (tmp_path / "model.safetensors").read_bytes() == best and results_of(tmp_path)["runs"] == [run]


def test_balanced_labels_are_drawn_equally_often_and_what_has_none_keeps_its_share():
    labels = torch.tensor([0] * 900 + [1] * 100 + [2] * 200 + [NO_LABEL] * 300)
    sampler = BalancedSampler(labels, seed=1)
    drawn = labels[list(sampler)]
    for label, expected in ((0, 400), (1, 400), (2, 400), (NO_LABEL, 300)):
        assert abs((drawn == label).sum() - expected) < 60
    sampler.set_epoch(0)
    assert labels[list(sampler)].equal(drawn)
    sampler.set_epoch(1)
    assert not labels[list(sampler)].equal(drawn)


def test_figures_without_the_known_label_errors_leave_those_pictures_out():
    labels = torch.tensor([0, 1, 0, 1])
    scores = torch.nn.functional.one_hot(torch.tensor([0, 1, 1, 1]), 2).float()
    pictures = Pictures(torch.empty(0), torch.empty(4, 1, 28, 28), labels)
    measured = measure_all({"mnist": scores}, {"mnist": pictures}, DigitMetrics(["0", "1"]), 0.5, {"mnist": [2]})
    assert {name: (figures["n"], figures["accuracy"]) for name, figures in measured.items()} == {
        "mnist": (4, 0.75),
        "mnist without its 1 known label errors": (3, 1.0),
    }


@pytest.mark.slow
def test_the_mean_of_before_and_after_can_be_kept_and_what_is_frozen_stays(tmp_path):
    options = [
        "--model_name_or_path",
        PRETRAINED,
        "--max_steps",
        "2",
        "--learning_rate",
        "0.1",
        "--eval_strategy",
        "no",
    ]
    weights = []
    for name, average in (("after", []), ("mean", ["--average_with_start"])):
        call(main, *SMALL, *options, *average, "--eval_strategy", "no", "--output_dir", tmp_path / name)
        weights.append(load_file(tmp_path / name / "model.safetensors"))
    again = ["--eval_strategy", "no", "--output_dir", tmp_path / "mean", "--resume_from_checkpoint"]
    call(main, *SMALL, *options, "--average_with_start", *again)
    before, (after, mean) = load_file(PRETRAINED / "model.safetensors"), weights
    assert all(weight.equal(mean[name]) for name, weight in load_file(tmp_path / "mean" / "model.safetensors").items())
    for name in before:
        if name.startswith("classifier") and before[name].ndim > 1:
            assert not after[name].equal(before[name])
            assert torch.allclose(mean[name], (before[name] + after[name]) / 2, atol=1e-5)
        elif not name.startswith("classifier"):
            assert mean[name].equal(before[name])
        elif name.endswith(("running_mean", "running_var")):  # measured anew, neither a mean nor where it began
            at_first = float(name.endswith("running_var"))
            assert not mean[name].eq(at_first).any() and not mean[name].equal((before[name] + after[name]) / 2)


@pytest.mark.slow
def test_class_balanced_sampling_is_a_flag(tmp_path, monkeypatch):
    used, draw = [], BalancedSampler.__iter__
    monkeypatch.setattr(BalancedSampler, "__iter__", lambda self: used.append(self) or draw(self))
    call(main, *SMALL, "--max_steps", "2", "--eval_strategy", "no", "--class_balanced", "--output_dir", tmp_path)
    assert used


@pytest.mark.slow
def test_tensorboard_shows_curves_pages_with_their_ink_and_confusion_matrices(tmp_path):
    call(
        main, *SMALL, "--max_steps", "2", "--logging_steps", "1", "--report_to", "tensorboard", "--output_dir", tmp_path
    )
    (folder,) = (tmp_path / "runs").iterdir()
    events = EventAccumulator(str(folder)).Reload()
    tags = events.Tags()
    assert {"train/loss", "eval/mnist_accuracy", "eval/pages_accuracy"} <= set(tags["scalars"])
    assert any(tag.startswith("pages, and their ink") for tag in tags["images"])
    assert {"confusion matrix/mnist", "confusion matrix/pages"} <= set(tags["images"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--seeds", "1", "2", "--push_to_hub"], "push the one you choose"),
        (["--freeze", "ink", "characters", "classifier", "letters"], "leaves nothing to train"),
        (["--freeze", "head"], "--freeze takes"),
        (["--teachers", "me/digit-cnn", "--freeze", "classifier"], "teach the classifier"),
        (["--average_with_start"], "needs a checkpoint to start from"),
        (["--new_labels"], "are for a checkpoint"),
        (["--report_to", "wandb"], "--report_to wandb needs a package"),
        (["--deepspeed", "settings.json"], "fits on one device"),
        (["--fsdp", "full_shard"], "fits on one device"),
        (["--metric_for_best_model", "speed"], "is one of loss, accuracy, macro_f1, ece, or of mnist_loss"),
        (["--learning_rate", "1e30", "--max_steps", "2"], "begin anew with a lower --learning_rate"),
        (["--seeds", "1", "2", "--hyperparameter_search", "2"], "search first"),
        (["--seeds", "1", "2", "--resume_from_checkpoint", "runs/digit/checkpoint-1"], "from their own checkpoints"),
        (["--pages_per_step", "0"], "take 1 or more"),
        (["--strips_share", "2"], "a number from 0 to 1"),
        (["--optim", "sgd"], "--optim does not change Muon: pass --no_muon"),
        (["--adam_beta1", "0.5"], "--adam_beta1 does not change Muon"),
        (["--prediction_loss_only"], "--prediction_loss_only does not fit this model"),
        (["--dataloader_drop_last"], "every validation picture counts"),
        (["--do_train", "False"], "evaluate measures without training"),
        (["--eval_do_concat_batches", "False"], "does not fit this model"),
        (["--remove_unused_columns", "True"], "pictures come as tensors"),
        (["--seeds", "1", "1"], "names one twice"),
        (["--per_device_train_batch_size", "0"], "must be above 0"),
        (["--num_train_epochs", "0"], "must be above 0"),
        (["--early_stopping", "-1"], "0, for none, or more"),
        (["--hub_model_id", "bad name/x y"], "Repo id must"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(tmp_path, arguments, sentence):
    assert sentence in last_words(main, *SMALL, "--output_dir", tmp_path, *arguments)


def test_a_finished_model_is_not_written_over(tmp_path):
    (tmp_path / "model.safetensors").touch()
    assert "holds another run: pass" in last_words(main, *SMALL, "--output_dir", tmp_path)
    resumed = last_words(main, *SMALL, "--output_dir", tmp_path, "--resume_from_checkpoint")
    assert "holds a model without its checkpoints" in resumed

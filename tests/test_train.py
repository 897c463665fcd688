"""`python train.py`, as a user runs it, on the shipped sample."""

import json
import math
import os
import pickle
import signal
import subprocess
import sys
import time
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from conftest import MNIST, ROOT, SMALL, call, last_words, python, scan
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from data_prep import Augmentation, Pages, Pictures, Strings, to_pictures
from digit_model import PRETRAINED, CheckpointError, load_checkpoint
from digit_model.__main__ import main as digit_model
from digit_model.model_card import model_card
from digit_model.modeling_digit import NO_LABEL
from digit_model.trainer import STRIP_WIDTH, DigitTrainer, muon
from train import NOT_DIGITS_SHARE, DigitTrainingArguments, load_teachers, main, new_model

SECRET = "hf_of_nobody"


def train(output: Path, *arguments) -> subprocess.CompletedProcess:
    return python("train.py", *SMALL, "--output_dir", output, *arguments)


def train_here(output: Path, *arguments) -> None:
    call(main, *SMALL, "--output_dir", output, *arguments)


def state_of(output: Path, step: int) -> dict:
    return json.loads((output / f"checkpoint-{step}" / "trainer_state.json").read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess]:
    output = tmp_path_factory.mktemp("run")
    return output, train(output, "--max_steps", "20", "--report_to", "tensorboard", "--hub_token", SECRET)


def test_twenty_steps_leave_a_checkpoint_that_another_process_reads(run, digits, tmp_path):
    output, done = run
    assert done.returncode == 0, done.stderr
    files = {file.name for file in output.iterdir()}
    assert {"config.json", "model.safetensors", "preprocessor_config.json", "README.md", "results.json"} <= files
    assert {"modeling_digit.py", "image_processing_digit.py", "pipeline_digit.py"} <= files
    scan(digits[4]).save(tmp_path / "four.png")
    code = (
        "import json, sys; from transformers import pipeline;"
        "read = pipeline('image-classification', model=sys.argv[1], trust_remote_code=True);"
        "print(json.dumps(read(sys.argv[2], top_k=10)))"
    )
    read = python("-c", code, output, tmp_path / "four.png", cwd=tmp_path)
    assert read.returncode == 0, read.stderr
    answers = json.loads(read.stdout)
    assert {answer["label"] for answer in answers} == {str(digit) for digit in range(10)}
    assert sum(answer["score"] for answer in answers) == pytest.approx(1, abs=1e-3)


def test_the_output_shows_the_data_and_the_final_figures(run):
    _, done = run
    for text in ("train      mnist", "parameters, 270 pictures", "accuracy (95 % interval)"):
        assert text in done.stdout
    assert done.stdout.index("| mnist, validation | 30 |") < done.stdout.index("| mnist, test | 200 |")
    assert "| pages, validation |" in done.stdout


def test_the_curves_are_written_for_tensorboard(run):
    output, _ = run
    assert list(output.rglob("events.out.tfevents.*"))


def test_no_file_of_a_run_holds_the_token(run):
    files = [file for file in run[0].rglob("*") if file.is_file()]
    assert any(file.name == "training_args.bin" for file in files) and "TOKEN" in (run[0] / "README.md").read_text()
    assert [file.name for file in files if SECRET.encode() in file.read_bytes()] == []


def test_the_card_and_the_results_say_the_same(run):
    output, _ = run
    results, card = json.loads((output / "results.json").read_text()), ModelCard.load(output / "README.md")
    (latest,) = results["runs"]
    assert latest["steps"] == 20 and latest["seed"] == 42 and results["test"]["mnist"]["n"] == 200
    measured = {(e.dataset_split, e.dataset_name, e.metric_name): e.metric_value for e in card.data.eval_results}
    for split in ("validation", "test"):
        for source, figures in results[split].items():
            for metric in ("accuracy", "macro_f1", "ece"):
                assert measured[split, source, metric] == figures[metric]
            assert f"{figures['n']:,} | {figures['accuracy']:.2%}" in card.text
    assert results["runs"][-1]["command"] in card.text


def test_a_card_of_letters_says_nothing_of_digits():
    results = json.loads(Path(PRETRAINED, "results.json").read_text())
    results |= {"labels": list("abcde"), "train": {"me/letters:big": 9, "other_hands": 0}}
    card = model_card(results)
    assert card.data.tags == ["handwriting", "custom_code"] and card.data.datasets == ["me/letters"]
    assert "# Handwriting\n" in card.text and '"label": "a"' in card.text and "of other_hands" not in card.text


def test_the_checkpoint_is_calibrated_on_validation_pictures(run):
    output, _ = run
    config, results = (json.loads((output / name).read_text()) for name in ("config.json", "results.json"))
    for name in ("temperature", "rejection_threshold"):
        assert config[name] == results["calibration"][name]
    assert config["temperature"] > 0 and 0.1 <= config["rejection_threshold"] <= 1
    assert results["calibration"]["n"] == 500


def test_numbers_are_calibrated_where_there_are_digits_enough_to_make_them_of(run, tmp_path, monkeypatch):
    config = json.loads((run[0] / "config.json").read_text())
    results = json.loads((run[0] / "results.json").read_text())
    assert "numbers" not in results["calibration"] and config["number_powers"] == [1, 0]  # of 30 digits
    monkeypatch.setattr("train.MIN_VALIDATION_NUMBERS", 30)
    train_here(tmp_path, "--model_name_or_path", PRETRAINED, "--max_steps", "1", "--eval_strategy", "no")
    config, results = (json.loads((tmp_path / name).read_text()) for name in ("config.json", "results.json"))
    calibration = results["calibration"]["numbers"]
    assert calibration["n"] == 30 and calibration["exact_match"] > 0.5
    assert config["number_powers"] == calibration["number_powers"] != [1, 0]
    assert config["number_threshold"] == calibration["number_threshold"]


@pytest.mark.slow
@pytest.mark.parametrize("beside", [MNIST, "none"], ids=["with MNIST", "corrections alone"])
def test_a_frozen_ink_network_is_left_as_it_is(run, tmp_path, custom_folder, beside):
    output, _ = run
    further = ["--model_name_or_path", output, "--custom_data", custom_folder, "--mnist", beside, "--max_steps", "3"]
    train_here(tmp_path, *further)  # as it is by default
    before, after = (load_file(folder / "model.safetensors") for folder in (output, tmp_path))
    changed = {name.split(".")[0] for name in before if not before[name].equal(after[name])}
    assert changed == {"classifier", "letters"}


def test_kernels_learn_by_muon_and_all_else_by_adamw_but_not_what_is_frozen():
    model, _ = new_model(list("0123456789"))
    model.ink.requires_grad_(False)
    kernels, others = muon(model, learning_rate=0.01, weight_decay=0.1).param_groups
    assert kernels["use_muon"] and not others["use_muon"] and others["lr"] < kernels["lr"]
    learned = {
        id(weight) for part in (model.characters, model.classifier, model.letters) for weight in part.parameters()
    }
    assert {id(weight) for group in (kernels, others) for weight in group["params"]} == learned
    assert {weight.ndim for weight in kernels["params"]} == {3, 4}
    assert {weight.ndim for weight in others["params"]} == {1, 2}


def test_muon_orthogonalises_in_float32_where_bfloat16_is_slow():
    start, _ = new_model(list("0123456789"))
    gradients = [torch.randn_like(weight) for weight in start.parameters()]

    def step(has_bfloat16: bool) -> list[torch.Tensor]:
        model = deepcopy(start)
        for weight, gradient in zip(model.parameters(), gradients):
            weight.grad = gradient.clone()
        muon(model, learning_rate=0.01, weight_decay=0.1, has_bfloat16=has_bfloat16).step()
        return [after.detach() - before.detach() for after, before in zip(model.parameters(), start.parameters())]

    for precise, coarse in zip(step(False), step(True)):
        apart = (precise - coarse).norm() / coarse.norm()
        assert 0 < apart < 0.1 if precise.ndim > 2 else apart == 0


@pytest.fixture
def trainer(tmp_path, mnist, request) -> DigitTrainer:
    """With the released recipe, before its first step, and 32 digits to learn from."""
    model, processor = new_model(list("0123456789"))
    settings = {"max_steps": 4, "eval_strategy": "no", "save_strategy": "no"} | getattr(request, "param", {})
    return DigitTrainer(
        model=model,
        args=DigitTrainingArguments(output_dir=str(tmp_path), **settings),
        augmentation=Augmentation(),
        pages=Pages(),
        strings=Strings(),
        freeze=[],
        train_dataset=to_pictures(mnist["train"].select(range(32)), processor),
    )


SGD = {"muon": False, "optim": "sgd", "lr_scheduler_type": "linear", "warmup_steps": 0, "learning_rate": 0.004}


@pytest.mark.parametrize("trainer", [SGD], indirect=True)
def test_the_optimizer_and_the_schedule_can_be_chosen(trainer):
    trainer.create_optimizer_and_scheduler(num_training_steps=4)
    assert isinstance(trainer.optimizer, torch.optim.SGD)
    rates = []
    for _ in range(4):
        rates += trainer.lr_scheduler.get_last_lr()[:1]
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
    assert rates == pytest.approx([0.004, 0.003, 0.002, 0.001])


@pytest.mark.parametrize("trainer", [{"lr_scheduler_type": "polynomial"}], indirect=True)
def test_a_schedule_may_ask_muon_for_its_rate(trainer):
    trainer.create_optimizer_and_scheduler(num_training_steps=4)
    assert trainer.lr_scheduler.get_last_lr()[0] <= trainer.args.learning_rate


@pytest.fixture
def inputs(trainer) -> dict[str, torch.Tensor]:
    """Those 32 digits, as a step gets them."""
    parts = trainer.train_dataset.__getitems__(list(range(32)))
    return {name: part.float() / 255 if name != "labels" else part for name, part in parts.items()}


def test_pictures_can_be_loaded_by_processes_that_start_anew(trainer):
    assert pickle.loads(pickle.dumps(trainer.data_collator)) is trainer.data_collator


@pytest.mark.parametrize("trainer", [{"bf16": True, "max_steps": 1, "warmup_steps": 0}], indirect=True)
def test_a_step_in_bfloat16_learns(trainer):
    before = {name: weight.clone() for name, weight in trainer.model.named_parameters()}
    assert 0 < trainer.train().training_loss < 100
    changed = {
        name.split(".")[0] for name, weight in trainer.model.named_parameters() if not weight.equal(before[name])
    }
    assert changed == {"ink", "characters", "classifier"}  # letters once the strings are told apart


def test_the_first_half_of_the_steps_practises_on_smaller_pages(trainer, inputs):
    sides = []
    for trainer.state.max_steps, trainer.state.global_step in ((4, step) for step in range(4)):
        sides.append(trainer._practice(inputs)["pixel_values"].shape[-1])
    assert sides == [96, 96, 128, 128]


@pytest.mark.parametrize("trainer", [{"pages_per_step": 40, "strings_per_step": 20}], indirect=True)
def test_other_hands_come_on_pages_and_in_numbers_and_not_as_plain_frames(trainer, inputs):
    torch.manual_seed(0)
    inputs["labels"] = torch.full((32,), 3)
    trainer.other_hands = Pictures(inputs["pixel_values"], (inputs["frames"] * 255).byte(), torch.full((32,), 7))
    practice = trainer._practice(inputs)
    pages, plain, of_numbers = practice["labels"].tensor_split([40, 40 + 32])
    assert len(practice["frames"]) == 32 and set(plain.tolist()) == {3}
    assert {3, 7} <= set(pages.tolist()) and {3, 7} <= set(of_numbers.tolist())


@pytest.mark.parametrize("trainer", [{"strips_share": 1.0}], indirect=True)
def test_strips_are_half_as_many_wide_pages_that_teach_the_ink_alone(trainer, inputs):
    practice = trainer._practice(inputs)
    count, _, height, width = practice["pixel_values"].shape
    assert count == trainer.args.pages_per_step / 2 and height < width == STRIP_WIDTH
    assert practice["ink_targets"].shape == practice["pixel_values"].shape
    of_pages = {name: practice[name] for name in ("pixel_values", "ink_targets")}
    trainer.model(**of_pages, labels=practice["labels"][:count]).loss.backward()
    assert all(weight.grad is not None for weight in trainer.model.ink.parameters())
    assert all(weight.grad is None for weight in trainer.model.classifier.parameters())
    assert trainer.model(**practice).loss.isfinite()


def test_labels_are_smoothed_in_practice_and_not_where_it_is_measured(trainer, inputs):
    def loss_with(factor: float) -> float:
        trainer.args.label_smoothing_factor = factor
        torch.manual_seed(0)
        return trainer.compute_loss(trainer.model, inputs | {"frames": inputs["frames"] * 255}).item()

    trainer.model.eval()
    assert loss_with(0.0) == loss_with(0.5)
    trainer.model.train()
    assert loss_with(0.0) == loss_with(0.0) != loss_with(0.5)


class OneOrSeven(torch.nn.Module):
    """A teacher that answers 1, or perhaps 7, whatever it is shown."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        scores = torch.full((11,), 1e-6)
        scores[1], scores[7] = 0.6, 0.4
        return scores.log().expand(len(frames), -1)


def scores_after_practice(trainer, frames: torch.Tensor, label: int) -> torch.Tensor:
    """(11,): the mean score of each label, and of none, of a new classifier that has practised on these alone."""
    model, labels = trainer.model, torch.full((len(frames),), label)
    optimizer = torch.optim.Adam(model.classifier.parameters())
    for _ in range(40):
        output = model(frames=frames, labels=labels, teachers=[OneOrSeven()])
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
    with torch.no_grad():
        return model.classifier(frames).softmax(-1).mean(0)


def test_what_teachers_answer_counts_more_than_the_label_that_they_name_too(trainer, inputs):
    scores = scores_after_practice(trainer, inputs["frames"], label=1)
    assert scores.topk(2).indices.tolist() == [1, 7] and scores[7] > 0.2


def test_a_label_that_the_teachers_miss_is_learned_all_the_same(trainer, inputs):
    assert scores_after_practice(trainer, inputs["frames"], label=0).argmax() == 0


def test_what_the_teachers_take_for_a_label_and_shows_none_is_none(trainer, inputs):
    assert scores_after_practice(trainer, inputs["frames"], label=NO_LABEL).argmax() == 10


def test_a_picture_without_a_label_is_not_learned_from_teachers_either(trainer, inputs):
    unknown = torch.full((32,), -100)
    output = trainer.model(frames=inputs["frames"], labels=unknown, teachers=[OneOrSeven()])
    assert output.loss.item() == 0


def test_teachers_are_asked_in_practice(trainer, inputs):
    inputs = inputs | {"frames": inputs["frames"] * 255}

    def loss_with(*teachers: torch.nn.Module) -> float:
        trainer.teachers = list(teachers)
        torch.manual_seed(0)
        return trainer.compute_loss(trainer.model, inputs).item()

    assert loss_with() != loss_with(OneOrSeven())
    trainer.model.eval()
    assert loss_with() == loss_with(OneOrSeven())


def test_a_teacher_with_other_labels_is_refused():
    with pytest.raises(CheckpointError, match="has other labels than the model that it is to teach"):
        load_teachers([PRETRAINED], list("abcdefghij"))


def test_every_process_makes_pages_of_its_own(trainer, monkeypatch):
    seeds = []
    for process in (0, 1):
        monkeypatch.setattr(DigitTrainingArguments, "process_index", process)
        torch.manual_seed(trainer.args.seed)
        trainer.callback_handler.on_train_begin(trainer.args, trainer.state, trainer.control)
        seeds.append(torch.initial_seed())
    assert seeds[0] == trainer.args.seed != seeds[1]


@pytest.mark.slow
def test_what_was_measured_of_a_finished_run_stays_when_it_is_taken_up_again(tmp_path, custom_folder):
    steps = ["--max_steps", "2", "--eval_strategy", "no", "--save_strategy", "steps", "--save_steps", "2"]
    train_here(tmp_path / "run", *steps)
    call(digit_model, "evaluate", custom_folder, "--model", tmp_path / "run", "--update_card")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    train_here(tmp_path / "run", *steps, "--resume_from_checkpoint")
    assert json.loads((tmp_path / "run" / "results.json").read_text())["evaluation"] == results["evaluation"]
    assert "| custom | 40 |" in (tmp_path / "run" / "README.md").read_text()


@pytest.mark.slow
def test_pictures_that_show_no_digit_can_be_brought(tmp_path, custom_folder):
    train_here(tmp_path / "run", "--not_digits", custom_folder, "--max_steps", "2", "--eval_strategy", "no")
    assert json.loads((tmp_path / "run" / "results.json").read_text())["calibration"]["n"] == 540


@pytest.mark.slow
def test_a_killed_run_goes_on_where_its_last_checkpoint_was(tmp_path):
    steps = ["--max_steps", "24", "--save_strategy", "steps", "--save_steps", "4", "--logging_steps", "1"]
    steps += ["--eval_strategy", "no"]
    killed = subprocess.Popen(
        [sys.executable, "train.py", *map(str, SMALL), "--output_dir", str(tmp_path), *steps],
        cwd=ROOT, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (tmp_path / "checkpoint-8" / "trainer_state.json").exists():
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    (tmp_path / "checkpoint-23").mkdir()  # what a kill in the middle of writing leaves
    assert "pass --resume_from_checkpoint" in last_words(main, *SMALL, "--output_dir", tmp_path, *steps)

    saved = max(int(path.parent.name.split("-")[1]) for path in tmp_path.glob("checkpoint-*/trainer_state.json"))
    before = state_of(tmp_path, saved)["log_history"]
    train_here(tmp_path, *steps, "--resume_from_checkpoint")
    final = state_of(tmp_path, 24)
    assert final["global_step"] == 24
    assert final["log_history"][: len(before)] == before  # nothing up to the checkpoint was done again
    assert [entry["step"] for entry in final["log_history"] if "loss" in entry] == list(range(1, 25))


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path):
    steps = ["--max_steps", "6", "--save_strategy", "steps", "--save_steps", "3"]
    train_here(tmp_path / "whole", *steps)
    train_here(tmp_path / "part", *steps)
    for file in (tmp_path / "part" / "checkpoint-6").iterdir():
        file.unlink()
    train_here(tmp_path / "part", *steps, "--resume_from_checkpoint")
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "part")]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_two_processes_train_and_write_once(tmp_path):
    arguments = [*SMALL, "--max_steps", "2", "--eval_strategy", "no", "--output_dir", tmp_path]
    done = python("-m", "torch.distributed.run", "--nproc_per_node", "2", "train.py", *arguments)
    assert done.returncode == 0, done.stderr
    (run,) = json.loads((tmp_path / "results.json").read_text())["runs"]
    pictures = round(270 * (1 + NOT_DIGITS_SHARE))
    assert (run["processes"], run["steps"]) == (2, 2)
    assert run["epochs"] == pytest.approx(2 / math.ceil(pictures / (2 * 32)))
    assert done.stdout.count("| mnist, test |") == 1


@pytest.mark.slow
def test_accelerate_launches_two_processes(tmp_path):
    arguments = [*SMALL, "--max_steps", "2", "--eval_strategy", "no", "--output_dir", tmp_path]
    done = python("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "train.py", *arguments)
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "results.json").read_text())["runs"][-1]
    assert (run["processes"], run["steps"]) == (2, 2)


@pytest.mark.parametrize("start", [[], ["--model_name_or_path", PRETRAINED, "--new_labels"]], ids=["scratch", "digits"])
def test_letters_train_with_the_same_command_from_scratch_or_from_digits_on(tmp_path, custom_folder, start):
    for folder in list(custom_folder.iterdir()):
        folder.rename(custom_folder / "abcdefghij"[int(folder.name)])
    train_here(tmp_path / "run", "--mnist", "none", "--custom_data", custom_folder, "--max_steps", "2", *start)
    model, _ = load_checkpoint(str(tmp_path / "run"))
    assert list(model.config.id2label.values()) == list("abcdefghij")
    trained, digits = model.state_dict(), load_checkpoint()[0].state_dict()
    changed = {name.split(".")[0] for name in digits if not trained[name].equal(digits[name])}
    assert changed == {"classifier", "letters"} | (set() if start else {"ink", "characters"})
    card = (tmp_path / "run" / "README.md").read_text()  # names all that the weights have learned from
    assert f" of {custom_folder.name} (" in card and ("of mnist (" in card) == bool(start)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--mnist", "./nowhere"], "There is no MNIST folder ./nowhere"),
        (["--mnist", "ylecun/mnist"], "MNIST cannot be loaded from ylecun/mnist"),
        (["--custom_data", "./nowhere"], "There is no custom data at ./nowhere"),
        (["--not_digits", "./nowhere"], "./nowhere holds no pictures"),
        (["--model_name_or_path", "./nowhere"], "No digit model can be loaded from ./nowhere"),
        (["--teachers", "./nowhere"], "No digit model can be loaded from ./nowhere"),
        (["--resume_from_checkpoint", "./nowhere"], "There is no whole checkpoint of a run at ./nowhere"),
        (["--validation_fraction", "2"], "must lie between 0 and 1"),
        (["--push_to_hub", "--hub_model_id", "me/digit", "--max_steps", "2"], "Cannot reach"),
        (["--no_such_flag"], "--no_such_flag"),
    ],
)
def test_bad_input_ends_with_one_sentence_and_writes_nothing(tmp_path, arguments, sentence):
    assert sentence in last_words(main, *SMALL, "--output_dir", tmp_path / "run", *arguments)
    assert not list(tmp_path.rglob("*.safetensors"))

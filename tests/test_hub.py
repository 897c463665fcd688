"""To the Hub and back, with the real clients, against a Hub on this machine."""

import json
import shlex
import subprocess

import pytest
from conftest import MNIST, PRETRAINED, ROOT, SMALL, page_of, photo_of, python, running_app
from gradio_client import Client, handle_file
from huggingface_hub import ModelCard
from loopback_hub import TOKEN, LoopbackHub
from safetensors.torch import load, load_file

SHORT = [*SMALL, "--max_steps", "2", "--eval_strategy", "no"]
PUSH = ["--push_to_hub", "--hub_model_id", "me/digit"]
NO_NETWORK = {"HF_ENDPOINT": "http://127.0.0.1:9"}
CODE = {file.name for file in PRETRAINED.glob("*.py")}

READ = """
import sys
from transformers import pipeline
for task in ("image-classification", "number-reading"):
    reader = pipeline(task, model=sys.argv[1], revision=sys.argv[2], trust_remote_code=True)
    answer = reader(sys.argv[3])
    print(answer["text"] if task == "number-reading" else answer[0]["label"])
assert "digit_model" not in sys.modules
"""


@pytest.fixture(scope="module")
def hub():
    with LoopbackHub() as hub:
        yield hub


@pytest.fixture(scope="module")
def user(hub, tmp_path_factory):
    """Runs Python as a user of that Hub does, with a cache of their own."""
    homes = tmp_path_factory.mktemp("homes")

    def run(*arguments, token: str = TOKEN, home: str = "home", **env: str):
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(homes / home), "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": token}
        settings |= {"HF_HUB_OFFLINE": "0", "HF_MODULES_CACHE": str(homes / home / "modules")}
        settings |= {"HF_DATASETS_CACHE": str(homes / home / "datasets"), "HF_HUB_DISABLE_IMPLICIT_TOKEN": "0"}
        return python(*arguments, **(settings | env))

    return run


def results_of(folder) -> dict:
    return json.loads((folder / "results.json").read_text())


@pytest.fixture(scope="module")
def pushed(user, tmp_path_factory):
    """The folder of a run that train.py has pushed."""
    output = tmp_path_factory.mktemp("pushed") / "run"
    done = user("train.py", *SHORT, *PUSH, "--output_dir", output)
    assert done.returncode == 0, done.stderr
    return output


@pytest.mark.slow
def test_a_pushed_model_is_whole(hub, pushed):
    files = hub.files("me/digit")
    wanted = {"config.json", "model.safetensors", "preprocessor_config.json", "README.md", "results.json"}
    assert set(files) >= wanted | CODE | {"confusion_matrix.png", "mistakes.png", "report/index.html"}
    assert not any("checkpoint-" in name for name in files)
    config = json.loads(files["config.json"])
    assert config["auto_map"] and set(config["custom_pipelines"]) == {"image-classification", "number-reading"}


@pytest.mark.slow
def test_the_pushed_card_is_valid_and_says_what_was_measured(hub, pushed, monkeypatch):
    card, results = (
        ModelCard(hub.files("me/digit")["README.md"].decode()),
        json.loads(hub.files("me/digit")["results.json"]),
    )
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    card.validate()
    measured = {(e.dataset_split, e.dataset_name, e.metric_name): e.metric_value for e in card.data.eval_results}
    assert measured["test", "mnist", "accuracy"] == results["test"]["mnist"]["accuracy"]
    assert 'model="me/digit"' in card.text


def test_a_repository_that_is_deleted_is_gone(hub, user):
    there = "print(api.repo_exists('me/gone'));"
    ask = f"api.create_repo('me/gone'); {there} api.delete_repo('me/gone'); {there}"
    done = user("-c", f"from huggingface_hub import HfApi; api = HfApi(); {ask}")
    assert done.stdout.split() == ["True", "False"], done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["license", "tags", "dataset"])
def test_a_card_that_is_not_valid_is_refused(hub, pushed, monkeypatch, fault):
    card = ModelCard(hub.files("me/digit")["README.md"].decode())
    if fault == "dataset":
        card.data.eval_results[0].dataset_type = ""
    else:
        card.data[fault] = [3]
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(ValueError, match=fault):
        card.validate()


@pytest.mark.slow
def test_the_app_answers_with_a_model_of_the_hub_at_its_revision(hub, user, digits, tmp_path):
    publish = "import sys; from huggingface_hub import HfApi; api = HfApi(); api.create_repo('me/reader');"
    publish += "api.upload_folder(repo_id='me/reader', folder_path=sys.argv[1]);"
    publish += "api.create_tag('me/reader', tag='v0.1')"
    assert (done := user("-c", publish, PRETRAINED)).returncode == 0, done.stderr
    page_of(digits, "42").save(tmp_path / "number.png")
    settings = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "home")}
    settings |= {"DIGIT_MODEL": "me/reader", "DIGIT_REVISION": "v0.1", "HF_HUB_DISABLE_XET": "1"}
    with running_app(**settings, CORRECTIONS_FOLDER=str(tmp_path / "corrections")) as (url, _):
        reading = Client(url, verbose=False).predict(handle_file(tmp_path / "number.png"), api_name="/read_number")
    assert reading["text"] == "42"
    assert any("/me/reader/resolve/v0.1/" in request for request in hub.requests)


@pytest.mark.slow
def test_a_stranger_reads_by_both_pipelines_by_tag_offline_and_after_saving_it_again(
    hub, user, pushed, digits, tmp_path
):
    publish = (
        "import sys; from huggingface_hub import HfApi; api = HfApi(); api.create_tag('me/digit', tag='untrained');"
    )
    publish += "api.upload_folder(repo_id='me/digit', folder_path=sys.argv[1])"
    assert user("-c", publish, PRETRAINED).returncode == 0
    page_of(digits, "7").save(tmp_path / "seven.png")

    def read(model, revision="main", **env):
        done = user("-c", READ, model, revision, tmp_path / "seven.png", home="stranger", token="", cwd=tmp_path, **env)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    assert read("me/digit") == ["7", "7"]
    before = len(hub.requests)
    assert read("me/digit", HF_HUB_OFFLINE="1") == ["7", "7"] and len(hub.requests) == before
    read("me/digit", "untrained")
    weights = "from transformers import AutoModelForImageClassification as A; import sys, safetensors.torch as s;"
    weights += "s.save_model(A.from_pretrained('me/digit', revision='untrained', trust_remote_code=True), sys.argv[1])"
    assert user("-c", weights, tmp_path / "old.safetensors", home="stranger", cwd=tmp_path).returncode == 0
    tagged, loaded = (
        load(hub.files("me/digit", revision="untrained")["model.safetensors"]),
        load_file(tmp_path / "old.safetensors"),
    )
    assert all(tagged[name].equal(loaded[name]) for name in tagged)
    assert (
        hub.files("me/digit")["model.safetensors"] != hub.files("me/digit", revision="untrained")["model.safetensors"]
    )
    again = """
import sys
from transformers import AutoImageProcessor, AutoModelForImageClassification
for kind in (AutoModelForImageClassification, AutoImageProcessor):
    part = kind.from_pretrained("me/digit", trust_remote_code=True)
    part.save_pretrained("again", push_to_hub=True, repo_id="me/again")
"""
    assert (done := user("-c", again, home="stranger", cwd=tmp_path)).returncode == 0, done.stderr
    assert set(hub.files("me/again")) >= CODE
    assert read("again") == read("me/again") == ["7", "7"]


@pytest.mark.slow
def test_a_model_on_the_hub_is_trained_further_with_its_ink_frozen(hub, user, pushed, custom_folder, tmp_path):
    arguments = [
        *SHORT,
        "--model_name_or_path",
        "me/digit",
        "--custom_data",
        custom_folder,
        "--output_dir",
        tmp_path / "run",
    ]
    assert (done := user("train.py", *arguments)).returncode == 0, done.stderr
    before, after = load(hub.files("me/digit")["model.safetensors"]), load_file(tmp_path / "run" / "model.safetensors")
    changed = {name.split(".")[0] for name in before if not before[name].equal(after[name])}
    assert changed == {"classifier", "letters"}


@pytest.mark.slow
def test_a_dataset_is_published_and_loaded_whole_and_streaming(hub, user, custom_folder, tmp_path):
    publish = ["-m", "data_prep", "--mnist", MNIST, "--custom_data", custom_folder, "--push_to_hub"]
    where = ["--hub_dataset_id", "me/digits", "--contact_sheet", tmp_path / "sheet.png"]
    assert (done := user(*publish, *where)).returncode == 0, done.stderr
    code = """
from datasets import load_dataset
rows = load_dataset("me/digits")
first = next(iter(load_dataset("me/digits", split="train", streaming=True)))
print(sum(map(len, rows.values())), sorted(first), first["image"].size == rows["train"][0]["image"].size)
"""
    done = user("-c", code, home="stranger", token="", cwd=tmp_path)
    assert done.stdout.strip() == "540 ['image', 'label', 'source', 'writer'] True", done.stderr
    assert b"540 pictures of 10 labels" in hub.files("me/digits", "dataset")["README.md"]


@pytest.mark.slow
def test_a_dataset_of_the_hub_is_trained_on_and_measured_by_its_id(hub, user, custom_folder, tmp_path):
    publish = """
import sys
from datasets import load_dataset
rows = load_dataset("imagefolder", data_dir=sys.argv[1], split="train")
rows.push_to_hub("me/hands", "mine")
rows.select(range(30)).push_to_hub("me/hands", "few")
"""
    assert (done := user("-c", publish, custom_folder, cwd=tmp_path)).returncode == 0, done.stderr
    run = tmp_path / "run"
    train = [*SHORT, "--mnist", "none", "--custom_data", "me/hands:mine", "--output_dir", run]
    assert (done := user("train.py", *train)).returncode == 0, done.stderr
    assert results_of(run)["train"].keys() >= {"me/hands:mine"} and "me/hands:mine: 40 pictures read" in done.stdout
    measure = ["evaluate", "me/hands:few", "--json", tmp_path / "figures.json"]
    assert (done := user("-m", "digit_model", *measure)).returncode == 0, done.stderr
    (figures,) = json.loads((tmp_path / "figures.json").read_text()).values()
    assert figures["n"] == 30
    done = user("train.py", *SHORT, "--custom_data", "me/hands", "--output_dir", tmp_path / "other")
    assert done.returncode == 1 and "Traceback" not in done.stderr and "name it as me/hands:CONFIG" in done.stderr


def test_the_readmes_line_publishes_the_space_and_nothing_of_its_owner(hub, user):
    (line,) = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("hf upload ")]
    done = user("-c", "from huggingface_hub.cli.hf import main; main()", *shlex.split(line)[1:])
    assert done.returncode == 0, done.stderr
    files = hub.files("me/digits", "space")
    assert {"app.py", "README.md", "requirements.txt", "digit_model/pretrained/model.safetensors"} <= set(files)
    needed = {"app.py", "README.md", "requirements.txt", "digit_model", "data_prep", "tests", ".github"}
    assert {name.partition("/")[0] for name in files} - {".gitattributes"} == needed


def test_corrections_reach_the_hub_and_move_there_with_their_label(hub, user, digits, tmp_path):
    code = """
import sys
from PIL import Image
from data_prep import Corrections
corrections = Corrections(sys.argv[1], list("0123456789"))
scheduler = corrections.publish_to("me/corrections")
for label in sys.argv[3:]:
    corrections.add(Image.open(sys.argv[2]), label, "ada")
    scheduler.trigger().result()
"""
    page_of(digits, "7").save(tmp_path / "seven.png")
    done = user("-c", code, tmp_path / "kept", tmp_path / "seven.png", "1", "7")
    assert done.returncode == 0, done.stderr
    (picture,) = [name for name in hub.files("me/corrections", "dataset") if name.endswith(".png")]
    assert picture.startswith("7/ada_")
    assert hub.files("me/corrections", "dataset")[picture] == next((tmp_path / "kept").rglob("*.png")).read_bytes()


@pytest.mark.slow
def test_an_app_that_is_stopped_publishes_its_last_corrections_and_leaves_no_picture(hub, digits, tmp_path):
    kept = tmp_path / "kept"
    settings = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    settings |= {"CORRECTIONS_REPO": "me/last", "CORRECTIONS_FOLDER": str(kept), "TMPDIR": str(tmp_path)}
    page_of(digits, "7").save(tmp_path / "brought.png")
    with running_app(**settings) as (url, _):
        Client(url, verbose=False).predict(handle_file(tmp_path / "brought.png"), api_name="/read_number")
        assert list(tmp_path.rglob("tmp*/*/brought.png"))
        (kept / "7").mkdir()
        page_of(digits, "7").save(kept / "7" / "ada_1.png")
    assert "7/ada_1.png" in hub.files("me/last", "dataset")
    assert not list(tmp_path.rglob("tmp*/*/brought.png"))


FAIL = """
import json, sys, urllib.request
from train import main
url, cases, *arguments = sys.argv[1:]
for failures in json.loads(cases):
    urllib.request.urlopen(url + "/loopback/fail", json.dumps(failures).encode())
    sys.argv = ["train.py", *arguments]
    try:
        main()
        print("ENDED well", flush=True)
    except SystemExit as error:
        print("ENDED", error.code, flush=True)
"""


@pytest.mark.slow
def test_each_failure_of_a_push_ends_with_a_sentence_and_the_next_run_pushes_what_was_trained(
    hub, user, pushed, custom_folder
):
    def answers(status: int, times: int) -> list[dict]:
        return [{"method": "POST", "path": "/models/me/digit/commit/", "status": status, "times": times}]

    # a connection that is cut while files go up, no right to write, too busy for two tries, broken for all tries, a
    # connection that is cut at the commit, and all is well
    cut = [{"method": "PUT", "path": "/lfs/", "status": 0, "times": 99}]
    cases = [cut, answers(403, 1), answers(429, 2), answers(500, 9), answers(0, 9), []]
    before, runs = (pushed / "model.safetensors").read_bytes(), results_of(pushed)["runs"]
    report = ["-m", "digit_model", "evaluate", custom_folder, "--model", pushed, "--report", pushed / "report" / "mine"]
    assert (done := user(*report)).returncode == 0, done.stderr
    arguments = [*SHORT, *PUSH, "--output_dir", pushed, "--resume_from_checkpoint"]
    done = user("-c", FAIL, hub.url, json.dumps(cases), *arguments)
    ended = [line.removeprefix("ENDED ") for line in done.stdout.splitlines() if line.startswith("ENDED ")]
    assert len(ended) == 6, done.stderr
    for sentence, said in zip([*ended[:2], *ended[3:5]], ("", "403", "500", "")):
        assert sentence.startswith("error: ") and said in sentence and "--resume_from_checkpoint" in sentence
    assert ended[2] == ended[5] == "well"
    assert (pushed / "model.safetensors").read_bytes() == before == hub.files("me/digit")["model.safetensors"]
    assert results_of(pushed)["runs"] == runs and runs[0]["train_minutes"] > 0
    assert {"report/mine/index.html", "report/mine/predictions.csv"} <= set(hub.files("me/digit"))


@pytest.mark.slow
def test_a_finished_run_that_cannot_be_pushed_is_kept_and_pushed_by_the_next_one(hub, user, tmp_path):
    run = tmp_path / "run"
    steps = [*SHORT, "--save_strategy", "steps", "--save_steps", "2", "--output_dir", run]
    assert (done := user("train.py", *steps)).returncode == 0, done.stderr
    before = (run / "model.safetensors").read_bytes()
    push = [*steps, "--resume_from_checkpoint", "--push_to_hub", "--hub_model_id", "me/late"]
    for token, env, said in (("hf_wrong", {}, "HF_TOKEN"), (TOKEN, NO_NETWORK, "refused")):
        done = user("train.py", *push, token=token, **env)
        (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert done.returncode == 1 and said in sentence and (run / "model.safetensors").read_bytes() == before
    assert (done := user("train.py", *push)).returncode == 0, done.stderr
    assert hub.files("me/late")["model.safetensors"] == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("token", "env", "said"), [("", {}, "HF_TOKEN"), ("hf_wrong", {}, "HF_TOKEN"), (TOKEN, NO_NETWORK, "refused")],
    ids=["no token", "wrong token", "no network"],
)  # fmt: skip
def test_a_push_that_cannot_be_is_said_before_any_training(user, tmp_path, token, env, said):
    arguments = [*SHORT, "--push_to_hub", "--hub_model_id", "me/another", "--output_dir", tmp_path / "run"]
    done = user("train.py", *arguments, token=token, **env)
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and "Traceback" not in done.stderr and not (tmp_path / "run" / "config.json").exists()
    assert said in sentence


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a checkout to clone")
def test_a_day_of_a_user_clone_retrain_on_twenty_photos_evaluate_push_and_load_elsewhere(hub, user, mnist, tmp_path):
    photos, clone, pretrained = tmp_path / "my_photos", tmp_path / "clone", "digit_model/pretrained"
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", clone], check=True)
    for number, row in enumerate(mnist["train"].select(range(20))):
        (photos / str(row["label"])).mkdir(parents=True, exist_ok=True)
        photo_of({row["label"]: row["image"]}, str(row["label"])).save(photos / str(row["label"]) / f"me_{number}.jpg")

    def accuracy(model) -> float:
        measure = ["-m", "digit_model", "evaluate", photos, "--model", model, "--json", tmp_path / "figures.json"]
        done = user(*measure, cwd=clone)
        assert done.returncode == 0, done.stderr
        return json.loads((tmp_path / "figures.json").read_text())["my_photos"]["accuracy"]

    before = accuracy(pretrained)
    further = ["--model_name_or_path", pretrained, "--custom_data", photos, "--mnist", MNIST, "--learning_rate", "2e-4"]
    sizes = ["--num_train_epochs", "2", "--per_device_train_batch_size", "64", "--pages_per_step", "16"]
    push = ["--push_to_hub", "--hub_model_id", "me/my-hand", "--output_dir", tmp_path / "run"]
    done = user("train.py", *further, *sizes, *push, cwd=clone)
    assert done.returncode == 0, done.stderr
    assert accuracy(tmp_path / "run") >= before > 0.5
    runs = json.loads(hub.files("me/my-hand")["results.json"])["runs"]
    assert len(runs) == 1 + len(results_of(PRETRAINED)["runs"])  # the card tells of all that the weights went through
    photo = next(photos.rglob("*.jpg"))
    here, elsewhere = (
        user("-c", READ, model, "main", photo, home="elsewhere", token="", cwd=tmp_path)
        for model in (tmp_path / "run", "me/my-hand")
    )
    assert elsewhere.returncode == 0 and here.stdout == elsewhere.stdout != "", elsewhere.stderr

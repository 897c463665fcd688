"""To the Hub and back, with the real clients, against a Hub on this machine."""

import pytest
from conftest import MNIST, PRETRAINED, page_of, python
from loopback_hub import TOKEN, LoopbackHub

SMALL = ["--mnist", MNIST, "--per_device_train_batch_size", "32", "--pages_per_step", "8", "--strings_per_step", "2"]
FILES = {"config.json", "model.safetensors", "preprocessor_config.json", "README.md", "modeling_digit.py"}

READ = """
import sys
from transformers import pipeline
for task in ("image-classification", "number-reading"):
    reader = pipeline(task, model=sys.argv[1], revision=sys.argv[2], trust_remote_code=True)
    answer = reader(sys.argv[3])
    print(answer["text"] if task == "number-reading" else answer[0]["label"])
assert "digit_model" not in sys.modules
"""


@pytest.fixture
def hub():
    with LoopbackHub() as hub:
        yield hub


@pytest.fixture
def user(hub, tmp_path):
    """Runs Python as a user of that Hub does, with a cache of their own."""

    def run(*arguments, token: str = TOKEN, home: str = "home", **env: str):
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / home), "HF_HUB_DISABLE_XET": "1"}
        settings |= {"HF_HUB_OFFLINE": "0", "HF_MODULES_CACHE": str(tmp_path / home / "modules"), "HF_TOKEN": token}
        return python(*arguments, **(settings | env))

    return run


def test_a_trained_model_is_pushed_and_read_by_a_stranger_by_its_tag_and_offline(hub, user, digits, tmp_path):
    done = user(
        "train.py",
        *SMALL,
        "--max_steps",
        "2",
        "--output_dir",
        tmp_path / "run",
        "--push_to_hub",
        "--hub_model_id",
        "me/digit",
    )
    assert done.returncode == 0, done.stderr
    assert set(hub.files("me/digit")) >= FILES | {"results.json"}
    publish = "from huggingface_hub import HfApi; import sys; api = HfApi(); "
    publish += (
        "api.create_tag('me/digit', tag='untrained'); api.upload_folder(repo_id='me/digit', folder_path=sys.argv[1])"
    )
    assert user("-c", publish, PRETRAINED).returncode == 0
    page_of(digits, "7").save(tmp_path / "seven.png")
    read = user("-c", READ, "me/digit", "main", tmp_path / "seven.png", home="stranger", token="", cwd=tmp_path)
    assert read.stdout.split() == ["7", "7"], read.stderr
    before = len(hub.requests)
    offline = {"home": "stranger", "token": "", "cwd": tmp_path, "HF_HUB_OFFLINE": "1"}
    again = user("-c", READ, "me/digit", "main", tmp_path / "seven.png", **offline)
    assert again.stdout.split() == ["7", "7"] and len(hub.requests) == before, again.stderr
    old = user("-c", READ, "me/digit", "untrained", tmp_path / "seven.png", home="stranger", token="", cwd=tmp_path)
    assert old.returncode == 0 and len(old.stdout.split()) <= 2, old.stderr

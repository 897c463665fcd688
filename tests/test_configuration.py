import pytest
import torch
from huggingface_hub.errors import StrictDataclassError

from digit_model import DigitConfig, DigitForImageClassification


def test_the_default_labels_are_the_ten_digits():
    config = DigitConfig()
    assert config.num_labels == 10 and config.id2label[7] == "7" and config.label2id["7"] == 7


def test_other_labels_change_the_size_of_the_answer():
    config = DigitConfig(id2label={0: "ক", 1: "খ", 2: "গ"})
    assert config.num_labels == 3
    assert DigitForImageClassification(config)(torch.zeros(1, 1, 28, 28)).logits.shape == (1, 3)
    assert DigitConfig(num_labels=4).num_labels == 4


def test_a_configuration_survives_saving(tmp_path):
    DigitConfig(hidden_sizes=(8, 16), depths=(1, 2), look_scales=(1.5,)).save_pretrained(tmp_path)
    loaded = DigitConfig.from_pretrained(tmp_path)
    assert (loaded.hidden_sizes, loaded.depths, loaded.look_scales) == ([8, 16], [1, 2], [1.5])


@pytest.mark.parametrize(
    "values",
    [
        {"digit_size": 30},
        {"image_size": 28},
        {"hidden_sizes": [8, 16]},
        {"depths": [2, 0, 2]},
        {"hidden_sizes": [8] * 7, "depths": [1] * 7},
        {"min_contrast": 2.0},
        {"look_scales": [0.75, 0.0]},
        {"dropout": 1.0},
        {"image_size": "large"},
        {"image_size": 100},
        {"ink_hidden_sizes": [8, 16]},
        {"ink_depths": [0, 1, 1, 1]},
        {"ink_hidden_sizes": [8] * 6, "ink_depths": [1] * 6},
        {"character_hidden_sizes": [8] * 5, "character_depths": [1] * 5},
        {"number_powers": [1.0]},
        {"number_powers": [1.0, -0.1]},
        {"number_threshold": 1.5},
        {"temperature": 0.0},
        {"rejection_threshold": 1.5},
    ],
)
def test_a_value_that_cannot_be_is_refused(values):
    with pytest.raises(StrictDataclassError):
        DigitConfig(**values)

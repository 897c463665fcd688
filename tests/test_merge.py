import pytest
from conftest import MNIST, last_words, python
from datasets import Dataset

from data_prep import DataArguments, DataError, count_table, merge
from data_prep.__main__ import main
from data_prep.hub import dataset_card
from data_prep.merge import hold_out


def args(**values) -> DataArguments:
    return DataArguments(mnist=str(MNIST), **values)


def silent(_):
    pass


def test_the_columns_and_splits_are_the_documented_ones(custom_folder):
    dataset = merge(args(custom_data=[str(custom_folder)]), say=silent)
    assert set(dataset) == {"train", "validation", "test"}
    for rows in dataset.values():
        assert set(rows.column_names) == {"image", "label", "source", "writer"}
        assert rows.features["label"].names == [str(digit) for digit in range(10)]
    assert set(dataset["train"]["source"]) == {"mnist", "custom"}
    assert dataset["test"].num_rows == 200


def test_no_writer_is_in_training_and_validation(custom_folder):
    dataset = merge(args(custom_data=[str(custom_folder)]), say=silent)
    trained, held = ({w for w in dataset[split]["writer"] if w} for split in ("train", "validation"))
    assert trained and held and not trained & held


def test_a_validation_split_of_somebodys_own_is_taken_as_it_is(custom_folder):
    (custom_folder / "validation").mkdir()
    for label in "01":
        (custom_folder / label).rename(custom_folder / "validation" / label)
    table = count_table(merge(args(custom_data=[str(custom_folder)]), say=silent)).drop(columns="all")
    assert set(table.columns[table.loc[("validation", "custom")] > 0]) == {"0", "1"}
    assert set(table.columns[table.loc[("train", "custom")] > 0]) == set("23456789")
    assert table.loc[("validation", "mnist")].sum() == 30


def test_mnist_is_held_out_stratified():
    table = count_table(merge(args(), say=silent))
    assert (table.loc[("validation", "mnist")].drop("all") == 3).all()
    assert (table.loc[("train", "mnist")].drop("all") == 27).all()


def test_no_picture_is_in_two_splits(custom_folder):
    dataset = merge(args(custom_data=[str(custom_folder)]), say=silent)
    seen = [image.tobytes() for rows in dataset.values() for image in rows["image"]]
    assert len(seen) == len(set(seen)) == 300 + 40 + 200


def test_the_same_seed_holds_out_the_same_pictures_and_another_does_not():
    first, again = (merge(args(), say=silent)["validation"]["image"] for _ in range(2))
    other = merge(args(split_seed=7), say=silent)["validation"]["image"]
    assert [i.tobytes() for i in first] == [i.tobytes() for i in again]
    assert [i.tobytes() for i in first] != [i.tobytes() for i in other]


def test_other_labels_train_without_mnist(custom_folder):
    for folder in list(custom_folder.iterdir()):
        folder.rename(custom_folder / "abcdefghij"[int(folder.name)])
    dataset = merge(DataArguments(mnist="none", custom_data=[str(custom_folder)]), say=silent)
    assert dataset["train"].features["label"].names == list("abcdefghij")
    assert min(len(rows) for rows in dataset.values()) > 0
    assert sum(len(rows) for rows in dataset.values()) == 40


def test_a_fraction_of_few_pictures_still_holds_one_out():
    rows = Dataset.from_dict({"label": [3, 4, 5], "source": ["me"] * 3, "writer": [""] * 3})
    kept, held = hold_out(rows, 0.1, seed=0)
    assert len(kept) == 2 and len(held) == 1


def test_no_label_loses_its_last_picture():
    labels = [label for label in range(10) for _ in range(2)]
    rows = Dataset.from_dict({"label": labels, "source": ["mine"] * 20, "writer": [""] * 20})
    rest, _ = hold_out(rows, 0.1, seed=43)
    rest, _ = hold_out(rest, 0.1, seed=42)
    assert set(rest["label"]) == set(range(10)) and len(rest) == 16


def test_one_picture_is_too_few_to_split():
    rows = Dataset.from_dict({"label": [3], "source": ["me"], "writer": [""]})
    with pytest.raises(DataError, match="too few"):
        hold_out(rows, 0.1, seed=0)


def test_nothing_to_train_on_is_said():
    with pytest.raises(DataError, match="nothing to train on"):
        merge(DataArguments(mnist="none"), say=silent)


@pytest.mark.parametrize("name", ["pages", "mnist", "other_hands", "pendigits"])
def test_a_source_may_not_have_the_name_of_another(custom_folder, name):
    folder = custom_folder.rename(custom_folder.parent / name)
    with pytest.raises(DataError, match=f"{name} is the name of pictures of this program's own"):
        merge(DataArguments(mnist=str(MNIST), custom_data=[str(folder)]))


def test_those_whose_writer_is_unknown_are_no_writer():
    rows = {"label": [0, 1] * 100, "source": ["mine"] * 200, "writer": [""] * 180 + ["ada"] * 10 + ["bo"] * 10}
    kept, held = hold_out(Dataset.from_dict(rows), 0.1, seed=0)
    assert held["writer"].count("") == 18 and len(set(held["writer"]) - {""}) == 1
    assert not set(kept["writer"]) & set(held["writer"]) - {""}


@pytest.mark.parametrize("split_seed", range(4))
def test_a_writer_of_nearly_all_pictures_is_not_held_out(split_seed):
    rows = {"label": [0, 1] * 30, "source": ["mine"] * 60, "writer": ["IMG"] * 59 + ["Screenshot"]}
    _, held = hold_out(Dataset.from_dict(rows), 0.1, split_seed)
    assert len(held) == 6 and set(held["label"]) == {0, 1}


def test_mnist_does_not_go_with_other_labels():
    with pytest.raises(DataError, match="MNIST has no labels a, b"):
        merge(args(), labels=["a", "b"], say=silent)


def test_a_fraction_outside_0_and_1_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        args(validation_fraction=1.5)


def test_the_dataset_card_counts_what_there_is(custom_folder):
    data_args = args(custom_data=[str(custom_folder)], custom_license="cc0-1.0")
    card = dataset_card(merge(data_args, say=silent), data_args)
    assert "540 pictures of 10 labels" in card.text and "`custom`" in card.text
    assert card.data.task_categories == ["image-classification"]
    assert card.data.license == ["cc0-1.0", "mit"] and "`custom` (cc0-1.0)" in card.text


def test_the_command_shows_the_table_and_writes_a_contact_sheet(custom_folder, tmp_path):
    sheet = tmp_path / "sheet.png"
    done = python("-m", "data_prep", "--mnist", MNIST, "--custom_data", custom_folder, "--contact_sheet", sheet)
    assert done.returncode == 0, done.stderr
    assert "validation" in done.stdout and "40 pictures read" in done.stdout
    assert sheet.stat().st_size > 10_000


@pytest.mark.parametrize("kind", ["numbers", "nothing"])
def test_made_pictures_are_some_and_are_not_mixed_with_others(kind, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "3.png").touch()
    assert "pass 1 or more" in last_words(main, kind, "--count", "0", "--output_dir", tmp_path / "new")
    assert "holds pictures already" in last_words(main, kind, "--output_dir", tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--mnist", "./nowhere"],
        ["--mnist", MNIST, "--custom_data", "./nowhere"],
        ["--mnist", MNIST, "--push_to_hub"],
    ],
)
def test_the_command_ends_with_one_sentence_where_data_or_the_hub_is_missing(arguments, tmp_path):
    assert last_words(main, *arguments, "--contact_sheet", tmp_path / "sheet.png").startswith("error: ")

"""Training: batches from a seed, resuming, the kept mean, and checkpoints that do not fit."""

import json
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from fer_core import cli, progress
from fer_core.errors import ConfigError, InputError, StoreError
from fer_core.folder import held
from fer_core.processor import multiplies_bfloat16
from fer_core.training import resume, train, zoo
from fer_core.training.augment import augmented
from fer_core.training.recipe import Recipe
from fer_core.training.train import Batches, Teacher
from tests.training import pictures

# Keras 3.15 saves through TensorFlow 2.21's `__array__`, which numpy 2 finds too old.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RECIPE = Recipe(epochs=2, batch=8, warmup_epochs=0.5, seed=4, mixed_bfloat16=False)


def tiny() -> keras.Model:
    """The shape of a real model: normalisation, batch normalisation, dropout, two heads."""
    faces = keras.Input((48, 48, 1), name="faces")
    x = layers.Rescaling(1 / 64, offset=-2.0)(faces)
    x = layers.Conv2D(4, 5, strides=4, use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))
    x = layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(faces, {head: layers.Dense(7, name=head)(x) for head in zoo.HEADS})


@pytest.fixture(autouse=True, scope="module")
def _tiny():
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(zoo.ARCHITECTURES, "tiny", tiny)
        yield


@pytest.fixture(scope="module")
def data():
    return pictures.faces(24)


def run(data, out, recipe=RECIPE, **options):
    said: list[str] = []
    with progress.listening(lambda event: said.append(event.name) if event.kind == "note" else 0):
        model = train.train("tiny", data, data, out, recipe, **options)
    return model.get_weights(), said


@pytest.fixture(scope="module")
def first_epoch(data, tmp_path_factory):
    """What a training leaves that was stopped after its first epoch."""
    folder = tmp_path_factory.mktemp("first") / "epoch"
    run(data, folder, minutes=0)
    return folder


@pytest.fixture
def begun(first_epoch, tmp_path):
    """A training that was stopped, to be gone on with."""
    return shutil.copytree(first_epoch, tmp_path / "begun")


def test_a_resumed_training_gives_what_an_uninterrupted_one_gives(data, tmp_path):
    whole, _ = run(data, tmp_path / "whole")
    _, first = run(data, tmp_path / "parts", minutes=0)
    resumed, second = run(data, tmp_path / "parts", minutes=0)
    assert first[-1].startswith("Stopping after 0 minutes")
    assert second[0] == "continuing after epoch 1 of 2"
    assert second[1].startswith("epoch 2/2: loss ")
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_the_file_holds_the_averaged_float32_model(data, tmp_path):
    weights, _ = run(data, tmp_path, Recipe(epochs=1, batch=8, mixed_bfloat16=True))
    stored = keras.saving.load_model(tmp_path / "tiny.keras", compile=False, safe_mode=True)
    assert all(np.array_equal(a, b) for a, b in zip(stored.get_weights(), weights, strict=True))
    assert {layer.compute_dtype for layer in stored.layers} == {"float32"}
    assert not list(tmp_path.glob("new-*"))


def test_a_finished_training_is_only_read_back(data, tmp_path):
    weights, _ = run(data, tmp_path)
    file = tmp_path / "tiny.keras"
    file.unlink()  # lost, but the checkpoint holds it too
    again, said = run(data, tmp_path)
    assert said == ["continuing after epoch 2 of 2"]
    stored = keras.saving.load_model(file, compile=False, safe_mode=True).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(weights, stored, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(weights, again, strict=True))


def test_a_checkpoint_of_another_recipe_or_none_at_all(data, begun):
    with pytest.raises(ConfigError, match="another training"):
        run(data, begun, Recipe(epochs=2, batch=8, seed=5))
    with pytest.raises(ConfigError, match="faces was"):
        run(pictures.faces(24, seed=1), begun)
    with pytest.raises(ConfigError, match=r"teachers was \[\], now \['another'\]"):
        run(data, begun, teachers=[Teacher("another", lambda faces: {})])


def test_a_checkpoint_of_before_a_setting_existed_is_gone_on_with(data, begun):
    path = begun / resume.CHECKPOINT
    with np.load(path) as stored:
        arrays = dict(stored)
    header = json.loads(str(arrays["header"]))
    del header["origin"]["label_weight"]
    np.savez(path, **(arrays | {"header": np.array(json.dumps(header))}))
    with pytest.raises(ConfigError, match=r"label_weight was 1\.0, now 0\.5"):
        run(data, begun, replace(RECIPE, label_weight=0.5))
    assert run(data, begun)[1][0] == "continuing after epoch 1 of 2"


@pytest.mark.parametrize("damage", ["text", "header", "array", "cut", "epoch", "mean", "shape"])
def test_a_damaged_checkpoint_is_told(damage, data, begun):
    path = begun / resume.CHECKPOINT
    if damage == "text":
        path.write_bytes(b"PK not a checkpoint")
    elif damage == "header":
        np.savez(path, header=np.array("null"))
    elif damage in ("epoch", "mean", "shape"):
        with np.load(path) as stored:
            arrays = dict(stored)
        header = json.loads(str(arrays["header"]))
        wrong = {
            "epoch": {"header": np.array(json.dumps(header | {"epoch": 3}))},
            "mean": {"mean_0": np.zeros(9)},
            "shape": {"model_0": np.zeros((500, 500))},
        }
        np.savez(path, **(arrays | wrong[damage]))
    elif damage == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match="is damaged") as caught:
        run(data, begun)
    assert len(caught.value.message) < 400


def test_what_a_training_began_with_is_not_needed_to_go_on(data, tmp_path):
    tiny().save(tmp_path / "start.keras")
    run(data, tmp_path, start=tmp_path / "start.keras", minutes=0)
    (tmp_path / "start.keras").unlink()
    _, said = run(data, tmp_path, start=tmp_path / "start.keras")
    assert said[0] == "continuing after epoch 1 of 2"


@pytest.mark.parametrize("words", [("--epochs", "1.5"), ("--seed", "2.0"), ("--batch", "²")])
def test_halves_are_not_rounded(words, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["model", "train", "tiny", "--data", str(tmp_path), *words])
    assert ended.value.code == 2
    assert f'{words[0]}: "{words[1]}" is no whole number' in capsys.readouterr().err


def test_two_trainings_do_not_share_a_folder(data, tmp_path):
    with held(tmp_path), pytest.raises(StoreError, match="Another run"):
        run(data, tmp_path)


def test_a_folder_that_cannot_be_one(data, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "tensorboard").write_text("a file")
    for out in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "log"):
        with pytest.raises(StoreError, match="cannot be written") as caught:
            run(data, out)
        assert "file" in caught.value.hint


def test_a_training_that_runs_away_does_not_replace_its_checkpoint(data, tmp_path):
    broken = replace(data, votes=np.full_like(data.votes, np.nan))
    with pytest.raises(ConfigError, match="run away"):
        run(broken, tmp_path)
    assert not (tmp_path / resume.CHECKPOINT).exists()


@pytest.mark.parametrize("minutes", [-1.0, float("nan")])
def test_times_that_cannot_be(minutes, data, tmp_path):
    with pytest.raises(ConfigError, match="minutes"):
        run(data, tmp_path, minutes=minutes)


def test_batches_depend_on_seed_and_epoch_only(data):
    one, same = Batches(data, RECIPE, 3), Batches(data, RECIPE, 3)
    assert len(one) == 3
    for index in range(3):
        assert np.array_equal(one[index][0], same[index][0])
    assert not np.array_equal(one[0][0], Batches(data, RECIPE, 4)[0][0])
    faces, targets, weights = one[0]
    assert faces.shape == (8, 48, 48, 1)
    assert targets["fer2013"].sum(axis=1) == pytest.approx(np.ones(8))
    assert targets["fer2013"].max(axis=1) == pytest.approx(np.full(8, 0.9 + 0.1 / 7))
    assert targets["consensus"].sum(axis=1) == pytest.approx(np.ones(8))
    assert (weights["consensus"] < 1).all()


def test_variations_leave_the_original_alone_and_stay_pictures(data):
    before = data.images.copy()
    varied = augmented(data.images, np.random.default_rng(0))
    assert varied.shape == data.images.shape
    assert varied.dtype == np.uint8
    assert np.array_equal(data.images, before)
    assert not np.array_equal(varied, before)


def test_a_share_of_the_faces_is_left_as_it_is_or_flipped(data):
    many = np.concatenate([data.images] * 20)
    varied = augmented(many, np.random.default_rng(0), 0.5)
    same = [
        bool((v == m).all() or (v == m[:, ::-1]).all()) for v, m in zip(varied, many, strict=True)
    ]
    assert 0.4 < np.mean(same) < 0.6
    flipped = augmented(many, np.random.default_rng(0), 0)
    assert all(
        (f == m).all() or (f == m[:, ::-1]).all() for f, m in zip(flipped, many, strict=True)
    )


def test_without_votes_the_labels_stand_in_for_them(data):
    unvoted = replace(data, votes=np.zeros_like(data.votes), weight=np.zeros_like(data.weight))
    _, targets, weights = Batches(unvoted, RECIPE, 0)[0]
    assert set(np.unique(targets["consensus"])) == {0, 1}
    assert (weights["consensus"] == 1).all()


def test_a_teacher_has_its_share_in_what_is_learned(data):
    recipe = replace(RECIPE, teacher_share=0.25)
    taught = {"consensus": np.random.default_rng(0).dirichlet(np.ones(7), len(data))}
    rows = np.random.default_rng([recipe.seed, 1]).permutation(len(data))[16:24]
    faces, alone, plain = Batches(data, recipe, 1)[2]
    same, targets, weights = Batches(data, recipe, 1, taught)[2]
    assert np.array_equal(faces, same)
    np.testing.assert_allclose(
        targets["consensus"],
        0.75 * alone["consensus"] + 0.25 * taught["consensus"][rows],
        rtol=1e-5,
    )
    np.testing.assert_allclose(weights["consensus"], 0.75 * plain["consensus"] + 0.25, rtol=1e-5)
    assert np.array_equal(targets["fer2013"], alone["fer2013"])


def test_where_nobody_voted_the_teacher_is_all_there_is(data):
    recipe = replace(RECIPE, teacher_share=0.25)
    taught = {"consensus": np.random.default_rng(0).dirichlet(np.ones(7), len(data))}
    votes, weight = data.votes.copy(), data.weight.copy()
    votes[::2], weight[::2] = 0, 0
    rows = np.random.default_rng([recipe.seed, 1]).permutation(len(data))[16:24]
    unvoted = rows % 2 == 0
    assert 0 < unvoted.sum() < len(rows)
    partly = replace(data, votes=votes, weight=weight)
    _, targets, weights = Batches(partly, recipe, 1, taught)[2]
    np.testing.assert_allclose(targets["consensus"].sum(axis=1), 1, rtol=1e-5)
    given = taught["consensus"][rows][unvoted]
    np.testing.assert_allclose(targets["consensus"][unvoted], given, rtol=1e-5)
    np.testing.assert_allclose(weights["consensus"][unvoted], 0.25, rtol=1e-5)


def test_mixed_faces_have_the_same_share_of_faces_targets_and_weights(data):
    weight = np.linspace(0.2, 1, len(data), dtype=np.float32)
    data = replace(data, weight=weight)
    faces, alone, plain = Batches(data, RECIPE, 1)[2]
    mixed, targets, weights = Batches(data, replace(RECIPE, mixing=0.5), 1)[2]
    before = np.roll(faces, 1, axis=0)
    # Each face's share, from its dots alone.
    kept = np.array(
        [
            np.polyfit((f - b).ravel(), (m - b).ravel(), 1)[0]
            for m, f, b in zip(mixed, faces, before, strict=True)
        ]
    )
    assert ((kept >= 0.4999) & (kept <= 1.0001)).all()
    assert kept.std() > 0.05
    shares = kept[:, None]
    for head, target in alone.items():
        mine, other = plain[head], np.roll(plain[head], 1)
        np.testing.assert_allclose(weights[head], kept * mine + (1 - kept) * other, rtol=1e-3)
        np.testing.assert_allclose(
            targets[head] * weights[head][:, None],
            shares * target * mine[:, None]
            + (1 - shares) * np.roll(target, 1, axis=0) * other[:, None],
            atol=1e-3,
        )


def test_labels_of_no_weight_teach_nothing(data, tmp_path):
    """Their head stays as it began, and the other one does not."""
    recipe = replace(RECIPE, epochs=6, label_weight=0.0, weight_decay=0.0, averaging=0.0)
    keras.utils.set_random_seed(recipe.seed)
    first = {layer.name: layer.get_weights() for layer in tiny().layers}
    model = train.train("tiny", data, data, tmp_path / "out", recipe)
    moved = {
        head: not np.array_equal(model.get_layer(head).get_weights()[0], first[head][0])
        for head in zoo.HEADS
    }
    assert moved == {"consensus": True, "fer2013": False}


def test_the_teacher_reads_each_face_once_as_it_is(data, tmp_path):
    shown = []

    def teacher(faces):
        shown.append(faces)
        return {"fer2013": np.tile([9.0, 0, 0, 0, 0, 0, 0], (len(faces), 1))}

    recipe = replace(RECIPE, epochs=6, learning_rate=0.05, teacher_share=1.0, averaging=0.0)
    model = train.train("tiny", data, data, tmp_path, recipe, teachers=[Teacher("one", teacher)])
    assert len(shown) == 1
    assert np.array_equal(shown[0], data.images)
    given = model.predict(data.images[..., None].astype(np.float32), verbose=0)["fer2013"]
    assert (given.argmax(axis=1) == 0).all()  # as it was taught, whatever the labels say


def test_of_several_teachers_the_mean_is_learned(data, tmp_path):
    def always(number, heads):
        scores = np.full((len(data), 7), -20.0)
        scores[:, number] = 20
        return Teacher(f"always {number}", lambda faces: dict.fromkeys(heads, scores))

    recipe = replace(RECIPE, epochs=1, teacher_share=1.0)
    seen = {}

    def spy(*given):
        batches = Batches(*given)
        seen["targets"] = batches[0][1]
        return batches

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "Batches", spy)
        pair = [always(2, train.HEADS), always(5, ["fer2013"])]
        train.train("tiny", data, data, tmp_path, recipe, teachers=pair)
    expected = np.tile([0, 0, 0.5, 0, 0, 0.5, 0], (8, 1))
    np.testing.assert_allclose(seen["targets"]["fer2013"], expected, atol=1e-6)
    # The second has no such head, so that nobody teaches it.
    assert (seen["targets"]["consensus"].max(axis=1) < 0.99).all()


@pytest.mark.parametrize(
    ("flags", "fast"), [("avx2 avx512_bf16", True), ("avx2 amx_bf16", True), ("avx512f", False)]
)
def test_bfloat16_is_used_where_the_processor_has_it(flags, fast, tmp_path):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: fpu {flags}\n")
    assert multiplies_bfloat16(tmp_path / "cpuinfo") is fast
    assert not multiplies_bfloat16(tmp_path / "none")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lecturenet", "custom_cnn", "deepface"])
def test_the_real_networks_learn_in_bfloat16_too(name, tmp_path):
    began = zoo.build(name)
    few = pictures.faces(8)  # for two steps: most processors only imitate bfloat16
    recipe = Recipe(epochs=1, batch=4, warmup_epochs=0, averaging=0.0, mixed_bfloat16=True)
    model = train.train(name, few, few, tmp_path, recipe)
    pairs = list(zip(began.get_weights(), model.get_weights(), strict=True))
    assert all(first.shape == learned.shape for first, learned in pairs)
    assert all(np.isfinite(learned).all() for _, learned in pairs)
    assert any((first != learned).any() for first, learned in pairs if first.ndim > 1)


def test_every_step_is_told_and_logged_for_tensorboard(data, tmp_path):
    steps = []

    def listener(event):
        if event.kind in ("started", "advanced"):
            steps.append((event.kind, event.amount))

    with progress.listening(listener):
        train.train("tiny", data, data, tmp_path, RECIPE)
    assert steps[:2] == [("started", 6), ("advanced", 0)]
    assert steps[2:] == [("advanced", 1)] * 6
    (log,) = (tmp_path / "tensorboard").iterdir()
    content = log.read_bytes()
    assert all(tag in content for tag in (b"loss", b"fer2013", b"consensus"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"epochs": 10**400},
        {"learning_rate": 1e308},
        {"batch": 1},
        {"learning_rate": 0.0},
        {"warmup_epochs": 50.0},
        {"seed": -1},
        {"seed": 2**32},
    ],
)
def test_recipes_that_cannot_be(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Recipe(**wrong)

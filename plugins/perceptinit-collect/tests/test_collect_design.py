"""`perceptinit collect`: random questions, balanced sides and orders, locked versions and blanks."""

import dataclasses
import hashlib
import itertools
import json
import re
from collections import Counter

import numpy as np
import pytest
from made_studies import fill_blanks, make_study, write_images
from perceptinit_collect.design import draw_design, draw_session, num_trials, read_design, versions
from perceptinit_collect.images import MAX_SIDE, StudyImage, copy_images
from perceptinit_collect.settings import DesignSettings, default_design, parse_settings
from perceptinit_collect.simulate import simulate
from perceptinit_collect.study import copy_study, create, current_design, open_study as open_folder
from perceptinit_collect.tasks import TASKS, combination
from perceptinit_collect.texts import fill_in
from PIL import Image

from perceptinit.companion import RecipeError
from perceptinit.plugin import DataError

SHAPES = [(60, 30, 60), (12, 13, 13), (20, 101, 33), (8, 20, 10)]


def design_of(task="2afc", images=20, questions=40, per_person=20, **more):
    tables = {"design": {**default_design(task, questions, per_person, False, 0), **more}}
    made = tuple(StudyImage(f"{i:03d}.png", f"{i:064x}") for i in range(images))
    return draw_design(1, parse_settings(tables, "study.toml"), made, {})


def shaped(task, shape):
    images, questions, per_person = shape
    return design_of(task, images, questions, min(per_person, questions))


def spread(counts):
    return max(counts.values()) - min(counts.values())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("task", TASKS)
def test_each_candidate_has_each_position_equally_often_per_person_and_overall(task, shape):
    design, overall = shaped(task, shape), Counter()
    n = TASKS[task].num_candidates
    for slot in range(7):
        places = Counter(dict.fromkeys(itertools.product(range(n), range(n)), 0))
        for trial in draw_session(design, slot):
            places.update(enumerate(trial.order))
        assert spread(places) <= 1
        overall.update(places)
        assert spread(overall) <= 1


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("task", TASKS)
def test_questions_are_used_evenly_and_at_most_once_per_person(task, shape):
    design, asked = shaped(task, shape), Counter()
    shared = set(design.questions[: design.settings.shared])
    for slot in range(9):
        mine = [trial.images for trial in draw_session(design, slot) if trial.kind == "question"]
        assert len(set(mine)) == len(mine) == design.settings.per_person
        assert shared <= set(mine)
        asked.update(mine)
    counts = {question: asked[question] for question in design.questions if question not in shared}
    assert spread(counts) <= 1


@pytest.mark.parametrize("task", TASKS)
def test_repeats_have_the_opposite_order_and_a_distance_from_their_originals(task):
    design = design_of(task, per_person=30)
    trials = draw_session(design, 0)
    repeats = [(at, trial) for at, trial in enumerate(trials) if trial.kind == "repeat"]
    assert len(repeats) == design.settings.repeats == 6
    for at, trial in repeats:
        original = trials[trial.of]
        assert (original.kind, original.images) == ("question", trial.images)
        assert trial.order == original.order[::-1]
        assert at - trial.of >= 30 / 5


@pytest.mark.parametrize("task", TASKS)
def test_correct_answers_of_catch_and_practice_trials_have_balanced_positions(task):
    design = design_of(task, per_person=40)
    trials, n = draw_session(design, 0), TASKS[task].num_candidates
    for kind, count in (("catch", 17 // (2 * n) * n), ("practice", 6), ("instructed", 9 // n * n)):
        obvious = [trial for trial in trials if trial.kind == kind]
        places = Counter(trial.order.index(trial.correct) for trial in obvious)
        assert len(obvious) == count
        assert len(places) == n
        assert spread(places) == 0
        for trial in obvious:
            assert len(set(trial.images)) == (3 if kind == "instructed" else 2)
    assert [trial.kind for trial in trials[:6]] == ["practice"] * 6
    assert len(trials) == num_trials(design.settings)


def test_the_correct_answer_of_a_catch_trial_is_the_copy_in_2afc_and_the_odd_image_in_odd_one_out():
    rng = np.random.default_rng(0)
    anchor, *candidates = TASKS["2afc"].obvious(9, rng)
    assert candidates[TASKS["2afc"].obvious_answer] == anchor
    question = TASKS["odd-one-out"].obvious(9, rng)
    assert Counter(question)[question[TASKS["odd-one-out"].obvious_answer]] == 1


@pytest.mark.parametrize("task", TASKS)
def test_all_possible_questions_can_be_drawn_once(task):
    total = TASKS[task].count(6)
    drawn = TASKS[task].draw(6, total, np.random.default_rng(0))
    n = TASKS[task].num_candidates
    assert len({(*q[:-n], *sorted(q[-n:])) for q in drawn}) == total == {"2afc": 60, "odd-one-out": 20}[task]


def test_every_image_is_the_anchor_equally_often():
    anchors = Counter(question[0] for question in design_of(images=9, questions=40).questions)
    assert (len(anchors), spread(anchors)) == (9, 1)


def test_combination_ranks_are_contiguous():
    assert sorted(combination(rank, 3) for rank in range(20)) == [
        list(three) for three in itertools.combinations(range(6), 3)
    ]


def test_questions_and_sessions_depend_on_the_seed():
    same, other = design_of(), design_of(seed=1)
    assert draw_session(design_of(), 3) == draw_session(same, 3)
    assert same.sha256 == design_of().sha256 != other.sha256
    assert draw_session(other, 3) != draw_session(same, 3) != draw_session(same, 4)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"task": "2acf"}, "unknown task '2acf'. Did you mean '2afc'?"),
        ({"questions": 1, "per_person": 1}, "questions = 1: must be at least 2, to balance screen positions"),
        (
            {"per_person": 41},
            "per_person = 41: must be at least 2, to balance screen positions, and at most questions = 40",
        ),
        (
            {"catch": 5},
            "catch = 5: must be a multiple of 2, so that all candidates are shown equally often at each screen position",
        ),
        ({"repeats": 10}, "repeats = 10: must be at most 8 with per_person = 20"),
        ({"shared": 21}, "shared = 21: must be at most per_person = 20"),
        ({"questons": 4}, "design.questons: unknown key; did you mean 'questions'?"),
    ],
)
def test_settings_that_cannot_be_balanced_are_refused(change, sentence):
    with pytest.raises(RecipeError) as error:
        design_of(**change)
    assert sentence in str(error.value)


def test_too_few_images_for_the_questions_are_refused():
    with pytest.raises(DataError, match="questions = 40: 5 images allow only 30 different 2afc questions"):
        design_of(images=5)


def copied(folder, out):
    said = []
    images = copy_images(folder, out, said.append)
    return images, said


def test_images_are_copied_without_changes(tmp_path):
    folder = write_images(tmp_path / "in", 4)
    images, said = copied(folder, tmp_path / "out")
    assert [p.name for p in images] == ["00.png", "01.png", "02.png", "03.png"]
    assert (tmp_path / "out/02.png").read_bytes() == (folder / "02.png").read_bytes()
    assert said == []


def test_huge_rotated_and_unusual_images_are_converted_and_reported(tmp_path):
    folder = write_images(tmp_path / "in", 3)
    Image.new("RGB", (2 * MAX_SIDE, 40), "red").save(folder / "huge.jpg")
    turned = Image.new("RGB", (40, 20), "blue")
    exif = turned.getexif()
    exif[0x0112] = 6  # a quarter turn
    turned.save(folder / "turned.jpg", exif=exif)
    Image.new("RGB", (10, 10), "green").save(folder / "scan.tif")
    images, said = copied(folder, tmp_path / "out")
    assert "1 images downscaled (longer side 1600 pixels): huge.jpg" in said
    assert any("EXIF orientation applied" in line and "turned.jpg" in line for line in said)
    assert any("converted to PNG" in line and "scan.png" in line for line in said)
    sizes = {p.name: Image.open(tmp_path / "out" / p.name).size for p in images}
    assert (sizes["huge.jpg"], sizes["turned.jpg"]) == ((MAX_SIDE, 20), (20, 40))
    assert "scan.png" in sizes


@pytest.mark.parametrize(
    ("count", "sentence"),
    [(0, "0 images found"), (1, "1 images found"), (2, "2 images found")],
)
def test_too_few_images_are_refused(tmp_path, count, sentence):
    folder = write_images(tmp_path / "in", count)
    with pytest.raises(DataError, match=sentence):
        copied(folder, tmp_path / "out")


def test_unreadable_and_duplicate_images_are_reported(tmp_path):
    folder = write_images(tmp_path / "in", 4)
    (folder / "broken.jpg").write_bytes(b"no image")
    (folder / "short.png").write_bytes((folder / "00.png").read_bytes()[:60])
    with pytest.raises(
        DataError,
        match=r"2 of 6 images cannot be read: broken.jpg \(unknown image format\), short",
    ):
        copied(folder, tmp_path / "out")
    (folder / "broken.jpg").unlink()
    (folder / "short.png").write_bytes((folder / "00.png").read_bytes())
    with pytest.raises(DataError, match=r"identical images: 00.png = short.png"):
        copied(folder, tmp_path / "out")


def test_a_study_that_cannot_be_created_leaves_no_files(tmp_path):
    folder = write_images(tmp_path / "in", 4)
    with pytest.raises(DataError, match="questions = 100: 4 images allow only 12"):
        create(folder, tmp_path / "study", default_design("2afc", 100, None, False, 0), print)
    assert list((tmp_path / "study").iterdir()) == []


def test_a_change_creates_a_new_version_and_keeps_the_old_one(tmp_path):
    folder, said = make_study(tmp_path), []
    with open_folder(folder) as study:
        assert study.design.version == 1
    assert current_design(folder, said.append).version == 1
    (folder / "texts/consent.md").write_text("# Consent\n\nPlease agree.")
    assert current_design(folder, said.append).version == 2
    settings = (folder / "study.toml").read_text()
    (folder / "study.toml").write_text(settings.replace("min_checks = 0.88", "min_checks = 0.5"))
    assert current_design(folder, said.append).version == 3
    assert versions(folder) == [1, 2, 3]
    assert "Please agree" not in read_design(folder, 1).texts["consent"]
    assert "because texts/ changed" in said[0]
    assert "because [exclusion] changed" in said[1]


def test_settings_that_may_change_during_a_study_create_no_new_version(tmp_path):
    folder = make_study(tmp_path)
    assert current_design(folder, print).version == 1
    settings = (folder / "study.toml").read_text()
    (folder / "study.toml").write_text(settings.replace("per_person = 0.0", "per_person = 2.5"))
    assert current_design(folder, print).version == 1


def test_a_locked_design_that_was_edited_is_refused(tmp_path):
    folder = make_study(tmp_path)
    with open_folder(folder):
        pass
    path = folder / "design-1.json"
    content = json.loads(path.read_text())
    content["exclusion"]["min_checks"] = 0.1
    path.chmod(0o644)
    path.write_text(json.dumps(content, sort_keys=True, indent=1) + "\n")
    with pytest.raises(DataError, match="changed after it was locked"), open_folder(folder):
        pass


def test_a_change_of_a_shown_image_is_refused(tmp_path):
    folder = make_study(tmp_path)
    current_design(folder, print)
    Image.new("RGB", (5, 5), "red").save(folder / "images/00.png")
    with pytest.raises(DataError, match=r"changed or removed since design 1 was locked: 00.png"):
        current_design(folder, print)


def test_images_can_be_added_to_a_study(tmp_path):
    folder = make_study(tmp_path)
    current_design(folder, print)
    Image.new("RGB", (5, 5), "red").save(folder / "images/new.png")
    assert len(current_design(folder, print).images) == 9


def test_a_missing_text_or_label_is_reported(tmp_path):
    folder = make_study(tmp_path)
    labels = folder / "texts/labels.md"
    labels.write_text(labels.read_text().replace("- agree:", "- agre:"))
    with pytest.raises(DataError, match=r"labels.md: the line '- agree: ...' is missing"):
        current_design(folder, print)
    labels.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"labels.md: not UTF-8"):
        current_design(folder, print)


BLANKS = ("researchers", "length", "pay", "age check", "decline", "withdraw", "contact")


def new_study(tmp_path):
    create(write_images(tmp_path / "in"), tmp_path / "study", default_design("2afc", 20, 10, False, 0), print)
    return tmp_path / "study"


def test_a_study_opens_only_after_every_blank_is_filled(tmp_path):
    folder = new_study(tmp_path)
    consent = folder / "texts/consent.md"
    for blank in BLANKS:
        with (
            pytest.raises(DataError, match=rf"the study is incomplete.*{blank}.*--draft"),
            open_folder(folder),
        ):
            pass
        consent.write_text(re.sub(rf"\[FILL IN {blank}[^]]*\]", "filled", consent.read_text()))
    with pytest.raises(DataError, match=r"Fill in texts/labels.md \(age check\),"), open_folder(folder):
        pass
    assert versions(folder) == []  # a design with blanks is never locked
    fill_blanks(folder)
    with open_folder(folder) as study:
        assert study.design.version == 1


def test_drafts_and_simulations_require_no_filled_blanks_and_lock_no_version(tmp_path):
    folder = new_study(tmp_path)
    simulate(folder, 1)
    with open_folder(copy_study(folder, "draft"), is_draft=True):
        pass
    assert versions(folder) == []


def test_a_study_for_prolific_requires_a_completion_link(tmp_path):
    folder = make_study(tmp_path, changes=[('platform = ""', 'platform = "prolific"')])
    with (
        pytest.raises(DataError, match=r"completion_url in study.toml, which Prolific requires"),
        open_folder(folder),
    ):
        pass
    settings = (folder / "study.toml").read_text()
    (folder / "study.toml").write_text(
        settings.replace('completion_url = ""', 'completion_url = "https://a.example"')
    )
    with open_folder(folder) as study:
        assert study.design.version == 1


def test_an_unknown_platform_is_reported(tmp_path):
    folder = make_study(tmp_path, changes=[('platform = ""', 'platform = "prolifik"')])
    with pytest.raises(
        RecipeError, match=r"platform 'prolifik' is unknown. Platforms: prolific, mturk, sona"
    ):
        current_design(folder, print)


def test_a_design_without_instructed_trials_has_the_hash_and_the_trials_of_version_0_2_0():
    design = design_of(catch=6, instructed=0)
    assert "instructed" not in design.text
    assert design.sha256[:12] == "375a4b48c915"
    trials = json.dumps([dataclasses.asdict(trial) for trial in draw_session(design, 3)])
    assert hashlib.sha256(trials.encode()).hexdigest()[:12] == "8654eefce220"


def test_instructions_without_practice_do_not_mention_it():
    text = "See {trials} sets.\n\nYou will start with {practice} practice sets.\n"
    settings = DesignSettings(task="2afc", questions=20, per_person=20)
    assert "start with 6 practice sets" in fill_in(text, settings)
    without = dataclasses.replace(settings, practice=0)
    assert fill_in(text, without).strip() == f"See {num_trials(without)} sets."

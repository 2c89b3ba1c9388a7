"""`perceptinit collect` in Chromium, from consent to debriefing, with keys, touch and several screen sizes."""

import itertools
from pathlib import Path

import pytest
from made_studies import make_study, open_study
from perceptinit_collect.checks import read_checked
from perceptinit_collect.export import export
from perceptinit_collect.people import read_trials

from perceptinit.companion import Table, check_judgments

DESKTOP, PHONE, LYING_PHONE = (1280, 800), (390, 780), (780, 360)


class Walk:
    """A page in the browser, with its console messages and requests."""

    def __init__(self, browser, site, size=DESKTOP, **options):
        width, height = size
        self.context = browser.new_context(viewport={"width": width, "height": height}, **options)
        self.page, self.site = self.context.new_page(), site
        self.page.set_default_timeout(20_000)
        self.logged, self.asked = [], []
        self.page.on("console", lambda message: self.logged.append(message.text))
        self.page.on("pageerror", lambda error: self.logged.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.context.close()

    def agree(self, query=""):
        self.page.goto(self.site.address + query)
        self.page.check("input[name=age]")
        self.page.click("form button")
        self.page.wait_for_selector("#instructions:not([hidden]), #stage[data-presented]")

    def go_on(self):
        """Click the button of a text, if one is shown, and wait for the next trial; False at the end."""
        ready = "#stage[data-presented], main:not([hidden]) .next, #go-on:not([hidden]), #done"
        while True:
            self.page.wait_for_selector(ready)
            if self.page.is_visible("#done"):
                return False
            if self.page.is_visible("#stage[data-presented]"):
                return True
            self.page.click("main:not([hidden]) .next, #go-on:not([hidden])")

    @property
    def position(self):
        return int(self.page.get_attribute("#stage", "data-presented"))

    def to_trial(self, position):
        """Answer by key until a trial is shown."""
        while self.go_on() and self.position < position:
            self.press("1")

    def press(self, key):
        """Press a key and wait until its answer is stored."""
        with self.page.expect_response("**/answer") as reply:
            self.page.keyboard.press(key)
        return reply.value


def test_a_session_can_be_completed_with_the_keyboard_only(browser, tmp_path):
    folder = make_study(tmp_path, not_sure=True, changes=[("break_every = 40", "break_every = 5")])
    with open_study(folder) as site, Walk(browser, site) as walk:
        page, seen, keys = walk.page, [], itertools.cycle(["1", "ArrowRight", "0"])
        page.goto(site.address)
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        while not page.is_visible("#done"):
            page.wait_for_selector(
                "#stage[data-presented], main:not([hidden]) .next, #go-on:not([hidden]), #done"
            )
            shown = page.eval_on_selector_all("main:not([hidden])", "all => all.map(m => m.id).join()")
            seen += [shown] if shown not in seen else []
            if page.is_visible("#stage[data-presented]"):
                walk.press(next(keys))
            elif not page.is_visible("#done"):
                page.keyboard.press("Enter")  # the button has the focus
        (person, trials) = site.rows("SELECT id, trials FROM people")[0]
        answers = site.rows("SELECT answer, seconds, input, is_interrupted FROM answers")
        assert page.inner_text("#done .code") == person
    assert set(seen) >= {"instructions", "trial", "begin", "break"}
    assert len(answers) == trials.count('"kind"')
    assert {row[2] for row in answers} == {"key"}
    assert any(row[0] is None for row in answers)
    assert all(0 < row[1] < 20 and row[3] == 0 for row in answers)
    assert walk.logged == []
    assert all(address.startswith(site.address) for address in walk.asked)


def test_a_double_click_on_the_consent_button_starts_one_session(browser, tmp_path):
    with open_study(make_study(tmp_path)) as site, Walk(browser, site) as walk:
        walk.page.goto(site.address)
        walk.page.check("input[name=age]")
        walk.page.dblclick("form button")
        walk.go_on()
        walk.press("1")
        assert site.rows("SELECT COUNT(*) FROM people") == [(1,)]


def test_consent_requires_the_age_check(browser, tmp_path):
    with open_study(make_study(tmp_path)) as site, Walk(browser, site) as walk:
        walk.page.goto(site.address)
        walk.page.click("form button")
        assert walk.page.url == site.address
        assert site.rows("SELECT * FROM people") == []


def test_an_instructed_trial_states_which_image_to_choose(browser, tmp_path):
    with open_study(make_study(tmp_path)) as site, Walk(browser, site) as walk:
        walk.agree()
        trials = read_trials(site.rows("SELECT trials FROM people")[0][0])
        at = next(i for i, trial in enumerate(trials) if trial.kind == "instructed")
        walk.to_trial(at)
        place = trials[at].order.index(trials[at].correct) + 1
        assert walk.page.inner_text("#instruction") == f"Attention check: please choose picture {place}."
        assert not walk.page.is_visible("#question")
        numbers = "all => all.map(p => getComputedStyle(p, '::after').content)"
        assert walk.page.eval_on_selector_all(".place", numbers) == ['"1"', '"2"']
        walk.press(str(place))
        walk.go_on()
        assert walk.page.is_visible("#question") != (trials[at + 1].kind == "instructed")


@pytest.mark.parametrize("task", ["2afc", "odd-one-out"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE, LYING_PHONE], ids=["desktop", "phone", "lying-phone"])
def test_all_images_are_fully_visible_at_one_size_and_appear_together(browser, tmp_path, task, size):
    with open_study(make_study(tmp_path, task=task)) as site, Walk(browser, site, size) as walk:
        walk.agree()
        walk.go_on()
        images = walk.page.query_selector_all("#stage img")
        boxes = [image.bounding_box() for image in images]
        assert len(boxes) == 3
        for image, box in zip(images, boxes, strict=True):
            assert image.evaluate("p => p.complete && p.naturalWidth === 40")
            assert image.evaluate("p => getComputedStyle(p).objectFit") == "contain"
            assert box["x"] >= 0
            assert box["y"] >= 0
            assert box["x"] + box["width"] <= size[0]
            assert box["y"] + box["height"] <= size[1]
            assert min(box["width"], box["height"]) > 80
        shown = [min(box["width"] / 40, box["height"] / 30) for box in boxes]
        assert max(shown) <= 1.25 * min(shown)
        assert walk.page.evaluate("document.documentElement.scrollHeight <= innerHeight")


def test_a_touch_stores_the_touched_image_as_the_answer(browser, tmp_path):
    with (
        open_study(make_study(tmp_path)) as site,
        Walk(browser, site, PHONE, has_touch=True) as walk,
    ):
        walk.agree()
        walk.go_on()
        with walk.page.expect_response("**/answer"):
            walk.page.tap(".place >> nth=1")
        (trials,) = site.rows("SELECT trials FROM people")[0]
        answer, kind = site.rows("SELECT answer, input FROM answers")[0]
    assert (answer, kind) == (read_trials(trials)[0].order[1], "touch")


def test_a_click_stores_the_clicked_image_as_the_answer(browser, tmp_path):
    """In every trial, the stored answer is the clicked image."""
    with open_study(make_study(tmp_path, task="odd-one-out")) as site, Walk(browser, site) as walk:
        walk.agree()
        clicked = []
        for place in [0, 1, 2, 2, 1, 0]:
            walk.go_on()
            clicked.append(walk.page.get_attribute(f".place >> nth={place} >> img", "src").rpartition("/")[2])
            with walk.page.expect_response("**/answer"):
                walk.page.click(f".place >> nth={place}")
            trials = read_trials(site.rows("SELECT trials FROM people")[0][0])
        answers = [row[0] for row in site.rows("SELECT answer FROM answers ORDER BY position")]
        images = site.study.design.images
    stored = [images[t.images[a]].key for t, a in zip(trials, answers, strict=False)]
    assert stored == clicked


def test_practice_trials_give_feedback(browser, tmp_path):
    with open_study(make_study(tmp_path)) as site, Walk(browser, site) as walk:
        walk.agree()
        trials = read_trials(site.rows("SELECT trials FROM people")[0][0])
        for position, is_right in ((0, True), (1, False)):
            walk.go_on()
            right = trials[position].order.index(trials[position].correct)
            walk.press(str(1 + (right if is_right else 1 - right)))
            walk.page.wait_for_selector("#go-on:not([hidden])")
            assert walk.page.inner_text("#feedback").startswith("Correct" if is_right else "Not quite")


def test_the_page_resumes_at_the_same_trial_after_a_reload_or_a_pause(browser, tmp_path):
    with open_study(make_study(tmp_path)) as site, Walk(browser, site) as walk:
        walk.agree()
        walk.to_trial(8)
        shown = walk.page.get_attribute("#anchor img", "src")
        walk.page.reload()
        walk.go_on()
        assert (walk.position, walk.page.get_attribute("#anchor img", "src")) == (8, shown)
        later = walk.context.new_page()
        later.goto(site.address)
        later.wait_for_selector("#stage[data-presented='8']")


def test_an_answer_from_another_window_is_not_requested_again(browser, tmp_path):
    with open_study(make_study(tmp_path)) as site, Walk(browser, site) as walk:
        walk.agree()
        walk.to_trial(8)
        other = walk.context.new_page()
        other.goto(site.address)
        other.wait_for_selector("#stage[data-presented='8']")
        with other.expect_response("**/answer"):
            other.keyboard.press("1")
        other.wait_for_selector("#stage[data-presented='9']")
        walk.page.bring_to_front()
        walk.page.keyboard.press("2")
        walk.page.wait_for_selector("#stage[data-presented='9']")
        assert len(site.rows("SELECT * FROM answers")) == 9


def test_a_lost_connection_is_displayed_and_loses_no_answer(browser, tmp_path):
    with open_study(make_study(tmp_path)) as site, Walk(browser, site) as walk:
        walk.agree()
        walk.to_trial(8)
        walk.context.set_offline(True)
        walk.page.keyboard.press("1")
        walk.page.wait_for_selector("#offline:not([hidden])")
        assert len(site.rows("SELECT * FROM answers")) == 8
        walk.context.set_offline(False)
        walk.page.wait_for_selector("#stage[data-presented='9']")
        assert len(site.rows("SELECT * FROM answers")) == 9
        assert not walk.page.is_visible("#offline")


def test_a_held_key_answers_once(browser, tmp_path):
    with open_study(make_study(tmp_path)) as site, Walk(browser, site) as walk:
        walk.agree()
        walk.to_trial(8)
        with walk.page.expect_response("**/answer"):
            walk.page.keyboard.down("1")
            for _ in range(5):
                walk.page.keyboard.down("1")  # repeats, as a held key sends them
        walk.page.wait_for_selector("#stage[data-presented='9']")
        assert len(site.rows("SELECT * FROM answers")) == 9


def test_buttons_and_images_have_names_for_screen_readers(browser, tmp_path):
    with open_study(make_study(tmp_path, not_sure=True)) as site, Walk(browser, site) as walk:
        walk.agree()
        walk.go_on()
        page = walk.page
        assert page.get_by_role("button", name="picture 1").count() == 1
        assert page.get_by_role("button", name="picture 2").count() == 1
        assert page.get_by_role("img", name="the picture to compare with").count() == 1
        assert page.get_by_role("button", name="Not sure").count() == 1
        assert page.get_by_role("progressbar").count() == 1
        assert page.get_attribute("html", "lang") == "en"


def test_the_page_has_a_neutral_gray_background_in_dark_mode(browser, tmp_path):
    with open_study(make_study(tmp_path)) as site, Walk(browser, site, color_scheme="dark") as walk:
        walk.agree()
        walk.go_on()
        colours = walk.page.evaluate(
            "[...document.querySelectorAll('body, #trial, #trial *')].flatMap(e => {"
            "const s = getComputedStyle(e); return [s.backgroundColor, s.color, s.borderTopColor]})"
        )
    for colour in set(colours) - {"rgba(0, 0, 0, 0)"}:
        red, green, blue = colour.strip("rgba()").split(",")[:3]
        assert int(red) == int(green) == int(blue), colour


def test_the_owner_page_shows_the_status_and_downloads_the_table(browser, tmp_path):
    with open_study(make_study(tmp_path)) as site, Walk(browser, site) as walk:
        site.begun().finish()
        page = walk.page
        page.goto(site.address + "owner")
        page.fill("#token", "a guess")
        page.click("#ask button")
        page.wait_for_selector("text=The owner's token is missing or wrong.")
        page.fill("#token", site.study.token)
        page.click("#ask button")
        page.wait_for_selector("#numbers:not([hidden])")
        assert "1 started, 1 finished" in page.inner_text("#summary")
        with page.expect_download() as download:
            page.click("#export")
        table = download.value.path().read_text()
    assert table.startswith("anchor,first,second,p_second,num_votes,subject,excluded")
    assert all(site.study.token not in address for address in walk.asked)


@pytest.mark.slow
def test_ten_people_in_the_browser_produce_a_valid_table_and_recipe(browser, tmp_path, monkeypatch, cli):
    """Slow: ten participants, each in a separate browser, complete a session; twenty do in test_collect.py."""
    changes = [("practice = 6", "practice = 2")]
    folder = make_study(tmp_path, questions=20, per_person=4, images=10, changes=changes, limits=False)
    with open_study(folder) as site:
        for number in range(10):
            with Walk(browser, site) as walk:
                walk.agree()
                keys = itertools.cycle("12" if number % 2 else "21")
                while walk.go_on():
                    walk.press(next(keys))
                assert walk.logged == []
    monkeypatch.chdir(tmp_path)
    export(folder, Path("judgments.csv"))
    report = check_judgments(Table(Table.Config(path=Path("judgments.csv"), images=folder / "images")))
    assert report.ok
    assert any("for each of 10 participants and to within 0 overall" in f.message for f in report.findings)
    valid = cli("validate", "judgments.toml")
    assert all(f"arm {name}" in valid.stdout for name in ("random", "pi", "shuffled"))


def test_four_people_on_a_desktop_and_a_phone_one_of_whom_withdraws(browser, tmp_path):
    link = ('completion_url = ""', 'completion_url = "https://app.prolific.example/complete?cc=C1"')
    folder = make_study(tmp_path, changes=[link], limits=False)
    with open_study(folder) as site:
        for query, size in (("", DESKTOP), ("?PROLIFIC_PID=abc", PHONE), ("", PHONE)):
            with Walk(browser, site, size) as walk:
                walk.agree(query)
                walk.to_trial(1000)
                assert walk.page.is_visible("#done")
                assert walk.logged == []
        with Walk(browser, site) as walk:
            walk.agree()
            walk.to_trial(3)
            walk.page.click("#progress .withdraw summary")
            walk.page.click("#progress .withdraw button")
            walk.page.wait_for_selector("text=Your answers have been deleted")
            walk.page.goto(site.address)
            assert walk.page.is_visible("form button")  # the consent form
    records, problems = read_checked(folder)
    assert problems == []
    assert [record.platform for record in records] == ["", "prolific", ""]
    windows = [record.answers[0].screen.partition(" ")[2] for record in records]
    assert windows == ["1280x800", "390x780", "390x780"]
    table = export(folder, tmp_path / "judgments.csv")[0][0]
    judgments = Table(Table.Config(path=table, images=folder / "images", whole=True))
    assert len(judgments.people) == 3

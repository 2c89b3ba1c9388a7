"""`perceptinit collect`: the routes of the page, and the access that each of them requires."""

import csv
import io
import json
import random
import re
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from made_studies import FORM, JSON, fill_blanks, make_study, open_study, write_images
from perceptinit_collect import people, server
from perceptinit_collect.aside import run_aside
from perceptinit_collect.checks import COPY, close, copy_answers, forget, read_checked
from perceptinit_collect.design import read_trials
from perceptinit_collect.export import people_text, table_text
from perceptinit_collect.limits import MAX_BODY_BYTES, RateLimit
from perceptinit_collect.serve import make_server
from perceptinit_collect.settings import default_design, read_settings
from perceptinit_collect.store import FILE, read_rows
from perceptinit_collect.study import create

from perceptinit.companion import RecipeError
from perceptinit.plugin import UsageError

# what each route needs, and the status without it; `GET` includes `HEAD`
ROUTES = {
    ("GET", "/"): ("nothing", None),
    ("POST", "/begin"): ("consent", 400),
    ("GET", "/trials"): ("a session", 303),
    ("GET", "/state"): ("a session", 410),
    ("GET", "/image/{key}"): ("a session", 410),
    ("POST", "/answer"): ("a session", 410),
    ("GET", "/done"): ("a session", 303),
    ("POST", "/withdraw"): ("the session of the consent", 410),
    ("GET", "/owner"): ("nothing", None),
    ("GET", "/owner/status"): ("the owner's token", 401),
    ("GET", "/owner/export"): ("the owner's token", 401),
    ("GET", "/static"): ("nothing", None),
}
ADDRESSES = [
    ("GET", "/"), ("POST", "/begin"), ("GET", "/trials"), ("GET", "/state"), ("GET", "/image/0"), ("POST", "/answer"),
    ("GET", "/done"), ("GET", "/owner"), ("GET", "/owner/status"), ("GET", "/owner/export"), ("GET", "/static/trials.js"),
]  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    url = [('completion_url = ""', 'completion_url = "https://app.prolific.example/complete?cc=C1"')]
    with open_study(make_study(tmp_path_factory.mktemp("site"), not_sure=True, changes=url), 100_000) as made:
        yield made


def raw(site, method, path, body=b"", headers=()):
    """Send a request unchanged and return the response with its content."""
    connection = HTTPConnection(urlsplit(site.address).netloc, timeout=10)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in (*headers, ("content-length", str(len(body)))):
        connection.putheader(name, value)
    connection.endheaders(body)
    reply = connection.getresponse()
    content = reply.read()
    connection.close()
    return reply, content


def owner(site, path, token=None):
    return raw(site, "GET", path, headers=[("authorization", f"Bearer {token or site.study.token}")])


@pytest.mark.parametrize(
    ("method", "path"), [*ADDRESSES, ("GET", "/nothing"), ("PUT", "/"), ("GET", "/" + "a" * 9000)]
)
def test_every_response_has_a_strict_content_security_policy(site, method, path):
    reply, _ = raw(site, method, path)
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cache-control"] == "no-store"
    assert "server" not in reply.headers


def test_only_the_session_cookie_is_set(site):
    for method, path in ADDRESSES:
        assert "set-cookie" not in raw(site, method, path)[0].headers
    reply, _ = raw(site, "POST", "/begin", b"agree=yes", [("content-type", FORM)])
    cookie = reply.headers["set-cookie"]
    assert cookie.startswith("session-")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


@pytest.mark.parametrize("path", ["/state", "/image/" + "0" * 20])
def test_session_routes_are_refused_without_a_session(site, path):
    assert raw(site, "GET", path)[0].status == 410
    assert raw(site, "POST", "/answer", b"{}")[0].status == 410
    assert raw(site, "GET", "/trials")[0].headers["location"] == "/"
    assert raw(site, "GET", "/done")[0].headers["location"] == "/"


@pytest.mark.parametrize("path", ["/owner/status", "/owner/export"])
def test_status_and_export_require_the_owner_token(site, path):
    site.begun()
    assert owner(site, path, "guess")[0].status == 401
    assert raw(site, "GET", f"{path}?token={site.study.token}")[0].status == 401
    assert owner(site, path)[0].status == 200


def test_repeated_wrong_tokens_are_rate_limited(tmp_path):
    with open_study(make_study(tmp_path)) as site:
        answers = [owner(site, "/owner/export", f"guess{i}")[0].status for i in range(14)]
    assert answers[0] == 401
    assert answers[-1] == 429


def test_the_owner_page_does_not_contain_the_token(site):
    reply, content = raw(site, "GET", "/owner")
    assert reply.status == 200
    assert site.study.token.encode() not in content


def test_starting_a_session_requires_consent(site):
    count = len(site.rows("SELECT * FROM people"))
    assert raw(site, "POST", "/begin", b"agree=no", [("content-type", FORM)])[0].status == 400
    assert raw(site, "GET", "/begin")[0].status == 405
    assert len(site.rows("SELECT * FROM people")) == count


def test_the_trials_do_not_reveal_their_kind_or_file_names(site):
    state = site.begun().state()
    assert set(state) == {"next", "total", "practice", "breaks", "trials"}
    assert {tuple(trial) for trial in state["trials"]} == {("anchor", "places", "instruction")}
    assert ".png" not in json.dumps(state)


def test_images_are_sent_unchanged(site):
    somebody = site.begun()
    keys = {image.key: image.name for image in site.study.design.images}
    key = somebody.state()["trials"][0]["anchor"]
    assert somebody.get(f"/image/{key}") == (site.study.folder / "images" / keys[key]).read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "/image/../study.toml", "/image/..%2fstudy.toml", "/image/%2e%2e%2fowner-token", "/image/00.png", "/image/" + "f" * 20,
        "/static/../people.py", "/static/..%2fpeople.py", "/static/%2e%2e/%2e%2e/errors.py", "//etc/passwd", "/static//etc/passwd",
        "/owner-token", "/answers.sqlite", "/image/%00", "/static/%00",
    ],
)  # fmt: skip
def test_no_path_gives_access_to_other_files(site, path):
    somebody = site.begun()
    reply, content = raw(site, "GET", path, headers=[("cookie", somebody._cookie)])
    assert reply.status in (400, 404)
    assert len(content) < 100


@pytest.mark.parametrize(
    "wrong",
    [
        {"place": 2}, {"place": -1}, {"place": "0"}, {"place": True}, {"position": -1}, {"position": 10**9}, {"position": "0"},
        {"seconds": -1}, {"seconds": 1e9}, {"seconds": "1"}, {"seconds": None}, {"input": "magic"}, {"input": ["key"]},
        {"is_interrupted": 1}, {"more": 1},
    ],
    ids=str,
)  # fmt: skip
def test_an_invalid_answer_is_refused(site, wrong):
    somebody = site.begun()
    assert somebody.answer(**{"position": 0, **wrong})[0] == 400
    assert somebody.state()["next"] == 0


def test_not_sure_is_accepted_only_if_it_is_offered(site, tmp_path):
    assert site.begun().answer(0, None)[0] == 200
    with open_study(make_study(tmp_path)) as other:
        assert other.begun().answer(0, None)[0] == 400


def test_only_practice_trials_return_feedback(site):
    somebody = site.begun()
    trials = read_trials(site.rows("SELECT trials FROM people ORDER BY slot DESC LIMIT 1")[0][0])
    for position, trial in enumerate(trials):
        right = None if trial.correct is None else trial.order.index(trial.correct)
        status, reply = somebody.answer(position, 0 if right is None else right)
        assert (status, reply["correct"]) == (200, True if trial.kind == "practice" else None)


@pytest.mark.parametrize("path", ["/begin", "/answer"])
def test_a_request_that_is_too_large_is_refused(site, path):
    cookie = site.begun()._cookie
    reply, _ = raw(site, "POST", path, b"x" * (MAX_BODY_BYTES + 1), [("cookie", cookie)])
    assert reply.status == 413


@pytest.mark.parametrize(
    "origin",
    ["https://elsewhere.example", "null", "http://127.0.0.1:1", "http://[::1", "http://[x]y", "://", "\x80"],
)
@pytest.mark.parametrize("path", ["/begin", "/answer"])
def test_cross_origin_requests_are_refused(site, path, origin):
    cookie = site.begun()._cookie
    headers = [("cookie", cookie), ("origin", origin), ("content-type", FORM)]
    assert raw(site, "POST", path, b"agree=yes", headers)[0].status == 403


def test_same_origin_requests_are_accepted(site):
    origin = site.address.rstrip("/")
    headers = [("origin", origin), ("content-type", FORM)]
    assert raw(site, "POST", "/begin", b"agree=yes", headers)[0].status == 303


def test_a_form_with_many_fields_is_accepted(site):
    assert raw(site, "POST", "/begin", b"agree=yes&" * 20, [("content-type", FORM)])[0].status == 303


@pytest.mark.parametrize("host", ["[::1", "a:b:c", "[x]y", ""])
def test_a_malformed_host_is_not_a_server_error(site, host):
    connection = HTTPConnection(urlsplit(site.address).netloc, timeout=10)
    connection.putrequest("POST", "/begin", skip_host=True)
    for name, value in (("host", host), ("content-type", FORM), ("content-length", "9")):
        connection.putheader(name, value)
    connection.endheaders(b"agree=yes")
    assert connection.getresponse().status in (303, 400)


def consent_form(visitor, query=""):
    """Return the form fields of the consent page."""
    page = visitor.get("/" + query).decode()
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))


@pytest.mark.parametrize("query", ["", "?workerId=W77"])
def test_a_double_click_on_the_consent_button_creates_one_participant(tmp_path, query):
    with open_study(make_study(tmp_path)) as site:
        visitor, twin = site.visitor(), site.visitor()
        fields = consent_form(visitor, query)
        assert visitor.begin(**fields)[0] == twin.begin(**fields)[0] == 303  # the first reply is not awaited
        assert visitor._cookie == twin._cookie
        assert site.rows("SELECT COUNT(*) FROM people") == [(1,)]
        assert visitor.answer(0)[0] == twin.answer(1)[0] == 200


def test_a_second_consent_page_in_the_same_browser_creates_one_participant(tmp_path):
    with open_study(make_study(tmp_path)) as site:
        visitor = site.visitor()
        first, second = consent_form(visitor), consent_form(visitor)
        assert first["ticket"] != second["ticket"]
        visitor.begin(**first)
        assert visitor.begin(**second)[2] == "/trials"
        assert site.rows("SELECT COUNT(*) FROM people") == [(1,)]


def test_two_visitors_with_separate_forms_are_two_participants(tmp_path):
    with open_study(make_study(tmp_path)) as site:
        for visitor in (site.visitor(), site.visitor()):
            visitor.begin(**consent_form(visitor))
        assert site.rows("SELECT COUNT(*) FROM people") == [(2,)]


def test_two_studies_on_one_host_have_separate_sessions(tmp_path):
    """Browsers send cookies to all ports of a host, and cookies of the same name replace each other."""
    jar = {}

    def visit(site, call):
        visitor = site.visitor()
        visitor._cookie = "; ".join(f"{name}={value}" for name, value in jar.items())
        before, reply = visitor._cookie, call(visitor)
        if visitor._cookie != before:
            name, _, value = visitor._cookie.partition("=")
            jar[name] = value
        return reply

    folders = make_study(tmp_path / "a"), make_study(tmp_path / "b")
    with open_study(folders[0]) as first, open_study(folders[1]) as second:
        for site in (first, second):
            visit(site, lambda visitor: visitor.begin())
        assert len(jar) == 2
        for site in (first, second):
            assert visit(site, lambda visitor: visitor.answer(0))[0] == 200


def test_a_full_disk_shows_a_page_to_new_participants(tmp_path):
    with open_study(make_study(tmp_path)) as site:
        site.study.store.writer.execute("PRAGMA query_only = ON")
        reply, content = raw(site, "POST", "/begin", b"agree=yes", [("content-type", FORM)])
        assert reply.status == 503
        assert reply.headers["content-type"].startswith("text/html")
        assert b"Please try again in a minute" in content
        site.study.store.writer.execute("PRAGMA query_only = OFF")
        assert site.visitor().begin()[0] == 303


def test_the_code_is_on_every_page_of_a_session(tmp_path):
    with open_study(make_study(tmp_path)) as site:
        visitor = site.begun()
        (code,) = site.rows("SELECT id FROM people")[0]
        page = visitor.get("/trials").decode()
        for section in ("instructions", "begin", "break", "ended", "trial"):
            content = re.search(rf'<main[^>]* id="{section}".*?</main>', page, re.DOTALL)[0]
            assert f'dir="ltr">{code}<' in content or f">{code}</span>" in content, section


def test_the_announced_number_of_trials_is_correct(tmp_path):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        announced = re.search(r"You will see (\d+) sets", site.visitor().get("/").decode())[1]
        visitor = site.begun()
        total = visitor.state()["total"]
        for position in range(int(announced)):
            assert visitor.answer(position)[0] == 200
        assert visitor.ask("GET", "/trials")[2] == "/done"
        assert int(announced) == total
        page = visitor.ask("GET", "/static/trials.js")[1].decode()
    assert "state.total - state.practice" not in page  # the progress bar counts practice too


def test_a_participant_of_prolific_is_refused_while_the_completion_link_is_missing(tmp_path):
    with open_study(make_study(tmp_path)) as site:
        status, content, _ = site.visitor().begin(PROLIFIC_PID="abc")
        assert (status, b"its completion link is missing" in content) == (503, True)
        status, content, _ = site.visitor().ask("GET", "/?PROLIFIC_PID=abc")  # before consent
        assert (status, b"its completion link is missing" in content) == (503, True)
        assert site.rows("SELECT * FROM people") == []


def test_a_participant_can_withdraw_on_each_page_and_leaves_no_answers(tmp_path):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        leaving, staying = site.begun(), site.begun()
        staying.answer(0)
        leaving.answer(0)
        copy_answers(folder)
        assert b'action="/withdraw"' in leaving.get("/trials")
        assert b'action="/withdraw"' in (staying.finish() and staying.get("/done"))
        status, page, _ = leaving.ask("POST", "/withdraw", "", FORM)
        assert (status, b"answers have been deleted" in page) == (200, True)
        assert leaving.answer(1)[0] == 410
        assert len(site.rows("SELECT id FROM people")) == 1
    assert len(read_rows(folder, "SELECT DISTINCT person FROM answers")) == 1
    (folder / COPY).replace(folder / FILE)
    assert len(read_rows(folder, "SELECT DISTINCT person FROM answers")) == 1
    with open_study(make_study(tmp_path / "other")) as site:
        assert site.visitor().ask("POST", "/withdraw", "", FORM)[0] == 410


def routes_of(site):
    """Return the method and path of each route of the application, without the `HEAD` of a `GET`."""
    application = server.Server(site.study, 60).app().app.app
    found = {
        (method, route.path) for route in application.routes for method in getattr(route, "methods", ["GET"])
    }
    return {(method, path) for method, path in found if method != "HEAD"}


def test_the_table_lists_every_route_of_the_server_and_of_its_documentation(site):
    documented = re.findall(r"^\| `(GET|POST) (/[^`]*)`(.*?)\|", server.__doc__, re.MULTILINE)
    paths = {(method, path.replace("KEY", "{key}")) for method, path, _ in documented}
    paths |= {
        ("GET", path)
        for _, _, more in documented
        for path in re.findall(r"`(/[^`]*)`", more.replace("KEY", "{key}"))
    }
    assert routes_of(site) == ROUTES.keys()
    assert paths | {("GET", "/static")} == ROUTES.keys()


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=" ".join)
def test_a_route_is_refused_without_what_it_needs(site, method, path):
    needed, refused = ROUTES[method, path]
    address = {"/image/{key}": "/image/0", "/static": "/static/trials.js"}.get(path, path)
    cookie = ("cookie", site.begun(workerId="W-routes")._cookie)
    token = ("authorization", f"Bearer {site.study.token}")
    given = {"nothing": [], "consent": [cookie, token], "the owner's token": [cookie]}
    with_less = raw(site, method, address, b"", given.get(needed, [token]))[0]
    assert with_less.status == (refused or 200)
    assert refused != 303 or with_less.headers["location"] == "/"


def test_knowing_a_platform_id_does_not_delete_the_answers(tmp_path):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        paid = site.begun(workerId="W1")
        for position in range(15):
            assert paid.answer(position)[0] == 200
        copy_answers(folder)
        attacker = site.begun(workerId="W1")  # needs the platform id alone
        assert b'action="/withdraw"' not in attacker.get("/trials")
        status, page, _ = attacker.ask("POST", "/withdraw", "", FORM)
        assert (status, b"send your code to the researchers" in page) == (403, True)
        assert site.rows("SELECT COUNT(*) FROM answers") == [(15,)]
        assert attacker.answer(15)[0] == 200
        assert attacker.ask("POST", "/withdraw", "", FORM)[0] == 403
        assert len(read_checked(folder)[0][0].answers) == 16


def test_starting_first_with_a_foreign_platform_id_does_not_delete_later_answers(tmp_path):
    with open_study(make_study(tmp_path)) as site:
        early, victim = site.begun(workerId="W1"), site.begun(workerId="W1")
        victim.answer(0)
        assert early.ask("POST", "/withdraw", "", FORM)[0] == 410
        assert early.begin(workerId="W1")[0] == 303
        assert early.ask("POST", "/withdraw", "", FORM)[0] == 403
        assert site.rows("SELECT COUNT(*) FROM answers") == [(1,)]


def test_the_browser_of_the_consent_withdraws_after_a_reload_and_after_another_browser_came(tmp_path):
    with open_study(make_study(tmp_path)) as site:
        somebody = site.begun(workerId="W1")
        somebody.answer(0)
        cookie = somebody._cookie
        fields = consent_form(somebody, "?workerId=W1")  # the link of the study
        assert somebody.begin(**fields)[0] == 303
        assert somebody._cookie == cookie
        site.begun(workerId="W1")
        assert somebody.answer(1)[0] == 410
        assert somebody.ask("POST", "/withdraw", "", FORM)[0] == 200
        assert site.rows("SELECT COUNT(*) FROM people") == [(0,)]


def test_the_owner_deletes_participants_who_used_two_browsers(tmp_path):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        site.begun(workerId="W1").answer(0)
        site.begun(workerId="W1").answer(1)
        assert forget(folder, "W1") == 2


def test_sessions_from_before_consent_tokens_withdraw_only_without_a_platform_id(tmp_path):
    with open_study(make_study(tmp_path)) as site:
        with_id, without_id = site.begun(workerId="W1"), site.begun()
        site.study.store.submit(lambda c: c.execute("UPDATE people SET consent_sha256 = NULL")).result()
        assert with_id.ask("POST", "/withdraw", "", FORM)[0] == 403
        assert without_id.ask("POST", "/withdraw", "", FORM)[0] == 200


def test_sizes_on_screen_are_stored_and_exported(tmp_path):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        visitor = site.begun()
        assert visitor.answer(0, screen="300x200 1280x800")[0] == 200
        assert visitor.answer(1)[0] == 200  # the size is optional
        assert visitor.answer(2, screen="large")[0] == 400
    records, problems = read_checked(folder)
    assert problems == []
    rows = list(csv.DictReader(io.StringIO(table_text(records))))
    assert [(row["image_on_screen"], row["window"]) for row in rows[:2]] == [
        ("300x200", "1280x800"),
        ("", ""),
    ]
    (person,) = csv.DictReader(io.StringIO(people_text(records)))
    assert person["consented"] <= rows[0]["received"]


def test_an_instructed_trial_states_the_position_of_its_correct_answer(site):
    visitor = site.begun()
    trials = read_trials(site.rows("SELECT trials FROM people ORDER BY slot DESC LIMIT 1")[0][0])
    for trial, shown in zip(trials, visitor.state()["trials"], strict=True):
        if trial.kind == "instructed":
            assert trial.order[shown["instruction"] - 1] == trial.correct
        else:
            assert shown["instruction"] is None


def test_starts_from_one_address_are_limited(tmp_path):
    with open_study(make_study(tmp_path), begins_per_minute=3) as site:
        assert [site.visitor().begin()[0] for _ in range(4)] == [303, 303, 303, 429]


def test_requests_of_one_participant_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "REQUESTS_PER_SECOND", 0)  # no refill on a slow machine
    with open_study(make_study(tmp_path)) as site:
        somebody = site.begun()
        statuses = [somebody.ask("GET", "/state")[0] for _ in range(server.REQUESTS_AT_ONCE + 1)]
    assert statuses == [200] * server.REQUESTS_AT_ONCE + [429]


def test_the_rate_limit_refills_and_forgets_the_oldest_peers(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("perceptinit_collect.limits.time.monotonic", lambda: now[0])
    limit = RateLimit(per_second=1, burst=2)
    assert [limit.allows("a") for _ in range(3)] == [True, True, False]
    assert limit.allows("b")
    now[0] = 1.0
    assert [limit.allows("a"), limit.allows("a")] == [True, False]
    monkeypatch.setattr(RateLimit, "MAX_KEYS", 3)
    for key in range(10):
        limit.allows(str(key))
    assert len(limit._buckets) == 3


def test_markup_in_texts_and_addresses_is_escaped(tmp_path):
    folder = make_study(tmp_path)
    for name in ("consent", "debrief", "question", "labels"):
        path = folder / f"texts/{name}.md"
        bad = "<script>alert(1)</script> [x](javascript:alert(1)) <img src=x onerror=alert(1)>"
        path.write_text(path.read_text().replace("I agree", "I <b>agree</b>") + bad)
    with open_study(folder) as site:
        somebody = site.begun(PROLIFIC_PID='"><script>')
        pages = [site.visitor().get("/?PROLIFIC_PID=%22%3E%3Cscript%3E"), somebody.get("/trials")]
        somebody.finish()
        pages.append(somebody.get("/done"))
    for page in pages:
        assert b"<script>" not in page
        assert b"<img src=x" not in page
        assert b'href="javascript' not in page
    assert b"&lt;b&gt;agree" in pages[0]


def test_file_names_with_markup_and_spaces_are_served_and_exported(tmp_path):
    folder = write_images(tmp_path / "in", 5)
    name = 'a "<b>&, ü.png'
    (folder / "00.png").rename(folder / name)
    create(folder, tmp_path / "study", default_design("2afc", 12, 12, False, 0), print)
    fill_blanks(tmp_path / "study")
    with open_study(tmp_path / "study") as site:
        site.begun().finish()
        _, table = owner(site, "/owner/export")
    rows = list(csv.DictReader(table.decode().splitlines()))
    assert any(name in (row["anchor"], row["first"], row["second"]) for row in rows)


def test_a_participant_from_a_platform_can_resume_in_any_browser(site):
    first = site.begun(workerId="5f0c1d2e")
    first.answer(0)
    second = site.begun(workerId="5f0c1d2e")
    assert second.state()["next"] == 1
    assert first.answer(1)[0] == 410  # the session continues in the other window
    assert second.answer(1)[0] == 200


def test_the_platform_id_of_the_address_is_kept_in_the_form(site):
    page = site.visitor().get("/?PROLIFIC_PID=abc&STUDY_ID=1&SESSION_ID=2").decode()
    assert '<input type="hidden" name="PROLIFIC_PID" value="abc">' in page
    for name, platform in people.PLATFORMS.items():
        site.begun(**{name: "somebody-7"})
        assert site.rows(f"SELECT COUNT(*) FROM people WHERE platform = '{platform}'")[0][0] >= 1


def test_a_platforms_id_is_not_stored_unless_the_study_asks(tmp_path):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        assert b"The ID itself is not stored" in site.visitor().get("/?workerId=private77")
        site.begun(workerId="private77")
    assert not any(b"private77" in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_the_completion_link_contains_the_platform_id_if_requested(tmp_path):
    url = "https://lab.sona-systems.example/credit?id=7&survey_code={platform_id}"
    folder = make_study(tmp_path, changes=[('completion_url = ""', f'completion_url = "{url}"')])
    with open_study(folder) as site:
        assert b"your ID on that platform, which we need to pay" in site.visitor().get("/?survey_code=4711")
        somebody = site.begun(survey_code="4711")
        assert b"sona-systems" not in somebody.get("/trials")
        somebody.finish()
        assert b"credit?id=7&amp;survey_code=4711" in somebody.get("/done")


def test_the_consent_names_a_platform_only_if_one_is_set_or_sent_the_participant(tmp_path):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        assert not re.search(rb"platform|Prolific|MTurk|Sona", site.visitor().get("/"))
        assert b"If a recruiting platform sent you here" in site.visitor().get("/?workerId=W1")
    settings = folder / "study.toml"
    settings.write_text(settings.read_text().replace('platform = ""', 'platform = "mturk"'))
    with open_study(folder) as site:
        assert b"If a recruiting platform sent you here" in site.visitor().get("/")


def status_of(site, host):
    connection = HTTPConnection(urlsplit(site.address).netloc, timeout=10)
    connection.putrequest("GET", "/", skip_host=True)
    connection.putheader("host", host)
    connection.endheaders()
    reply = connection.getresponse()
    return reply.status, reply.read()


def test_only_requests_for_the_address_of_the_study_or_of_this_machine_are_answered(tmp_path):
    folder = make_study(tmp_path, changes=[('address = ""', 'address = "Study.example.org"')])
    with open_study(folder) as site:
        for host in ("study.example.org", "localhost:8000", "127.0.0.1", "[::1]:80", "STUDY.example.org:443"):
            assert status_of(site, host)[0] == 200, host
        for host in (
            "evil.example",
            "127.0.0.1.evil.example",
            "study.example.org.evil.example",
            "10.0.0.1",
            "::1",
        ):
            status, content = status_of(site, host)
            assert (status, b"set [people] address in study.toml" in content) == (400, True), host


def test_the_host_to_listen_on_is_accepted_and_the_name_of_the_machine_if_it_is_open_to_all(
    site, monkeypatch
):
    monkeypatch.setattr("perceptinit_collect.serve.socket.gethostname", lambda: "Lab-PC")
    monkeypatch.setattr("perceptinit_collect.serve.Server", lambda study, begins, hosts: Accepted(hosts))
    assert make_server(site.study, host="Lab.example").config.app == {"lab.example"}
    assert make_server(site.study, host="0.0.0.0").config.app == {"0.0.0.0", "lab-pc"}


class Accepted:
    def __init__(self, hosts):
        self._hosts = hosts

    def app(self):
        return self._hosts


def test_an_address_with_a_path_is_refused(tmp_path):
    folder = make_study(tmp_path, changes=[('address = ""', 'address = "https://study.example.org"')])
    with pytest.raises(RecipeError, match="must be a host name"):
        read_settings(folder)


def test_an_mturk_preview_shows_the_consent_page_without_a_form(site):
    page = site.visitor().get("/?workerId=A1&assignmentId=ASSIGNMENT_ID_NOT_AVAILABLE")
    assert b"This is a preview" in page
    assert b"<form" not in page


def test_a_session_resumes_after_a_reload_and_ends_with_the_code(site):
    somebody = site.begun()
    somebody.answer(0)
    assert somebody.ask("GET", "/")[2] == "/trials"
    assert somebody.ask("GET", "/done")[2] == "/trials"
    assert somebody.state()["next"] == 1
    code = somebody.finish()
    assert somebody.ask("GET", "/trials")[2] == "/done"
    total = site.begun().state()["total"]
    assert forget(site.study.folder, code) == total


def test_a_closed_study_refuses_new_participants_and_lets_others_finish(tmp_path):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        somebody = site.begun(workerId="early")
        somebody.answer(0)
        close(folder)
        status, page, _ = site.visitor().ask("GET", "/")
        assert (status, b"This study is closed" in page) == (403, True)
        assert site.visitor().begin()[0] == 403
        assert site.visitor().begin(workerId="late")[0] == 403
        assert somebody.answer(1)[0] == 200
        again = site.visitor()
        assert again.ask("GET", "/?workerId=early")[0] == 200
        assert again.begin(workerId="early")[0] == 303
        assert again.state()["next"] == 2


def test_an_arabic_page_is_right_to_left_but_its_images_are_not(tmp_path):
    folder = make_study(tmp_path, changes=[('language = "en"', 'language = "ar"')])
    (folder / "texts/question.md").write_text("أيهما أشبه بالصورة في الإطار؟", encoding="utf-8")
    with open_study(folder) as site:
        page = site.begun().get("/trials").decode()
    assert '<html lang="ar" dir="rtl">' in page
    assert "أيهما أشبه" in page
    assert '<div id="places" dir="ltr">' in page


def test_the_status_reports_the_progress_and_cost_of_the_study(tmp_path):
    folder = make_study(
        tmp_path, changes=[("per_person = 0.0", "per_person = 2.0"), ("fee = 0.0", "fee = 0.25")]
    )
    with open_study(folder) as site:
        assert owner(site, "/owner/export")[0].status == 409
        site.begun().finish()
        site.begun().answer(0)
        reply, content = owner(site, "/owner/status")
        found = json.loads(content)
        summary = dict(found["summary"])
        assert reply.status == 200
        assert summary["participants"] == "2 started, 1 finished"
        assert summary["cost so far"] == "2.50 EUR (1 finished, fee included)"
        assert summary["trials per participant"] == (
            "26 (6 practice, 10 questions, 4 repeats, 2 catch, 4 instructed)"
        )
        assert [row[1] for row in found["people"]] == [found["people"][0][2], "1"]
        assert found["people"][1][-1] == "left after 1 of 26"
        assert summary["answers before stopping"] == "1"
        assert found["columns"][8:10] == ["began", "minutes"]


def test_random_requests_cause_no_server_error_and_reveal_no_data(site):
    """Random requests never give a 5xx status, a file, or the answer of another participant."""
    rng = random.Random(0)
    somebody = site.begun()
    before = site.rows("SELECT COUNT(*) FROM answers")
    secrets_ = [site.study.token.encode(), b"SQLite format", b"[design]"]
    parts = [
        "",
        "image",
        "static",
        "owner",
        "state",
        "answer",
        "begin",
        "..",
        "%2e%2e",
        "%00",
        "%ff",
        "ü".encode().hex(),
        "a" * 300,
    ]
    bodies = [b"", b"{}", b"[" * 2000, b'{"position": NaN}', b"\xff\xfe", b"agree=yes&" * 20, b'{"position":0,"place":1e400}',
              json.dumps({"position": {}, "place": [], "seconds": {}, "input": {}, "is_interrupted": {}}).encode()]  # fmt: skip
    for _ in range(400):
        method = rng.choice(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
        path = "/" + "/".join(rng.choices(parts, k=rng.randint(1, 4)))
        path = rng.choice([path, rng.choice(ADDRESSES)[1]]) + rng.choice(
            ["", "?", "?a=b&" * 30, "?PROLIFIC_PID=%00"]
        )
        headers = [
            (name, value)
            for name, value in (
                ("cookie", rng.choice([somebody._cookie, "session=" + "x" * 500, "session=;;;", "\x7f"])),
                ("content-type", rng.choice([JSON, FORM, "multipart/form-data; boundary=x", "?"])),
                ("authorization", rng.choice(["Bearer", "Bearer \x80", "Basic eDp4", "Bearer " + "t" * 100])),
                ("origin", site.address.rstrip("/")),
                ("range", rng.choice(["bytes=0-1", "bytes=9-1", "x"])),
            )
            if rng.random() < 0.5
        ]  # fmt: skip
        reply, content = raw(site, method, path, rng.choice(bodies), headers)
        assert reply.status < 500, (method, path, headers)
        assert not any(secret in content for secret in secrets_), (method, path)
    assert site.rows("SELECT COUNT(*) FROM answers") == before
    assert somebody.answer(0)[0] in (200, 429)


def test_the_process_of_the_owner_page_imports_no_module_from_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise ImportError")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"study\.toml"):
        run_aside("status", tmp_path / "absent")

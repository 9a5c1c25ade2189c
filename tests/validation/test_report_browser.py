"""The page in a real browser: no errors, nothing loaded, sortable, readable on a phone, light and dark."""

import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.support import ui

from estimators import EM
from tests.validation.studies import SCENARIOS, run_here
from validation import Study, assess
from validation.report.page import write_report
from validation.study.contenders import Contender
from validation.study.environment import environment

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs Debian's chromium and chromium-driver: apt-get install chromium-driver"
)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    names = ("separated_100", "few_rows", "hidden_confounder")
    study = Study(
        tuple(each for name, each in SCENARIOS.items() if name in names),
        (Contender("EM", EM(progress_bar=False), laplace=True),),
        replicates=2,
    )
    results = assess(study.plan(), run_here(study), environments=[environment()])
    path = tmp_path_factory.mktemp("report") / "index.html"
    write_report(results, path)
    return path.as_uri()


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    # Without a network, as on a train.
    driver.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    yield driver
    driver.quit()


def test_no_errors_and_nothing_loaded(browser, address):
    browser.get(address)
    assert browser.get_log("browser") == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.execute_script("return document.querySelectorAll('svg').length") > 20


def wait(browser, condition):
    ui.WebDriverWait(browser, 5).until(lambda _: condition())


def unfold(browser):
    browser.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")


def column(browser, place):
    rows = "[...document.querySelectorAll('[data-table=verdicts] tbody tr')]"
    return browser.execute_script(f"return {rows}.map(row => row.cells[{place}].dataset.sort)")


@pytest.mark.parametrize("by_keyboard", [False, True])
def test_a_click_or_a_key_on_a_heading_sorts(browser, address, by_keyboard):
    browser.get(address)
    unfold(browser)
    place = 5  # what was measured
    before, orders = column(browser, place), []
    for _ in range(2):
        button = browser.find_elements("css selector", "[data-table=verdicts] thead th button")[place]
        button.send_keys("\ue007") if by_keyboard else button.click()
        wait(browser, lambda: column(browser, place) != (orders or [before])[-1])
        head = browser.find_elements("css selector", "[data-table=verdicts] thead th")[place]
        orders.append(column(browser, place))
        numbers = [float(text) for text in orders[-1] if text]
        assert numbers == sorted(numbers, reverse=head.get_attribute("aria-sort") == "descending")
        assert orders[-1][: len(numbers)] == [text for text in orders[-1] if text]  # missing ones are last
    assert orders[0] != orders[1]


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_the_page_itself_never_scrolls_sideways(browser, address, width):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    )
    browser.get(address)
    unfold(browser)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_light_and_dark(browser, address):
    colours = set()
    for scheme in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        browser.get(address)
        colours.add(
            browser.execute_script(
                "const s = getComputedStyle; return s(document.body).backgroundColor + ' ' + "
                "s(document.querySelector('svg .title')).fill"
            )
        )
    assert len(colours) == 2


def test_a_square_leads_to_its_figures_even_where_they_are_folded(browser, address):
    browser.get(address)
    browser.execute_script("document.querySelectorAll('details').forEach(each => each.open = false)")
    square = browser.find_element("css selector", "[data-table=matrix] td a")
    square.send_keys("\ue007")  # by keyboard
    aim = square.get_attribute("href").split("#")[1]
    wait(browser, lambda: browser.execute_script(f"return !!document.querySelector('#{aim} svg').checkVisibility()"))
    top = f"return Math.abs(document.getElementById('{aim}').getBoundingClientRect().top) < innerHeight"
    wait(browser, lambda: browser.execute_script(top))


def test_unticked_verdicts_leave_the_table(browser, address):
    browser.get(address)
    unfold(browser)
    shown = "return [...document.querySelectorAll('[data-table=verdicts] tbody tr')].filter(r => r.offsetParent).length"
    before = browser.execute_script(shown)
    for verdict in ("PASS", "FAIL", "UNDERPOWERED"):
        browser.find_element("id", f"show-{verdict}").click()
    assert before > 0 == browser.execute_script(shown)


def test_a_table_is_copied_with_all_digits(browser, address):
    browser.get(address)
    unfold(browser)
    script = "navigator.clipboard.writeText = async text => { window.copied = text; }"
    browser.execute_script(script)
    browser.find_element("css selector", "#verdicts .copy").click()
    wait(browser, lambda: browser.execute_script("return !!window.copied"))
    head, first, *_ = browser.execute_script("return window.copied").split("\n")
    assert head.split("\t")[:2] == ["Verdict", "Scenario"] and head.count("\t") == first.count("\t")
    assert column(browser, 5)[0] in first.split("\t")


def test_tables_scroll_by_keys_and_what_has_the_focus_is_seen(browser, address):
    browser.get(address)
    assert browser.execute_script("return [...document.querySelectorAll('.wide')].every(e => e.tabIndex === 0)")
    browser.find_element("css selector", "body").send_keys("\ue004")
    focused = "const e = document.activeElement; return [e.className, getComputedStyle(e).outlineStyle]"
    assert browser.execute_script(focused) == ["skip", "solid"]


def test_paper_is_light(browser, address):
    media = {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get(address)
    ink = browser.execute_script("return getComputedStyle(document.body).color")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert ink == "rgb(28, 31, 36)"

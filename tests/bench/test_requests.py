"""The requests are what the API takes, from the VMs that the bench made."""

from defib_api.ingest.report import decode
from defib_dev.bench import fleet, requests

HEAD_END = b"\r\n\r\n"


def test_every_report_is_one_that_the_api_accepts_and_changes_no_state() -> None:
    for number in (0, 1, 59, 60, 99_999):
        head, _, body = requests.report(number, "the-key").partition(HEAD_END)
        report = decode(body)
        assert report.hostname == fleet.hostname_of(number)
        assert report.vmid == fleet.vmid_of(number)
        assert report.node == fleet.node_of(number)
        assert report.cpu_usage < 80
        assert report.ram_usage < report.ram_total * 0.9
        assert f"Content-Length: {len(body)}".encode() in head
        assert b"X-API-Key: the-key" in head


def test_reports_come_from_all_vms_in_an_order_that_is_the_same_each_time() -> None:
    order = requests.shuffled(1000)
    assert sorted(order) == list(range(1000))
    assert order != sorted(order)
    assert order == requests.shuffled(1000)

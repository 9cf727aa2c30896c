import zipfile
from io import BytesIO

from organome.phantoms.delivery.cohort import Visit
from organome.phantoms.delivery.ukb_delivery import encode_archive, encode_manifest


def test_the_manifest_is_as_odd_as_the_real_one(visit: Visit) -> None:
    series = ("1.2.3", "Dixon_noBH_F")
    lines = encode_manifest(visit, {"b.dcm": series, "a.dcm": series}).decode().splitlines()
    assert lines[0].split(",")[-1] == "series discription"
    assert lines[1] == "a.dcm,1234567,1.2.3,Jan 05, 2015,Dixon_noBH_F"
    assert len(lines[2].split(",")) == len(lines[0].split(",")) + 1


def test_members_come_back_sorted() -> None:
    members = {"b.dcm": bytes(1000), "a.dcm": b"1", "manifest.cvs": b"2"}
    with zipfile.ZipFile(BytesIO(encode_archive(members))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a.dcm", "b.dcm", "manifest.cvs"]
        assert {name: archive.read(name) for name in members} == members


def test_the_order_in_which_members_came_does_not_show() -> None:
    members = {"b.dcm": b"2", "a.dcm": b"1"}
    assert encode_archive(members) == encode_archive(dict(sorted(members.items())))


def test_no_member_has_a_date() -> None:
    with zipfile.ZipFile(BytesIO(encode_archive({"a.dcm": b"1"}))) as archive:
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


def test_an_archive_without_members_is_valid() -> None:
    with zipfile.ZipFile(BytesIO(encode_archive({}))) as archive:
        assert archive.namelist() == []

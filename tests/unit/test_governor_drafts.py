"""A draft goes from officer to officer: all sign the same bytes, and know what they say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_governor.cli import main
from flopgate_governor.desk.pkcs11_keys import KeyUri
from flopgate_governor.files import Layout, write_secret
from flopgate_governor.orders.drafts import Draft, read_draft, replace_draft, write_draft
from flopgate_governor.orders.trust_form import read_root, root_text
from flopgate_governor.orders.words import in_words
from flopgate_proto.codec import encode_order
from flopgate_proto.errors import ConfigError, ForgedError
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.values import Order
from tests.support import further_orders, orders
from tests.support.fixed import OFFICER_KEYS

EXPIRES_UNIX_MS = 9_000_000_000_000
ORDERS: tuple[Order, ...] = (
    orders.trust_root(),
    orders.delegation(),
    orders.policy(),
    orders.pause(),
    orders.pause(lapse_ms=5, emergency=True),
    orders.resume(),
    orders.reconciliation(),
    orders.ruling(),
    *further_orders.ALL,
)


def draft(tmp_path: Path, order: Order | None = None) -> Path:
    path = tmp_path / "draft.json"
    write_draft(path, Draft.of(order or orders.resume(), EXPIRES_UNIX_MS))
    return path


def key_file(tmp_path: Path, number: int) -> Path:
    path = tmp_path / f"officer-{number}.pem"
    if not path.exists():
        write_secret(path, OFFICER_KEYS[number].pem())
    return path


def approve(tmp_path: Path, path: Path, number: int, digest: str | None = None) -> int:
    digest = read_draft(path).digest.hex()[:32] if digest is None else digest
    key = str(key_file(tmp_path, number))
    return main(["order", "approve", str(path), "--key", key, "--digest", digest])


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
def test_every_order_is_told_in_words_and_comes_back_from_its_file(
    tmp_path: Path, order: Order
) -> None:
    path = draft(tmp_path, order)
    assert read_draft(path).order == order
    lines = in_words(order)
    assert order.authority in lines[0]
    assert len(lines) > 1


def test_a_policy_in_words_is_its_rules_and_no_hints_to_who_edits_a_form() -> None:
    title, version, first, *_ = in_words(orders.policy())
    assert title.startswith("A policy, for ")
    assert (version, first.split(" = ")[0]) == ("version 1", "  capacity_basis")


def test_spans_are_told_in_units_that_officers_think_in() -> None:
    assert "lapses after 3d of running time" in in_words(orders.pause(lapse_ms=259_200_000))
    week = replace(orders.delegation(), span_ms=604_800_000)
    assert "for 7d of each gate's running time" in in_words(week)


def test_a_moment_past_the_calendars_end_is_told_in_milliseconds_once() -> None:
    lines = in_words(further_orders.approval(not_before_unix_ms=1, not_after_unix_ms=COUNT_MAX))
    assert f"from 1970-01-01 00:00:00 UTC and 1 ms to {COUNT_MAX} ms" in lines


def test_law_6_approvals_over_the_same_bytes_make_a_quorum(tmp_path: Path) -> None:
    path = draft(tmp_path)
    assert approve(tmp_path, path, 0) == 0
    with pytest.raises(ForgedError):
        orders.trust().verify(read_draft(path).envelope)
    assert approve(tmp_path, path, 1) == 0
    verified = orders.trust().verify(read_draft(path).envelope)
    assert verified.order == orders.resume()


def test_law_6_one_key_approves_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = draft(tmp_path)
    approve(tmp_path, path, 0)
    assert approve(tmp_path, path, 0) == 2
    assert "draft.approved" in capsys.readouterr().err
    assert len(read_draft(path).signatures) == 1


def test_law_6_an_approval_of_other_bytes_counts_for_nothing(tmp_path: Path) -> None:
    path = draft(tmp_path)
    approve(tmp_path, path, 0)
    signed = read_draft(path)
    _, payload = encode_order(orders.resume(lifts=(bytes(32),)))
    replace_draft(path, replace(signed, payload=payload))
    approve(tmp_path, path, 1)
    with pytest.raises(ForgedError):
        orders.trust().verify(read_draft(path).envelope)


def test_law_6_digits_that_two_orders_can_share_do_not_say_that_it_was_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two drafts with the same first 64 bits cost their proposer some 2**32 nonces."""
    path = draft(tmp_path)
    assert approve(tmp_path, path, 0, read_draft(path).digest.hex()[:31]) == 2
    told = capsys.readouterr().err
    assert "draft.digest: 31 digits of the draft's digest were given, 32 are needed" in told
    assert "not the bytes" not in told, "nobody forged anything"
    assert not read_draft(path).signatures


@pytest.mark.parametrize("typed", ["", "abc", "0" * 32])
def test_who_did_not_read_the_digest_signs_nothing(
    tmp_path: Path, typed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = draft(tmp_path)
    assert approve(tmp_path, path, 0, typed) == 2
    assert "draft.digest" in capsys.readouterr().err
    assert not read_draft(path).signatures


def test_an_expired_draft_is_neither_signed_nor_submitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "old.json"
    write_draft(path, Draft.of(orders.resume(), 1_000))
    assert approve(tmp_path, path, 0) == 2
    assert main(["order", "submit", str(path), "--dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("draft.expired") == 2


def test_a_draft_that_nobody_signed_is_not_submitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = draft(tmp_path)
    assert main(["order", "submit", str(path), "--dir", str(tmp_path)]) == 2
    assert "draft.unsigned" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document | {"more": 1},
        lambda document: document | {"payload": "#"},
        lambda document: document | {"signatures": 5},
        # A key id is shown: it must not move the cursor over what the order says.
        lambda document: document | {"signatures": [{"keyid": "\x1b[5Apause", "sig": "AAAA"}]},
        lambda document: document | {"signatures": [{"keyid": "AB" * 32, "sig": "AAAA"}]},
        lambda document: document | {"expires_unix_ms": "soon"},
        lambda document: [document],
        str,
    ],
)
def test_what_is_no_draft_is_refused(tmp_path: Path, change: object) -> None:
    path = draft(tmp_path)
    if not callable(change):
        raise TypeError
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ConfigError, match=r"draft\.malformed"):
        read_draft(path)


def test_show_says_who_must_sign_and_what_waits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "gov"
    assert main(["init", str(root), "--authority", orders.trust_root().authority]) == 0
    pinned = capsys.readouterr().out.split("trust root ")[1].split()[0]
    assert main(["order", "trust", "--dir", str(root)]) == 0
    told = capsys.readouterr().out.splitlines()[0]
    assert told.endswith(f"pin it as the first trust root: {pinned}")
    foreign = draft(tmp_path)
    assert main(["order", "show", str(foreign), "--dir", str(root)]) == 0
    assert f"of ANOTHER authority: the id here is {pinned}" in capsys.readouterr().out.splitlines()
    foreign.unlink()
    path = draft(tmp_path, orders.resume(authority_id=bytes.fromhex(pinned)))
    key = str(Layout(root).officers / "officer-2.pem")
    digest = read_draft(path).digest.hex()
    assert main(["order", "approve", str(path), "--key", key, "--digest", digest]) == 0
    capsys.readouterr()
    assert main(["order", "show", str(path), "--dir", str(root)]) == 0
    said = capsys.readouterr().out
    assert digest in said
    assert "role resume: 2 officers sign" in said
    assert "of: officer-2" in said
    assert "loosens: 1 pause is lifted" in said


def test_a_trust_root_comes_back_from_its_form(tmp_path: Path) -> None:
    root = orders.trust_root()
    path = tmp_path / "trust.toml"
    path.write_text(root_text(root))
    assert read_root(path, orders.trust()) == orders.trust_root(version=2)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("threshold = 2", "threshold = 4", "4"),
        ('"officer-0"', '"nobody"', "no officer"),
        ("threshold = 1", 'threshold = "one"', "threshold"),
        ("[roles.root]", "[roles.rot]", "rot"),
        ('key = "', 'key = "#', "base64"),
    ],
)
def test_a_form_that_nobody_could_live_by_is_refused(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    text = root_text(orders.trust_root())
    assert old in text
    path = tmp_path / "trust.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=told):
        read_root(path, orders.trust())


@pytest.mark.parametrize("role", ["pause", "resume", "root"])
def test_a_quorum_that_no_officers_can_make_up_is_named_with_its_line(
    tmp_path: Path, role: str
) -> None:
    root = orders.trust_root()
    lines = root_text(root).splitlines()
    at = lines.index(f"[roles.{role}]") + 1
    lines[at] = "threshold = 9"
    path = tmp_path / "trust.toml"
    path.write_text("\n".join(lines))
    where = rf"trust\.toml:{at + 1}: role {role} takes 9, 3 officers hold it"
    with pytest.raises(ConfigError, match=where):
        read_root(path, orders.trust())


def test_two_keys_of_one_officer_are_no_quorum_of_two(tmp_path: Path) -> None:
    root = orders.trust_root()
    lines = root_text(root).splitlines()
    at = lines.index("[roles.root]") + 1
    lines[at : at + 2] = ["threshold = 2", f'officers = ["{root.keys[0].name}"]']
    path = tmp_path / "trust.toml"
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=rf":{at + 1}: role root takes 2, 1 officer holds it"):
        read_root(path, orders.trust())


@pytest.mark.parametrize(
    "text",
    [
        "pkcs11:",
        "pkcs11:token=a;object=b",
        "pkcs11:token=a;object=b?module-path=",
        "pkcs11:token=a;object=b;token=c?module-path=m",
        "pkcs11:token=a;object=b?module-path=m&pin-value=1234",
    ],
)
def test_what_names_no_key_in_a_token_is_refused(text: str) -> None:
    """A PIN in the URI would stand in the process list."""
    with pytest.raises(ConfigError, match=r"pkcs11\.uri"):
        KeyUri.parse(text)


def test_a_key_in_a_token_is_named_by_its_uri() -> None:
    found = KeyUri.parse("pkcs11:token=my%20card;object=ann?module-path=/m.so&pin-source=/pin")
    assert (found.token, found.object, found.module) == ("my card", "ann", "/m.so")
    assert found.pin_source == Path("/pin")

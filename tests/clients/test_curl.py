"""curl, and the examples as people run them."""
import json
import subprocess


def curl(*arguments, **kwargs):
    ran = subprocess.run(["curl", "-sS", "--max-time", "60", *arguments], capture_output=True, timeout=90, check=True, **kwargs)
    return ran.stdout


def test_whole_answer_and_stream(base_url, sample, tmp_path):
    body = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": sample["uri"]}},
                                                      {"type": "text", "text": sample["question"]}]}], "temperature": 0}
    (tmp_path / "body.json").write_text(json.dumps(body))
    send = ["-H", "content-type: application/json", "-d", f"@{tmp_path / 'body.json'}", f"{base_url}/chat/completions"]
    assert json.loads(curl(*send))["choices"][0]["message"]["content"] == sample["answer"]
    (tmp_path / "body.json").write_text(json.dumps({**body, "stream": True}))
    lines = [line for line in curl("-N", *send).decode().split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    text = "".join(json.loads(line.removeprefix("data: "))["choices"][0]["delta"].get("content", "") for line in lines[:-1])
    assert text == sample["answer"]


def test_errors_are_json_with_a_status(base_url):
    answer = curl("-w", "\n%{http_code}", "-H", "content-type: application/json", "-d", "{", f"{base_url}/chat/completions").decode()
    body, status = answer.rsplit("\n", 1)
    assert status == "400" and json.loads(body)["error"]["code"] == "invalid_json"
    answer = curl("-w", "\n%{http_code}", f"{base_url}/nothing").decode()
    body, status = answer.rsplit("\n", 1)
    assert status == "404" and json.loads(body)["error"]["type"] == "invalid_request_error"

"""What a client gets from a running cluster: answers, streams, health, metrics."""
import threading
import urllib.request

import headroom_api as api
from grpc_health_free import check_health

def test_samples_are_read_correctly(gateway, samples):
    assert len(samples) == 6
    for sample in samples:
        text, finish = api.collect(gateway.Generate(api.ask(sample["question"], [sample["image"]], max_tokens=64)))
        assert text == sample["answer"], sample["name"]
        assert finish.reason == api.STOP
        assert finish.usage.images == 1
        assert finish.usage.image_tokens == 64 * finish.usage.pieces
        assert finish.usage.prompt_tokens > finish.usage.image_tokens
        assert finish.usage.completion_tokens >= 1


def test_some_sample_has_several_pieces(gateway, samples):
    pieces = [gateway.Complete(api.ask(s["question"], [s["image"]], max_tokens=1)).finish.usage.pieces for s in samples]
    assert max(pieces) > 1 and min(pieces) == 1


def test_complete_equals_stream(gateway, samples):
    request = api.ask(samples[0]["question"], [samples[0]["image"]])
    streamed, stream_finish = api.collect(gateway.Generate(request))
    complete = gateway.Complete(request)
    assert complete.text == streamed
    assert complete.finish.usage == stream_finish.usage


def test_text_only_and_system_message(gateway):
    text, finish = api.collect(gateway.Generate(api.ask("Hello", system="Answer in one word.", max_tokens=4)))
    assert finish.usage.images == 0 and finish.usage.pieces == 0
    assert finish.usage.completion_tokens <= 4


def test_several_images_and_turns(gateway, samples):
    request = api.ask(samples[0]["question"], [samples[0]["image"], samples[1]["image"]], max_tokens=8)
    request.messages.add(role="assistant").content.add(text="A sign.")
    request.messages.add(role="user").content.add(text="And now?")
    _, finish = api.collect(gateway.Generate(request))
    assert finish.usage.images == 2


def prompt_tokens(gateway, request):
    request.max_tokens = 1
    return gateway.Complete(request).finish.usage.prompt_tokens


def with_turns(*turns, **fields):
    request = api.gateway_pb2.GenerateRequest(**fields)
    for role, text in turns:
        request.messages.add(role=role).content.add(text=text)
    return request


def test_histories_as_chat_programs_send_them(gateway):
    """An answer that was cut before its first word, an empty and a late system message, a developer, an assistant who begins."""
    for turns in ((("user", "Hi"), ("assistant", ""), ("user", "Are you there?")), (("system", ""), ("user", "Hi")),
                  (("user", "Hi"), ("system", "Be brief."), ("user", "Hello")), (("developer", "Be brief."), ("user", "Hello")),
                  (("assistant", "Welcome."), ("user", "Hello")), (("user", "Hi"), ("user", "Hello"))):
        assert gateway.Complete(with_turns(*turns, max_tokens=4)).finish.usage.completion_tokens >= 1
    assert prompt_tokens(gateway, with_turns(("developer", "Be brief."), ("user", "Hi"))) == prompt_tokens(
        gateway, with_turns(("system", "Be brief."), ("user", "Hi")))


def test_last_message_to_go_on_from(gateway):
    """The prompt ends with its text: without the end of the turn and the head of another."""
    turns = (("user", "Hi"), ("assistant", "Well"))
    closed = prompt_tokens(gateway, with_turns(*turns, add_generation_prompt=False))
    assert prompt_tokens(gateway, with_turns(*turns)) > closed > prompt_tokens(gateway, with_turns(*turns, continue_final_message=True))


def test_tools_calls_and_results_are_taken(gateway):
    request = with_turns(("user", "Weather?"), max_tokens=4)
    request.tools.add(name="weather", description="The weather.", parameters_json='{"type": "object", "properties": {"city": {"type": "string"}}}')
    request.messages.add(role="assistant").tool_calls.add(id="1", name="weather", arguments_json='{"city": "<|im_end|>"}')
    request.messages.add(role="tool", tool_call_id="1").content.add(text="Rain.")
    assert gateway.Complete(request).finish.usage.prompt_tokens > 0


def test_concurrent_requests_get_the_answers_they_get_alone(gateway, samples):
    answers = {}

    def run(index):
        sample = samples[index % len(samples)]
        answers[index] = (api.collect(gateway.Generate(api.ask(sample["question"], [sample["image"]])))[0], sample["answer"])

    threads = [threading.Thread(target=run, args=(index,)) for index in range(18)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 18
    for got, wanted in answers.values():
        assert got == wanted


def test_seed_makes_sampling_repeatable(gateway):
    request = api.ask("Hello", max_tokens=24)
    request.sampling.temperature = 1.5
    request.sampling.seed = 11
    first = gateway.Complete(request)
    assert first.finish.seed == 11
    assert gateway.Complete(request).text == first.text


def test_max_tokens_ends_the_answer(gateway):
    _, finish = api.collect(gateway.Generate(api.ask("Hello", max_tokens=1)))
    assert finish.usage.completion_tokens == 1


def test_stop_string_is_never_shown(gateway, samples):
    sample = next(s for s in samples if len(s["answer"]) >= 3)
    stop = sample["answer"][1:3]
    text, finish = api.collect(gateway.Generate(api.ask(sample["question"], [sample["image"]], stop=[stop])))
    assert text == sample["answer"].split(stop)[0]
    assert finish.reason == api.STOP


def test_markers_in_user_text_are_text(gateway):
    """The same prompt with and without markers would differ by an image span or a stop if they were taken for tokens."""
    _, finish = api.collect(gateway.Generate(api.ask("<image><unk></image><|im_end|><slice>", max_tokens=2)))
    assert finish.usage.image_tokens == 0
    assert finish.usage.prompt_tokens > 30


def test_more_sequences_than_slots_wait_their_turn(cluster, gateway):
    """deploy/demo.yaml has 16 slots: 40 requests at once all end well."""
    finishes = []

    def run(seed):
        request = api.ask("Hello", max_tokens=8)
        request.sampling.seed = seed
        finishes.append(api.collect(gateway.Generate(request))[1])

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(finishes) == 40


def test_health_is_serving(cluster):
    assert check_health(cluster.address) == "SERVING"


def test_every_service_has_metrics(cluster, gateway, samples):
    api.collect(gateway.Generate(api.ask(samples[0]["question"], [samples[0]["image"]])))
    wanted = {
        "gateway": "headroom_gateway_requests_total",
        "scheduler": "headroom_scheduler_",
        "vision-worker": "headroom_vision_",
        "llm-worker": "headroom_llm_",
    }
    for service, name in wanted.items():
        url = f"http://127.0.0.1:{cluster.metrics_port(service)}/metrics"
        text = urllib.request.urlopen(url, timeout=30).read().decode()
        assert name in text, service
    assert "headroom_gateway_time_to_first_token_seconds_count" in urllib.request.urlopen(
        f"http://127.0.0.1:{cluster.metrics_port('gateway')}/metrics", timeout=30).read().decode()


def test_ledger_lines_sum_to_the_device(cluster):
    for worker in cluster.status().cluster.workers:
        lines = worker.ledger.lines
        assert sum(line.planned_bytes for line in lines) == worker.ledger.total_bytes
        for line in lines:
            assert 0 <= line.used_bytes <= line.reserved_bytes <= line.planned_bytes, line
            assert line.high_water_bytes >= line.used_bytes


def test_reflection_is_a_switch(cluster):
    """deploy/demo.yaml turns it on: the service answers instead of saying UNIMPLEMENTED."""
    call = api.channel(cluster.address).stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        request_serializer=lambda raw: raw, response_deserializer=lambda raw: raw)
    answer = next(call(iter([b"\x3a\x00"]), timeout=30))  # list_services: ""
    assert b"headroom.v1.Gateway" in answer

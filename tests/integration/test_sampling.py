"""Sampling through the public API: logprobs, penalties, bias, stop ids and several choices, on the demo model."""
import math

import headroom_api as api
import pytest
from grpc import RpcError, StatusCode


def greedy(sample, **fields):
    request = api.ask(sample["question"], [sample["image"]], **{"max_tokens": 24, **fields})
    request.sampling.temperature = 0
    return request


def texts(logprobs):
    return b"".join(token.text for token in logprobs).decode()


def test_logprobs_stand_beside_the_text(gateway, samples):
    for sample in samples:
        answer = gateway.Complete(greedy(sample, logprobs=5))
        choice = answer.choices[0]
        assert choice.text == answer.text == sample["answer"] == texts(choice.logprobs)
        # The stop id is no text.
        assert len(choice.logprobs) == answer.finish.usage.completion_tokens - 1
        for token in choice.logprobs:
            assert len(token.top) == 5
            assert token.top[0].token == token.token and token.top[0].logprob == token.logprob  # greedy
            ordered = [other.logprob for other in token.top]
            assert ordered == sorted(ordered, reverse=True)
            assert 0.99 < sum(map(math.exp, ordered)) <= 1 + 1e-5  # the demo model is certain of what it says


def test_streamed_logprobs_come_with_their_text(gateway, samples):
    whole = gateway.Complete(greedy(samples[0], logprobs=0))
    shown, told = "", []
    for piece in gateway.Generate(greedy(samples[0], logprobs=0)):
        shown += piece.text_delta
        told += piece.logprobs
        assert shown.startswith(texts(told))
    assert told == list(whole.choices[0].logprobs)


def test_logprobs_are_the_models_own(gateway, samples):
    """Bias, penalties and temperature change what is drawn, not what is told."""
    plain = gateway.Complete(greedy(samples[0], logprobs=1, max_tokens=1)).choices[0].logprobs[0]
    request = greedy(samples[0], logprobs=1, max_tokens=1)
    request.sampling.logit_bias[plain.token] = -100
    request.sampling.repetition_penalty = 1.5
    other = gateway.Complete(request).choices[0].logprobs[0]
    assert other.token != plain.token
    assert other.top[0].token == plain.token
    assert other.top[0].logprob == pytest.approx(plain.logprob, abs=1e-5)
    assert other.logprob < plain.logprob


def test_prompt_logprobs_cover_the_prompt(gateway, samples):
    answer = gateway.Complete(greedy(samples[0], prompt_logprobs=2, max_tokens=2))
    assert len(answer.prompt_logprobs) == answer.finish.usage.prompt_tokens
    told = [position for position in answer.prompt_logprobs if position.top]
    assert len(told) == answer.finish.usage.prompt_tokens - answer.finish.usage.image_tokens - 1
    assert not answer.prompt_logprobs[0].top
    assert all(position.logprob <= position.top[0].logprob for position in told)
    assert samples[0]["question"] in texts(answer.prompt_logprobs)


def test_bias_and_stop_ids(gateway, samples):
    first = gateway.Complete(greedy(samples[0], logprobs=0)).choices[0].logprobs
    stopped = gateway.Complete(greedy(samples[0], stop_token_ids=[first[1].token]))
    assert stopped.text == first[0].text.decode()
    assert stopped.finish.reason == api.STOP
    request = greedy(samples[0], max_tokens=6)
    request.sampling.logit_bias[first[0].token] = 100
    assert gateway.Complete(request).text == first[0].text.decode() * 6


def test_answers_that_go_on(gateway, samples):
    """min_tokens and ignore_eos: past where the model would end."""
    usual = gateway.Complete(greedy(samples[0])).finish.usage.completion_tokens
    longer = gateway.Complete(greedy(samples[0], min_tokens=usual + 3, max_tokens=usual + 9))
    assert longer.finish.usage.completion_tokens >= usual + 3
    endless = gateway.Complete(greedy(samples[0], ignore_eos=True, max_tokens=usual + 9))
    assert endless.finish.usage.completion_tokens == usual + 9
    assert endless.text.startswith(samples[0]["answer"])


def test_penalties_end_repetition(gateway):
    def loop(**sampling):
        request = api.ask("Hello", ignore_eos=True, max_tokens=60, logprobs=0)
        request.sampling.temperature = 0
        for name, value in sampling.items():
            setattr(request.sampling, name, value)
        ids = [token.token for token in gateway.Complete(request).choices[0].logprobs]
        return len(set(ids))

    plain = loop()
    assert loop(frequency_penalty=2) > plain
    assert loop(presence_penalty=2) >= plain


def test_choices_are_each_their_own(gateway, samples):
    request = api.ask(samples[0]["question"], [samples[0]["image"]], max_tokens=16, n=4, logprobs=0, ignore_eos=True)
    request.sampling.temperature = 2
    request.sampling.seed = 5
    answer = gateway.Complete(request)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert len({choice.text for choice in answer.choices}) > 1
    assert answer.finish.usage.completion_tokens == 4 * 16
    # Again, and the first alone: the same.
    assert [choice.text for choice in gateway.Complete(request).choices] == [choice.text for choice in answer.choices]
    request.n = 1
    assert gateway.Complete(request).text == answer.choices[0].text


def test_greedy_choices_agree(gateway, samples):
    answer = gateway.Complete(greedy(samples[1], n=3))
    assert [choice.text for choice in answer.choices] == [samples[1]["answer"]] * 3
    assert answer.text == samples[1]["answer"]


@pytest.mark.parametrize("fields, words", [({"n": 17}, "n is 17"), ({"logprobs": 21}, "logprobs is 21"),
                                           ({"min_tokens": 25}, "min_tokens is 25"),
                                           ({"stop_token_ids": [-1]}, "stop_token_ids: id -1")])
def test_out_of_range(gateway, samples, fields, words):
    with pytest.raises(RpcError) as refused:
        gateway.Complete(greedy(samples[0], **fields))
    assert refused.value.code() == StatusCode.INVALID_ARGUMENT
    assert words in refused.value.details()

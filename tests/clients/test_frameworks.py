"""Frameworks that people build on, each by the call that it makes by default."""
import asyncio

import openai

MODEL = "demo"


def test_langchain(base_url, sample):
    from langchain_core.messages import HumanMessage
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(base_url=base_url, api_key="none", model=MODEL, temperature=0, max_retries=0, use_responses_api=False)
    message = HumanMessage([{"type": "image_url", "image_url": {"url": sample["uri"]}}, {"type": "text", "text": sample["question"]}])
    answer = chat.invoke([message])
    assert answer.content == sample["answer"]
    assert answer.usage_metadata["input_tokens"] > 0
    assert "".join(chunk.content for chunk in chat.stream([message])) == sample["answer"]


def test_litellm(base_url, sample):
    import litellm

    messages = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": sample["uri"]}},
                                             {"type": "text", "text": sample["question"]}]}]
    for provider in ("openai", "hosted_vllm"):
        answer = litellm.completion(model=f"{provider}/{MODEL}", api_base=base_url, api_key="none", messages=messages, temperature=0,
                                    num_retries=0)
        assert answer.choices[0].message.content == sample["answer"]
    chunks = litellm.completion(model=f"openai/{MODEL}", api_base=base_url, api_key="none", messages=messages, temperature=0, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == sample["answer"]


def agents_client(base_url):
    return openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0)


def test_openai_agents(base_url, sample):
    from agents import Agent, ModelSettings, OpenAIResponsesModel, Runner

    agent = Agent(name="reader", instructions="Read.", model_settings=ModelSettings(temperature=0),
                  model=OpenAIResponsesModel(model=MODEL, openai_client=agents_client(base_url)))
    question = [{"role": "user", "content": [{"type": "input_image", "image_url": sample["uri"], "detail": "auto"},
                                             {"type": "input_text", "text": sample["question"]}]}]

    # One event loop: the client keeps its connections.
    async def both():
        whole = await Runner.run(agent, question)
        run = Runner.run_streamed(agent, question)
        async for _ in run.stream_events():
            pass
        return whole, run.final_output

    whole, streamed = asyncio.run(both())
    assert whole.final_output == streamed and whole.raw_responses[0].usage.input_tokens > 0


def test_pydantic_ai(base_url, sample):
    from pydantic_ai import Agent, ImageUrl
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.settings import ModelSettings

    for kind in (OpenAIResponsesModel, OpenAIChatModel):
        # A client and an event loop of its own each.
        provider = OpenAIProvider(openai_client=agents_client(base_url))
        agent = Agent(kind(MODEL, provider=provider), model_settings=ModelSettings(temperature=0))
        result = agent.run_sync([sample["question"], ImageUrl(url=sample["uri"])])
        assert isinstance(result.output, str) and result.usage.input_tokens > 0

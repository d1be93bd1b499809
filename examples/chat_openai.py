"""Asks about a picture with the `openai` package, and prints the answer as it comes: chat_openai.py PICTURE QUESTION"""
import base64
import os
import pathlib
import sys

import openai

picture, question = sys.argv[1:]
client = openai.OpenAI(base_url=os.environ.get("HEADROOM_URL", "http://127.0.0.1:7720") + "/v1", api_key="none")
uri = "data:;base64," + base64.b64encode(pathlib.Path(picture).read_bytes()).decode()
stream = client.chat.completions.create(
    model=client.models.list().data[0].id,
    messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": uri}}, {"type": "text", "text": question}]}],
    temperature=0, stream=True)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()

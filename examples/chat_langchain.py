"""Asks about a picture with langchain-openai: chat_langchain.py PICTURE QUESTION"""
import base64
import os
import pathlib
import sys

from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI

picture, question = sys.argv[1:]
chat = ChatOpenAI(base_url=os.environ.get("HEADROOM_URL", "http://127.0.0.1:7720") + "/v1", api_key="none", model=os.environ.get("HEADROOM_MODEL", "demo"),
                  temperature=0)
uri = "data:;base64," + base64.b64encode(pathlib.Path(picture).read_bytes()).decode()
print(chat.invoke([HumanMessage([{"type": "image_url", "image_url": {"url": uri}}, {"type": "text", "text": question}])]).content)

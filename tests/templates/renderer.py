"""Our interpreter: one process that renders a template for each line it reads."""
import json
import os
import pathlib
import subprocess

from oracle import NOW

TEMPLATE, CALLER = 0, 1


class Renderer:
    def __init__(self):
        program = pathlib.Path(os.environ["HEADROOM_BINARY_DIR"]) / "bin" / "headroom-template"
        self.process = subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")

    def ask(self, request):
        self.process.stdin.write(json.dumps(request, ensure_ascii=False) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"headroom-template ended with {self.process.wait()} on {request!r}"
        return json.loads(line)

    def render(self, template, context):
        """(text, runs, None), or (None, None, message). runs: [(end in bytes, origin)]."""
        answer = self.ask({"template": template, "context": context, "now": NOW})
        if "error" in answer:
            return None, None, answer["error"]
        return answer["text"], answer["runs"], None

    def load(self, template):
        """None, or why a model with this template is refused."""
        answer = self.ask({"template": template, "load": True})
        return answer.get("error")

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0

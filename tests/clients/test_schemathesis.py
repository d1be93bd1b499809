"""/openapi.json against the server that wrote it: what the schema allows is answered as it says, what it does not is refused."""
import pathlib
import subprocess
import sys


def test_what_the_schema_says(base_url, tmp_path):
    root = base_url.removesuffix("/v1")
    program = pathlib.Path(sys.executable).parent / "schemathesis"
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    ran = subprocess.run([program, "run", f"{root}/openapi.json", "--url", root, "-n", "60", "--checks", checks, "--seed", "1",
                          "--request-timeout", "60", "--no-color"], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    print(ran.stdout[-6000:])
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]

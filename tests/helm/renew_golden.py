#!/usr/bin/env python3
"""Writes golden/: what the chart renders from values/. Look at the difference before you commit it: build/venv/bin/python tests/helm/renew_golden.py"""
from chart import HERE, VALUE_SETS, golden_text

if __name__ == "__main__":
    for stale in (HERE / "golden").glob("*.yaml"):
        if stale.stem not in VALUE_SETS:
            stale.unlink()
    for name in VALUE_SETS:
        (HERE / "golden" / f"{name}.yaml").write_text(golden_text(name))
        print(name)

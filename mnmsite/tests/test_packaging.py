"""The files that are derived from pyproject.toml, and the matrix of the test suite."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tools.requirements import render

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOW = (ROOT / ".github/workflows/ci.yml").read_text()


def constant(name):
    """Return a constant of noxfile.py, which cannot be imported without nox."""
    for node in ast.parse((ROOT / "noxfile.py").read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return ast.literal_eval(node.value)
    raise LookupError(name)


def classified(prefix):
    return {name.removeprefix(prefix) for name in PROJECT["classifiers"] if re.match(rf"{prefix}\d+\.\d+$", name)}


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-test.txt", "requirements-docs.txt"])
def test_requirements_are_those_of_pyproject(name):
    assert (ROOT / name).read_text() == render(PROJECT)[name], "run `make requirements`"


def test_what_is_classified_is_in_the_matrix():
    assert classified("Programming Language :: Python :: ") <= set(constant("PYTHONS"))
    assert classified("Framework :: Django :: ") <= set(constant("DJANGOS"))


def test_make_test_runs_every_folder_of_tests():
    makefile = (ROOT / "Makefile").read_text()
    variables = dict(re.findall(r"^(\w+) := (.*)$", makefile, re.MULTILINE))
    makefile = re.sub(r"\$\((\w+)\)", lambda name: variables.get(name[1], name[0]), makefile)
    given = {path for line in re.findall(r"-m pytest (.*)", makefile) for path in line.split() if "=" not in path}
    for path in ROOT.glob("[!.]*/**/test_*.py"):
        folders = {parent.relative_to(ROOT).as_posix() for parent in path.parents if parent.is_relative_to(ROOT)}
        assert folders & given or "benchmarks" in folders, f"{path} is in no target of the Makefile"


def test_the_workflow_has_a_job_for_each_python_of_the_matrix():
    (pythons,) = re.findall(r"^ +python: \[(.*)\]$", WORKFLOW, re.MULTILINE)
    assert [python.strip('" ') for python in pythons.split(",")] == list(constant("PYTHONS"))


def test_the_environment_that_make_creates_has_a_pip_of_its_own(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    make = ["make", "--quiet", f"PYTHON={sys.executable}", ".venv/bin/python"]
    subprocess.run(make, cwd=tmp_path, check=True, capture_output=True)
    path = f"{tmp_path}/.venv/bin{os.pathsep}{os.environ['PATH']}"
    answer = subprocess.run(["pip", "--version"], env={**os.environ, "PATH": path}, check=True, capture_output=True)
    assert f"{tmp_path}/.venv/lib" in answer.stdout.decode()

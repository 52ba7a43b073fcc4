"""Compile the catalogues of translations when the package is built. All else about it is in pyproject.toml."""

from setuptools import setup
from setuptools.command.build import build


class BuildWithTranslations(build):
    """The build, after Babel's command `compile_catalog`, which writes a .mo file next to each .po file."""

    sub_commands = [("compile_catalog", None), *build.sub_commands]


setup(cmdclass={"build": BuildWithTranslations})

"""What of the installation needs code: the page is built before the packages are collected.  The rest: pyproject.toml.

The page has a sub-command of its own, because in editable installs setuptools turns an exception in a
customised `build_py` into a warning, and pip then says "Successfully installed" without a page.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import ClassVar

from setuptools import Command, setup
from setuptools.command.build import build
from setuptools.command.sdist import sdist
from setuptools.errors import ExecError

sys.path.insert(0, str(Path(__file__).resolve().parent / "build_tools"))  # a build backend does not see its own folder

import page  # noqa: E402


class BuildPage(Command):
    """Builds the plugin's page into the package; a failure ends the installation."""

    description = "build the TensorBoard plugin's page"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = []
    editable_mode = False

    def initialize_options(self) -> None:
        self.build_lib: str | None = None

    def finalize_options(self) -> None:
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    def run(self) -> None:
        try:
            page.build()
        except page.PageBuildError as error:
            raise ExecError(str(error)) from error
        if self.build_lib:  # chunks of an earlier page have other names, and would stay in the wheel
            shutil.rmtree(Path(self.build_lib) / page.BUNDLE.parent.name / page.BUNDLE.name, ignore_errors=True)

    # The bundle reaches the wheel as package data of `build_py`; this command itself adds no files.
    def get_source_files(self) -> list[str]:
        return []

    def get_outputs(self) -> list[str]:
        return []

    def get_output_mapping(self) -> dict[str, str]:
        return {}


class Build(build):
    sub_commands = [("build_page", None), *build.sub_commands]


class SourceDistribution(sdist):
    """Ships the built page beside its sources."""

    def run(self) -> None:
        self.run_command("build_page")
        super().run()


setup(cmdclass={"build": Build, "build_page": BuildPage, "sdist": SourceDistribution})

"""What pyproject.toml cannot say: the folder configs/ travels inside the package."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["jrepose*"]), "jrepose.configs"],
    package_dir={"jrepose.configs": "configs"},
)

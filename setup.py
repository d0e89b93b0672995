"""What pyproject.toml cannot say: the folder configs/ travels inside the package, and so does
weights/, which has no module."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["jrepose*"]), "jrepose.weights", "jrepose.configs"],
    package_dir={"jrepose.configs": "configs"},
)

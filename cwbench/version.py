"""The version of the package, for modules that must not import its face."""

VERSION = "0.2.0"

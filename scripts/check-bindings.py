#!/usr/bin/env python3
"""Checks that each language reaches every call of the header (written with the bindings)."""

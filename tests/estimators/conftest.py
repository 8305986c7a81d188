"""Signals as a terminal sends them."""

import signal

import pytest


@pytest.fixture
def ctrl_c():
    """SIGINT as a terminal has it; what runs in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)

"""Connect to a Ray cluster or start one on this machine, and restore the state of this process afterwards."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray._private import ray_constants, services
from ray._private.authentication.authentication_utils import is_token_auth_enabled
from ray._raylet import Config, GcsClient  # type: ignore[attr-defined]
from ray.exceptions import AuthenticationError, RayError

from geoseg.engine.ray_cluster.nodes import node_info, probe
from geoseg.errors import SettingsError
from geoseg.signals import keep_sigterm

AUTH_VARIABLE = "RAY_AUTH_MODE"
TOKEN, OPEN = "token", "disabled"
_SET_BY_RAY = (AUTH_VARIABLE, "PYTHONBREAKPOINT")
"""Variables that Ray sets at its start and does not remove."""
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to a cluster, or start one that ends with the context.

    Args:
        address: ``local``, ``auto``, ``HOST:PORT`` or ``ray://HOST:PORT``.

    Raises:
        SettingsError: If no cluster answers at the address, or it refuses this process.
    """
    # The report names failures. Ray would print them again, for the second value of a unit, which is never fetched.
    with _environment(RAY_IGNORE_UNHANDLED_ERRORS="1"):
        if ray.is_initialized() or _join(address):
            yield
            return
        with _environment(**dict.fromkeys(_SET_BY_RAY)):
            try:
                _start()
                yield
            finally:
                ray.shutdown()
        Config.initialize("")  # reads the variables again: they configure the next cluster


def node_info_with_authentication(
    paths: Sequence[str], output: str, scratch_dir: str | None, device: str | None
) -> dict[str, Any]:
    """The answer of `geoseg.engine.ray_cluster.nodes.node_info`, with the authentication mode of the node."""
    return {**node_info(paths, output, scratch_dir, device), "authentication": _authentication_mode()}


def check_authentication(answers: Mapping[str, Mapping[str, Any] | str]) -> None:
    """Compare the authentication mode of the nodes with that of this process; with different modes actors die at once.

    Args:
        answers: By name of the node: the answer of `node_info_with_authentication`, or why there is none.

    Raises:
        SettingsError: If a node has another mode.
    """
    here = _authentication_mode()
    for name, answer in answers.items():
        if isinstance(answer, str) or answer["authentication"] == here:
            continue
        there = answer["authentication"]
        token = " (that variable or ~/.ray/auth_token says so)" if here == TOKEN else ""
        raise SettingsError(
            f"Node {name} runs with {AUTH_VARIABLE}={there}, this process with {here}{token}: its actors would die. "
            f"Set {AUTH_VARIABLE}={there} where you start geoseg, or start the cluster with {AUTH_VARIABLE}={here}."
        )


def _join(address: str) -> bool:
    """Connect to an existing cluster; False if one must be started."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "auto")
    if address == "local":
        return False
    try:
        probe(_find(address))
        with keep_sigterm():
            ray.init(address, **_QUIET)
    except (OSError, ValueError) as error:
        _require_no_refusal(address)
        if address != "auto":
            raise SettingsError(
                f"No Ray cluster answers at {address}: {' '.join(str(error).split())}. "
                "Start one with `ray start --head`, or set run.address=local."
            ) from error
        return False
    return True


def _find(address: str) -> str:
    """Address of the cluster. For ``auto`` it comes from a file, which may be left from a head that was killed.

    Raises:
        OSError: If there is no such file.
    """
    return str(services.canonicalize_bootstrap_address_or_die(address)) if address == "auto" else address


def _require_no_refusal(address: str) -> None:
    """Check whether a cluster that cannot be joined exists and requires another token.

    Raises:
        SettingsError: If it does.
    """
    if address.startswith("ray://"):
        return
    try:
        address = _find(address)
        probe(address)
        GcsClient(address=address)
    except AuthenticationError as error:
        here = "another token" if _authentication_mode() == TOKEN else f"{AUTH_VARIABLE}={OPEN}"
        raise SettingsError(
            f"The Ray cluster at {address} wants its token, and this process has {here}. Set {AUTH_VARIABLE}={TOKEN} "
            "and RAY_AUTH_TOKEN to the cluster's token where you start geoseg, or run.address=local to start a Ray of "
            "its own."
        ) from error
    except (OSError, RayError, ValueError):
        return


def _start() -> None:
    """Start a Ray that only this machine can reach."""
    usage = os.environ.get("RAY_USAGE_STATS_ENABLED", "0")
    enabled = ray_constants.ENABLE_RAY_CLUSTER
    # Otherwise Ray replaces 127.0.0.1 by the machine's address, which other machines can reach.
    with keep_sigterm(), _environment(RAY_USAGE_STATS_ENABLED=usage, RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0"):
        ray_constants.ENABLE_RAY_CLUSTER = False
        try:
            ray.init("local", include_dashboard=False, _node_ip_address="127.0.0.1", **_QUIET)
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = enabled


@contextmanager
def _environment(**values: str | None) -> Iterator[None]:
    """Set environment variables whose value is not None; restore all of them at the end."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: value for name, value in values.items() if value is not None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _authentication_mode() -> str:
    return TOKEN if is_token_auth_enabled() else OPEN

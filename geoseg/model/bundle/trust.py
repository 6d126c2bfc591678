"""Checks before an artifact is loaded: its digest, and the permission to run code."""

from pathlib import Path

from geoseg.errors import SettingsError
from geoseg.model.bundle.bundle import CODE_BEARING, Bundle, read_bundle
from geoseg.model.bundle.files import digest, read_files


def read_trusted_bundle(path: str | Path, *, trust_code: bool = False, sha256: str | None = None) -> Bundle:
    """Read a bundle for use, without loading its artifact.

    Args:
        path: The directory.
        trust_code: Permission to load an artifact that can run code.
        sha256: The only digest that is accepted, in lower case; None accepts any.

    Raises:
        SettingsError: If the bundle is not valid, has another digest, or can run code without permission.
    """
    bundle = read_bundle(path).model_copy(update={"trusts_code": trust_code})
    if sha256 not in (None, bundle.sha256):
        raise SettingsError(
            f"{path} has the sha256 {bundle.sha256}, but model_sha256={sha256} is asked for. Restore the bundle, or "
            "set model_sha256 to the new digest if you trust it."
        )
    _require_permission(bundle)
    return bundle


def read_artifact(bundle: Bundle) -> dict[str, bytes]:
    """Read the files of a bundle on the node that loads it, and verify the digest from the start of the run.

    The returned bytes are the hashed bytes, so a file that is replaced in between cannot be loaded.

    Raises:
        SettingsError: If the artifact can run code without permission, or a file has changed or differs on this node.
    """
    _require_permission(bundle)
    files = read_files(bundle.path, bundle.file.artifact)
    sha256 = digest(files)
    if sha256 != bundle.sha256:
        raise SettingsError(
            f"{bundle.artifact} or its model.json has changed since the run began, or differs on this node: sha256 "
            f"{sha256}, expected {bundle.sha256}. Give every node the same bundle and start again."
        )
    return files


def _require_permission(bundle: Bundle) -> None:
    if bundle.file.artifact in CODE_BEARING and not bundle.trusts_code:
        raise SettingsError(
            f"{bundle.artifact} was not loaded: the loader of this format can run code that the file holds. Give "
            "--trust-model-code (trust_model_code: true) if you trust whoever made it, or export the model to ONNX."
        )

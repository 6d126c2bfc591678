"""One run from settings to report: scenes are surveyed, planned, segmented and published."""

from functools import partial
from pathlib import Path

from rich.console import Console

from geoseg.config import Settings
from geoseg.engine.scheduler import Order
from geoseg.model.bundle.trust import read_trusted_bundle
from geoseg.plan.run_plan import make_plan
from geoseg.plan.survey import check_output, survey
from geoseg.run.execute import Job, execute
from geoseg.run.report import Report


def segment(settings: Settings, console: Console | None = None, order: Order = iter) -> Report:
    """Segment scenes and publish their class maps and polygons.

    Calling this again resumes an interrupted run: finished work is not repeated.

    Args:
        settings: See `geoseg.config.Settings`.
        console: Shows the progress; default: none.
        order: Orders the blocks of a scene; tests shuffle it. It does not change the results.

    Returns:
        The report, also written to ``<output>/runs/<run_id>/report.json``. It names the scenes that failed.

    Raises:
        SettingsError: If the run cannot start with these settings, or another run uses the output.
        Interrupted: If the process received SIGINT or SIGTERM.
        ClusterError: If no node is left that could do the work.
        LockLostError: If another run has taken over the output.
        OutputError: If the output cannot be read or written.
    """
    console = console or Console(quiet=True)
    bundle = read_trusted_bundle(settings.model, trust_code=settings.trust_model_code, sha256=settings.model_sha256)
    surveyed = survey(settings, bundle)

    def prepare() -> Job:
        checked = check_output(surveyed)
        files = [*(file for scene, _ in checked.scenes for file in scene.files), str(bundle.artifact)]
        return Job(
            checked.warnings,
            [str(Path(file).resolve()) for file in files],
            partial(make_plan, checked),
            has_work=bool(checked.scenes),
        )

    return execute(settings.output, settings.run, prepare, console, order)

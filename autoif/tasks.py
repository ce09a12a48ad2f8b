"""What ``run.py`` does with a checked configuration: run it, plan it, write its report, export its data."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from autoif.config import Launch, RunConfig, Task
from autoif.errors import AutoifError, ConfigError
from autoif.pipeline import build
from autoif.requirements import Requirement, requirements
from autoif.stage import Stage
from autoif.store import Manifest, Store, StoreError, write_atomically


def dispatch(config: RunConfig, overrides: Sequence[str] = ()) -> None:
    """Do ``config.task``; progress and results go to standard output. ``overrides``: the command line that made it.

    Raises:
        AutoifError: for whatever the user can mend.
    """
    if config.task.kind is Task.import_:
        from autoif.interchange.importing import import_file

        print(*import_file(config), sep="\n")
        return
    if config.task.kind is Task.doctor:
        from autoif import doctor

        found = doctor.examine(config)
        print(doctor.as_json(found) if config.task.json else doctor.as_text(found))
        return
    if config.task.kind in (Task.evaluate, Task.compare):  # no training run stands behind these
        from evaluation import command, pairing

        (command.evaluate if config.task.kind is Task.evaluate else pairing.compare)(config)
        return
    stages, store = build(config), Store(Path(config.paths.store))
    match config.task.kind:
        case Task.plan:
            _plan(config, stages, store, overrides)
        case Task.run:
            _run(config, stages, store)
        case Task.report:
            _report(config, stages, store)
        case Task.export:
            _export(config, stages, store)
        case Task.inspect:
            _inspect(config, stages, store)
        case Task.contamination:
            _contamination(config, stages, store)


def _plan(config: RunConfig, stages: Sequence[Stage], store: Store, overrides: Sequence[str]) -> None:
    from autoif.planning import show

    print(show(config, stages, store))
    if needed := _needed(config, stages, store):
        print("\nNeeded before it can run:", *(f"  {need.text}" for need in needed), sep="\n")
    if config.launch is not Launch.none:
        _launch(config, stages, store, overrides)


def _launch(config: RunConfig, stages: Sequence[Stage], store: Store, overrides: Sequence[str]) -> None:
    from autoif.planning.launching import launch_files, write_launch_files

    files = launch_files(config, stages, store, overrides)
    if config.launch is Launch.write:
        print("\nWritten:", *(f"  {path}" for path in write_launch_files(config, files)), sep="\n")
        return
    for name, text in files.items():
        print(f"\n── {name}\n{text}", end="")


def _run(config: RunConfig, stages: Sequence[Stage], store: Store) -> None:
    from autoif.engines import Engines
    from autoif.stage import run_stage
    from autoif.tracking import tracker
    from evaluation.command import leave

    if needed := _needed(config, stages, store):
        raise ConfigError("; ".join(need.text for need in needed))
    store.check_writable()
    _write_config(config)
    width = max(len(stage.title) for stage in stages)
    try:
        with Engines(config) as engines, tracker(config.tracking, config) as tracking:
            for stage in stages:
                found = stage.entry(store).done
                with tracking.watch(stage, stage.entry(store)):
                    manifest = run_stage(stage, store, engines)
                print(f"{stage.title:<{width}}  {_summary(manifest, found)}", flush=True)
                tracking.log_stage(stage, manifest, stage.entry(store))
        leave(config, stages, store)
    except AutoifError:
        # What is done, and the funnel that led here, is what the user wants to see now.
        with suppress(AutoifError):
            _report(config, stages, store)
        raise
    _report(config, stages, store)


def _report(config: RunConfig, stages: Sequence[Stage], store: Store) -> None:
    from autoif import report

    print(f"report: {report.write(config, stages, store)}")


def _export(config: RunConfig, stages: Sequence[Stage], store: Store) -> None:
    from autoif.interchange.export import export_run

    for path, count in export_run(config, stages, store).items():
        print(f"{path}: {count:,} rows")


def _inspect(config: RunConfig, stages: Sequence[Stage], store: Store) -> None:
    from autoif import browser
    from autoif.engines import Engines

    with Engines(config) as engines:
        written = browser.write(config, stages, store, engines)
    found = f" ({written.found:,} of them written before)" if written.found else ""
    print(f"{written.records:,} records{found}: open {written.page.resolve().as_uri()}")


def _contamination(config: RunConfig, stages: Sequence[Stage], store: Store) -> None:
    from autoif.engines import Engines
    from evaluation import contamination_task

    with Engines(config) as engines:
        found = contamination_task.check(config, stages, store, engines)
    print(contamination_task.as_json(found) if config.task.json else contamination_task.render(found))


def _needed(config: RunConfig, stages: Sequence[Stage], store: Store) -> list[Requirement]:
    """Requirements of the stages that are still to run."""
    missing = [stage for stage in stages if not stage.entry(store).done]
    roles = {role for stage in missing for role in stage.engines}
    return [need for need in requirements(config) if missing and (not need.engine or need.engine in roles)]


def _summary(manifest: Manifest, found: bool) -> str:
    """``48 kept, 3 rejected (duplicate 3), 1.2 s``."""
    text = f"{manifest.kept:,} kept"
    if manifest.rejected:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in manifest.rejected.items())
        text += f", {sum(manifest.rejected.values()):,} rejected ({reasons})"
    return f"{text}, found in the store" if found else f"{text}, {manifest.seconds:.1f} s"


def _write_config(config: RunConfig) -> None:
    """Leave the resolved configuration beside the report."""
    from autoif.border import dump

    folder = Path(config.paths.runs, config.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "config.yaml", dump(config).encode())
    except OSError as error:
        raise StoreError(f"cannot write to {folder} ({error.strerror}): free space there or set paths.runs") from None

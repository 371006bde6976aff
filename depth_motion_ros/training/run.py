"""A training run: from a recipe and sources to a weights file, checkpoints, curves and a report."""

from __future__ import annotations

import json
import logging
import shutil
import signal
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only

from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import Weights, weights_of
from depth_motion_ros.training.callbacks import CheckpointKeeper, StepBar
from depth_motion_ros.training.checkpoint import SafetensorsCheckpointIO, newest_checkpoint
from depth_motion_ros.training.data.datamodule import PairData, TrainingData
from depth_motion_ros.training.data.resident import ResidentFrames
from depth_motion_ros.training.guards import TrainingStoppedError
from depth_motion_ros.training.module import DepthMotionModule, DepthValidator
from depth_motion_ros.training.recipe import Recipe, RecipeError
from depth_motion_ros.training.report import write_report
from depth_motion_ros.training.run_folder import FAST_DEV_RUN, RunFolder
from depth_motion_ros.training.stages import check_architecture, join_motion
from depth_motion_ros.training.stop_request import StopRequest, TrainingInterrupted

FRAMES = ("auto", "loader", "device")
# Of the memory that is free on a GPU, what frames may take of it.
_DEVICE_SHARE = 0.25
_LIGHTNINGS_LOGS = (
    "lightning.pytorch.utilities.rank_zero",
    "lightning.pytorch.trainer.connectors.checkpoint_connector",
)
# Advertising, and words about what is as it should be; there is no switch against them.
_NOISE = ("Tip: For seamless cloud", "TPU available: False", "`weights_only` was not set")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunOptions:
    """Where and on what a run takes place; nothing here changes what is learned but rounding.

    out: the run's folder. resume: go on from its newest checkpoint. devices, nodes, accelerator,
    precision: as Lightning's Trainer takes them; precision "auto" is bf16-mixed on a GPU that has
    it, else 32-true. workers: loader processes. frames: where recorded frames lie, "loader" (read
    and cut out by the loader processes), "device" (all of them on the training device), or "auto":
    on a GPU where they fit, else with the loader. fast_dev_run: one step of everything, in a folder
    of its own inside ``out``. deterministic: only deterministic kernels on a GPU (slower).
    parent: weights to start from. motion_parent: weights to start MotionNet from, in place of the
    parent's; see ``stages``.
    licence: of the resulting weights.
    """

    out: Path
    resume: bool = False
    devices: int = 1
    nodes: int = 1
    accelerator: str = "auto"
    precision: str = "auto"
    workers: int = 2
    frames: str = "auto"
    fast_dev_run: bool = False
    deterministic: bool = False
    progress: bool = True
    parent: Weights | None = None
    motion_parent: Weights | None = None
    licence: str = "as the training data's"


def train(
    recipe: Recipe,
    data: TrainingData,
    options: RunOptions,
    depth_validator: DepthValidator | None = None,
) -> Path:
    """Train, and return the path of the weights file in ``options.out``.

    Raises RecipeError for a recipe that does not fit the data or the checkpoint, and for a folder
    that holds another run; TrainingStoppedError where the run cannot go on; OSError where files
    cannot be written. SIGINT and SIGTERM end the run after the step in hand, with a checkpoint, as
    KeyboardInterrupt and SystemExit.
    """
    folder, stop = RunFolder(options.out), StopRequest()
    if options.fast_dev_run:
        if options.resume:
            raise RecipeError("--fast-dev-run tries a new run; leave out --resume")
        recipe, folder = recipe.with_steps(1), RunFolder(options.out / FAST_DEV_RUN)
        if _is_first_process():
            shutil.rmtree(folder.path, ignore_errors=True)
    # The first process holds the folder for all of them.
    held = folder.held(options.resume) if _is_first_process() else nullcontext()
    try:
        with stop.listening(), held:
            return _train(recipe, data, options, depth_validator, folder, stop)
    except TrainingInterrupted:
        raise _interrupted(folder, stop) from None


def _is_first_process() -> bool:
    return not getattr(rank_zero_only, "rank", 0)


def _interrupted(folder: RunFolder, stop: StopRequest) -> BaseException:
    """Say what was kept; what the program is to end with."""
    if _is_first_process():
        kept = newest_checkpoint(folder.checkpoints)
        if kept is None:
            _log.info("interrupted before the first step: nothing was kept")
        else:
            _log.info("interrupted; %s is kept: go on with --resume", kept)
    if stop.signal == signal.SIGINT:
        return KeyboardInterrupt()
    return SystemExit(128 + (stop.signal or 0))


def _train(
    recipe: Recipe,
    data: TrainingData,
    options: RunOptions,
    depth_validator: DepthValidator | None,
    folder: RunFolder,
    stop: StopRequest,
) -> Path:
    checkpoint = folder.start(options.resume)
    if recipe.triangulated.unit > 0 and checkpoint is None and options.parent is None:
        raise RecipeError(
            "triangulated.unit keeps the unit of length of the weights a run starts from, and "
            "there are none; name them with --weights, or leave the key at 0"
        )
    network = initial_network(recipe, options.parent)
    if options.motion_parent is not None:
        join_motion(network, options.motion_parent, recipe, data)
    resident = _resident(recipe, data, options)
    loaders = PairData(recipe, data, options.workers, resident)
    module = DepthMotionModule(
        network,
        recipe,
        data.simulator,
        data.simulated_per_step,
        depth_validator,
        loaders.pairs.sources if resident and loaders.pairs is not None else (),
    )
    for name in _LIGHTNINGS_LOGS:
        logging.getLogger(name).addFilter(_is_no_noise)
    trainer = _trainer(recipe, options, bool(data.validation), folder, stop)
    if trainer.is_global_zero:
        folder.recipe.write_text(recipe.to_yaml(), encoding="utf-8")
    try:
        trainer.fit(module, datamodule=loaders, ckpt_path=checkpoint)
    except TrainingStoppedError as error:
        last = newest_checkpoint(folder.checkpoints)
        where = f"the last good checkpoint is {last}" if last else "no checkpoint was written yet"
        raise TrainingStoppedError(f"{error}; {where}") from error
    return _finish(trainer, module, loaders, data, options, folder)


def _resident(recipe: Recipe, data: TrainingData, options: RunOptions) -> bool:
    """Whether recorded frames are to live on the training device.

    Raises RecipeError where that is asked for and cannot be.
    """
    if options.frames not in FRAMES:
        raise RecipeError(f"frames must be one of {', '.join(FRAMES)}, got {options.frames!r}")
    sources = [frames for group, _ in data.recorded for frames in group]
    if options.frames == "loader" or not sources:
        return False
    smallest = min(recipe.size_at(0), recipe.size_at(recipe.schedule.steps))
    serves = ResidentFrames.serves(sources, smallest, recipe.augment.min_crop)
    if options.frames == "device":
        if not serves:
            raise RecipeError(
                "frames cannot live on the device: there are masks, or frames are larger than the "
                f"training size {smallest[0]}x{smallest[1]}; prepare them smaller (depth_motion "
                "prepare --width), or use --frames loader"
            )
        return True
    if options.accelerator not in ("auto", "gpu", "cuda") or not torch.cuda.is_available():
        return False
    taken = ResidentFrames.taken(sources, recipe.data.recorded != "images")
    free, _ = torch.cuda.mem_get_info()
    return serves and taken < _DEVICE_SHARE * free


def _is_no_noise(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not any(text in message for text in _NOISE)


def initial_network(recipe: Recipe, parent: Weights | None = None) -> DepthMotionNet:
    """The network a run starts from: new by the recipe's seed, or with the weights of a parent.

    Raises RecipeError where the parent is of another architecture.
    """
    torch.manual_seed(recipe.seed)
    network = DepthMotionNet(recipe.network.config())
    if parent is None:
        with torch.no_grad():
            network.motion_net.rotation_scale.fill_(recipe.network.rotation_scale)
            network.motion_net.translation_scale.fill_(recipe.network.translation_scale)
    else:
        check_architecture(parent, recipe)
        network.load_state_dict(parent.tensors)
    return network


def _learned_from(data: TrainingData, options: RunOptions) -> list[str]:
    """Names of everything that the weights or their parents have seen, each once."""
    parents = [p for p in (options.parent, options.motion_parent) if p is not None]
    before = [p.metadata.get("trained_on", f"whatever {p.version} saw") for p in parents]
    names = [name for text in before for name in text.split(", ")] + data.names
    return list(dict.fromkeys(names))


def _training_unit(recipe: Recipe, data: TrainingData, options: RunOptions) -> dict[str, str]:
    """The unit of length, where ground truth has set one, now or before."""
    exact = data.simulator is not None and recipe.data.supervision != "none"
    if exact and recipe.exact.metric > 0:
        return {"unit": f"{recipe.exact.unit:g}"}
    known = options.parent.metadata.get("unit") if options.parent else None
    return {} if known is None else {"unit": known}


def _parents(options: RunOptions) -> str:
    parents = [p.version for p in (options.parent, options.motion_parent) if p is not None]
    return " + ".join(parents) or "none"


def _trainer(
    recipe: Recipe, options: RunOptions, validate: bool, folder: RunFolder, stop: StopRequest
) -> Trainer:
    record = recipe.record
    parallel = options.devices * options.nodes > 1
    callbacks: list[Callback] = []
    if not options.fast_dev_run:
        callbacks.append(
            CheckpointKeeper(folder, record.checkpoint_every, record.keep_checkpoints, stop)
        )
    if options.progress:
        callbacks.append(StepBar())
    return Trainer(
        accelerator=options.accelerator,
        devices=options.devices,
        num_nodes=options.nodes,
        # While the residual field is off, the part of the network that draws it is left out.
        strategy=DDPStrategy(find_unused_parameters=True) if parallel else "auto",
        precision=_precision(options),  # type: ignore[arg-type]
        # Steps end a run: with a limit on epochs one that has finished could not be given more.
        max_epochs=-1,
        max_steps=recipe.schedule.steps,
        plugins=[SafetensorsCheckpointIO()],
        callbacks=callbacks,
        enable_checkpointing=not options.fast_dev_run,
        logger=TensorBoardLogger(
            folder.path, name="", version=folder.curves.name, default_hp_metric=False
        ),
        log_every_n_steps=record.scalars_every,
        val_check_interval=min(record.validate_every, recipe.schedule.steps),
        limit_val_batches=None if validate else 0,
        num_sanity_val_steps=0,
        fast_dev_run=1 if options.fast_dev_run else False,
        use_distributed_sampler=False,
        deterministic=options.deterministic,
        # All steps have one size: the time to choose the quickest convolutions is soon won back.
        benchmark=not options.deterministic,
        enable_progress_bar=options.progress,
        enable_model_summary=options.progress,
    )


def _precision(options: RunOptions) -> str:
    if options.precision != "auto":
        return options.precision
    on_gpu = options.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported() else "32-true"


def _finish(
    trainer: Trainer,
    module: DepthMotionModule,
    loaders: PairData,
    data: TrainingData,
    options: RunOptions,
    folder: RunFolder,
) -> Path:
    """Validate, and write the weights, the results and the report (rank 0 only)."""
    results: dict[str, Any] = {}
    if data.validation:
        results = by_sequence(trainer.validate(module, datamodule=loaders, verbose=False)[0])
    if not trainer.is_global_zero:
        return folder.weights
    recipe, step = module.recipe, trainer.global_step
    weights = weights_of(
        module.result,
        version=f"{options.out.resolve().name}-{step}",
        parent=_parents(options),
        **_training_unit(recipe, data, options),
        trained_on=", ".join(_learned_from(data, options)),
        licence=options.licence,
        recipe=recipe.to_yaml(),
    )
    weights.to_file(folder.weights)
    text = json.dumps(results, indent=1, sort_keys=True)
    folder.validation.write_text(text + "\n", encoding="utf-8")
    write_report(folder.report, module, loaders, folder.curves, results)
    return folder.weights


def by_sequence(results: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """``validation/NAME/metric`` keys as nested mappings: by sequence, then by metric.

    ``validation/metric`` goes under ``mean``.
    """
    nested: dict[str, dict[str, float]] = {}
    for key, value in results.items():
        name, _, metric = key.removeprefix("validation/").rpartition("/")
        nested.setdefault(name or "mean", {})[metric] = float(value)
    return nested

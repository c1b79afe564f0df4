"""The training loop."""

import json
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from sciode.core.checkpoint import load_checkpoint, save_checkpoint
from sciode.core.errors import InputError
from sciode.core.files import write_text
from sciode.core.progress import Bar, progress
from sciode.core.random import derive_seed
from sciode.nn.sharded import gathered, local, spread_like, whole
from sciode.nn.tensors import load_tensors, module_tensors
from sciode.train.config import FitConfig
from sciode.train.ema import Average
from sciode.train.errors import DivergedError
from sciode.train.objective import Objective
from sciode.train.plan import Plan, weight_groups
from sciode.train.schedule import learning_rate
from sciode.train.sharding import shard
from sciode.train.state import LOSS, Progress, check_same, restore, run_tensors
from sciode.train.task import TaskObjective
from sciode.train.windows import Batch, Source, epoch_order, equal_shares, evenly, shares

# Steps between looks at whether the loss is finite: a look waits for the device.
_LOOK = 200
_VALIDATION_WINDOWS = 2048
_ADVICE = "Try a smaller learning_rate, a smaller clip, precision='no', or look for NaN in the data"


class Run:
    """One training run: model, optimizer, average and progress, and the loop over them."""

    def __init__(
        self,
        objective: Objective | TaskObjective,
        config: FitConfig,
        accelerator: Accelerator,
        card: Mapping[str, Any],
        folder: Path | None,
    ) -> None:
        self.config, self.accelerator, self.card, self.folder = config, accelerator, dict(card), folder
        self.model: Any = objective.model
        self.plain = objective  # what prepare may wrap
        if config.sharded:
            shard(objective, accelerator)
        groups = weight_groups(self.model, config.weight_decay, config.rates)
        optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
        if config.sharded:
            self.objective, self.optimizer = objective, accelerator.prepare(optimizer)
        else:
            self.objective, self.optimizer = accelerator.prepare(objective, optimizer)
        self.average = Average(self.model.parameters(), config.ema)
        self.at = Progress()
        self.loss = torch.zeros((), dtype=torch.float64, device=accelerator.device)
        self.bad_step = torch.full((), -1, dtype=torch.long, device=accelerator.device)
        self.best: dict[str, Tensor] | None = None

    # ------------------------------------------------------------------ the loop

    def train(self, windows: Source, validation: Source | None, *, quiet: bool) -> None:
        """Train from where the run stands to its end; the model is left with its best weights."""
        plan = Plan.of(self.config, len(windows), self.accelerator.num_processes)
        quiet = quiet or not self.accelerator.is_main_process
        with progress(f"training {self.card['model']['name']}", plan.steps, quiet=quiet) as bar:
            bar.advance(self.at.step, _note(self.at.records))
            while self.at.stopped is None:
                self._epoch(windows, validation, plan, bar)
        self.take_best()

    def _epoch(self, windows: Source, validation: Source | None, plan: Plan, bar: Bar) -> None:
        clock, first = time.monotonic(), self.at.within
        order = epoch_order(len(windows), self.config.seed, self.at.epoch, self.config.windows_per_epoch)
        rank, count = self.accelerator.process_index, self.accelerator.num_processes
        todo = shares(order, plan.batch, rank, count)[: plan.steps_in(self.at.epoch)]
        self.model.train()
        note = _note(self.at.records)
        for batch in windows.batches(todo[first:]):
            self._step(batch, plan)
            bar.advance(1, note)
            if self.at.step % _LOOK == 0:
                self._look()
            if self._due_within(len(todo)):
                self._save()
        self._look()
        seconds = time.monotonic() - clock
        speed = (len(todo) - first) * plan.batch / seconds if seconds > 0 else 0.0
        self._finish_epoch(validation, plan, len(todo), speed)

    def _step(self, batch: Batch, plan: Plan) -> None:
        seed, step = self.config.seed, self.at.step
        torch.manual_seed(derive_seed(seed, "step", step, self.accelerator.process_index))
        for group in self.optimizer.param_groups:
            peak = self.config.learning_rate * group["rate"]
            group["lr"] = learning_rate(step, plan.steps, peak, self.config.warmup)
        with self.accelerator.autocast():
            loss = self.objective(*batch)
        self.accelerator.backward(loss)
        bad = ~torch.isfinite(loss.detach())
        if self.config.clip > 0:
            norm = whole(self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip))
            if self.config.precision != "fp16":  # there the scaler meets infinite gradients by itself
                bad = bad | ~torch.isfinite(norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update(step)
        self.loss += loss.detach()
        self.bad_step = torch.where(bad & (self.bad_step < 0), step, self.bad_step)
        self.at.step, self.at.within = step + 1, self.at.within + 1

    def _finish_epoch(self, validation: Source | None, plan: Plan, steps: int, speed: float) -> None:
        at, config = self.at, self.config
        at.epoch, at.within = at.epoch + 1, 0
        last = at.epoch == plan.epochs
        record: dict[str, Any] = {"epoch": at.epoch, "step": at.step, "windows_per_second": round(speed, 1)}
        record["train_loss"] = float(self.accelerator.reduce(self.loss, "mean")) / steps
        record["learning_rate"] = learning_rate(at.step - 1, plan.steps, config.learning_rate, config.warmup)
        self.loss = torch.zeros_like(self.loss)
        if last or at.epoch % config.validate_every == 0:
            score = self._validate(validation) if validation is not None else None
            record["validation"] = score
            self._judge(record["train_loss"] if score is None else score)
        at.records.append(record)
        if last and at.stopped is None:
            at.stopped = "finished"
        if at.stopped is not None or at.epoch % config.checkpoint_every == 0:
            self._save()

    def _judge(self, score: float) -> None:
        at = self.at
        if at.best is None or score < at.best:
            at.best, at.best_epoch, at.waited = score, at.epoch, 0
            self.best = {name: tensor.cpu().clone() for name, tensor in self._averaged().items()}
            if self.folder is not None and self.accelerator.is_main_process:
                tensors = {f"model.{name}": tensor for name, tensor in self.best.items()}
                save_checkpoint(self.folder / "checkpoints/best.safetensors", tensors, self._card())
        else:
            at.waited += 1
            if self.config.patience is not None and at.waited >= self.config.patience:
                at.stopped = "patience"

    def _validate(self, validation: Source) -> float:
        rank, count = self.accelerator.process_index, self.accelerator.num_processes
        mine = equal_shares(evenly(len(validation), _VALIDATION_WINDOWS), self.config.batch, rank, count)
        self.model.eval()
        with self.average.swapped(), self.accelerator.autocast():
            sums = self.plain.errors(validation.batches(mine))
        total, windows = self.accelerator.reduce(sums.to(self.accelerator.device), "sum").tolist()
        if not total < float("inf"):
            raise DivergedError(f"the validation error of epoch {self.at.epoch} is not finite. {_ADVICE}")
        return total / windows

    def _look(self) -> None:
        bad = int(self.accelerator.gather(self.bad_step.reshape(1)).max())
        if bad >= 0:
            raise DivergedError(f"loss or gradient is not finite at step {bad}. {_ADVICE}")

    # ------------------------------------------------------------------ files

    def _due_within(self, steps: int) -> bool:
        every = self.config.checkpoint_steps
        return every is not None and self.at.step % every == 0 and self.at.within < steps

    def _card(self) -> dict[str, Any]:
        scaler = self.accelerator.scaler
        state = None if scaler is None else scaler.state_dict()
        progress = self.at.to_dict()
        return {**self.card, **self.plain.units(), "step": self.at.step, "progress": progress, "scaler": state}

    def _averaged(self) -> dict[str, Tensor]:
        with self.average.swapped():
            return {name: gathered(tensor).clone() for name, tensor in module_tensors(self.model).items()}

    def _save(self) -> None:
        self._look()
        loss = self.accelerator.gather(self.loss.reshape(1))
        if self.folder is None or not (self.config.sharded or self.accelerator.is_main_process):
            return
        pairs = run_tensors(self.model, self._averaged(), self.optimizer.optimizer, loss)
        if not self.accelerator.is_main_process:
            deque(pairs, maxlen=0)  # only takes part
            return
        lines = "".join(f"{json.dumps(record)}\n" for record in self.at.records)
        write_text(self.folder / "metrics.jsonl", lines)
        save_checkpoint(self.folder / "checkpoints/last.safetensors", dict(pairs), self._card())

    def resume(self) -> bool:
        """Take up the run saved in the folder, if there is one; say whether there was.

        Raises InputError where the saved run had another model, data, split or configuration.
        """
        path = None if self.folder is None else self.folder / "checkpoints/last.safetensors"
        if path is None or not path.exists():
            return False
        tensors, card = load_checkpoint(path)
        check_same(card, self.card)
        averaged = restore(self.model, self.optimizer.optimizer, tensors)
        self.average.load(local(spread_like(averaged[name], p)) for name, p in self.model.named_parameters())
        self.at = Progress(**card["progress"])
        # Of another number of processes only the mean can be taken over, and it is all that is reported.
        same = len(tensors[LOSS]) == self.accelerator.num_processes
        loss = tensors[LOSS][self.accelerator.process_index] if same else tensors[LOSS].mean()
        self.loss = loss.to(self.loss)
        if card["scaler"] is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(card["scaler"])
        return True

    def take_best(self) -> None:
        """Leave the model with the weights of the best validation, in evaluation mode."""
        if self.best is None and self.folder is not None:
            tensors, _ = load_checkpoint(self.folder / "checkpoints/best.safetensors")
            self.best = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
        if self.best is None:
            raise InputError("the run has no best weights: it ended before its first epoch")
        load_tensors(self.model, self.best)
        self.model.eval()


def _note(records: list[dict[str, Any]]) -> str:
    if not records:
        return ""
    last = records[-1]
    score = last.get("validation")
    tail = "" if score is None else f", validation {score:.3g}"
    return f"epoch {last['epoch']}: loss {last['train_loss']:.3g}{tail}"

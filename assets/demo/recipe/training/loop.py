"""The training loop that all stages share, made for a machine whose cores belong to others.

Threads of one core each take small jobs from a step's list (a picture, a few crops, some latents), so that whichever core is
free does more, and none waits spinning for another. Checkpoints hold weights, their moving average, the optimiser and all
counters. Each job draws from a generator seeded by step and place, so that a run that was cut and resumed is the same run.
"""

import json
import math
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from settings import Work, write_atomically


class Stopped(SystemExit):
    """A signal asked the run to stop; its checkpoint is written."""


def trapezoid(steps: int, cooling: int, warmup: int = 60):
    """Warm up, stay, and fall linearly over the last `cooling` steps."""
    return lambda step: min(1.0, (step + 1) / warmup) * min(1.0, max(0.01, (steps - step) / cooling))


def cosine(steps: int, warmup: int = 60):
    """Warm up and fall along half a cosine."""
    return lambda step: min(1.0, step / warmup) * (0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))


def train(
    name, work: Work, parameters, optimizer, job, plan, measure, save, *, steps, schedule, ema=0.995, threads=None
):
    """Run the stage `name` to its end.

    `plan(step)` lists the jobs of a step. `job(spec, seed)` returns gradients of `parameters`, a dictionary of numbers to
    log, and how many samples it saw. `measure()` returns a dictionary and `save(folder)` writes the model; both are called
    with the moving average in place.
    """
    folder = work / name
    checkpoint = work / "checkpoints" / f"{name}.pt"
    folder.mkdir(parents=True, exist_ok=True)
    average = [p.detach().clone() for p in parameters]
    state = {"step": 0, "samples": 0, "cpu_secs": 0.0, "wall_secs": 0.0}
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=False)
        state = saved["state"]
        optimizer.load_state_dict(saved["optimizer"])
        with torch.no_grad():
            for p, a, saved_p, saved_a in zip(parameters, average, saved["weights"], saved["average"], strict=True):
                p.copy_(saved_p)
                a.copy_(saved_a)
        print(f"{name}: resumed at step {state['step']}", flush=True)

    stop = threading.Event()
    handlers = {s: signal.signal(s, lambda *_: stop.set()) for s in (signal.SIGTERM, signal.SIGINT)}
    lock = threading.Lock()
    pool = ThreadPoolExecutor(threads or work.threads)
    optimizer.pool = pool
    clock = [time.time(), time.process_time()]
    recent: list[dict] = []
    last_checkpoint = time.time()

    def count_time():
        now = [time.time(), time.process_time()]
        state["wall_secs"] += now[0] - clock[0]
        state["cpu_secs"] += now[1] - clock[1]
        clock[:] = now

    def swap_average():
        with torch.no_grad():
            for p, a in zip(parameters, average):
                weights = p.detach().clone()
                p.copy_(a)
                a.copy_(weights)

    def write_checkpoint():
        count_time()
        content = {
            "state": state,
            "weights": [p.detach() for p in parameters],
            "average": average,
            "optimizer": optimizer.state_dict(),
        }
        write_atomically(checkpoint, lambda path: torch.save(content, path))

    def report(final=False):
        swap_average()
        save(folder)
        measured = measure()
        swap_average()
        hours = state["cpu_secs"] / 3600
        print(f"{name}: step {state['step']}, {hours:.2f} CPU hours, held out: {measured}", flush=True)
        if final:
            summary = state | {"losses": mean_of(recent), "held_out": measured}
            write_atomically(folder / "trained.json", lambda path: path.write_text(json.dumps(summary, indent=1)))

    def sum_over_jobs(step):
        gradients = [torch.zeros_like(p) for p in parameters]
        logs = []

        def run_job(numbered):
            place, spec = numbered
            job_gradients, log, samples = job(spec, (step, place))
            with lock:
                torch._foreach_add_(gradients, job_gradients)
                logs.append(log)
                state["samples"] += samples

        list(pool.map(run_job, enumerate(plan(step))))
        return gradients, logs

    while state["step"] < steps:
        step = state["step"]
        gradients, logs = sum_over_jobs(step)
        torch._foreach_div_(gradients, float(len(logs)))
        for p, gradient in zip(parameters, gradients):
            p.grad = gradient
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step(schedule(step))
        optimizer.zero_grad()
        state["step"] = step + 1
        keep = min(ema, (2 + step) / (11 + step))
        with torch.no_grad():
            torch._foreach_mul_(average, keep)
            torch._foreach_add_(average, [p.detach() for p in parameters], alpha=1 - keep)

        recent = (recent + [mean_of(logs)])[-50:]
        if state["step"] % 10 == 0:
            count_time()
            line = {"step": state["step"], "cpu": round(state["cpu_secs"]), **mean_of(recent[-10:])}
            print(time.strftime("%H:%M:%S"), name, line, flush=True)
        if stop.is_set():
            write_checkpoint()
            print(f"{name}: stopped at step {state['step']}; the same command continues", flush=True)
            sys.stdout.flush()
            os._exit(3)
        if time.time() - last_checkpoint > work.settings.checkpoint_secs:
            write_checkpoint()
            report()
            last_checkpoint = time.time()

    write_checkpoint()
    report(final=True)
    pool.shutdown()
    for number, handler in handlers.items():
        signal.signal(number, handler)


def mean_of(logs: list[dict]) -> dict:
    return {key: round(float(np.mean([log[key] for log in logs])), 4) for key in logs[0]} if logs else {}


def generators(stage: int, seed: tuple[int, int]):
    """NumPy's and PyTorch's generator of one job."""
    rng = np.random.default_rng([stage, *seed])
    return rng, torch.Generator().manual_seed(int(rng.integers(1 << 60)))

# SPDX-License-Identifier: Apache-2.0
"""TensorRT, 8.6 to 11.x, on NVIDIA GPUs and Jetsons: plans are built once, ahead of time, and only run afterwards.

    api          what of TensorRT is used, over all versions; its log; its failures as our errors
    machine      the GPU that a plan is for
    plan_cache   plans on disk: the key of everything that they depend on, locks, atomic writes, checks
    build        from ONNX to a plan (`rasant build`)
    run          from a plan to outputs (`TensorRTEngine`)

`tensorrt` itself is imported when a plan is built or opened, or given as a parameter.
"""

from __future__ import annotations

from rasant.engines.tensorrt.build import BuildStep, build_plan
from rasant.engines.tensorrt.plan_cache import BuildOptions, PlanCache, PlanRecord
from rasant.engines.tensorrt.run import TensorRTEngine

__all__ = ["BuildOptions", "BuildStep", "PlanCache", "PlanRecord", "TensorRTEngine", "build_plan"]

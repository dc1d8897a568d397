# SPDX-License-Identifier: Apache-2.0
"""Training of rasant's detectors. torch lives here and nowhere else."""

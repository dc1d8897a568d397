# SPDX-License-Identifier: Apache-2.0
"""Timings that can be checked: each operation beside the best assembly of numpy and OpenCV, in one process."""

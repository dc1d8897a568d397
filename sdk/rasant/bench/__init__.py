# SPDX-License-Identifier: Apache-2.0
"""Timings that can be checked: programs that do the same take turns in one process, whatever else the machine does."""

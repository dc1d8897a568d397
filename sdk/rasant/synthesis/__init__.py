# SPDX-License-Identifier: Apache-2.0
"""Seeded defects without torch: anomalies for training on good parts, and whole procedural parts."""

# SPDX-License-Identifier: Apache-2.0
"""Losses that several methods share."""

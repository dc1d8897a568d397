# SPDX-License-Identifier: Apache-2.0
"""A trained run in, a verified bundle out."""

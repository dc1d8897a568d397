# SPDX-License-Identifier: Apache-2.0
"""Network blocks that several methods share."""

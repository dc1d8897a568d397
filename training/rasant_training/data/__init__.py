# SPDX-License-Identifier: Apache-2.0
"""Good parts in, batches out."""

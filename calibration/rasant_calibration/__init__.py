# SPDX-License-Identifier: Apache-2.0
"""What turns a trained model and a camera into a trusted station: thresholds, limits, certificates. No torch."""

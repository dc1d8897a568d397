# SPDX-License-Identifier: Apache-2.0
"""How frames lie on disk: image files, the camera file, and MCAP recordings."""

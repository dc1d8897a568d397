# SPDX-License-Identifier: Apache-2.0
"""The native operations, one thin file each: checks, device choice, `out=`."""

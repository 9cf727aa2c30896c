"""NIfTI files with any header."""

from typing import Any

import nibabel as nib
import numpy as np

AFFINE = np.array([[-2.0, 0, 0, 30], [0, 2, 0, -40], [0, 0, 3, 1000], [0, 0, 0, 1]])
SIZE_XYZ = (10, 9, 8)


def voxels_xyz(kind: Any = np.int16) -> Any:
    """Noise."""
    return np.random.default_rng(0).integers(0, 100, SIZE_XYZ).astype(kind)


def nifti_file(
    voxels: Any = None,
    affine: Any = AFFINE,
    *,
    header: Any = nib.Nifti1Header,
    order: str = "<",
    codes: tuple[int, int] = (1, 1),
    spacing: Any = None,
    **fields: Any,
) -> bytes:
    """A NIfTI with sform, qform and pixdim of one affine, then some fields changed.

    Args:
        voxels: Along x, y, z; noise of int16 by default.
        affine: In RAS.
        header: nibabel's class of header.
        order: Of bytes.
        codes: Of qform and sform.
        spacing: Put into pixdim in place of the affine's.
        fields: By their names in the header.
    """
    voxels = voxels_xyz() if voxels is None else np.asarray(voxels)
    head = header(endianness=order)
    head.set_data_shape(voxels.shape)
    head.set_data_dtype(voxels.dtype)
    head.set_qform(affine, code=codes[0] or 1, strip_shears=True)
    head.set_sform(affine, code=codes[1] or 1)
    head["qform_code"], head["sform_code"] = codes
    head["scl_slope"], head["scl_inter"] = 1, 0
    head["vox_offset"] = 352 if header is nib.Nifti1Header else 544
    head["magic"] = head.single_magic
    if spacing is not None:
        head["pixdim"][1:4] = spacing
    for name, value in fields.items():
        head[name] = value
    stored = voxels.astype(voxels.dtype.newbyteorder(order))
    content: bytes = head.binaryblock + bytes(4) + stored.tobytes(order="F")
    return content

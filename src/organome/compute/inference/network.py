"""The network of an nnU-Net plan."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from organome.domain.plans import check_plans


def build_network(
    plans: Mapping[str, Any], configuration: str, *, n_outputs: int, deep_supervision: bool = False
) -> nn.Module:
    """Build the network that a plan describes, with fresh weights and one input channel.

    Trainers are never resolved by name: that imports every trainer nnU-Net ships, and with them
    packages that a plain installation does not need. Plans that name anything but networks and
    layers are refused: what they name is called.

    Args:
        plans: Content of ``plans.json``, current or pre-2.3 format.
        configuration: Name of the configuration in the plans, ``3d_fullres`` for instance.
        n_outputs: Number of labels, background included.
        deep_supervision: Whether the network also returns its coarser outputs.

    Raises:
        SetupError: The plans are not to be built from.
    """
    check_plans(plans, configuration)
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(dict(plans)).get_configuration(configuration)
    network: nn.Module = get_network_from_plans(
        manager.network_arch_class_name,
        manager.network_arch_init_kwargs,
        manager.network_arch_init_kwargs_req_import,
        1,
        n_outputs,
        deep_supervision=deep_supervision,
    )
    return network

"""The network of an nnU-Net plan, and those of all folds, asked tile by tile."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import combinations
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.modules.conv import _ConvNd

from organome.compute.inference.cpu_layers import quicken_layers
from organome.domain.errors import SetupError
from organome.domain.inference import InferenceSettings, Precision
from organome.domain.models import Model, check_one_channel, model_classes
from organome.domain.plans import check_plans, configuration_of, total_strides

_SPATIAL: int = 2  # axes of tiles in front of the spatial ones: tile, channel


def build_network(
    plans: Mapping[str, Any], configuration: str, *, n_outputs: int, initialised: bool = True
) -> nn.Module:
    """Build the network that a plan describes, with fresh weights and one input channel.

    Trainers are never resolved by name: that imports every trainer nnU-Net ships, and with them
    packages that a plain installation does not need. Plans that name anything but networks and
    layers are refused: what they name is called.

    Args:
        plans: Content of ``plans.json``, current or pre-2.3 format.
        configuration: Name of the configuration in the plans, ``3d_fullres`` for instance.
        n_outputs: Number of labels, background included.
        initialised: Whether weights are drawn at random. Without a device (``meta``), drawing has
            torch import its compiler, 1.5 CPU seconds for nothing.

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
        allow_init=initialised,
        deep_supervision=False,
    )
    return network


def load_networks(model: Model) -> list[nn.Module]:
    """Build the network of each fold, with its weights: whatever model this takes can be run.

    Raises:
        SetupError: The model takes several images, its outputs are not the labels of a labelmap,
            its plans are not to be built from, or its weights are not numbers or not those of its
            plans.
    """
    check_one_channel(model.dataset, model=model.name)
    n_outputs = len(model_classes(model.dataset, model=model.name)) + 1
    return [
        _load_network(model, weights, n_outputs=n_outputs, fold=fold)
        for fold, weights in zip(model.folds, model.weights, strict=True)
    ]


def _load_network(
    model: Model, weights: Mapping[str, torch.Tensor], *, n_outputs: int, fold: str
) -> nn.Module:
    for tensor in {value.data_ptr(): value for value in weights.values()}.values():
        if not tensor.isfinite().all():
            raise SetupError(f"model {model.name}: weights of fold {fold} are NaN or infinite")
    try:
        with torch.device("meta"):  # no weights of its own: it takes those that are loaded
            network = build_network(
                model.plans, model.configuration, n_outputs=n_outputs, initialised=False
            )
        singles = {name: value.float() for name, value in weights.items()}
        network.load_state_dict(singles, assign=True)
        _check_patch(network, model)
    except SetupError:
        raise
    except Exception as error:  # whatever nnU-Net says of plans that do not fit together
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SetupError(
            f"model {model.name}: weights of fold {fold} are not those of a network of its plans"
            f" with {n_outputs} outputs ({said})"
        ) from error
    return network


def _check_patch(network: Any, model: Model) -> None:
    """Refuse a patch that the network cannot halve as often as it does."""
    patch = configuration_of(model.plans, model.configuration)["patch_size"]
    steps = total_strides(network.encoder.strides)
    if any(edge % step for edge, step in zip(patch, steps, strict=True)):
        raise SetupError(
            f"model {model.name}: its patch of {' x '.join(map(str, patch))} voxels must be a"
            f" multiple of {' x '.join(map(str, steps))}, the strides of its network"
        )


class FoldNetworks:
    """The networks of all folds, on one device.

    Attributes:
        networks: One module a fold, from tiles (n, 1, z, y, x) to logits (n, label, z, y, x). Any
            module will do: one that gives logits made beforehand shows what all else costs.
        device: Where they run.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        *,
        device: torch.device,
        mirroring_axes: Sequence[int],
        settings: InferenceSettings,
    ) -> None:
        """Bring networks to a device.

        Args:
            networks: One a fold.
            device: Where to run.
            mirroring_axes: Spatial axes that tiles are mirrored along, () for none.
            settings: How to run.
        """
        self.device = device
        self._settings = settings
        self._resident = settings.folds_resident or device.type == "cpu"
        where = device if self._resident else torch.device("cpu")
        self._lower = _lower_precision(settings, device)
        self.networks = [_in_precision(one.eval(), self._lower).to(where) for one in networks]
        if self._resident:  # weights that come and go cannot be compiled in
            self.networks = [_made_ready(one, settings, device) for one in self.networks]
        axes = [axis + _SPATIAL for axis in mirroring_axes]
        self._turns = [turn for n in range(len(axes)) for turn in combinations(axes, n + 1)]

    def logits_by_fold(self, tiles: torch.Tensor) -> Iterator[torch.Tensor]:
        """Return the logits of some tiles, fold by fold.

        Args:
            tiles: n, 1, z, y, x.

        Yields:
            n, label, z, y, x; not to be changed.
        """
        tiles = tiles.to(self.device)
        for network in self.networks:
            with self._autocast():
                logits = self._ask(network, tiles)
                for turn in self._turns:
                    logits = logits + self._ask(network, tiles.flip(turn)).flip(turn)
            yield logits / (len(self._turns) + 1) if self._turns else logits

    def _ask(self, network: nn.Module, tiles: torch.Tensor) -> torch.Tensor:
        if self._resident:
            found: torch.Tensor = network(tiles)
        else:
            state = {name: value.to(self.device) for name, value in network.state_dict().items()}
            found = functional_call(network, state, (tiles,))
        # Graphs of CUDA write every answer to the same place.
        return found.clone() if self._settings.cuda_graphs else found

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._lower is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self._lower)


def _lower_precision(settings: InferenceSettings, device: torch.device) -> torch.dtype | None:
    """Return what layers compute in that can do with less than single precision."""
    match settings.precision:
        case Precision.STOCK if device.type == "cuda":
            return torch.half
        case Precision.BFLOAT16:
            return torch.bfloat16
    return None


def _in_precision(network: nn.Module, lower: torch.dtype | None) -> nn.Module:
    """Round the weights of convolutions once, which autocast would do for each tile."""
    for layer in network.modules() if lower is not None else ():
        if isinstance(layer, _ConvNd):
            layer.to(lower)
    return network


def _made_ready(network: nn.Module, settings: InferenceSettings, device: torch.device) -> nn.Module:
    if device.type == "cpu":
        quicken_layers(network)
    if settings.channels_last:
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    has_graphs = settings.cuda_graphs and device.type == "cuda"
    if settings.compile:
        mode = "reduce-overhead" if has_graphs else "default"
        return torch.compile(network, mode=mode)  # type: ignore[return-value]
    if has_graphs:
        return torch.compile(network, backend="cudagraphs")  # type: ignore[return-value]
    return network

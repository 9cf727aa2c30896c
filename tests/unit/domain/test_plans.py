from copy import deepcopy
from typing import Any

import pytest

from doubles.models import tiny_plans
from doubles.plans import CONFIGURATION
from doubles.releases import RELEASED, old_plans
from organome.compute.inference.network import build_network
from organome.domain.errors import SetupError
from organome.domain.plans import check_plans, configuration_of, current_plans


def test_a_configuration_has_what_it_inherits_and_its_own_goes_first() -> None:
    found = configuration_of(old_plans(tiny_plans()), RELEASED)
    assert found["batch_size"] == 8
    assert found["patch_size"] == tiny_plans()["configurations"][CONFIGURATION]["patch_size"]


def test_plans_that_lead_nowhere_or_in_a_circle_are_refused() -> None:
    plans = {"configurations": {"a": {"inherits_from": "b"}, "b": {"inherits_from": "a"}}}
    with pytest.raises(SetupError, match="'a' inherits from itself"):
        configuration_of(plans, "a")
    with pytest.raises(SetupError, match="no configuration 'c'"):
        configuration_of({"configurations": {"a": {"inherits_from": "c"}}}, "a")
    with pytest.raises(SetupError, match="no configuration '2d'"):
        configuration_of({}, "2d")


@pytest.mark.parametrize("network", ["PlainConvUNet", "ResidualEncoderUNet"])
def test_old_plans_become_what_nnunet_itself_makes_of_them(network: str) -> None:
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    old = old_plans(tiny_plans())
    old["configurations"][CONFIGURATION]["UNet_class_name"] = network
    with pytest.warns(UserWarning, match="old nnU-Net plans format"):
        theirs = PlansManager(deepcopy(old)).get_configuration(RELEASED).configuration
    ours = current_plans(old, RELEASED)["configurations"][RELEASED]
    theirs.pop("inherits_from")
    # the module of this class has another name since
    theirs["architecture"]["network_class_name"] = theirs["architecture"][
        "network_class_name"
    ].replace("residual_unet", "unet")
    assert ours == theirs


def test_current_plans_stay_what_they_are() -> None:
    plans = tiny_plans()
    assert current_plans(plans, CONFIGURATION) == plans
    assert current_plans(plans, "another") == plans


def test_old_plans_that_are_not_whole_are_refused() -> None:
    old = old_plans(tiny_plans())
    del old["configurations"][CONFIGURATION]["conv_kernel_sizes"]
    with pytest.raises(SetupError, match=r"not whole.*conv_kernel_sizes"):
        current_plans(old, RELEASED)


def spoilt(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    plans = deepcopy(tiny_plans())
    place = plans["configurations"][CONFIGURATION]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return plans


ARGUMENTS = ("architecture", "arch_kwargs")


@pytest.mark.parametrize(
    "plans",
    [
        spoilt(("architecture", "network_class_name"), "subprocess.Popen"),
        spoilt(("architecture", "network_class_name"), "torch.nn.os.system"),
        spoilt((*ARGUMENTS, "nonlin"), "os.system"),
        spoilt((*ARGUMENTS, "nonlin"), "torch.nn.modules.module.warnings.warn"),
        spoilt((*ARGUMENTS, "conv_op"), "torch.nn.Conv3d.__init__.__globals__"),
        spoilt((*ARGUMENTS, "conv_op"), ["torch.nn.Conv3d"]),
        spoilt(("architecture",), "torch.nn.Conv3d"),
        spoilt(("resampling_fn_data",), "os.system"),
        spoilt(("previous_stage",), "3d_lowres"),
        spoilt(("patch_size",), [64, 64]),
        tiny_plans() | {"label_manager": "os.path"},
    ],
)
def test_plans_that_name_anything_else_are_refused(plans: dict[str, Any]) -> None:
    with pytest.raises(SetupError, match="plans: "):
        check_plans(plans, CONFIGURATION)


def test_plans_cannot_have_code_run(tmp_path: Any) -> None:
    trace = tmp_path / "it ran"
    plans = spoilt((*ARGUMENTS, "nonlin"), "os.system")
    network = plans["configurations"][CONFIGURATION]["architecture"]["arch_kwargs"]
    network["nonlin_kwargs"] = {"command": f"touch '{trace}'"}
    with pytest.raises(SetupError, match=r"nonlin 'os\.system' is not a layer"):
        build_network(plans, CONFIGURATION, n_outputs=2)
    assert not trace.exists()


@pytest.mark.parametrize("plans", [tiny_plans(), old_plans(tiny_plans())], ids=["current", "old"])
def test_plans_of_nnunet_pass(plans: dict[str, Any]) -> None:
    check_plans(plans, CONFIGURATION)

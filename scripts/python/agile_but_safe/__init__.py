"""Agile but safe quadrupeds: training environments, policies and evaluation.

    VectorEnv   many environments of a task, a Gymnasium vector environment
    RslRlEnv    the same for rsl_rl
    Policy      a policy of a bundle: observations to actions
    evaluate    the tests of `abs eval`
"""

from ._native import Environments, Policy, evaluate

__all__ = ["Environments", "Policy", "RslRlEnv", "VectorEnv", "evaluate"]


def __getattr__(name):
    """Imports Gymnasium or rsl_rl when what needs it is asked for."""
    if name == "VectorEnv":
        from .gymnasium_env import VectorEnv

        return VectorEnv
    if name == "RslRlEnv":
        from .rsl_rl_env import RslRlEnv

        return RslRlEnv
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""A task as a Gymnasium vector environment."""

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from ._native import Environments


class VectorEnv(gymnasium.vector.VectorEnv):
    """Environments of a task. An episode that ends begins anew in the same step; its last observation is in `infos["final_obs"]`.

    Keyword arguments are those of `Environments`: robot, num_envs, seed, threads, reality, config, settings. With `copy=False` the arrays that `step`
    returns are written again by the next step. An observation holds what the policy sees, `policy_dim` numbers; with `privileged=True` it also holds
    what only critics may see.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, task, *, copy=True, privileged=False, **settings):
        self._make = lambda seed: Environments(task, **{**settings, "seed": seed})
        self._seed = settings.get("seed", 1)
        self._environments = self._make(self._seed)
        self._fresh = True
        self._copy = copy
        self.num_envs = self._environments.num_envs
        self._dim = self._environments.observation_dim if privileged else self._environments.policy_dim
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (self._dim,), np.float32)
        self.single_action_space = gymnasium.spaces.Box(-np.inf, np.inf, (self._environments.action_dim,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed=None, options=None):
        if seed is not None or not self._fresh:
            self._seed = self._seed if seed is None else int(seed)
            self._environments = self._make(self._seed)
        self._fresh = True
        return self._returned(self._environments.observations[:, : self._dim]), {}

    def step(self, actions):
        self._fresh = False
        envs = self._environments
        envs.step(actions)
        infos = {}
        if envs.truncated.any():
            infos["final_obs"] = envs.final_observations[:, : self._dim].copy()
            infos["_final_obs"] = envs.truncated.copy()
        arrays = (envs.observations[:, : self._dim], envs.rewards, envs.terminated, envs.truncated)
        return *map(self._returned, arrays), infos

    def log(self):
        """Means since the last call: `reward/...`, `episode/...`, `curriculum/level`."""
        return self._environments.log()

    def _returned(self, array):
        return array.copy() if self._copy else array

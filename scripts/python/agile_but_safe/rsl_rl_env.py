"""A task as an environment of rsl_rl."""

import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict

from ._native import Environments


class RslRlEnv(VecEnv):
    """Environments of a task, with the observation groups `policy` and `critic`. Rewards are multiplied by `reward_scale`: rsl_rl clips how far values
    move in an update. Further keyword arguments are those of `Environments`."""

    def __init__(self, task, *, device="cpu", episode_s=20.0, reward_scale=0.1, **settings):
        self._environments = Environments(task, **settings)
        self.num_envs = self._environments.num_envs
        self.num_actions = self._environments.action_dim
        self.max_episode_length = round(episode_s / self._environments.policy_step_s)
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.long, device=device)
        self.device = device
        self.reward_scale = reward_scale
        self.cfg = {"task": task, **settings}

    def get_observations(self):
        return self._observed(self._environments.observations)

    def step(self, actions):
        envs = self._environments
        envs.step(actions.detach().to("cpu", torch.float32).contiguous().numpy())
        time_outs = self._tensor(envs.truncated)
        dones = self._tensor(envs.terminated) | time_outs
        self.episode_length_buf += 1
        self.episode_length_buf[dones] = 0
        self.last_log = envs.log()
        log = {f"/{name}": value for name, value in self.last_log.items()}
        extras = {"time_outs": time_outs, "log": log}
        rewards = self.reward_scale * self._tensor(envs.rewards)
        return self.get_observations(), rewards, dones.long(), extras

    def _observed(self, observations):
        rows = self._tensor(observations)
        groups = {"policy": rows[:, : self._environments.policy_dim], "critic": rows}
        return TensorDict(groups, batch_size=[self.num_envs], device=self.device)

    def _tensor(self, array):
        # A copy: the next step writes the array again.
        return torch.tensor(array, device=self.device)

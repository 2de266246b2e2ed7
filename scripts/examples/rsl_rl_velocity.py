"""rsl_rl's PPO learns the task `velocity`: pip install './scripts/python[rsl-rl]'; python3 scripts/examples/rsl_rl_velocity.py [ITERATIONS]"""

import sys

import agile_but_safe
import torch
from rsl_rl.runners import OnPolicyRunner
from tensordict import TensorDict

iterations = int(sys.argv[1]) if len(sys.argv) > 1 else 300
env = agile_but_safe.RslRlEnv("velocity", robot="go1", num_envs=2048)
model = {"class_name": "MLPModel", "hidden_dims": [256, 128, 64], "activation": "elu", "obs_normalization": False}
gaussian = {"class_name": "GaussianDistribution", "init_std": 1.0, "std_type": "scalar"}
runner = OnPolicyRunner(
    env,
    {
        "num_steps_per_env": 24,
        "save_interval": 100,
        "obs_groups": {"actor": ["policy"], "critic": ["critic"]},
        "actor": {**model, "distribution_cfg": gaussian},
        "critic": model,
        "algorithm": {
            "class_name": "PPO",
            "num_learning_epochs": 3,
            "num_mini_batches": 4,
            "learning_rate": 1e-3,
            "schedule": "adaptive",
            "desired_kl": 0.01,
            "entropy_coef": 0.003,
        },
    },
    log_dir="out/rsl_rl-velocity",
)
runner.learn(iterations)

# An episode of other environments, without exploration.
test = agile_but_safe.Environments("velocity", robot="go1", num_envs=512, seed=2)
policy = runner.get_inference_policy()
with torch.inference_mode():
    for _ in range(501):
        rows = torch.tensor(test.observations[:, : test.policy_dim])
        test.step(policy(TensorDict({"policy": rows}, batch_size=[512])).numpy())
log = test.log()
for name in ("survival_fraction", "velocity_error_mps"):
    print(f"{name} {log['episode/' + name]:.3f}")

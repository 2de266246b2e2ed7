"""rsl_rl's PPO learns to walk, a quarter of an hour on two idle cores: python3 scripts/python/tests/test_rsl_rl.py, from the repository."""

import subprocess
import sys
import unittest


class RslRlTest(unittest.TestCase):
    def test_ppo_learns_to_follow_commands(self):
        output = subprocess.run(
            [sys.executable, "scripts/examples/rsl_rl_velocity.py"], check=True, capture_output=True, text=True
        ).stdout
        results = dict(line.split() for line in output.splitlines()[-2:])
        # A robot that stands still is off by 0.95 m/s.
        self.assertGreater(float(results["survival_fraction"]), 0.95)
        self.assertLess(float(results["velocity_error_mps"]), 0.4)


if __name__ == "__main__":
    unittest.main()

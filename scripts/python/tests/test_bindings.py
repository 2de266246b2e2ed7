"""Tests of the Python package, where it is installed: python3 scripts/python/tests/test_bindings.py, from the repository."""

import math
import unittest

import numpy as np

import agile_but_safe as abs_py

GO1 = "policies/bundles/go1"


def environments(**settings):
    return abs_py.Environments("agile", num_envs=6, threads=2, **settings)


class EnvironmentsTest(unittest.TestCase):
    def test_steps_write_the_arrays_in_place_and_do_not_depend_on_threads(self):
        rows = []
        for threads in (1, 3):
            envs = abs_py.Environments("velocity", num_envs=6, seed=3, threads=threads)
            observations = envs.observations
            before = observations.copy()
            actions = np.full((6, envs.action_dim), 0.1, np.float32)
            for _ in range(5):
                envs.step(actions)
            self.assertIs(envs.observations, observations)
            self.assertFalse(np.array_equal(before, observations))
            rows.append((observations.copy(), envs.rewards.copy()))
        np.testing.assert_array_equal(rows[0][0], rows[1][0])
        np.testing.assert_array_equal(rows[0][1], rows[1][1])

    def test_an_episode_ends_either_by_its_task_or_by_the_clock(self):
        envs = abs_py.Environments("recovery", num_envs=32, threads=1)
        ended = np.zeros((32, 2), int)
        # Two seconds are an episode.
        for _ in range(101):
            envs.step(np.zeros((32, 12), np.float32))
            self.assertFalse((envs.terminated & envs.truncated).any())
            ended += np.stack([envs.terminated, envs.truncated], axis=1)
            if envs.truncated.any():
                last = envs.final_observations[envs.truncated]
                self.assertTrue(np.isfinite(last).all() and np.abs(last).sum() > 0)
        self.assertTrue((ended.sum(axis=1) >= 1).all())
        self.assertIn("episode/fall_rate", envs.log())

    def test_what_is_wrong_is_said_in_one_line(self):
        envs = environments()
        shape = f"({envs.num_envs}, {envs.action_dim})"
        cases = [
            (TypeError, [0.0], "actions is a list, must be float32"),
            (TypeError, np.zeros((6, 12)), "actions is float64 of shape [6, 12], must be float32 of shape " + shape),
            (ValueError, np.zeros((5, 12), np.float32), "shape [5, 12]"),
            (ValueError, np.zeros((6, 24), np.float32)[:, ::2], "not contiguous"),
        ]
        for kind, actions, expected in cases:
            with self.assertRaises(kind) as caught:
                envs.step(actions)
            self.assertIn(expected, str(caught.exception))
        for settings, expected in [
            ({"settings": ["env.agile.speed=1"]}, "env.agile.speed"),
            ({"robot": "go9"}, "go9"),
            ({"settings": ["env.num_envs=0"]}, "env.num_envs"),
        ]:
            with self.assertRaises(ValueError) as caught:
                abs_py.Environments("agile", **settings)
            self.assertIn(expected, str(caught.exception))
            self.assertNotIn("\n", str(caught.exception))
        with self.assertRaisesRegex(ValueError, "there is no task `jump`"):
            abs_py.Environments("jump")


class PolicyTest(unittest.TestCase):
    def test_a_policy_acts_on_rows_and_says_where_its_terms_stand(self):
        policy = abs_py.Policy(GO1, "recovery")
        rows = np.random.default_rng(1).normal(size=(5, policy.observation_dim)).astype(np.float32)
        actions, targets = policy(rows)
        self.assertEqual(actions.shape, (5, policy.action_dim))
        one, _ = policy(rows[3:4].copy())
        np.testing.assert_allclose(one[0], actions[3], rtol=1e-5, atol=1e-5)
        # A target is the default position plus the scaled action.
        scales = (targets[0] - targets[1]) / (actions[0] - actions[1])
        np.testing.assert_allclose(scales, scales[0], rtol=1e-3)
        name, start, end = policy.terms[0]
        self.assertEqual((name, start, end), ("foot-contact", 0, 4))
        with self.assertRaisesRegex(TypeError, "observations is float64"):
            policy(rows.astype(float))
        with self.assertRaises(ValueError):
            abs_py.Policy(GO1, "velocity")


class EvaluationTest(unittest.TestCase):
    def test_an_evaluation_is_that_of_the_program(self):
        report = abs_py.evaluate(GO1, method="agile", episodes=20, engine="batch", threads=1)
        again = abs_py.evaluate(GO1, method="agile", episodes=20, engine="batch", threads=2)
        for key in ("reach_rate", "collision_rate", "mean_speed", "path_ratio"):
            self.assertEqual(report[key], again[key])
        self.assertEqual((report["episodes"], report["robot"]), (20, "go1"))
        total = report["reach_rate"] + report["collision_rate"] + report["time_out_rate"]
        self.assertTrue(math.isclose(total, 1.0))
        with self.assertRaisesRegex(ValueError, "moon"):
            abs_py.evaluate(GO1, episodes=1, scene="moon")


class GymnasiumTest(unittest.TestCase):
    def test_a_vector_environment_resets_in_the_same_step_and_from_a_seed(self):
        envs = abs_py.VectorEnv("recovery", num_envs=32, threads=1)
        first, _ = envs.reset(seed=5)
        self.assertEqual(first.shape, envs.observation_space.shape)
        actions = np.zeros(envs.action_space.shape, np.float32)
        infos = {}
        for _ in range(101):
            observations, rewards, terminated, truncated, step_infos = envs.step(actions)
            infos |= step_infos
        self.assertEqual((rewards.shape, terminated.dtype, truncated.dtype), ((32,), bool, bool))
        self.assertEqual(infos["final_obs"].shape, first.shape)
        again, _ = envs.reset(seed=5)
        np.testing.assert_array_equal(first, again)
        other, _ = envs.reset(seed=6)
        self.assertFalse(np.array_equal(first, other))


if __name__ == "__main__":
    unittest.main()

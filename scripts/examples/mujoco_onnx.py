"""Runs the policies that `abs export --scenes N` has written in MuJoCo, from nothing but the exported folder.

pip install mujoco onnxruntime; python3 mujoco_onnx.py DIR [abs|agile]
"""

import json
import sys
from collections import Counter, deque

import mujoco
import numpy as np
import onnxruntime


class Robot:
    def __init__(self, folder: str, contract: dict, scene: dict):
        spec = mujoco.MjSpec.from_file(f"{folder}/{contract['simulation']['file']}")
        for c in scene["cylinders"]:
            at, size = [c["x_m"], c["y_m"], c["height_m"] / 2], [c["radius_m"], c["height_m"] / 2, 0]
            spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_CYLINDER, pos=at, size=size, contype=0, conaffinity=1)
        self.model, self.contract, self.scene, self.random = spec.compile(), contract, scene, np.random.default_rng(1)
        self.model.geom_friction[:, 0] = scene["friction"]
        self.armature, self.data = self.model.dof_armature[6:].copy(), mujoco.MjData(self.model)
        joints, yaw = contract["robot"]["joints"], scene["start_yaw_rad"]
        self.joint = {key: np.array([joint[key] for joint in joints]) for key in joints[0]}
        self.data.qpos[:7] = [*scene["start_m"], np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
        self.data.qpos[7:] = self.joint["standing_position_rad"]
        # The shapes of the robot are named LINK CLASS NUMBER.
        names = [self.model.geom(index).name for index in range(self.model.ngeom)]
        self.feet = [index for index, name in enumerate(names) if " foot " in name]
        self.bodies = [index for index, name in enumerate(names) if name and " foot " not in name]
        self.contact = self.previous_contact = np.zeros(len(self.feet), bool)
        self.scans = deque(maxlen=contract["rays"].get("previous_steps"))

    def physics_step(self, target_rad: np.ndarray) -> bool:
        """Returns whether the robot collides. The law of the motors is implicit: its slope times the step counts as inertia."""
        joint, data, simulation = self.joint, self.data, self.contract["simulation"]
        position, velocity, limit = data.qpos[7:], data.qvel[6:], joint["effort_limit_nm"]
        stiffness, damping = joint["stiffness_nm_per_rad"], joint["damping_nms_per_rad"]
        spring = stiffness * (target_rad - position)
        torque = spring - damping * velocity
        is_free = np.abs(torque) <= limit
        slope = np.where(is_free, damping + stiffness * simulation["step_s"], 0) + simulation["joint_damping_nms_per_rad"]
        data.qfrc_applied[6:] = np.where(is_free, spring, np.clip(torque, -limit, limit)) - slope * velocity
        self.model.dof_armature[6:] = self.armature + simulation["step_s"] * slope
        mujoco.mj_step(self.model, data)
        forces, wrench = np.zeros((self.model.ngeom, 3)), np.zeros(6)
        for index, contact in enumerate(data.contact):
            mujoco.mj_contactForce(self.model, data, index, wrench)
            force = contact.frame.reshape(3, 3).T @ wrench[:3]
            forces[contact.geom[0]] -= force
            forces[contact.geom[1]] += force
        size_n, sideways_n = np.linalg.norm(forces, axis=1), np.linalg.norm(forces[:, :2], axis=1)
        self.contact = size_n[self.feet] > 1
        return (size_n[self.bodies] > 1).any() or (sideways_n - 2 * np.abs(forces[:, 2]) > 10)[self.feet].any()

    def measure(self) -> dict:
        data, scene, rays, rotation = self.data, self.scene, self.contract["rays"], np.zeros(9)
        mujoco.mju_quat2Mat(rotation, data.qpos[3:7])
        to_base = rotation.reshape(3, 3).T
        yaw = np.arctan2(to_base[0, 1], to_base[0, 0])
        to_yaw = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
        length_m = np.full(rays["count"], rays["max_m"])
        for c in scene["cylinders"]:
            offset = to_yaw @ ([c["x_m"], c["y_m"]] - data.qpos[:2]) - [rays["origin_x_m"], 0]
            # Within the width of a ray, the direction that is nearest to that of the centre.
            off = np.abs((np.arctan2(offset[1], offset[0]) - rays["angle_rad"] + np.pi) % (2 * np.pi) - np.pi)
            off = np.maximum(off - rays["width_rad"] / 2, 0)
            along, beside = np.hypot(*offset) * np.cos(off), np.hypot(*offset) * np.sin(off)
            half_chord = np.sqrt(np.maximum(c["radius_m"] ** 2 - beside**2, 0))
            length_m = np.where((half_chord > 0) & (along > 0), np.minimum(length_m, along - half_chord), length_m)
        length_m = np.clip(length_m, rays["min_m"], rays["max_m"])
        goal = to_yaw @ (scene["goal_m"] - data.qpos[:2])
        bound_m = np.hypot(*goal) + rays.get("illusion_margin_m", 1e9)
        observed_m = np.minimum(length_m, bound_m + np.maximum(length_m - bound_m, 0) * self.random.random(len(length_m)))
        pose = (data.qpos[:2] + to_yaw.T @ [rays["origin_x_m"], 0], to_yaw)
        previous_m = self.seen_from(*pose, *self.scans[0]) if self.scans else observed_m
        self.scans.append((*pose, observed_m))
        contact, self.previous_contact = self.contact | self.previous_contact, self.contact
        return {
            "foot-contact": np.where(contact, 1, -1), "projected-gravity-base": -to_base[:, 2], "goal-position": goal,
            "linear-velocity-base": to_base @ data.qvel[:3], "angular-velocity-base": data.qvel[3:6].copy(),
            "goal-heading": (scene["goal_heading_rad"] - yaw + np.pi) % (2 * np.pi) - np.pi,
            "joint-position": data.qpos[7:] - self.joint["default_position_rad"], "joint-velocity": data.qvel[6:].copy(),
            "time-left": self.contract["simulation"]["episode_s"] - data.time,
            "log-rays": np.log2(observed_m), "previous-log-rays": np.log2(previous_m),
        }

    def seen_from(self, origin, to_yaw, past_origin, past_to_yaw, past_m: np.ndarray) -> np.ndarray:
        """A past scan as it would look from here, had nothing moved."""
        rays, seen_m, before = self.contract["rays"], np.full(len(past_m), self.contract["rays"]["max_m"]), None
        angles, step = np.array(rays["angle_rad"]), rays["angle_rad"][1] - rays["angle_rad"][0]
        cross = lambda a, b: a[0] * b[1] - a[1] * b[0]  # noqa: E731

        def shorten(place: int, length_m: float):
            if 0 <= place < len(seen_m):
                seen_m[place] = min(seen_m[place], max(length_m, rays["min_m"]))

        for angle, length_m in zip(angles, past_m):
            if length_m >= rays["max_m"]:
                before = None
                continue
            hit = to_yaw @ (past_origin + past_to_yaw.T @ [length_m * np.cos(angle), length_m * np.sin(angle)] - origin)
            place = (np.arctan2(hit[1], hit[0]) - angles[0]) / step
            shorten(round(place), np.hypot(*hit))
            if before is not None:
                from_hit, from_place, from_m = before
                along, ends = hit - from_hit, sorted([from_place, place])
                between = range(int(np.ceil(ends[0])), int(np.floor(ends[1])) + 1)
                # One surface, and no jump of the bearing by a turn.
                if np.hypot(*along) <= 2 * step * min(length_m, from_m) and len(between) <= len(angles) / 2:
                    for ray in between:
                        across = cross([np.cos(angles[0] + ray * step), np.sin(angles[0] + ray * step)], along)
                        if abs(across) > 1e-6:
                            shorten(ray, cross(from_hit, along) / across)
            before = hit, place, length_m
        return seen_m


def run(models: dict, contract: dict, role: str, past: list, **inputs) -> dict:
    """Runs a network on what was measured in the past policy steps, the present one last."""
    terms, observed = contract["networks"][role]["inputs"]["observation"]["terms"], []
    for term in terms:
        if term["term"] not in past[-1]:
            raise SystemExit(f"error: {role} observes {term['term']}, which this example does not compute")
        steps = term.get("history", {"policy_steps": 1})["policy_steps"]
        for measured in (past[:1] * steps + past)[-steps:]:
            observed.append(term["scale"] * np.atleast_1d(measured[term["term"]]))
    inputs["observation"] = np.concatenate(observed)
    outputs = models[role].run(None, {name: np.float32(value)[None] for name, value in inputs.items()})
    return {output.name: value[0] for output, value in zip(models[role].get_outputs(), outputs)}


def episode(models: dict, robot: Robot, method: str) -> str:
    contract, safety, simulation = robot.contract, robot.contract["safety"], robot.contract["simulation"]
    limits_rad, change_rad = (safety["lowest_target_rad"], safety["highest_target_rad"]), np.array(safety["largest_change_rad"])
    is_recovery, action, target_rad, past = False, np.zeros(len(robot.armature)), robot.data.qpos[7:].copy(), []
    for _ in range(round(simulation["episode_s"] / contract["policy_step_s"])):
        measured = robot.measure() | {"previous-action": action}
        past.append(measured)
        if method == "abs":
            switch, value = contract["switch"], run(models, contract, "reach-avoid", past)["value"][0]
            if is_recovery := value >= switch["threshold"] - switch["hysteresis"] * is_recovery:
                present = [*measured["linear-velocity-base"][:2], measured["angular-velocity-base"][2]]
                found = run(models, contract, "twist-search", past, start_twist=present)
                measured["twist-command"] = found["twist"]
                is_recovery = value - found["value"][0] >= switch["min_improvement"]
        acted = run(models, contract, "recovery" if is_recovery else "agile", past)
        action, wanted_rad = acted["action"], np.clip(acted["joint_target_rad"], *limits_rad)
        target_rad = np.clip(wanted_rad, target_rad - change_rad, target_rad + change_rad)
        if any([robot.physics_step(target_rad) for _ in range(simulation["decimation"])]):
            return "collision"
    return "reach" if np.hypot(*(robot.data.qpos[:2] - robot.scene["goal_m"])) <= simulation["reach_m"] else "timeout"


if __name__ == "__main__":
    folder, method = (sys.argv[1:] + ["abs"])[:2]
    contract, scenes = [json.load(open(f"{folder}/{name}")) for name in ("contract.json", "scenes.json")]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    files = [(role, f"{folder}/{network['file']}") for role, network in contract["networks"].items()]
    models = {role: onnxruntime.InferenceSession(file, options) for role, file in files}
    outcomes = Counter(episode(models, Robot(folder, contract, scene), method) for scene in scenes)
    print(json.dumps({"episodes": len(scenes)} | outcomes))

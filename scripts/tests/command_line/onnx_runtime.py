"""Runs exported models in ONNX Runtime and prints their outputs as JSON.

usage: onnx_runtime.py DIR INPUTS.json, which has for each network of the contract the rows of each input
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

folder = Path(sys.argv[1])
contract = json.loads((folder / "contract.json").read_text())
found = {}
for role, inputs in json.loads(Path(sys.argv[2]).read_text()).items():
    model = onnxruntime.InferenceSession(str(folder / contract["networks"][role]["file"]))
    assert json.loads(model.get_modelmeta().custom_metadata_map["contract"]) == contract
    widths = {value.name: value.shape[1] for value in model.get_inputs()}
    feeds = {name: np.array(rows, np.float32).reshape(-1, widths[name]) for name, rows in inputs.items()}
    names = [output.name for output in model.get_outputs()]
    found[role] = {name: output.ravel().tolist() for name, output in zip(names, model.run(None, feeds))}
print(json.dumps(found))

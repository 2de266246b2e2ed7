"""Reads a log with rosbags: every message is deserialized with the schema in the file. Prints one line of JSON.

usage: read_log.py FILE.mcap
"""

import json
import sys
from pathlib import Path

from rosbags.rosbag2.storage_mcap import McapReader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

reader = McapReader(Path(sys.argv[1]))
reader.open()
stores = {}
counts, last = {}, {}
for connection in reader.connections:
    if connection.msgdef.data:
        store = get_typestore(Stores.EMPTY)
        store.register(get_types_from_msg(connection.msgdef.data, connection.msgtype))
        stores[connection.topic] = store
for connection, _, data in reader.messages(reader.connections):
    counts[connection.topic] = counts.get(connection.topic, 0) + 1
    store = stores.get(connection.topic)
    if store is None:
        continue
    message = store.deserialize_cdr(data, connection.msgtype)
    last[connection.topic] = message
    # Back to the same bytes: nothing was left unread.
    again = bytes(store.serialize_cdr(message, connection.msgtype))
    assert again == bytes(data), f"{connection.topic}: {len(again)} bytes of {len(data)}"
joints = last["/joint_states"]
print(json.dumps({
    "counts": counts,
    "joint_names": list(joints.name),
    "joint_positions": [float(q) for q in joints.position],
    "head": [int(value) for value in last["/lowcmd"].head],
    "frame": last["/tf"].transforms[0].header.frame_id,
    "markers": [marker.ns for marker in last["/abs/markers"].markers],
    "scan": [float(value) for value in last["/scan"].ranges[:2]],
}))

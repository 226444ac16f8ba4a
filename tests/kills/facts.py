"""What a catalog says, read with a program n2s has no part in.

For each line on standard input, which names a copy of a catalog's file, one line of JSON on standard output.
"""

import json
import sqlite3
import sys


def facts(path):
    db = sqlite3.connect(path)

    def rows(sql):
        return [list(row) for row in db.execute(sql)]

    done = rows(
        "SELECT b.name, lower(hex(l.sealed_hash)) FROM blob_backends s"
        " JOIN blobs l ON l.id = s.blob_id JOIN backends b ON b.id = s.backend_id WHERE s.status = 'completed'"
    )
    blobs = [[store, f"blobs/{name[:2]}/{name[2:]}", name] for store, name in done]
    parts = rows(
        "SELECT b.name, lower(hex(d.store_key)), c.version, o.part, lower(hex(o.sealed_hash)) FROM changeset_backends s"
        " JOIN changesets c ON c.id = s.changeset_id JOIN datasets d ON d.id = c.dataset_id"
        " JOIN backends b ON b.id = s.backend_id JOIN manifest_objects o ON o.changeset_id = c.id"
        " WHERE s.manifest = 'completed'"
    )
    manifests = [
        [store, f"archives/{key}/{version}/manifest-{part}.json", name] for store, key, version, part, name in parts
    ]
    keys = rows("SELECT b.name, e.epoch FROM backend_epochs e JOIN backends b ON b.id = e.backend_id")
    markers = rows("SELECT name, 'n2s.json', NULL FROM backends WHERE initialised_at IS NOT NULL")
    return {
        "completed": blobs + manifests + [[store, f"keys/{epoch}", None] for store, epoch in keys] + markers,
        "committed": rows(
            "SELECT version, lower(hex(uuid)), status FROM changesets WHERE committed_at IS NOT NULL ORDER BY version"
        ),
        "jobs": rows("SELECT count(*) FROM jobs")[0][0],
        "staged": rows(
            "SELECT (SELECT count(*) FROM blobs WHERE staging_id IS NOT NULL)"
            " + (SELECT count(*) FROM manifest_objects WHERE staging_id IS NOT NULL)"
        )[0][0],
        "failed": rows("SELECT count(*) FROM blob_backends WHERE status = 'failed'")[0][0],
    }


NOTHING = {"completed": [], "committed": [], "jobs": 0, "staged": 0, "failed": 0}

for line in sys.stdin:
    try:
        found = facts(line.rstrip("\n"))
    except sqlite3.OperationalError as error:
        # A kill before the tables were there.
        if "no such table" not in str(error):
            raise
        found = NOTHING
    print(json.dumps(found), flush=True)

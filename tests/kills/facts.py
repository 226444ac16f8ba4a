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
    version_blobs = (
        "SELECT f.blob_id FROM files f WHERE f.blob_id IS NOT NULL AND {of} UNION"
        " SELECT p.blob_id FROM files f JOIN file_blobs p ON p.file_id = f.id WHERE {of}"
    ).format(
        of="f.dataset_id = c.dataset_id AND f.from_version <= c.version"
        " AND (f.to_version IS NULL OR f.to_version > c.version)"
    )
    whole = rows(
        "SELECT b.name, lower(hex(d.store_key)), c.version FROM changesets c JOIN datasets d ON d.id = c.dataset_id"
        f" CROSS JOIN backends b WHERE c.committed_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM ({version_blobs}) v"
        " WHERE NOT EXISTS (SELECT 1 FROM blob_backends s WHERE s.blob_id = v.blob_id AND s.backend_id = b.id"
        " AND s.status = 'completed'))"
    )
    keys = rows("SELECT b.name, e.epoch FROM backend_epochs e JOIN backends b ON b.id = e.backend_id")
    markers = rows("SELECT name, 'n2s.json', NULL FROM backends WHERE initialised_at IS NOT NULL")
    return {
        "completed": blobs + manifests + [[store, f"keys/{epoch}", None] for store, epoch in keys] + markers,
        "whole": [[store, f"archives/{key}/{version}"] for store, key, version in whole],
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


NOTHING = {"completed": [], "whole": [], "committed": [], "jobs": 0, "staged": 0, "failed": 0}

for line in sys.stdin:
    try:
        found = facts(line.rstrip("\n"))
    except sqlite3.OperationalError as error:
        # A kill before the tables were there.
        if "no such table" not in str(error):
            raise
        found = NOTHING
    print(json.dumps(found), flush=True)

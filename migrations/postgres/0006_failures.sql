-- Failed uploads by the page, however many there are. In a catalog of hundreds of millions of placements this looks at each of them once.
CREATE INDEX blob_backends_failures ON blob_backends (blob_id, backend_id) WHERE status = 'failed';
